package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// guide and readme are the documents of this client.
var (
	guide  = filepath.Join("..", "..", "..", "docs", "clients", "go.md")
	readme = filepath.Join("..", "README.md")
)

// A block is a code block of a document, with its language.
type block struct{ language, text string }

var codeBlock = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

func blocks(t *testing.T, path string) []block {
	t.Helper()
	content, err := os.ReadFile(path)
	check(t, err)
	var found []block
	for _, match := range codeBlock.FindAllStringSubmatch(string(content), -1) {
		found = append(found, block{match[1], match[2]})
	}
	return found
}

func TestTenLines(t *testing.T) {
	for _, document := range []string{guide, readme} {
		t.Run(filepath.Base(document), func(t *testing.T) {
			all := blocks(t, document)
			languages := ""
			for _, block := range all {
				languages += block.language + " "
			}
			if !strings.HasPrefix(languages, "sh go sh text ") {
				t.Fatalf("the document begins with %s", languages)
			}
			server := newServer(t, nil)
			folder := clone(t, server)
			program := strings.ReplaceAll(all[1].text, "https://127.0.0.1:7443", server.endpoint)
			if lines := strings.Count(between(program, "func main() {\n", "\n}\n"), "\n") + 1; lines != 10 {
				t.Errorf("the program has %d lines", lines)
			}
			script := "set -e\n" + all[0].text + "cat > main.go <<'END'\n" + program + "END\n" + all[2].text
			compareOutput(t, runScript(t, folder, script), all[3].text)
		})
	}
}

func TestExamplesOfTheGuide(t *testing.T) {
	all := blocks(t, guide)[4:]
	var functions, calls, expected strings.Builder
	count := 0
	for _, block := range all {
		switch block.language {
		case "go":
			count++
			fmt.Fprintf(&functions, "func example%d() error {\n%s\nreturn nil\n}\n", count, block.text)
			fmt.Fprintf(&calls, "if err := example%d(); err != nil { log.Fatal(err) }\n", count)
		case "text":
			expected.WriteString(block.text)
		default:
			t.Fatalf("a block in %s isn't run", block.language)
		}
	}
	server := newServer(t, nil)
	createMailbox(t, server)
	folder := clone(t, server)
	program := fmt.Sprintf(frame, server.endpoint, calls.String(), functions.String())
	script := "set -e\nmkdir hello && cd hello && go mod init hello\ngo mod edit -replace github.com/sealward/sealward/clients/go=../clients/go\n" +
		"cat > main.go <<'END'\n" + program + "END\ngo mod tidy\ngo vet .\ngo run .\n"
	compareOutput(t, runScript(t, folder, script), expected.String())
	t.Logf("%d examples", count)
}

// frame is a program around the examples.
const frame = `package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"slices"
	"strings"

	"github.com/sealward/sealward/clients/go"
	sealwardmailv1 "github.com/sealward/sealward/clients/go/sealward/mail/v1"
	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
	"google.golang.org/protobuf/proto"
)

var (
	ctx         = context.Background()
	client      *sealward.Client
	cachedToken string
)

func fetchToken(context.Context) (string, error) { return "token", nil }

func main() {
	tls := "../sealward-dev/tls/"
	var err error
	client, err = sealward.NewClient("%s", sealward.WithCAFile(tls+"ca.pem"), sealward.WithIdentityFiles(tls+"admin.pem", tls+"admin.key"))
	if err != nil {
		log.Fatal(err)
	}
	%s
}

var (
	_ = json.Marshal
	_ = errors.As
	_ = slog.Info
	_ = slices.Contains[[]string]
	_ = strings.Contains
	_ = sealwardmailv1.File_sealward_mail_v1_mailbox_proto
	_ = sealwardv1.File_sealward_v1_errors_proto
	_ = proto.String
	_ = fmt.Println
)

%s
`

// clone creates a folder that looks like a clone of the source with a development server.
func clone(t *testing.T, server *server) string {
	t.Helper()
	folder := t.TempDir()
	clients, err := filepath.Abs(filepath.Join("..", ".."))
	check(t, err)
	check(t, os.Symlink(clients, filepath.Join(folder, "clients")))
	check(t, os.Symlink(server.folder, filepath.Join(folder, "sealward-dev")))
	return folder
}

// runScript runs a script, and returns its standard output.
func runScript(t *testing.T, folder, script string) string {
	t.Helper()
	command := exec.Command("bash", "-c", script)
	command.Dir = folder
	var errors strings.Builder
	command.Stderr = &errors
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &errors)
	}
	if strings.Contains(errors.String(), "tr0ub4dor&3") {
		t.Error("the log discloses the password")
	}
	return string(output)
}

func compareOutput(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	t.Logf("output:\n%s", got)
}

func between(text, start, end string) string {
	_, rest, _ := strings.Cut(text, start)
	inside, _, _ := strings.Cut(rest, end)
	return inside
}
