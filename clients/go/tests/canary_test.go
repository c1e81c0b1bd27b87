package tests

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/template"

	"github.com/davecgh/go-spew/spew"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/sealward/sealward/clients/go"
	sealwardmailv1 "github.com/sealward/sealward/clients/go/sealward/mail/v1"
	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
)

// canary is the value of every secret field. No other value contains it in any form.
const canary = "Kanarienvogel7"

// verbs are all verbs of package fmt, except %T and %p, which print no values, and %w, which is only for errors.
const verbs = "vtbcdoOqxXUeEfFgGs"

// flags are the flags of package fmt, alone and together.
var flags = []string{"", "+", "#", " ", "-", "0", "+#", "# ", "40", "-40.30"}

// traces are the forms in which the canary can be printed.
var traces = sync.OnceValue(func() []string {
	found := []string{canary, strings.ToUpper(canary)}
	for _, value := range []any{canary, []byte(canary)} {
		for _, verb := range "vdoxXUbc" {
			for _, flag := range []string{"", "#", " ", "# "} {
				text := strings.Trim(fmt.Sprintf("%"+flag+string(verb), value), "[] ")
				if !strings.HasPrefix(text, "%!") {
					found = append(found, text)
				}
			}
		}
	}
	// In base64, the characters that don't depend on the bytes before and after.
	for offset := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("-", offset) + canary))
		found = append(found, strings.TrimRight(encoded, "=")[(offset*8+5)/6:len(canary)*8/6])
	}
	return found
})

// discloses reports whether a text contains the canary, also as a list of numbers in the form of any encoding.
func discloses(text string) bool {
	words := strings.Join(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \n\t,-", r) }), " ")
	return slices.ContainsFunc(traces(), func(trace string) bool { return strings.Contains(text, trace) || strings.Contains(words, trace) })
}

// isSecret reports whether a field is a secret.
func isSecret(field protoreflect.FieldDescriptor) bool {
	return field.Options().(*descriptorpb.FieldOptions).GetDebugRedact()
}

// secretMessages returns a message of each type of the contract that can contain a secret, with the canary in each secret field. A type with a
// oneof has a message for each of its fields.
func secretMessages() (messages []proto.Message, fields int) {
	var types []protoreflect.MessageType
	protoregistry.GlobalTypes.RangeMessages(func(found protoreflect.MessageType) bool {
		if strings.HasPrefix(string(found.Descriptor().FullName()), "sealward.") {
			types = append(types, found)
		}
		return true
	})
	slices.SortFunc(types, func(one, other protoreflect.MessageType) int {
		return strings.Compare(string(one.Descriptor().FullName()), string(other.Descriptor().FullName()))
	})
	for _, found := range types {
		declared := found.Descriptor().Fields()
		for i := range declared.Len() {
			if isSecret(declared.Get(i)) {
				fields++
			}
		}
		for choice := range 2 {
			message := found.New()
			if fill(message, choice, 0) {
				messages = append(messages, message.Interface())
			}
		}
	}
	return messages, fields
}

// depthMax is deeper than any message of the contract.
const depthMax = 6

// fill sets each field of a message. It returns whether there is a secret in it.
func fill(message protoreflect.Message, choice, depth int) bool {
	hasSecret := false
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if oneof := field.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() && oneof.Fields().Get(choice%oneof.Fields().Len()) != field {
			continue
		}
		switch {
		case isSecret(field) && field.Kind() == protoreflect.BytesKind:
			message.Set(field, protoreflect.ValueOfBytes([]byte(canary)))
			hasSecret = true
		case isSecret(field):
			message.Set(field, protoreflect.ValueOfString(canary))
			hasSecret = true
		case field.IsMap() && field.MapValue().Message() != nil && depth < depthMax:
			value := message.Mutable(field).Map().NewValue()
			hasSecret = fill(value.Message(), choice, depth+1) || hasSecret
			message.Mutable(field).Map().Set(protoreflect.ValueOfString("key").MapKey(), value)
		case field.IsList() && field.Message() != nil && depth < depthMax:
			list := message.Mutable(field).List()
			for range 2 {
				hasSecret = fill(list.AppendMutable().Message(), choice, depth+1) || hasSecret
			}
		case field.IsMap() || field.IsList():
		case field.Message() != nil && depth < depthMax:
			hasSecret = fill(message.Mutable(field).Message(), choice, depth+1) || hasSecret
		case field.Kind() == protoreflect.StringKind:
			message.Set(field, protoreflect.ValueOfString("text"))
		}
	}
	// A field of a newer contract, which can be a secret.
	if hasSecret {
		message.SetUnknown(protoreflect.RawFields(append([]byte{0xfa, 0xff, 0x03, byte(len(canary))}, canary...)))
	}
	return hasSecret
}

// A recordError has a message, and prints it in its text.
type recordError struct {
	Record any
	Verb   string
}

func (e *recordError) Error() string {
	return fmt.Sprintf("can't store "+e.Verb, e.Record)
}

// containers returns the value in everything that programs put values in.
func containers(value any) map[string]any {
	typed := reflect.ValueOf(value)
	slice := reflect.Append(reflect.MakeSlice(reflect.SliceOf(typed.Type()), 0, 1), typed, typed)
	array := reflect.New(reflect.ArrayOf(1, typed.Type())).Elem()
	array.Index(0).Set(typed)
	table := reflect.MakeMap(reflect.MapOf(reflect.TypeFor[string](), typed.Type()))
	table.SetMapIndex(reflect.ValueOf("key"), typed)
	pointer := reflect.New(typed.Type())
	pointer.Elem().Set(typed)
	type node struct {
		Value any
		Next  *node
	}
	return map[string]any{
		"itself":            value,
		"reflect.Value":     typed,
		"pointer":           pointer.Interface(),
		"slice":             slice.Interface(),
		"array":             array.Interface(),
		"map":               table.Interface(),
		"slice of any":      []any{"text", value},
		"map of any":        map[string]any{"key": value},
		"nested":            map[string]any{"key": []any{map[string]any{"key": slice.Interface()}}},
		"struct":            struct{ Record any }{value},
		"pointer to struct": &struct{ Record any }{value},
		"unexported field":  struct{ record any }{value},
		"list":              &node{value, &node{Value: value}},
		"slice of structs":  []struct{ Record any }{{value}},
		"error":             fmt.Errorf("wrapped: %w", &recordError{value, "%v"}),
		"error %+v":         errors.Join(io.EOF, fmt.Errorf("wrapped: %w", &recordError{value, "%+v"})),
		"error %#v":         &recordError{value, "%#v"},
		"context":           context.WithValue(context.Background(), contextKey{}, value),
		"log attribute":     slog.Any("record", value),
	}
}

type contextKey struct{}

// printers returns everything that prints a value.
func printers() map[string]func(value any) string {
	all := map[string]func(value any) string{
		"fmt.Sprint":         func(value any) string { return fmt.Sprint(value) },
		"fmt.Sprintln":       func(value any) string { return fmt.Sprintln(value) },
		"json.Marshal":       func(value any) string { return text(json.Marshal(value)) },
		"json.MarshalIndent": func(value any) string { return text(json.MarshalIndent(value, "", " ")) },
		"xml.Marshal":        func(value any) string { return text(xml.Marshal(value)) },
		"yaml.Marshal":       func(value any) string { return text(marshalYAML(value)) },
		"template":           func(value any) string { return execute("{{.}}", value) },
		"template %#v":       func(value any) string { return execute(`{{printf "%#v" .}}`, value) },
		"template js":        func(value any) string { return execute("{{js .}}", value) },
		"log":                func(value any) string { return logged(func(logger *log.Logger) { logger.Println(value) }) },
		"slog text": func(value any) string {
			return structured(func(out io.Writer) slog.Handler { return slog.NewTextHandler(out, nil) }, value)
		},
		"slog JSON": func(value any) string {
			return structured(func(out io.Writer) slog.Handler { return slog.NewJSONHandler(out, nil) }, value)
		},
		"spew":       func(value any) string { return spew.Sdump(value) },
		"spew %#+v":  func(value any) string { return spew.Sprintf("%#+v", value) },
		"stack":      stack,
		"panic text": panicText,
	}
	for _, verb := range verbs {
		for _, flag := range flags {
			format := "%" + flag + string(verb)
			all[format] = func(value any) string { return fmt.Sprintf(format, value) }
		}
	}
	return all
}

func text(encoded []byte, err error) string {
	return fmt.Sprintf("%s %v", encoded, err)
}

// marshalYAML marshals a value. The package panics for functions and channels.
func marshalYAML(value any) (encoded []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%v", cause)
		}
	}()
	return yaml.Marshal(value)
}

func execute(source string, value any) string {
	var out strings.Builder
	err := template.Must(template.New("").Parse(source)).Execute(&out, value)
	return fmt.Sprintf("%s %v", &out, err)
}

func logged(write func(*log.Logger)) string {
	var out strings.Builder
	write(log.New(&out, "", 0))
	return out.String()
}

func structured(handler func(io.Writer) slog.Handler, value any) string {
	var out strings.Builder
	logger := slog.New(handler(&out))
	logger.Error("failed", "value", value)
	logger.With("with", value).WithGroup("group").Info("done", slog.Group("inner", "value", value))
	return out.String()
}

//go:noinline
func stack(any) string {
	return string(debug.Stack())
}

// panicText recovers a panic with the value, as servers do.
func panicText(value any) (printed string) {
	defer func() { printed = fmt.Sprintf("panic: %v\n%s", recover(), debug.Stack()) }()
	panic(value)
}

// isCovered reports whether a printer can print secrets of a place only with a method that it calls. Package fmt calls no methods of unexported
// fields. It prints a pointer in a struct as its address, and an error as its text, except with a verb that doesn't fit; then it calls no
// methods. go vet reports such verbs. See TestWhatIsNotCovered.
// Messages are pointers; a struct that isn't, such as a copy of a oneof's field, prints in an unexported field.
func isCovered(value any, place, printer string) bool {
	fitting := verbs
	switch place {
	case "unexported field", "context", "log attribute", "list":
		if reflect.ValueOf(value).Kind() == reflect.Struct {
			return false
		}
		fitting = "vbdoxX"
	case "error", "error %+v", "error %#v":
		fitting = "vsqxX"
	}
	return !strings.HasPrefix(printer, "%") || strings.ContainsAny(printer[len(printer)-1:], fitting)
}

// blind are the printers that print no values of variables.
var blind = map[string]bool{"stack": true}

func TestCanary(t *testing.T) {
	messages, fields := secretMessages()
	values := make([]any, 0, len(messages)+4)
	for _, message := range messages {
		values = append(values, message)
	}
	values = append(values,
		&sealwardv1.SecretValue_Text{Text: canary}, sealwardv1.SecretValue_Text{Text: canary},
		&sealwardv1.SecretValue_Data{Data: []byte(canary)}, sealwardv1.SecretValue_Data{Data: []byte(canary)})
	printings, leaks := 0, 0
	for _, value := range values {
		for place, contained := range containers(value) {
			for printer, print := range printers() {
				if !isCovered(value, place, printer) {
					continue
				}
				printings++
				if printed := print(contained); discloses(printed) {
					if leaks++; leaks <= 20 {
						t.Errorf("%T, %s, printed with %s, discloses its secret: %s", value, place, printer, printed)
					}
				}
			}
		}
	}
	if fields < 10 || len(messages) < 20 {
		t.Errorf("only %d fields in %d messages were found", fields, len(messages))
	}
	t.Logf("%d secret fields, %d messages, %d printings, %d disclosures", fields, len(messages), printings, leaks)
}

// A plain value prints its secret.
type plainRecord struct{ Password string }

func TestSearchFindsTheCanary(t *testing.T) {
	found, missed := 0, 0
	for _, value := range []any{&plainRecord{canary}, canary, []byte(canary)} {
		for printer, print := range printers() {
			if blind[printer] || strings.HasPrefix(printer, "%") && !printsText(printer) {
				continue
			}
			if _, isBytes := value.([]byte); isBytes && printer == "xml.Marshal" {
				continue
			}
			if discloses(print(value)) {
				found++
			} else {
				missed++
				t.Errorf("the search misses %T, printed with %s: %s", value, printer, print(value))
			}
		}
	}
	t.Logf("%d printings of a value that isn't protected: %d found, %d missed", found+missed, found, missed)
}

// printsText reports whether a format prints texts whole, and bytes in a form that traces knows.
func printsText(format string) bool {
	return strings.ContainsAny(format[len(format)-1:], "vsxX") && !strings.Contains(format, ".")
}

// panicked is the variable that makes the test program end with a panic.
const panicked = "SEALWARD_TEST_PANIC"

// panics are ways to end a program with a value.
var panics = map[string]func(message proto.Message){
	"value":        func(message proto.Message) { panic(message) },
	"struct":       func(message proto.Message) { panic(struct{ Record any }{message}) },
	"error":        func(message proto.Message) { panic(fmt.Errorf("failed: %+v", message)) },
	"custom error": func(message proto.Message) { panic(&recordError{message, "%#v"}) },
	"log":          func(message proto.Message) { log.Panicln("failed:", message) },
	"fatal":        func(message proto.Message) { log.Fatalf("failed: %v", message) },
	"oneof":        func(proto.Message) { panic(sealwardv1.SecretValue_Text{Text: canary}) },
	"nil pointer":  func(message proto.Message) { var list []proto.Message; _ = append(list, message)[:2][2] },
	"control":      func(proto.Message) { panic(canary) },
}

func TestCanaryInCrashes(t *testing.T) {
	message := &sealwardv1.RetrieveDataEncryptionKeyResponse{EncryptionKey: canary}
	if name := os.Getenv(panicked); name != "" {
		panics[name](message)
		return
	}
	program, err := os.Executable()
	check(t, err)
	for name := range panics {
		command := exec.Command(program, "-test.run=^TestCanaryInCrashes$")
		command.Env = append(os.Environ(), panicked+"="+name, "GOTRACEBACK=all")
		printed, err := command.CombinedOutput()
		if err == nil {
			t.Errorf("%s: the program didn't end with an error", name)
		}
		if isControl := name == "control"; discloses(string(printed)) != isControl {
			t.Errorf("%s: disclosed is %v: %s", name, !isControl, printed)
		}
	}
	t.Logf("%d crashes", len(panics))
}

func TestErrorsAreFoundInChainsAndDoNotPrintTheRequest(t *testing.T) {
	server := newServer(t, nil)
	client := server.connect(t, "writer")
	_, err := client.Mailboxes.CreateMailbox(t.Context(), &sealwardmailv1.CreateMailboxRequest{
		Parent:  "organizations/default",
		Mailbox: &sealwardmailv1.Mailbox{DisplayName: proto.String("Sales"), Password: proto.String(strings.Repeat(canary, 20))},
	})
	chain := fmt.Errorf("can't create a mailbox: %w", errors.Join(io.EOF, err))
	var failure *sealward.Error
	if !errors.As(chain, &failure) || failure.ReasonName != "FIELD_INVALID" || failure.FieldViolations[0].Reason != "TOO_LONG" {
		t.Fatalf("got %v", chain)
	}
	for _, value := range []any{chain, failure, client, *failure} {
		for place, contained := range containers(value) {
			for printer, print := range printers() {
				if !isCovered(value, place, printer) {
					continue
				}
				if printed := print(contained); discloses(printed) || strings.Contains(printed, "PRIVATE KEY") {
					t.Errorf("%T, %s, printed with %s, discloses a secret", value, place, printer)
				}
			}
		}
	}
}

// The README lists what isn't covered. If one of these is covered one day, the README must change.
func TestWhatIsNotCovered(t *testing.T) {
	message := &sealwardv1.RetrieveDataEncryptionKeyResponse{EncryptionKey: canary}
	unexported := struct{ record any }{message}
	// As variables, because go vet reports them as constants.
	wrap, boolean := "%w", "%t"
	without := spew.ConfigState{DisableMethods: true}
	for name, printed := range map[string]string{
		"a getter":                       fmt.Sprint(message.GetEncryptionKey()),
		"a wrong verb, unexported field": fmt.Sprintf(boolean, unexported),
		"the verb %w":                    fmt.Errorf(wrap, message).Error(),
		"a copy of the struct":           fmt.Sprint(reflect.ValueOf(message).Elem()),
		"a printer that ignores methods": without.Sdump(message),
		"protojson":                      text(protojson.Marshal(message)),
		"prototext":                      prototext.Format(message),
		"the wire format":                text(proto.Marshal(message)),
		"a field by reflection":          fmt.Sprint(message.ProtoReflect().Get(message.ProtoReflect().Descriptor().Fields().Get(0))),
	} {
		if !discloses(printed) {
			t.Errorf("%s is covered: %s", name, printed)
		}
	}
	for name, printed := range map[string]string{
		"reflection of the message": fmt.Sprintf("%v %+v %#v", message.ProtoReflect(), message.ProtoReflect(), message.ProtoReflect()),
		"a value of a message":      protoreflect.ValueOfMessage(message.ProtoReflect()).String(),
	} {
		if discloses(printed) {
			t.Errorf("%s isn't covered: %s", name, printed)
		}
	}
}

func TestSerializationsKeepTheValue(t *testing.T) {
	message := &sealwardv1.RetrieveDataEncryptionKeyResponse{EncryptionKey: canary, Fingerprint: "7f3a"}
	var buffer bytes.Buffer
	check(t, json.NewEncoder(&buffer).Encode(message))
	if got := strings.ReplaceAll(buffer.String(), " ", ""); got != `{"encryption_key":"[redacted]","fingerprint":"7f3a"}`+"\n" {
		t.Errorf("got %s", got)
	}
	encoded, err := protojson.Marshal(message)
	check(t, err)
	decoded := &sealwardv1.RetrieveDataEncryptionKeyResponse{}
	check(t, protojson.Unmarshal(encoded, decoded))
	if !proto.Equal(message, decoded) {
		t.Errorf("got %s", encoded)
	}
}
