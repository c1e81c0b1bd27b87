package tests

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	sealwardmailv1 "github.com/sealward/sealward/clients/go/sealward/mail/v1"
)

func TestExpectationsAreSubsets(t *testing.T) {
	object := func(text string) any {
		value, err := decodeJSON([]byte(text))
		check(t, err)
		return value
	}
	for _, test := range []struct {
		expected, actual, want string
	}{
		{`{}`, `{"a": 1}`, ""},
		{`{"a": null, "b": false, "c": 0, "d": "", "e": [], "f": {}}`, `{}`, ""},
		{`{"a": null}`, `{"a": ""}`, "answer.a"},
		{`{"a": true}`, `{}`, "answer.a"},
		{`{"a": 1}`, `{}`, "answer.a"},
		{`{"a": 2}`, `{"a": "2"}`, ""},
		{`{"a": 2}`, `{"a": 3}`, "answer.a"},
		{`{"a": "x"}`, `{"a": "y"}`, "answer.a"},
		{`{"a": {"b": "x"}}`, `{"a": {"b": "x", "c": 1}}`, ""},
		{`{"a": {"b": "x"}}`, `{"a": "x"}`, "answer.a"},
		{`{"a": [{"b": 1}, {}]}`, `{"a": [{"b": 1}, {"b": 2}]}`, ""},
		{`{"a": [{}]}`, `{"a": [{}, {}]}`, "answer.a"},
		{`{"a": [{"b": 1}]}`, `{"a": [{"b": 2}]}`, "answer.a.0.b"},
		{`{"a": "\u0000any"}`, `{"a": false}`, ""},
		{`{"a": "\u0000any"}`, `{"a": ""}`, "answer.a"},
		{`{"a": "\u0000any"}`, `{}`, "answer.a"},
	} {
		if got := mismatch(object(test.expected), object(test.actual), "answer"); got != test.want {
			t.Errorf("%s with %s: got %q, want %q", test.expected, test.actual, got, test.want)
		}
	}
}

func TestDriverDoesNotPrintSecrets(t *testing.T) {
	running := &run{t: t, variables: map[string]any{}}
	secret := running.variable("secret.password", nil).(string)
	answer := &sealwardmailv1.Mailbox{DisplayName: proto.String("Sales"), Password: proto.String(secret)}
	err := running.compareAnswer(map[string]any{"display_name": "Support", "password": "$secret.password"}, answer)
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "Sales") {
		t.Error("the failure is missing, or discloses the secret")
	}
}
