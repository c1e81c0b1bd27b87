package sealward

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sealwardmailv1 "github.com/sealward/sealward/clients/go/sealward/mail/v1"
	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
)

// Error is a failed call. It contains no secrets: the contract excludes them from errors. Get it with [errors.As].
type Error struct {
	// Method is the path of the method, such as /sealward.mail.v1.MailboxService/GetMailbox.
	Method string
	// Code is the gRPC code.
	Code codes.Code
	// Reason is the reason for programs. Unspecified if there is none, or if this client doesn't know it.
	Reason sealwardv1.ErrorReason
	// MailReason is the reason of the mail application. Unspecified for all other errors.
	MailReason sealwardmailv1.ErrorReason
	// ReasonName is the reason as the server sent it, such as KEY_MISMATCH, also if this client doesn't know it. Empty if there is none.
	ReasonName string
	// Message is the message for people. It can be empty.
	Message string
	// Metadata has the values of the reason by their names in the contract, such as wanted_fingerprint and limit.
	Metadata map[string]string
	// FieldViolations are the violations of the request's fields.
	FieldViolations []FieldViolation
	// RetryDelay is the delay before a retry that the server requests. 0: it requests none.
	RetryDelay time.Duration
	// CallID is the id of the call in the server's log. Empty if the server didn't send it.
	CallID string
	// Origin is the origin of the failure.
	Origin Origin
	// MayHaveTakenEffect is whether an attempt of the call may have taken effect, although the call failed. Check before you repeat the call.
	// Always false for a call that changes nothing.
	MayHaveTakenEffect bool

	hasRetryDelay bool
	status        *status.Status
	cause         error
}

// SetupError is an error in the configuration of a client: an invalid option, or a file that can't be used. Get it with [errors.As].
type SetupError struct{ cause error }

// Error returns the problem, and what to do. It contains no secrets.
func (e *SetupError) Error() string {
	return e.cause.Error()
}

// Unwrap returns the cause.
func (e *SetupError) Unwrap() error {
	return e.cause
}

// FieldViolation is a violation in a request.
type FieldViolation struct {
	// Field is the field, as a path from the request: mailbox.display_name.
	Field string
	// Description is the description, for people.
	Description string
	// Reason is the reason for programs, such as TOO_LONG or the reason of an entity's rule. It can be empty.
	Reason string
}

// Origin is the origin of a failure.
type Origin int

const (
	// OriginServer means that the server, or a proxy, answered with an error.
	OriginServer Origin = iota + 1
	// OriginNotConnected means that there is no connection. The call wasn't sent.
	OriginNotConnected
	// OriginTLSRefused means that the TLS handshake failed: client or server refused the other's certificate.
	OriginTLSRefused
	// OriginBroken means that the connection broke, possibly after the call was sent.
	OriginBroken
	// OriginTimedOut means that the deadline passed.
	OriginTimedOut
	// OriginCanceled means that the context was canceled, or the client is closed.
	OriginCanceled
	// OriginClient means that this side failed before the call was sent: there is no token, or the request is too large or can't be encoded.
	OriginClient
	// OriginUnreadable means that the answer is too large, or can't be decoded as a message of the contract.
	OriginUnreadable
)

// String returns the origin in words.
func (o Origin) String() string {
	switch o {
	case OriginServer:
		return "server"
	case OriginNotConnected:
		return "not connected"
	case OriginTLSRefused:
		return "TLS refused"
	case OriginBroken:
		return "connection lost"
	case OriginTimedOut:
		return "timed out"
	case OriginCanceled:
		return "canceled"
	case OriginClient:
		return "client"
	case OriginUnreadable:
		return "unreadable"
	default:
		return "unknown"
	}
}

// The domains of reasons, and the prefix of their enums.
const (
	domain       = "sealward"
	mailDomain   = "sealward.mail"
	reasonPrefix = "ERROR_REASON_"
)

// olderServer is the text for a method that the server doesn't have.
const olderServer = "the server doesn't have this method: it may be older than this client"

// Error returns the reason, or the code if there is none, and the message.
func (e *Error) Error() string {
	return "sealward: " + e.text()
}

func (e *Error) text() string {
	switch e.Origin {
	case OriginNotConnected:
		return "can't connect to the server: " + e.Message
	case OriginTLSRefused:
		return "TLS handshake failed: " + e.Message
	case OriginBroken:
		return "connection lost before the response: " + e.Message
	case OriginTimedOut:
		return "the call timed out: " + e.Message
	case OriginCanceled:
		if e.cause == nil {
			return "the client is closed"
		}
		return "the call was canceled"
	case OriginUnreadable:
		return "can't decode the response: " + e.Message
	case OriginClient:
		if e.cause != nil {
			return e.Message + ": " + e.cause.Error()
		}
		return e.Message
	}
	what := e.ReasonName
	if what == "" {
		what = codeName(e.Code)
	}
	if e.isMethodMissing() {
		return what + ": " + olderServer
	}
	if e.Message == "" {
		return what
	}
	return what + ": " + e.Message
}

// isMethodMissing reports whether the server lacks the method. Other reasons with this code are about a method that it has.
func (e *Error) isMethodMissing() bool {
	return e.Code == codes.Unimplemented &&
		(e.ReasonName == "" || e.Reason == sealwardv1.ErrorReason_ERROR_REASON_METHOD_UNKNOWN)
}

// Unwrap returns the cause on this side, such as [context.Canceled]. For an answer of the server, it returns [context.DeadlineExceeded] if the
// server reports that the deadline passed, and nil otherwise.
func (e *Error) Unwrap() error {
	if e.cause == nil && e.Code == codes.DeadlineExceeded {
		return context.DeadlineExceeded
	}
	return e.cause
}

// GRPCStatus returns the status, for package google.golang.org/grpc/status.
func (e *Error) GRPCStatus() *status.Status {
	return e.status
}

// GoString returns the text of the error for the verb %#v.
func (e *Error) GoString() string {
	return fmt.Sprintf("&sealward.Error{%s %s}", e.Method, e.text())
}

// LogValue returns the error as a group for package log/slog.
func (e *Error) LogValue() slog.Value {
	attributes := []slog.Attr{
		slog.String("method", e.Method),
		slog.String("code", codeName(e.Code)),
		slog.String("reason", e.ReasonName),
		slog.String("message", e.text()),
		slog.String("origin", e.Origin.String()),
	}
	if e.CallID != "" {
		attributes = append(attributes, slog.String("call_id", e.CallID))
	}
	for name, value := range e.Metadata {
		attributes = append(attributes, slog.String(name, value))
	}
	return slog.GroupValue(attributes...)
}

// newError converts the error of gRPC. Nil for nil.
func newError(ctx context.Context, method string, err error, isAnswered bool) *Error {
	if err == nil {
		return nil
	}
	state := status.Convert(err)
	failure := &Error{Method: method, Code: state.Code(), Message: state.Message(), status: state}
	failure.decode(state)
	if isAnswered || len(state.Proto().GetDetails()) > 0 {
		failure.Origin = OriginServer
		return failure
	}
	failure.Origin = originOf(ctx, state)
	switch failure.Origin {
	case OriginTimedOut:
		failure.Reason = sealwardv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED
		failure.ReasonName = reasonName(failure.Reason.String())
		failure.cause = context.DeadlineExceeded
	case OriginCanceled:
		if ctx.Err() != nil {
			failure.cause = context.Canceled
		}
	case OriginServer, OriginNotConnected, OriginTLSRefused, OriginBroken, OriginClient, OriginUnreadable:
	}
	return failure
}

// contextError is the failure of a call whose context ended between two attempts.
func contextError(ctx context.Context, method string) *Error {
	return newError(ctx, method, status.FromContextError(ctx.Err()).Err(), false)
}

// clientError is a failure before the call is sent.
func clientError(method string, code codes.Code, message string, cause error) *Error {
	return &Error{
		Method: method, Code: code, Message: message, Origin: OriginClient, cause: cause, status: status.New(code, message),
	}
}

// originOf returns the origin of a failure without an answer. gRPC reports the cause only in words.
func originOf(ctx context.Context, state *status.Status) Origin {
	switch state.Code() {
	case codes.DeadlineExceeded:
		return OriginTimedOut
	case codes.Canceled:
		if ctx.Err() != nil || strings.Contains(state.Message(), "the client connection is closing") {
			return OriginCanceled
		}
		// The server reset the stream, for example because the caller didn't read.
		return OriginServer
	case codes.Unavailable:
		text := state.Message()
		switch {
		case strings.HasPrefix(text, "closing transport due to: "):
			// A connection that ended during the call, after a GOAWAY. The rest of the text is like that of one that never existed.
			return OriginBroken
		case strings.Contains(text, "authentication handshake failed") || strings.Contains(text, "tls: "):
			return OriginTLSRefused
		case strings.Contains(text, "connection error: ") || strings.Contains(text, "name resolver error") ||
			strings.Contains(text, "produced zero addresses"):
			return OriginNotConnected
		default:
			return OriginBroken
		}
	case codes.ResourceExhausted, codes.Internal:
		text := state.Message()
		switch {
		case strings.Contains(text, "received message"), strings.Contains(text, "unmarshal"):
			return OriginUnreadable
		case strings.Contains(text, "larger than max"), strings.Contains(text, "marshal"):
			return OriginClient
		default:
			return OriginServer
		}
	default:
		return OriginServer
	}
}

// mayHaveTakenEffect reports whether the server may have carried out an attempt that failed like this, if the call changes something.
func mayHaveTakenEffect(failure *Error) bool {
	switch failure.Origin {
	case OriginBroken, OriginTimedOut, OriginCanceled, OriginUnreadable:
		return true
	case OriginServer:
	default:
		return false
	}
	if failure.ReasonName != "" {
		switch failure.Reason {
		case sealwardv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN, sealwardv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED,
			sealwardv1.ErrorReason_ERROR_REASON_CANCELLED:
			return true
		default:
			return false
		}
	}
	// Without a reason, the error may be a proxy's, or the end of a stream.
	switch failure.Code {
	case codes.Canceled, codes.Unknown, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Internal, codes.Unavailable:
		return true
	default:
		return false
	}
}

func (e *Error) decode(state *status.Status) {
	for _, detail := range state.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			e.decodeInfo(detail)
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				e.FieldViolations = append(e.FieldViolations, FieldViolation{
					Field: violation.GetField(), Description: violation.GetDescription(), Reason: violation.GetReason(),
				})
			}
		case *errdetails.RetryInfo:
			if delay := detail.GetRetryDelay(); delay != nil {
				e.RetryDelay, e.hasRetryDelay = delay.AsDuration(), true
			}
		case *errdetails.RequestInfo:
			e.CallID = detail.GetRequestId()
		}
	}
}

func (e *Error) decodeInfo(info *errdetails.ErrorInfo) {
	name := reasonPrefix + info.GetReason()
	switch info.GetDomain() {
	case domain:
		e.Reason = sealwardv1.ErrorReason(sealwardv1.ErrorReason_value[name])
	case mailDomain:
		e.MailReason = sealwardmailv1.ErrorReason(sealwardmailv1.ErrorReason_value[name])
	default:
		return
	}
	e.ReasonName, e.Metadata = info.GetReason(), info.GetMetadata()
}

// reasonName returns the name of a reason on the wire.
func reasonName(name string) string {
	return strings.TrimPrefix(name, reasonPrefix)
}

// codeName returns the name of a code as in the contract: FAILED_PRECONDITION for FailedPrecondition.
func codeName(code codes.Code) string {
	switch code {
	case codes.OK:
		return "OK"
	case codes.Canceled:
		return "CANCELLED"
	}
	var name strings.Builder
	for position, character := range code.String() {
		if unicode.IsUpper(character) && position > 0 {
			name.WriteByte('_')
		}
		name.WriteRune(unicode.ToUpper(character))
	}
	return name.String()
}
