package sealward

import (
	"fmt"
	"log/slog"

	"github.com/sealward/sealward/clients/go/internal/redact"
)

// Secret is a text or bytes that don't print: an encryption key, or a revealed value. Only [Secret.ExposeText] and [Secret.ExposeBytes] return
// the value. The zero value is empty.
type Secret struct {
	// value returns the value. It is a closure, because printers that read unexported fields don't call the methods of their types.
	value func() string
}

// NewSecret returns a secret text.
func NewSecret(text string) Secret {
	return Secret{func() string { return text }}
}

// ExposeText returns the value as text.
func (s Secret) ExposeText() string {
	if s.value == nil {
		return ""
	}
	return s.value()
}

// ExposeBytes returns the value as bytes; a text is UTF-8.
func (s Secret) ExposeBytes() []byte {
	return []byte(s.ExposeText())
}

// String returns a placeholder.
func (Secret) String() string {
	return redact.Placeholder
}

// Format prints a placeholder for every verb of package fmt.
func (s Secret) Format(state fmt.State, verb rune) {
	formatSafely(state, verb, s.String())
}

// MarshalText returns a placeholder.
func (s Secret) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}

// LogValue returns a placeholder for package log/slog.
func (s Secret) LogValue() slog.Value {
	return slog.StringValue(s.String())
}
