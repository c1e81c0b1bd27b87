package redact_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sealward/sealward/clients/go/internal/redact"
	sealwardmailv1 "github.com/sealward/sealward/clients/go/sealward/mail/v1"
	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
)

func TestMessageIsPrintedWithPlaceholders(t *testing.T) {
	message := &sealwardv1.RetrieveDataEncryptionKeyResponse{EncryptionKey: "canary", Fingerprint: "7f3a"}
	for format, want := range map[string]string{
		"%v":   `encryption_key:"[redacted]" fingerprint:"7f3a"`,
		"%+v":  `encryption_key:"[redacted]" fingerprint:"7f3a"`,
		"%#v":  `sealward.v1.RetrieveDataEncryptionKeyResponse{encryption_key:"[redacted]" fingerprint:"7f3a"}`,
		"%q":   `"encryption_key:\"[redacted]\" fingerprint:\"7f3a\""`,
		"%.3s": "enc",
		"%50s": `    encryption_key:"[redacted]" fingerprint:"7f3a"`,
	} {
		// The text format of protobuf varies its blanks, so that programs don't depend on it.
		if got := strings.ReplaceAll(fmt.Sprintf(format, message), `"  f`, `" f`); got != want && strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%s: got %s", format, got)
		}
	}
	if message.GetEncryptionKey() != "canary" {
		t.Error("the message was changed")
	}
}

func TestPlaceholderDoesNotDependOnTheSecret(t *testing.T) {
	print := func(password *string) string {
		return redact.GoString(&sealwardmailv1.Mailbox{Password: password})
	}
	if empty := print(proto.String("")); empty != print(proto.String("a long password")) || empty == print(nil) {
		t.Errorf("got %s", empty)
	}
}

func TestNilMessageIsPrinted(t *testing.T) {
	var message *sealwardmailv1.Mailbox
	encoded, err := redact.MarshalJSON(message)
	if got := fmt.Sprintf("%v %#v %s %s", message, message, redact.LogValue(message), encoded); got != "<nil> <nil> <nil> null" || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	if got := fmt.Sprint((*sealwardv1.SecretValue_Text)(nil)); strings.Contains(got, "panic") {
		t.Errorf("got %s", got)
	}
}

func TestContentWithoutADescriptorIsOmitted(t *testing.T) {
	message := &sealwardv1.WhoAmIRequest{}
	message.ProtoReflect().SetUnknown(protoreflect.RawFields("\x0a\x06canary"))
	if got := redact.String(message); got != "" {
		t.Errorf("got %s", got)
	}
	packed, err := anypb.New(&sealwardv1.RetrieveDataEncryptionKeyResponse{EncryptionKey: "canary"})
	if err != nil {
		t.Fatal(err)
	}
	if got := redact.String(packed); got != "" {
		t.Errorf("got %s", got)
	}
}

func TestRedactedJSONIsRefused(t *testing.T) {
	kept := &sealwardmailv1.Mailbox{DisplayName: proto.String("Sales"), CreateTime: timestamppb.New(time.Unix(1, 0))}
	for _, message := range []proto.Message{
		&sealwardmailv1.Mailbox{Password: proto.String("canary")},
		&sealwardmailv1.ListMailboxesResponse{Mailboxes: []*sealwardmailv1.Mailbox{kept, {Password: proto.String("canary")}}},
		&sealwardv1.RevealAttributesResponse{Values: map[string]*sealwardv1.SecretValue{
			"data": {Value: &sealwardv1.SecretValue_Data{Data: []byte("canary")}},
		}},
		&sealwardv1.CompareAttributeRequest{Value: &sealwardv1.SecretValue{Value: &sealwardv1.SecretValue_Text{Text: "canary"}}},
	} {
		encoded, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		decoded := message.ProtoReflect().New().Interface()
		if err := json.Unmarshal(encoded, decoded); err == nil || !strings.Contains(err.Error(), "is redacted") || proto.Size(decoded) != 0 {
			t.Errorf("%T: got %v, %v", message, decoded, err)
		}
	}
	encoded, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	decoded := &sealwardmailv1.Mailbox{}
	if err := json.Unmarshal(encoded, decoded); err != nil || !proto.Equal(kept, decoded) {
		t.Errorf("got %v, %v", decoded, err)
	}
	if err := json.Unmarshal([]byte(`{"password": ["canary"]}`), decoded); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

func TestSecretsAreFoundAtAnyDepth(t *testing.T) {
	for message, want := range map[proto.Message]bool{
		&sealwardmailv1.Mailbox{}:                          true,
		&sealwardmailv1.ListMailboxesResponse{}:            true,
		&sealwardmailv1.ResolveMailboxConnectionResponse{}: true,
		&sealwardv1.RevealAttributesResponse{}:             true,
		&sealwardv1.RevealAttributesRequest{}:              false,
		&sealwardv1.ListEntityMetadataResponse{}:           false,
	} {
		if got := redact.HasSecret(message.ProtoReflect().Descriptor()); got != want {
			t.Errorf("%T: got %v", message, got)
		}
	}
}
