package sealward

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// connection makes the calls of all services: deadline, credentials, retries and errors, the same for every method.
type connection struct {
	channel     *grpc.ClientConn
	timeout     time.Duration
	attemptsMax int
	tokens      TokenSource
	// canRefresh is whether the source can return another token.
	canRefresh  bool
	isPlaintext bool
	// isTokenRefused is whether the server refused the token of a stream, which isn't repeated.
	isTokenRefused atomic.Bool
}

var _ grpc.ClientConnInterface = (*connection)(nil)

// Invoke makes a unary call, with retries.
func (c *connection) Invoke(ctx context.Context, method string, request, answer any, options ...grpc.CallOption) error {
	if _, hasDeadline := ctx.Deadline(); !hasDeadline {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	request, hasRequestID := withRequestID(request)
	options = withoutCompression(method, options)
	isRead := policy.methods[method]
	isRefreshed, inDoubt := false, false
	refresh := c.isTokenRefused.Swap(false)
	for attempts := 1; ; attempts++ {
		failure := c.attempt(ctx, method, request, answer, refresh, options)
		refresh = false
		if failure == nil {
			return nil
		}
		failure.InDoubt = inDoubt
		inDoubt = inDoubt || !isRead && mayHaveTakenEffect(failure)
		if failure.Code == codes.Unauthenticated && failure.Origin == OriginServer && c.canRefresh && !isRefreshed {
			isRefreshed, refresh = true, true
			attempts--
			continue
		}
		pause, isRetried := policy.pause(attempts, c.attemptsMax, failure, isRead, hasRequestID, jitter())
		deadline, _ := ctx.Deadline()
		if !isRetried || !time.Now().Add(pause).Before(deadline) {
			return failure
		}
		if err := sleep(ctx, pause); err != nil {
			ended := contextError(ctx, method)
			ended.InDoubt = inDoubt
			return ended
		}
	}
}

func (c *connection) attempt(ctx context.Context, method string, request, answer any, refresh bool, options []grpc.CallOption) *Error {
	options, failure := c.authorize(ctx, method, refresh, options)
	if failure != nil {
		return failure
	}
	var header, trailer metadata.MD
	options = append(options, grpc.Header(&header), grpc.Trailer(&trailer))
	err := c.channel.Invoke(identified(ctx), method, request, answer, options...)
	return newError(ctx, method, err, len(header)+len(trailer) > 0)
}

// NewStream opens a stream. It has no deadline except that of its context, and isn't retried.
func (c *connection) NewStream(ctx context.Context, description *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	options, failure := c.authorize(ctx, method, c.isTokenRefused.Swap(false), withoutCompression(method, options))
	if failure != nil {
		return nil, failure
	}
	opened, err := c.channel.NewStream(identified(ctx), description, method, options...)
	if err != nil {
		return nil, c.streamError(newError(ctx, method, err, false))
	}
	return &stream{ClientStream: opened, connection: c, method: method}, nil
}

// authorize adds the token to the options of an attempt.
func (c *connection) authorize(ctx context.Context, method string, refresh bool, options []grpc.CallOption) ([]grpc.CallOption, *Error) {
	options = options[:len(options):len(options)]
	if c.tokens == nil {
		return options, nil
	}
	text, err := c.tokens.Token(ctx, refresh)
	if err != nil {
		return nil, clientError(method, codes.Unauthenticated, "no bearer token", err)
	}
	token, problem := parseToken([]byte(text))
	if problem != "" {
		return nil, clientError(method, codes.Unauthenticated, "the bearer token "+problem, nil)
	}
	return append(options, grpc.PerRPCCredentials(callToken{newSecret(token)})), nil
}

// streamError remembers that the server refused the token, so that the next call asks for another one.
func (c *connection) streamError(failure *Error) *Error {
	if failure.Code == codes.Unauthenticated && failure.Origin == OriginServer && c.canRefresh {
		c.isTokenRefused.Store(true)
	}
	return failure
}

// identified adds the language and version of this client.
func identified(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, clientHeader, "go/"+Version)
}

// A stream returns the errors of this package.
type stream struct {
	grpc.ClientStream
	connection *connection
	method     string
	isAnswered bool
}

func (s *stream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err == nil {
		s.isAnswered = true
	}
	return s.convert(err)
}

func (s *stream) SendMsg(message any) error {
	return s.convert(s.ClientStream.SendMsg(message))
}

func (s *stream) CloseSend() error {
	return s.convert(s.ClientStream.CloseSend())
}

func (s *stream) Header() (metadata.MD, error) {
	header, err := s.ClientStream.Header()
	return header, s.convert(err)
}

func (s *stream) convert(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	isAnswered := s.isAnswered || len(s.Trailer()) > 0
	return s.connection.streamError(newError(s.Context(), s.method, err, isAnswered))
}

func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
