// Writes the zip file of a Go module, as module proxies serve it.
//
//	go run . FOLDER VERSION FILE
package main

import (
	"log"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: go run . FOLDER VERSION FILE")
	}
	if err := write(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func write(folder, version, file string) error {
	text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		return err
	}
	name := module.Version{Path: modfile.ModulePath(text), Version: version}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := zip.CreateFromDir(out, name, folder); err != nil {
		return err
	}
	return out.Close()
}
