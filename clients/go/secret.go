package sealward

import (
	"fmt"
	"log/slog"

	"github.com/sealward/sealward/clients/go/internal/redact"
)

// secretText is a text that doesn't print. It is in a closure, because printers that read unexported fields don't call the methods of their
// types.
type secretText struct {
	// expose returns the text.
	expose func() string
}

func newSecret(text string) secretText {
	return secretText{func() string { return text }}
}

func (secretText) String() string {
	return redact.Placeholder
}

func (s secretText) Format(state fmt.State, verb rune) {
	formatSafely(state, verb, s.String())
}

func (s secretText) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}

func (s secretText) LogValue() slog.Value {
	return slog.StringValue(s.String())
}
