package sealward

import (
	"crypto/rand"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/sealward/sealward/clients/go/internal/redact"
)

// NewRequestID generates an idempotency key: a random UUID, for the field request_id of creates, updates and deletes. If you store it before the
// call, you can repeat the call after a crash. If a request has none, the client generates one.
func NewRequestID() string {
	var id [16]byte
	// crypto/rand never fails: it ends the program if the system has no random numbers.
	_, _ = rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16])
}

// withRequestID returns the request with an idempotency key, and whether it has one. The caller's request isn't changed. A dry run gets no key.
func withRequestID(request any) (any, bool) {
	message, isMessage := request.(proto.Message)
	if !isMessage {
		return request, false
	}
	reflected := message.ProtoReflect()
	field := textField(reflected, "request_id")
	if field == nil || !reflected.IsValid() {
		return request, false
	}
	if reflected.Get(field).String() != "" {
		return request, true
	}
	dryRun := reflected.Descriptor().Fields().ByName("validate_only")
	if dryRun != nil && dryRun.Kind() == protoreflect.BoolKind && reflected.Get(dryRun).Bool() {
		return request, false
	}
	return withText(message, field, NewRequestID()), true
}

// textField returns a field of type string by its name, or nil.
func textField(message protoreflect.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
	field := message.Descriptor().Fields().ByName(name)
	if field == nil || field.Kind() != protoreflect.StringKind || field.IsList() {
		return nil
	}
	return field
}

// withText returns a copy of the message with another value of a text field. The copy shares all other values.
func withText(message proto.Message, field protoreflect.FieldDescriptor, text string) proto.Message {
	original := message.ProtoReflect()
	copied := original.New()
	original.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		copied.Set(field, value)
		return true
	})
	copied.SetUnknown(original.GetUnknown())
	copied.Set(field, protoreflect.ValueOfString(text))
	return copied.Interface()
}

// withoutCompression removes compression from the options of a method whose requests can contain secrets: the size of a compressed message
// depends on them.
func withoutCompression(method string, options []grpc.CallOption) []grpc.CallOption {
	var kept []grpc.CallOption
	for _, option := range options {
		if _, isCompressor := option.(grpc.CompressorCallOption); isCompressor && !canCompress(method) {
			continue
		}
		kept = append(kept, option)
	}
	return kept
}

// canCompress reports whether the requests of a method have no secrets. False if the method isn't known.
func canCompress(method string) bool {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return false
	}
	descriptor, isMethod := found.(protoreflect.MethodDescriptor)
	return isMethod && !redact.HasSecret(descriptor.Input())
}
