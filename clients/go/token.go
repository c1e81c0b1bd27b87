package sealward

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// TokenSource returns bearer tokens.
type TokenSource interface {
	// Token returns a token (JWT) that is valid now. It is called for each attempt of a call, also concurrently, so a source should cache its
	// token until it expires. If refresh is true, the server refused the last token, and the source should not return the same one.
	Token(ctx context.Context, refresh bool) (string, error)
}

// TokenFunc is a function as a [TokenSource].
type TokenFunc func(ctx context.Context, refresh bool) (string, error)

// Token calls the function.
func (f TokenFunc) Token(ctx context.Context, refresh bool) (string, error) {
	return f(ctx, refresh)
}

// tokenFile is a file with a token.
type tokenFile string

func (path tokenFile) Token(context.Context, bool) (string, error) {
	text, err := os.ReadFile(string(path))
	if err != nil {
		return "", path.unreadable(err)
	}
	token, problem := parseToken(text)
	if problem != "" {
		return "", fmt.Errorf("sealward: the token file %s %s", string(path), problem)
	}
	return token, nil
}

// unreadable is the error for a file that can't be read. It has the path only if the path is in a folder that exists: a token can be given where
// a path is expected.
func (path tokenFile) unreadable(err error) error {
	folder := filepath.Dir(string(path))
	if info, failure := os.Stat(folder); folder != "." && failure == nil && info.IsDir() {
		return fmt.Errorf("sealward: can't read the token file %s: %w", string(path), reasonOf(err))
	}
	return fmt.Errorf("sealward: can't read the token file: %w (the path isn't shown, because it can be a token)", reasonOf(err))
}

// tokenPattern has the characters of RFC 6750, section 2.1.
var tokenPattern = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]+$`)

// parseToken validates a token. It returns the problem, which doesn't contain the token, or an empty text. The server only reports an invalid
// token.
func parseToken(text []byte) (token, problem string) {
	switch {
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")):
		return "", "begins with a byte order mark: save it as UTF-8 without one"
	case bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")):
		return "", "is UTF-16: save it as UTF-8 without a byte order mark"
	case !utf8.Valid(text):
		return "", "isn't valid UTF-8: a token has only letters, digits and -._~+/="
	}
	token = strings.TrimSpace(string(text))
	switch {
	case token == "":
		return "", "is empty"
	case len(token) >= 7 && strings.EqualFold(token[:7], "bearer "):
		return "", `begins with "Bearer ": use only the token`
	case token[0] == '{':
		return "", "is JSON: use only the token, such as the value of access_token"
	case strings.ContainsAny(token, " \t\r\n"):
		return "", "has more than one word: use only the token"
	case !tokenPattern.MatchString(token):
		return "", "has an invalid character: a token has only letters, digits and -._~+/="
	default:
		return token, ""
	}
}

// callToken is the token of an attempt, as credentials of gRPC, which refuse to send it without TLS.
type callToken struct{ token Secret }

func (c callToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + c.token.ExposeText()}, nil
}

func (callToken) RequireTransportSecurity() bool {
	return true
}

func (c callToken) String() string {
	return c.token.String()
}

func (c callToken) Format(state fmt.State, verb rune) {
	c.token.Format(state, verb)
}

func (c callToken) LogValue() slog.Value {
	return c.token.LogValue()
}
