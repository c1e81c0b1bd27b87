// Generator writes the generated code of the Go client: messages, gRPC clients, and the methods that print messages without their secrets.
//
// The versions of its parts are pinned in its go.mod, so that the output is always the same. It needs no protoc.
//
//	generator PROTO_FOLDER OUTPUT_FOLDER
package main

import (
	"bytes"
	"context"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// module is the prefix of every Go package of the contract. Files are written below it.
const module = "github.com/sealward/sealward/clients/go"

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: generator PROTO_FOLDER OUTPUT_FOLDER"))
	}
	if err := generate(os.Args[1], os.Args[2]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "generator:", err)
	os.Exit(1)
}

func generate(protos, output string) error {
	request, err := compile(protos)
	if err != nil {
		return err
	}
	messages, err := generateMessages(request)
	if err != nil {
		return err
	}
	clients, err := generateClients(request)
	if err != nil {
		return err
	}
	for _, file := range slices.Concat(messages, clients) {
		if err := write(output, file); err != nil {
			return err
		}
	}
	return nil
}

// compile returns what protoc would send to a plugin.
func compile(protos string) (*pluginpb.CodeGeneratorRequest, error) {
	var names []string
	err := filepath.WalkDir(protos, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".proto") {
			name, relErr := filepath.Rel(protos, path)
			names = append(names, filepath.ToSlash(name))
			return relErr
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{protos}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: names,
		Parameter:      proto.String("module=" + module),
	}
	seen := map[string]bool{}
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		imports := file.Imports()
		for i := range imports.Len() {
			add(imports.Get(i).FileDescriptor)
		}
		request.ProtoFile = append(request.ProtoFile, protodesc.ToFileDescriptorProto(file))
	}
	for _, file := range files {
		add(file)
	}
	// Options of the contract as extensions, so that the plugins see the options of protobuf alone as known fields.
	encoded, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	decoded := &pluginpb.CodeGeneratorRequest{}
	return decoded, proto.Unmarshal(encoded, decoded)
}

func generateMessages(request *pluginpb.CodeGeneratorRequest) ([]*pluginpb.CodeGeneratorResponse_File, error) {
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		return nil, err
	}
	plugin.SupportedFeatures = internal_gengo.SupportedFeatures
	for _, file := range plugin.Files {
		if file.Generate {
			internal_gengo.GenerateFile(plugin, file)
			if err := generatePrinting(plugin, file); err != nil {
				return nil, err
			}
		}
	}
	response := plugin.Response()
	if response.Error != nil {
		return nil, fmt.Errorf("protoc-gen-go: %s", response.GetError())
	}
	for _, file := range response.GetFile() {
		file.Content = proto.String(printsSecrets.ReplaceAllString(file.GetContent(), ""))
	}
	return response.GetFile(), nil
}

// printsSecrets matches the methods of protoc-gen-go that print a message with its secrets. generatePrinting generates others.
var printsSecrets = regexp.MustCompile(`(?m)^func \(x \*\w+\) String\(\) string \{\n\treturn protoimpl\.X\.MessageStringOf\(x\)\n\}\n`)

func generateClients(request *pluginpb.CodeGeneratorRequest) ([]*pluginpb.CodeGeneratorResponse_File, error) {
	input, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	command := exec.Command("go", "tool", "protoc-gen-go-grpc")
	command.Stdin, command.Stderr = bytes.NewReader(input), os.Stderr
	encoded, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("protoc-gen-go-grpc: %w", err)
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(encoded, response); err != nil {
		return nil, err
	}
	if response.Error != nil {
		return nil, fmt.Errorf("protoc-gen-go-grpc: %s", response.GetError())
	}
	return response.GetFile(), nil
}

const (
	redact = protogen.GoImportPath(module + "/internal/redact")
	fmtPkg = protogen.GoImportPath("fmt")
	slog   = protogen.GoImportPath("log/slog")
)

// generatePrinting generates the methods that print messages without their secrets, for every message of a file.
func generatePrinting(plugin *protogen.Plugin, file *protogen.File) error {
	if len(file.Messages) == 0 {
		return nil
	}
	out := plugin.NewGeneratedFile(file.GeneratedFilenamePrefix+"_redact.pb.go", file.GoImportPath)
	out.P("// Code generated by clients/go/generator. DO NOT EDIT.")
	out.P("// source: ", file.Desc.Path())
	out.P()
	out.P("package ", file.GoPackageName)
	return printingOfAll(out, file.Messages)
}

func printingOfAll(out *protogen.GeneratedFile, messages []*protogen.Message) error {
	for _, message := range messages {
		if message.Desc.IsMapEntry() {
			continue
		}
		if err := printingOfMessage(out, message); err != nil {
			return err
		}
		if err := printingOfAll(out, message.Messages); err != nil {
			return err
		}
	}
	return nil
}

// A printing is a method that prints a value, or reads what another one has printed.
type printing struct {
	name      string
	comment   string
	signature func(out *protogen.GeneratedFile) string
	arguments string
}

var printings = []printing{
	{"String", "returns the message as text, without its secrets.", signature("() string"), ""},
	{"GoString", "returns the message as text for the verb %#v, without its secrets.", signature("() string"), ""},
	{"Format", "prints the message for every verb of package fmt, without its secrets.", func(out *protogen.GeneratedFile) string {
		return "(state " + out.QualifiedGoIdent(fmtPkg.Ident("State")) + ", verb rune)"
	}, "state, verb, "},
	{"MarshalJSON", "returns the message as JSON, without its secrets. Package protojson returns all values.", signature("() ([]byte, error)"), ""},
	{"UnmarshalJSON", "reads the message from JSON, and refuses JSON with redacted secrets.", signature("(encoded []byte) error"), "encoded, "},
	{"MarshalText", "returns the message as text, without its secrets.", signature("() ([]byte, error)"), ""},
	{"LogValue", "returns the message as text for package log/slog, without its secrets.", func(out *protogen.GeneratedFile) string {
		return "() " + out.QualifiedGoIdent(slog.Ident("Value"))
	}, ""},
}

func signature(text string) func(*protogen.GeneratedFile) string {
	return func(*protogen.GeneratedFile) string { return text }
}

func printingOfMessage(out *protogen.GeneratedFile, message *protogen.Message) error {
	for _, method := range printings {
		if slices.ContainsFunc(message.Fields, func(field *protogen.Field) bool { return field.GoName == method.name }) {
			if hasSecret(message.Desc, map[protoreflect.FullName]bool{}) {
				return fmt.Errorf("%s has secrets and a field %s: rename the field", message.Desc.FullName(), method.name)
			}
			continue
		}
		out.P()
		out.P("// ", method.name, " ", method.comment)
		out.P("func (x *", message.GoIdent, ") ", method.name, method.signature(out), " {")
		call := []any{out.QualifiedGoIdent(redact.Ident(method.name)), "(", method.arguments, "x)"}
		switch method.name {
		case "Format":
			out.P(call...)
		case "MarshalText":
			out.P("return []byte(", out.QualifiedGoIdent(redact.Ident("String")), "(x)), nil")
		default:
			out.P(append([]any{"return "}, call...)...)
		}
		out.P("}")
	}
	for _, field := range message.Fields {
		if isSecret(field.Desc) && field.Oneof != nil && !field.Oneof.Desc.IsSynthetic() {
			printingOfField(out, field)
		}
	}
	return nil
}

// printingOfField generates the methods of a secret field of a oneof, which is a type of its own. They have value receivers, because the type
// can be copied.
func printingOfField(out *protogen.GeneratedFile, field *protogen.Field) {
	name := fmt.Sprintf("%q", field.Desc.Name())
	text := out.QualifiedGoIdent(redact.Ident("FieldString")) + "(" + name + ")"
	bodies := map[string]string{
		"String":      "return " + text,
		"GoString":    "return " + text,
		"Format":      out.QualifiedGoIdent(redact.Ident("FieldFormat")) + "(state, verb, " + name + ")",
		"MarshalJSON": "return " + out.QualifiedGoIdent(redact.Ident("FieldMarshalJSON")) + "(" + name + ")",
		"MarshalText": "return []byte(" + text + "), nil",
		"LogValue":    "return " + out.QualifiedGoIdent(slog.Ident("StringValue")) + "(" + text + ")",
	}
	for _, method := range printings {
		if bodies[method.name] == "" {
			continue
		}
		out.P()
		out.P("// ", method.name, " ", strings.ReplaceAll(strings.ReplaceAll(method.comment, "the message", "the field"), "its secrets", "its value"))
		out.P("func (x ", field.GoIdent, ") ", method.name, method.signature(out), " {")
		out.P(bodies[method.name])
		out.P("}")
	}
}

func isSecret(field protoreflect.FieldDescriptor) bool {
	options, isOptions := field.Options().(*descriptorpb.FieldOptions)
	return isOptions && options.GetDebugRedact()
}

func hasSecret(message protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) bool {
	if seen[message.FullName()] {
		return false
	}
	seen[message.FullName()] = true
	fields := message.Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if isSecret(field) || field.Message() != nil && hasSecret(field.Message(), seen) {
			return true
		}
	}
	return false
}

func write(output string, file *pluginpb.CodeGeneratorResponse_File) error {
	content, err := format.Source([]byte(file.GetContent()))
	if err != nil {
		return fmt.Errorf("%s: %w", file.GetName(), err)
	}
	path := filepath.Join(output, filepath.FromSlash(file.GetName()))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
