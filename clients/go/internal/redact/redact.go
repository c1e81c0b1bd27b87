// Package redact prints messages without their secrets.
//
// A secret is the value of a field with protobuf's option debug_redact. Generated messages call this package from each method that prints
// them. It doesn't know any message of the contract: it reads descriptors.
package redact

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Placeholder replaces the value of a secret. It doesn't depend on the value or its length.
const Placeholder = "[redacted]"

// nilText is the text of a nil message, as fmt prints it.
const nilText = "<nil>"

// anyName is the message whose content has no descriptor here.
const anyName = "google.protobuf.Any"

// String returns the message as text.
func String(message proto.Message) string {
	if isNil(message) {
		return nilText
	}
	return prototext.MarshalOptions{}.Format(Copy(message))
}

// GoString returns the message as text with its full name, for the verb %#v.
func GoString(message proto.Message) string {
	if isNil(message) {
		return nilText
	}
	return fmt.Sprintf("%s{%s}", message.ProtoReflect().Descriptor().FullName(), String(message))
}

// Format prints the message, for every verb of package fmt.
func Format(state fmt.State, verb rune, message proto.Message) {
	formatText(state, verb, String(message), GoString(message))
}

// MarshalJSON returns the message in the JSON mapping of protobuf, with the field names of the contract.
func MarshalJSON(message proto.Message) ([]byte, error) {
	if isNil(message) {
		return []byte("null"), nil
	}
	return protojson.MarshalOptions{UseProtoNames: true, AllowPartial: true}.Marshal(Copy(message))
}

// UnmarshalJSON reads a message in the JSON mapping of protobuf. It refuses JSON of [MarshalJSON] with a secret: the placeholder must not become
// the value. Its errors don't contain the JSON, which can have secrets.
func UnmarshalJSON(encoded []byte, message proto.Message) error {
	name := message.ProtoReflect().Descriptor().FullName()
	if err := protojson.Unmarshal(encoded, message); err != nil {
		if HasSecret(message.ProtoReflect().Descriptor()) {
			proto.Reset(message)
			return fmt.Errorf("the JSON isn't a %s: protojson.Unmarshal reports the cause, which can contain secrets", name)
		}
		return err
	}
	if field := redactedField(message.ProtoReflect()); field != nil {
		proto.Reset(message)
		return fmt.Errorf("the field %s of the JSON is redacted: to keep secrets in JSON, use protojson.Marshal", field.FullName())
	}
	return nil
}

// redactedField returns a field whose value is the placeholder, or nil.
func redactedField(message protoreflect.Message) (redacted protoreflect.FieldDescriptor) {
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case IsSecret(field):
			if placeholder := placeholderOf(field); placeholder.IsValid() && value.Equal(placeholder) {
				redacted = field
			}
		case field.IsMap() && field.MapValue().Message() != nil:
			value.Map().Range(func(_ protoreflect.MapKey, element protoreflect.Value) bool {
				redacted = redactedField(element.Message())
				return redacted == nil
			})
		case field.IsList() && field.Message() != nil:
			for i := 0; redacted == nil && i < value.List().Len(); i++ {
				redacted = redactedField(value.List().Get(i).Message())
			}
		case !field.IsMap() && field.Message() != nil:
			redacted = redactedField(value.Message())
		}
		return redacted == nil
	})
	return redacted
}

// LogValue returns the message as text for package log/slog.
func LogValue(message proto.Message) slog.Value {
	return slog.StringValue(String(message))
}

// FieldString returns a secret field of a oneof as text.
func FieldString(name string) string {
	return fmt.Sprintf("%s:%q", name, Placeholder)
}

// FieldFormat prints a secret field of a oneof, for every verb of package fmt.
func FieldFormat(state fmt.State, verb rune, name string) {
	formatText(state, verb, FieldString(name), "{"+FieldString(name)+"}")
}

// FieldMarshalJSON returns a secret field of a oneof as JSON.
func FieldMarshalJSON(name string) ([]byte, error) {
	return json.Marshal(map[string]string{name: Placeholder})
}

// Copy returns a copy of the message in which each secret is the placeholder. Unknown fields are omitted: a newer server can have secrets in
// them.
func Copy(message proto.Message) proto.Message {
	return copyMessage(message.ProtoReflect()).Interface()
}

// IsSecret reports whether the field is a secret.
func IsSecret(field protoreflect.FieldDescriptor) bool {
	options, isOptions := field.Options().(*descriptorpb.FieldOptions)
	return isOptions && options.GetDebugRedact()
}

// HasSecret reports whether a message of this type can contain a secret, at any depth.
func HasSecret(message protoreflect.MessageDescriptor) bool {
	return hasSecret(message, map[protoreflect.FullName]bool{})
}

func hasSecret(message protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) bool {
	if seen[message.FullName()] {
		return false
	}
	seen[message.FullName()] = true
	fields := message.Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if IsSecret(field) || field.Message() != nil && hasSecret(field.Message(), seen) {
			return true
		}
	}
	return false
}

func copyMessage(message protoreflect.Message) protoreflect.Message {
	clean := message.New()
	if message.Descriptor().FullName() == anyName {
		return clean
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case IsSecret(field):
			if placeholder := placeholderOf(field); placeholder.IsValid() {
				clean.Set(field, placeholder)
			}
		case field.IsMap():
			copied := clean.Mutable(field).Map()
			isMessage := field.MapValue().Message() != nil
			value.Map().Range(func(key protoreflect.MapKey, element protoreflect.Value) bool {
				copied.Set(key, copyValue(element, isMessage))
				return true
			})
		case field.IsList():
			copied := clean.Mutable(field).List()
			for i := range value.List().Len() {
				copied.Append(copyValue(value.List().Get(i), field.Message() != nil))
			}
		default:
			clean.Set(field, copyValue(value, field.Message() != nil))
		}
		return true
	})
	return clean
}

func copyValue(value protoreflect.Value, isMessage bool) protoreflect.Value {
	if isMessage {
		return protoreflect.ValueOfMessage(copyMessage(value.Message()))
	}
	return value
}

// placeholderOf returns the placeholder in the type of the field. Invalid for other types than text and bytes: such a secret is omitted.
func placeholderOf(field protoreflect.FieldDescriptor) protoreflect.Value {
	switch {
	case field.IsList() || field.IsMap():
		return protoreflect.Value{}
	case field.Kind() == protoreflect.StringKind:
		return protoreflect.ValueOfString(Placeholder)
	case field.Kind() == protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(Placeholder))
	default:
		return protoreflect.Value{}
	}
}

func formatText(state fmt.State, verb rune, text, goText string) {
	if verb == 'v' && state.Flag('#') {
		_, _ = io.WriteString(state, goText)
		return
	}
	_, _ = fmt.Fprintf(state, fmt.FormatString(state, verb), text)
}

func isNil(message proto.Message) bool {
	return message == nil || !message.ProtoReflect().IsValid()
}
