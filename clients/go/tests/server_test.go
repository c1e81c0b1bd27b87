// Package tests runs the Go client against the real server. It is a module of its own, so that users of the client don't get its dependencies.
package tests

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealward/sealward/clients/go"
)

// serverProgram is the path of the server, from SEALWARD_SERVER or the build folder.
func serverProgram(t *testing.T) string {
	t.Helper()
	program := os.Getenv("SEALWARD_SERVER")
	if program == "" {
		program = filepath.Join("..", "..", "..", "target", "debug", "sealward-server")
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("there is no server: build it, or set SEALWARD_SERVER: %v", err)
	}
	absolute, err := filepath.Abs(program)
	check(t, err)
	return absolute
}

// A server is a running development server.
type server struct {
	folder string
	// endpoint is the URL, and plaintext the address without TLS, if there is one.
	endpoint, plaintext string
	process             *exec.Cmd
	// log is closed when the process has closed its stderr.
	logged chan struct{}
	log    *bytes.Buffer
}

// start starts a server in a folder, and waits until it is ready.
func start(t *testing.T, folder, listen string) *server {
	t.Helper()
	process := exec.Command(serverProgram(t), "dev", "--data-dir", folder, "--listen", listen)
	output, err := process.StdoutPipe()
	check(t, err)
	errors, err := process.StderrPipe()
	check(t, err)
	check(t, process.Start())
	started := &server{folder: folder, process: process, logged: make(chan struct{}), log: &bytes.Buffer{}}
	go func() {
		_, _ = io.Copy(started.log, errors)
		close(started.logged)
	}()
	lines := bufio.NewScanner(output)
	isReady := false
	for !isReady && lines.Scan() {
		if found := plaintextLine.FindStringSubmatch(lines.Text()); found != nil {
			started.plaintext = found[1]
		}
		isReady = strings.HasPrefix(lines.Text(), "Press Ctrl-C")
	}
	if !isReady {
		<-started.logged
		_ = process.Wait()
		t.Fatalf("the server didn't start: %s", started.log)
	}
	go func() { _, _ = io.Copy(io.Discard, output) }()
	endpoint, err := os.ReadFile(filepath.Join(folder, "endpoint"))
	check(t, err)
	started.endpoint = strings.TrimSpace(string(endpoint))
	return started
}

var plaintextLine = regexp.MustCompile(`^  without TLS\s+(\S+?),? `)

func (s *server) stop(t *testing.T) {
	t.Helper()
	if s.process.ProcessState != nil {
		return
	}
	check(t, s.process.Process.Signal(syscall.SIGTERM))
	<-s.logged
	check(t, s.process.Wait())
}

// newServer starts a server with changed settings, and stops it at the end of the test.
func newServer(t *testing.T, settings map[string]any) *server {
	t.Helper()
	folder := newFolder(t, settings)
	started := start(t, folder, "127.0.0.1:0")
	t.Cleanup(func() { started.stop(t) })
	return started
}

// newFolder creates the folder of a server with changed settings: SECTION.NAME, and the value.
func newFolder(t *testing.T, settings map[string]any) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "dev")
	if len(settings) == 0 {
		return folder
	}
	start(t, folder, "127.0.0.1:0").stop(t)
	path := filepath.Join(folder, "sealward.toml")
	content, err := os.ReadFile(path)
	check(t, err)
	for name, value := range settings {
		_, key, _ := strings.Cut(name, ".")
		line := regexp.MustCompile(`(?m)^(# )?` + regexp.QuoteMeta(key) + ` = .*$`)
		if len(line.FindAll(content, -1)) != 1 {
			t.Fatalf("%s isn't once in the configuration", name)
		}
		if text, isText := value.(string); isText {
			value = fmt.Sprintf("%q", text)
		}
		content = line.ReplaceAllLiteral(content, fmt.Appendf(nil, "%s = %v", key, value))
	}
	check(t, os.WriteFile(path, content, 0o600))
	return folder
}

// connect creates a client with a certificate of the development server.
func (s *server) connect(t *testing.T, role string, options ...sealward.Option) *sealward.Client {
	t.Helper()
	return connectTo(t, s.endpoint, s.folder, role, options...)
}

func connectTo(t *testing.T, target, folder, role string, options ...sealward.Option) *sealward.Client {
	t.Helper()
	tls := filepath.Join(folder, "tls")
	all := append([]sealward.Option{
		sealward.WithCAFile(filepath.Join(tls, "ca.pem")),
		sealward.WithIdentityFiles(filepath.Join(tls, role+".pem"), filepath.Join(tls, role+".key")),
	}, options...)
	client, err := sealward.NewClient(target, all...)
	check(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// patience is the time after which a test that waits for an event fails.
const patience = 60 * time.Second
