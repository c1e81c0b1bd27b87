package sealward

import (
	"context"
	"errors"
	"io"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// connection makes the calls of all services: deadline, credentials, retries and errors, the same for every method.
type connection struct {
	channel *grpc.ClientConn
	timeout time.Duration
	retry   RetryPolicy
	tokens  TokenSource
	// canRefresh is whether the source can return another token.
	canRefresh  bool
	isPlaintext bool
	// version is the version of the server that answered last, as text.
	version atomic.Value
	// watchPause is the pause before a stream about a re-encryption is opened again.
	watchPause time.Duration
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
	isRefreshed, refresh, inDoubt := false, false, false
	for attempts := 1; ; attempts++ {
		failure := c.attempt(ctx, method, request, answer, refresh, options)
		refresh = false
		if failure == nil {
			return nil
		}
		inDoubt = inDoubt || !isRead && mayHaveTakenEffect(failure)
		failure.MayHaveTakenEffect = inDoubt
		if c.isTokenRefused(failure) && !isRefreshed {
			isRefreshed, refresh = true, true
			attempts--
			continue
		}
		pause, isRetried := c.retry.pause(attempts, failure, isRead, hasRequestID, jitter())
		deadline, _ := ctx.Deadline()
		if !isRetried || !time.Now().Add(pause).Before(deadline) {
			return failure
		}
		if err := sleep(ctx, pause); err != nil {
			ended := contextError(ctx, method)
			ended.MayHaveTakenEffect = inDoubt
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
	c.noteVersion(header, trailer)
	// The server ends each call with trailers. Headers prove only that it began to answer.
	return newError(ctx, method, err, len(trailer) > 0)
}

// NewStream opens a stream. It has no deadline except that of its context, and isn't retried. If the server refuses the token of a call with one
// request, the stream is opened again with another token.
func (c *connection) NewStream(ctx context.Context, description *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	open := func(refresh bool) (grpc.ClientStream, *Error) {
		options, failure := c.authorize(ctx, method, refresh, withoutCompression(method, options))
		if failure != nil {
			return nil, failure
		}
		opened, err := c.channel.NewStream(identified(ctx), description, method, options...)
		return opened, newError(ctx, method, err, false)
	}
	opened, failure := open(false)
	if failure != nil {
		return nil, failure
	}
	if description.ClientStreams || !c.canRefresh {
		open = nil
	}
	return &stream{current: opened, caller: ctx, connection: c, method: method, isWrite: description.ClientStreams, reopen: open}, nil
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
	return append(options, grpc.PerRPCCredentials(callToken{NewSecret(token)})), nil
}

// isTokenRefused reports whether the server refused a token, and the source may have another one.
func (c *connection) isTokenRefused(failure *Error) bool {
	return failure.Code == codes.Unauthenticated && failure.Origin == OriginServer && c.canRefresh
}

// noteVersion keeps the server's version, if it is in these headers. They are text from outside, so anything but a version is ignored.
func (c *connection) noteVersion(headers ...metadata.MD) {
	for _, header := range headers {
		for _, version := range header.Get(serverHeader) {
			if versionPattern.MatchString(version) {
				c.version.Store(version)
			}
		}
	}
}

// versionPattern has the characters of a version, and its maximum length.
var versionPattern = regexp.MustCompile(`^[0-9A-Za-z.+-]{1,64}$`)

// identified adds the language and version of this client.
func identified(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, clientHeader, "go/"+Version)
}

// A stream returns the errors of this package.
type stream struct {
	// caller is the context of the caller. gRPC cancels the context of its stream when the stream ends, for whatever reason.
	caller     context.Context
	connection *connection
	method     string
	// isWrite is whether the stream has several requests: such a call writes.
	isWrite bool
	// isAnswered is whether there was a message.
	isAnswered atomic.Bool

	mutex   sync.Mutex
	current grpc.ClientStream
	// reopen opens the stream again with another token. Nil if that isn't possible: after the first message, after the first repetition, or if
	// there can be several requests.
	reopen   func(refresh bool) (grpc.ClientStream, *Error)
	request  any
	isClosed bool
}

func (s *stream) stream() grpc.ClientStream {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.current
}

func (s *stream) RecvMsg(message any) error {
	current := s.stream()
	err := s.convert(current.RecvMsg(message))
	if err == nil {
		s.isAnswered.Store(true)
	}
	if header, failure := current.Header(); failure == nil {
		s.connection.noteVersion(header)
	}
	if reopened, failure := s.reopened(err); failure != nil {
		return failure
	} else if reopened != nil {
		return s.convert(reopened.RecvMsg(message))
	}
	return err
}

// reopened returns the stream that replaces one whose token was refused before its first message. Nil if the stream isn't replaced.
func (s *stream) reopened(err error) (grpc.ClientStream, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	reopen := s.reopen
	s.reopen = nil
	var failure *Error
	if reopen == nil || !errors.As(err, &failure) || !s.connection.isTokenRefused(failure) {
		s.request = nil
		return nil, nil
	}
	opened, failure := reopen(true)
	if failure != nil {
		return nil, failure
	}
	s.current = opened
	if s.request != nil {
		if err := opened.SendMsg(s.request); err != nil {
			return nil, newError(s.caller, s.method, err, false)
		}
		s.request = nil
	}
	if s.isClosed {
		if err := opened.CloseSend(); err != nil {
			return nil, newError(s.caller, s.method, err, false)
		}
	}
	return opened, nil
}

func (s *stream) SendMsg(message any) error {
	s.mutex.Lock()
	if s.reopen != nil {
		s.request = copied(message)
	}
	current := s.current
	s.mutex.Unlock()
	return s.convert(current.SendMsg(message))
}

// copied returns a copy of a message, which its owner can change after it was sent.
func copied(message any) any {
	if message, isMessage := message.(proto.Message); isMessage {
		return proto.Clone(message)
	}
	return message
}

func (s *stream) CloseSend() error {
	s.mutex.Lock()
	s.isClosed = true
	current := s.current
	s.mutex.Unlock()
	return s.convert(current.CloseSend())
}

func (s *stream) Header() (metadata.MD, error) {
	header, err := s.stream().Header()
	return header, s.convert(err)
}

func (s *stream) Trailer() metadata.MD {
	return s.stream().Trailer()
}

func (s *stream) Context() context.Context {
	return s.stream().Context()
}

func (s *stream) convert(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	// The server ends each stream with trailers. A message proves only that it began to answer.
	failure := newError(s.caller, s.method, err, len(s.Trailer()) > 0)
	// After an answer to some of the requests, others may have been executed too.
	failure.MayHaveTakenEffect = s.isWrite && (s.isAnswered.Load() || mayHaveTakenEffect(failure))
	return failure
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
