package sealward

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
)

// Option configures a [Client].
type Option func(*settings)

// settings are the options of a client. They hold keys and tokens only in types that don't print.
type settings struct {
	ca                  *pemSource
	certificate         *pemSource
	key                 *pemSource
	domainName          string
	isPlaintext         bool
	timeout             time.Duration
	retry               RetryPolicy
	messageSizeMaxBytes int
	tokens              TokenSource
	canRefresh          bool
	logger              *slog.Logger
	dial                []grpc.DialOption
	err                 error
}

func defaultSettings() settings {
	return settings{
		timeout:             DefaultTimeout,
		retry:               DefaultRetry(),
		messageSizeMaxBytes: DefaultMessageSizeMax,
		logger:              slog.Default(),
	}
}

func (s *settings) validate() error {
	switch {
	case s.err != nil:
		return s.err
	case s.timeout <= 0:
		return fmt.Errorf("sealward: the timeout is %v: it must be positive, because every unary call has a deadline", s.timeout)
	case s.messageSizeMaxBytes <= 0:
		return fmt.Errorf("sealward: the maximum message size is %d: it must be positive", s.messageSizeMaxBytes)
	case s.retry.AttemptsMax < 1 || s.retry.PauseFirst < 0 || s.retry.PauseMax < 0:
		return fmt.Errorf("sealward: invalid retry policy %+v: use at least one attempt, and pauses that aren't negative", s.retry)
	case s.isPlaintext && s.tokens != nil:
		return fmt.Errorf("sealward: bearer tokens require TLS: use https://")
	default:
		return nil
	}
}

// WithCAFile sets the CA certificates that verify the server, from a PEM file. Default: the CAs of the system.
func WithCAFile(path string) Option {
	return func(s *settings) { s.ca = pemFile("CA file", path) }
}

// WithCAPEM sets the CA certificates that verify the server, in PEM. Default: the CAs of the system.
func WithCAPEM(pem []byte) Option {
	return func(s *settings) { s.ca = pemText("CA", pem) }
}

// WithIdentityFiles sets the client certificate, with intermediate certificates, and its private key, from PEM files. The files are read again
// for each connection, so that the certificate can be renewed. If group or others can access the key's file, a warning is logged once.
func WithIdentityFiles(certificate, key string) Option {
	return func(s *settings) {
		s.certificate, s.key = pemFile("client certificate file", certificate), pemFile("client key file", key)
	}
}

// WithIdentityPEM sets the client certificate, with intermediate certificates, and its private key, in PEM.
func WithIdentityPEM(certificate, key []byte) Option {
	return func(s *settings) {
		s.certificate, s.key = pemText("client certificate", certificate), pemText("client key", key)
	}
}

// WithBearerToken sets a bearer token (JWT) that is sent with each call, with or without a client certificate. Requires TLS.
func WithBearerToken(token string) Option {
	return func(s *settings) {
		if _, problem := parseToken([]byte(token)); problem != "" {
			s.err = fmt.Errorf("sealward: the bearer token %s", problem)
		}
		s.tokens, s.canRefresh = TokenFunc(func(context.Context, bool) (string, error) { return token, nil }), false
	}
}

// WithBearerTokenFile sets the file of a bearer token. The file is read for each attempt of a call, so that the token can be replaced before it
// expires.
func WithBearerTokenFile(path string) Option {
	return func(s *settings) { s.tokens, s.canRefresh = tokenFile(path), true }
}

// WithTokenSource sets the source of bearer tokens. It is asked for each attempt of a call. If the server answers UNAUTHENTICATED, it is asked
// once for a new token, and the call is repeated. This includes streams of answers before their first message. A call with a stream of requests,
// such as ImportOrganization, isn't repeated.
func WithTokenSource(source TokenSource) Option {
	return func(s *settings) { s.tokens, s.canRefresh = source, true }
}

// WithDomainName sets the expected name in the server's certificate. Default: the host of the target.
func WithDomainName(name string) Option {
	return func(s *settings) { s.domainName = name }
}

// WithTimeout sets the maximum time of a unary call with its retries, if its context has no deadline. It is also sent to the server. It doesn't
// apply to streams. Default: [DefaultTimeout].
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.timeout = timeout }
}

// WithMessageSizeMax sets the maximum size of a sent or received message, in bytes. Default: [DefaultMessageSizeMax].
func WithMessageSizeMax(bytes int) Option {
	return func(s *settings) { s.messageSizeMaxBytes = bytes }
}

// WithRetry sets the retry policy. Default: [DefaultRetry].
func WithRetry(retry RetryPolicy) Option {
	return func(s *settings) { s.retry = retry }
}

// WithPlaintext connects without TLS. It is for tests and diagnostics: the server refuses data calls with HTTPS_REQUIRED, and the network can
// read everything that is sent.
func WithPlaintext() Option {
	return func(s *settings) { s.isPlaintext = true }
}

// WithLogger sets the logger for warnings. Default: [slog.Default].
func WithLogger(logger *slog.Logger) Option {
	return func(s *settings) { s.logger = logger }
}
