package sealward

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"iter"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	sealwardmailv1 "github.com/sealward/sealward/clients/go/sealward/mail/v1"
	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
)

// These tests need failures that the real server only has when its disk or network fails. They run against a gRPC server whose answers are
// listed. Package tests runs the client against the real server.

// testCertificates are a CA, and a certificate for server and client.
type testCertificates struct {
	ca, certificate, key []byte
}

type testFiles struct{ ca, certificate, key string }

func newTestCertificates(t *testing.T) testCertificates {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	check(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	check(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	return testCertificates{
		ca:          pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

func (c testCertificates) write(t *testing.T, folder string) testFiles {
	t.Helper()
	files := testFiles{filepath.Join(folder, "ca.pem"), filepath.Join(folder, "test.pem"), filepath.Join(folder, "test.key")}
	for path, content := range map[string][]byte{files.ca: c.ca, files.certificate: c.certificate, files.key: c.key} {
		check(t, os.WriteFile(path, content, 0o600))
	}
	return files
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An outcome is an answer, or the error of a call.
type outcome struct {
	answer proto.Message
	err    error
	// isOpen is whether the call stays open after the answer until the caller leaves.
	isOpen bool
}

// A listed server answers calls in the order of a list, and records them.
type listed struct {
	mutex    sync.Mutex
	outcomes []outcome
	metadata []metadata.MD
	requests []*emptypb.Empty
	deadline []bool
	// stop closes the connections.
	stop func()
}

func (l *listed) handle(_ any, stream grpc.ServerStream) error {
	request := &emptypb.Empty{}
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	received, _ := metadata.FromIncomingContext(stream.Context())
	_, hasDeadline := stream.Context().Deadline()
	l.mutex.Lock()
	l.metadata, l.requests, l.deadline = append(l.metadata, received), append(l.requests, request), append(l.deadline, hasDeadline)
	if len(l.outcomes) == 0 {
		l.mutex.Unlock()
		return status.Error(codes.Internal, "the list of outcomes is used up")
	}
	next := l.outcomes[0]
	l.outcomes = l.outcomes[1:]
	l.mutex.Unlock()
	if next.answer != nil {
		if err := stream.SendMsg(next.answer); err != nil {
			return err
		}
	}
	if next.isOpen {
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	return next.err
}

func (l *listed) calls() int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return len(l.requests)
}

// serve starts a server with these outcomes, and a client of it.
func serve(t *testing.T, outcomes []outcome, options ...Option) (*Client, *listed) {
	t.Helper()
	certificates := newTestCertificates(t)
	pair, err := tls.X509KeyPair(certificates.certificate, certificates.key)
	check(t, err)
	list := &listed{outcomes: outcomes}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&pair)), grpc.UnknownServiceHandler(list.handle))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	go func() { _ = server.Serve(listener) }()
	list.stop = server.Stop
	t.Cleanup(server.Stop)
	client, err := NewClient("https://"+listener.Addr().String(), append([]Option{WithCAPEM(certificates.ca)}, options...)...)
	check(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client, list
}

func fail(code codes.Code, reason string, details ...protoadapt.MessageV1) outcome {
	state := status.New(code, "words")
	all := append([]protoadapt.MessageV1{}, details...)
	if reason != "" {
		all = append(all, &errdetails.ErrorInfo{Reason: reason, Domain: "sealward"})
	}
	withDetails, err := state.WithDetails(all...)
	if err != nil {
		panic(err)
	}
	return outcome{err: withDetails.Err()}
}

func retryAfter(delay time.Duration) *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}
}

var found = outcome{answer: &sealwardmailv1.Mailbox{Name: "found"}}

func TestReadIsRetriedUntilItSucceeds(t *testing.T) {
	client, server := serve(t, []outcome{fail(codes.Unavailable, "STORE_UNAVAILABLE"), fail(codes.Unavailable, ""), found})
	got, err := client.Mailboxes.GetMailbox(t.Context(), &sealwardmailv1.GetMailboxRequest{Name: "a"})
	check(t, err)
	if got.GetName() != "found" || server.calls() != 3 {
		t.Errorf("got %v after %d calls", got, server.calls())
	}
	for _, received := range server.metadata {
		if got := received.Get("sealward-client"); !slices.Equal(got, []string{"go/" + Version}) {
			t.Errorf("sealward-client: %v", got)
		}
	}
	if slices.Contains(server.deadline, false) {
		t.Error("a call has no deadline")
	}
}

func TestRetriesAreLimited(t *testing.T) {
	outcomes := []outcome{fail(codes.Unavailable, ""), fail(codes.Unavailable, ""), fail(codes.Unavailable, ""), fail(codes.Unavailable, ""), found}
	for attempts, options := range map[int][]Option{4: nil, 1: {WithRetry(NeverRetry())}} {
		client, server := serve(t, outcomes, options...)
		_, err := client.Mailboxes.GetMailbox(t.Context(), &sealwardmailv1.GetMailboxRequest{Name: "a"})
		if status.Code(err) != codes.Unavailable || server.calls() != attempts {
			t.Errorf("got %v after %d calls, want %d", err, server.calls(), attempts)
		}
	}
}

func TestDelayOfTheServerIsFollowedWithinTheDeadline(t *testing.T) {
	client, server := serve(t, []outcome{fail(codes.ResourceExhausted, "RATE_LIMITED", retryAfter(5*time.Second)), found})
	ctx, cancel := context.WithTimeout(t.Context(), 4900*time.Millisecond)
	defer cancel()
	_, err := client.Mailboxes.GetMailbox(ctx, &sealwardmailv1.GetMailboxRequest{Name: "a"})
	var failure *Error
	if !errors.As(err, &failure) || failure.RetryDelay != 5*time.Second || failure.ReasonName != "RATE_LIMITED" || server.calls() != 1 {
		t.Errorf("got %v after %d calls", err, server.calls())
	}
	if ctx.Err() != nil {
		t.Error("the call waited for a deadline that it can't meet")
	}
}

func TestWriteIsRetriedOnlyWithTheSameRequestID(t *testing.T) {
	create := &sealwardmailv1.CreateMailboxRequest{Parent: "organizations/a"}
	client, server := serve(t, []outcome{fail(codes.Unavailable, "OUTCOME_UNKNOWN"), fail(codes.Unavailable, "STORE_UNAVAILABLE"), fail(codes.Aborted, "ETAG_MISMATCH")})
	_, err := client.Mailboxes.CreateMailbox(t.Context(), create)
	var failure *Error
	if !errors.As(err, &failure) || failure.ReasonName != "ETAG_MISMATCH" || !failure.MayHaveTakenEffect || server.calls() != 3 {
		t.Fatalf("got %v after %d calls", err, server.calls())
	}
	ids := map[string]bool{}
	for _, request := range server.requests {
		decoded := &sealwardmailv1.CreateMailboxRequest{}
		check(t, proto.Unmarshal(request.ProtoReflect().GetUnknown(), decoded))
		ids[decoded.GetRequestId()] = true
	}
	if len(ids) != 1 || ids[""] || create.GetRequestId() != "" {
		t.Errorf("got ids %v", ids)
	}

	client, server = serve(t, []outcome{fail(codes.Unavailable, ""), found})
	_, err = client.SecretAccess.RevealAttributes(t.Context(), &sealwardv1.RevealAttributesRequest{Name: "a"})
	if status.Code(err) != codes.Unavailable || server.calls() != 1 {
		t.Errorf("a reveal: got %v after %d calls", err, server.calls())
	}
}

func TestErrorHasAllDetails(t *testing.T) {
	answered := fail(codes.InvalidArgument, "",
		&errdetails.ErrorInfo{Reason: "KEY_VALIDATION", Domain: "sealward", Metadata: map[string]string{"given_length": "3"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "encryption_key", Description: "too short", Reason: "TOO_SHORT"}, {Field: "encryption_key", Description: "needs a numeral"},
		}},
		retryAfter(7*time.Second), &errdetails.RequestInfo{RequestId: "call-1"})
	client, _ := serve(t, []outcome{answered})
	_, err := client.DataEncryption.SetDataEncryptionKey(t.Context(), &sealwardv1.SetDataEncryptionKeyRequest{})
	var failure *Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %v", err)
	}
	violations := []FieldViolation{{"encryption_key", "too short", "TOO_SHORT"}, {"encryption_key", "needs a numeral", ""}}
	if failure.Code != codes.InvalidArgument || failure.Reason != sealwardv1.ErrorReason_ERROR_REASON_KEY_VALIDATION ||
		failure.Metadata["given_length"] != "3" || !slices.Equal(failure.FieldViolations, violations) || failure.RetryDelay != 7*time.Second ||
		failure.CallID != "call-1" || failure.Origin != OriginServer || failure.Method != "/sealward.v1.DataEncryptionService/SetDataEncryptionKey" {
		t.Errorf("got %#v with %+v", failure, *failure)
	}
	if err.Error() != "sealward: KEY_VALIDATION: words" || status.Convert(err).Message() != "words" || errors.Unwrap(failure) != nil {
		t.Errorf("got %q", err)
	}
}

func TestUnknownReasonIsReadableByName(t *testing.T) {
	foreign := fail(codes.FailedPrecondition, "", &errdetails.ErrorInfo{Reason: "KEY_MISMATCH", Domain: "example.com"})
	mail := fail(codes.FailedPrecondition, "", &errdetails.ErrorInfo{Reason: "MAILBOX_INACTIVE", Domain: "sealward.mail"})
	for _, test := range []struct {
		outcome outcome
		text    string
		reason  sealwardv1.ErrorReason
		mail    sealwardmailv1.ErrorReason
	}{
		{fail(codes.FailedPrecondition, "OF_A_NEWER_SERVER"), "sealward: OF_A_NEWER_SERVER: words", 0, 0},
		{foreign, "sealward: FAILED_PRECONDITION: words", 0, 0},
		{mail, "sealward: MAILBOX_INACTIVE: words", 0, sealwardmailv1.ErrorReason_ERROR_REASON_MAILBOX_INACTIVE},
		{fail(codes.Unimplemented, ""), "sealward: UNIMPLEMENTED: " + olderServer, 0, 0},
		{fail(codes.Unimplemented, "METHOD_UNKNOWN"), "sealward: METHOD_UNKNOWN: " + olderServer, sealwardv1.ErrorReason_ERROR_REASON_METHOD_UNKNOWN, 0},
		{fail(codes.Unimplemented, "PROTOCOL_UNSUPPORTED"), "sealward: PROTOCOL_UNSUPPORTED: words", sealwardv1.ErrorReason(sealwardv1.ErrorReason_value["ERROR_REASON_PROTOCOL_UNSUPPORTED"]), 0},
	} {
		client, _ := serve(t, []outcome{test.outcome})
		_, err := client.Mailboxes.GetMailbox(t.Context(), &sealwardmailv1.GetMailboxRequest{Name: "a"})
		var failure *Error
		if !errors.As(err, &failure) || failure.Error() != test.text || failure.Reason != test.reason || failure.MailReason != test.mail {
			t.Errorf("got %v, want %s", err, test.text)
		}
	}
}

func TestEveryReasonIsDecoded(t *testing.T) {
	for name, number := range sealwardv1.ErrorReason_value {
		if number == 0 {
			continue
		}
		failure := newError(t.Context(), "", fail(codes.Unknown, reasonName(name)).err, true)
		if failure.Reason != sealwardv1.ErrorReason(number) || failure.ReasonName != reasonName(name) {
			t.Errorf("%s: got %v", name, failure.Reason)
		}
	}
}

func TestFailuresOfThisSideAreDistinguished(t *testing.T) {
	get := func(ctx context.Context, client *Client) *Error {
		_, err := client.Mailboxes.GetMailbox(ctx, &sealwardmailv1.GetMailboxRequest{Name: "a"})
		var failure *Error
		if !errors.As(err, &failure) {
			t.Fatalf("got %v", err)
		}
		return failure
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	closed := listener.Addr().String()
	check(t, listener.Close())
	certificates := newTestCertificates(t)
	nobody, err := NewClient("https://"+closed, WithCAPEM(certificates.ca), WithRetry(NeverRetry()))
	check(t, err)
	defer func() { _ = nobody.Close() }()
	if failure := get(t.Context(), nobody); failure.Origin != OriginNotConnected || failure.Code != codes.Unavailable {
		t.Errorf("got %v, %v", failure.Origin, failure)
	}

	server, list := serve(t, nil)
	untrusting, err := NewClient(strings.Replace(server.connection.channel.Target(), "dns:///", "https://", 1), WithCAPEM(certificates.ca))
	check(t, err)
	defer func() { _ = untrusting.Close() }()
	if failure := get(t.Context(), untrusting); failure.Origin != OriginTLSRefused || list.calls() != 0 {
		t.Errorf("got %v, %v", failure.Origin, failure)
	}

	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	failure := get(expired, server)
	if failure.Origin != OriginTimedOut || failure.ReasonName != "DEADLINE_EXCEEDED" || !errors.Is(failure, context.DeadlineExceeded) {
		t.Errorf("got %v, %v", failure.Origin, failure)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if failure := get(canceled, server); failure.Origin != OriginCanceled || !errors.Is(failure, context.Canceled) {
		t.Errorf("got %v, %v", failure.Origin, failure)
	}

	small, list := serve(t, nil, WithMessageSizeMax(10))
	_, err = small.Mailboxes.GetMailbox(t.Context(), &sealwardmailv1.GetMailboxRequest{Name: "longer than ten bytes"})
	if !errors.As(err, &failure) || failure.Origin != OriginClient || list.calls() != 0 {
		t.Errorf("got %v", err)
	}
}

func TestTokenSourceIsAskedAgainOnce(t *testing.T) {
	type asked struct{ tokens []bool }
	source := func(asked *asked) TokenSource {
		return TokenFunc(func(_ context.Context, refresh bool) (string, error) {
			asked.tokens = append(asked.tokens, refresh)
			if refresh {
				return "new", nil
			}
			return "old", nil
		})
	}
	refused := fail(codes.Unauthenticated, "IDENTITY_REQUIRED")
	get := func(client *Client) error {
		_, err := client.Mailboxes.GetMailbox(t.Context(), &sealwardmailv1.GetMailboxRequest{Name: "a"})
		return err
	}
	var first asked
	client, server := serve(t, []outcome{refused, found}, WithTokenSource(source(&first)))
	check(t, get(client))
	var sent []string
	for _, received := range server.metadata {
		sent = append(sent, received.Get("authorization")...)
	}
	if !slices.Equal(first.tokens, []bool{false, true}) || !slices.Equal(sent, []string{"Bearer old", "Bearer new"}) {
		t.Errorf("asked %v, sent %v", first.tokens, sent)
	}

	var second asked
	client, server = serve(t, []outcome{refused, refused, found}, WithTokenSource(source(&second)))
	if err := get(client); status.Code(err) != codes.Unauthenticated || server.calls() != 2 {
		t.Errorf("got %v after %d calls", err, server.calls())
	}

	client, server = serve(t, []outcome{refused, found}, WithBearerToken("fixed"))
	if err := get(client); status.Code(err) != codes.Unauthenticated || server.calls() != 1 {
		t.Errorf("a fixed token: got %v after %d calls", err, server.calls())
	}

	none := TokenFunc(func(context.Context, bool) (string, error) { return "", errNoToken })
	client, server = serve(t, nil, WithTokenSource(none))
	if err := get(client); !errors.Is(err, errNoToken) || server.calls() != 0 {
		t.Errorf("without a token: got %v after %d calls", err, server.calls())
	}
	broken := TokenFunc(func(context.Context, bool) (string, error) { return "canary canary", nil })
	client, _ = serve(t, nil, WithTokenSource(broken))
	if err := get(client); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("an invalid token: got %v", err)
	}
}

func TestTokenFileIsReadForEachAttempt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(path, []byte("first\n"), 0o600))
	client, server := serve(t, []outcome{found, found}, WithBearerTokenFile(path))
	for _, token := range []string{"second", "third"} {
		_, err := client.Mailboxes.GetMailbox(t.Context(), &sealwardmailv1.GetMailboxRequest{Name: "a"})
		check(t, err)
		check(t, os.WriteFile(path, []byte(token), 0o600))
	}
	if first, second := server.metadata[0].Get("authorization")[0], server.metadata[1].Get("authorization")[0]; first != "Bearer first" || second != "Bearer second" {
		t.Errorf("sent %q, %q", first, second)
	}
	check(t, os.Remove(path))
	_, err := client.Mailboxes.GetMailbox(t.Context(), &sealwardmailv1.GetMailboxRequest{Name: "a"})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestPagesFollowTheTokens(t *testing.T) {
	page := func(next string, names ...string) outcome {
		answer := &sealwardmailv1.ListMailboxesResponse{NextPageToken: next}
		for _, name := range names {
			answer.Mailboxes = append(answer.Mailboxes, &sealwardmailv1.Mailbox{Name: name})
		}
		return outcome{answer: answer}
	}
	list := func(outcomes ...outcome) (names []string, err error) {
		client, _ := serve(t, outcomes)
		request := &sealwardmailv1.ListMailboxesRequest{Parent: "organizations/a", Filter: "a = 1"}
		for mailbox, failure := range ListAll(t.Context(), client.Mailboxes.ListMailboxes, request, (*sealwardmailv1.ListMailboxesResponse).GetMailboxes) {
			if failure != nil {
				return names, failure
			}
			names = append(names, mailbox.GetName())
		}
		if request.GetPageToken() != "" {
			t.Error("the caller's request was changed")
		}
		return names, nil
	}
	names, err := list(page("2", "a", "b"), page("3"), page("", "c"))
	if err != nil || !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("got %v, %v", names, err)
	}
	names, err = list(page("2", "a"), fail(codes.InvalidArgument, "PAGE_TOKEN_INVALID"))
	if status.Code(err) != codes.InvalidArgument || !slices.Equal(names, []string{"a"}) {
		t.Errorf("got %v, %v", names, err)
	}
	if _, err = list(page("2", "a"), page("2", "a"), page("", "b")); err == nil || !strings.Contains(err.Error(), "same page token") {
		t.Errorf("got %v", err)
	}
}

func TestPauseThatTheContextEndsReturnsItsError(t *testing.T) {
	client, server := serve(t, []outcome{fail(codes.Unavailable, "OUTCOME_UNKNOWN", retryAfter(5*time.Second)), found})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	atPause := grpc.OnFinish(func(error) { cancel() })
	_, err := client.Mailboxes.CreateMailbox(ctx, &sealwardmailv1.CreateMailboxRequest{Parent: "organizations/a"}, atPause)
	var failure *Error
	if !errors.As(err, &failure) || failure.Origin != OriginCanceled || !errors.Is(err, context.Canceled) || !failure.MayHaveTakenEffect || server.calls() != 1 {
		t.Errorf("got %v after %d calls", err, server.calls())
	}
}

func TestUnaryCallIsLostAfterItsHeaders(t *testing.T) {
	began := make(chan struct{}, 1)
	client, server := serve(t, []outcome{{answer: &sealwardmailv1.Mailbox{}, isOpen: true}}, func(s *settings) {
		s.dial = append(s.dial, grpc.WithStatsHandler(headerHandler(began)))
	}, WithRetry(NeverRetry()))
	go func() {
		<-began
		server.stop()
	}()
	_, err := client.Mailboxes.UpdateMailbox(t.Context(), &sealwardmailv1.UpdateMailboxRequest{})
	var failure *Error
	if !errors.As(err, &failure) || failure.Origin != OriginBroken || !failure.MayHaveTakenEffect {
		t.Errorf("got %v", err)
	}
}

// A headerHandler gets a value when a client receives headers.
type headerHandler chan struct{}

func (h headerHandler) HandleRPC(_ context.Context, event stats.RPCStats) {
	if _, isHeader := event.(*stats.InHeader); isHeader {
		h <- struct{}{}
	}
}
func (headerHandler) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (headerHandler) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (headerHandler) HandleConn(context.Context, stats.ConnStats)                       {}

func TestKeyChangeIsNeverRetried(t *testing.T) {
	for _, reason := range []string{"SHUTTING_DOWN", "OUTCOME_UNKNOWN", ""} {
		client, server := serve(t, []outcome{fail(codes.Unavailable, reason), found})
		_, _, err := client.ChangeKey(t.Context(), "organizations/a", GenerateKeyText())
		var failure *Error
		if !errors.As(err, &failure) || failure.MayHaveTakenEffect != (reason != "SHUTTING_DOWN") || server.calls() != 1 {
			t.Errorf("%s: got %v after %d calls", reason, err, server.calls())
		}
	}
}

func TestDeadlineThatTheServerReportsIsTheContexts(t *testing.T) {
	client, _ := serve(t, []outcome{fail(codes.DeadlineExceeded, "DEADLINE_EXCEEDED")})
	_, err := client.Mailboxes.GetMailbox(t.Context(), &sealwardmailv1.GetMailboxRequest{Name: "a"})
	var failure *Error
	if !errors.As(err, &failure) || failure.Origin != OriginServer || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// verify opens a stream, and returns the number of its messages and its error.
func verify(ctx context.Context, client *Client, atMessage func()) (messages int, err error) {
	stream, err := client.DataEncryption.VerifyCells(ctx, &sealwardv1.VerifyCellsRequest{Organization: "organizations/a"})
	if err != nil {
		return 0, err
	}
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return messages, nil
		} else if err != nil {
			return messages, err
		}
		messages++
		atMessage()
	}
}

var cells = outcome{answer: &sealwardv1.VerifyCellsResponse{}}

func TestFailureOfAStreamAfterAMessageHasItsOrigin(t *testing.T) {
	open := outcome{answer: cells.answer, isOpen: true}
	client, server := serve(t, []outcome{open, open, {answer: cells.answer, err: fail(codes.Unavailable, "STORE_UNAVAILABLE").err}, open})
	expect := func(name string, messages int, err error, origin Origin, cause error) {
		t.Helper()
		var failure *Error
		if messages != 1 || !errors.As(err, &failure) || failure.Origin != origin || cause != nil && !errors.Is(err, cause) {
			t.Errorf("%s: got %v after %d messages", name, err, messages)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	messages, err := verify(ctx, client, cancel)
	expect("canceled", messages, err, OriginCanceled, context.Canceled)

	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	messages, err = verify(ctx, client, func() { <-ctx.Done() })
	expect("timed out", messages, err, OriginTimedOut, context.DeadlineExceeded)

	messages, err = verify(t.Context(), client, func() {})
	expect("answered", messages, err, OriginServer, nil)

	messages, err = verify(t.Context(), client, server.stop)
	expect("lost", messages, err, OriginBroken, nil)
}

func TestStreamThatTheServerResetsIsNotCanceledByTheCaller(t *testing.T) {
	const typeReset, cancel = 3, 8
	client := serveFrames(t, func(connection net.Conn, stream []byte) {
		_, _ = connection.Write(slices.Concat([]byte{0, 0, 4, typeReset, 0}, stream, []byte{0, 0, 0, cancel}))
	})
	_, err := verify(t.Context(), client, func() {})
	var failure *Error
	if !errors.As(err, &failure) || failure.Code != codes.Canceled || failure.Origin != OriginServer || errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestConnectionThatEndsWithGoAwayDuringACallIsBroken(t *testing.T) {
	const typeGoAway = 7
	client := serveFrames(t, func(connection net.Conn, stream []byte) {
		// The server accepts the call, and is ended before it answers.
		_, _ = connection.Write(slices.Concat([]byte{0, 0, 8, typeGoAway, 0, 0, 0, 0, 0}, stream, []byte{0, 0, 0, 0}))
		_ = connection.Close()
	})
	_, err := client.Mailboxes.CreateMailbox(t.Context(), &sealwardmailv1.CreateMailboxRequest{Parent: "organizations/a"})
	var failure *Error
	if !errors.As(err, &failure) || failure.Origin != OriginBroken || !failure.MayHaveTakenEffect {
		t.Errorf("got %#v", err)
	}
}

// serveFrames starts an HTTP/2 server (RFC 9113) for one connection that answers the headers of each stream with frames. gRPC's server always
// sends trailers.
func serveFrames(t *testing.T, answer func(connection net.Conn, stream []byte)) *Client {
	t.Helper()
	certificates := newTestCertificates(t)
	pair, err := tls.X509KeyPair(certificates.certificate, certificates.key)
	check(t, err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}})
	check(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go answerStreams(listener, answer)
	client, err := NewClient("https://"+listener.Addr().String(), WithCAPEM(certificates.ca), WithRetry(NeverRetry()))
	check(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func answerStreams(listener net.Listener, answer func(connection net.Conn, stream []byte)) {
	const typeHeaders, typeSettings, flagAck = 1, 4, 1
	connection, err := listener.Accept()
	if err != nil {
		return
	}
	defer func() { _ = connection.Close() }()
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(connection, preface); err != nil {
		return
	}
	_, _ = connection.Write([]byte{0, 0, 0, typeSettings, 0, 0, 0, 0, 0})
	for header := make([]byte, 9); ; {
		if _, err := io.ReadFull(connection, header); err != nil {
			return
		}
		length := int64(header[0])<<16 | int64(header[1])<<8 | int64(header[2])
		if _, err := io.CopyN(io.Discard, connection, length); err != nil {
			return
		}
		switch {
		case header[3] == typeSettings && header[4]&flagAck == 0:
			_, _ = connection.Write([]byte{0, 0, 0, typeSettings, flagAck, 0, 0, 0, 0})
		case header[3] == typeHeaders:
			answer(connection, header[5:])
		}
	}
}

func TestStreamIsOpenedAgainOnceIfItsTokenIsRefused(t *testing.T) {
	var asked []bool
	source := TokenFunc(func(_ context.Context, refresh bool) (string, error) {
		asked = append(asked, refresh)
		if refresh {
			return "new", nil
		}
		return "old", nil
	})
	refused := fail(codes.Unauthenticated, "IDENTITY_REQUIRED")
	client, server := serve(t, []outcome{refused, cells}, WithTokenSource(source))
	messages, err := verify(t.Context(), client, func() {})
	check(t, err)
	if messages != 1 || !slices.Equal(asked, []bool{false, true}) || !proto.Equal(server.requests[0], server.requests[1]) ||
		len(server.requests[0].ProtoReflect().GetUnknown()) == 0 || !slices.Equal(server.metadata[1].Get("authorization"), []string{"Bearer new"}) {
		t.Errorf("asked %v, received %v", asked, server.metadata)
	}

	for name, test := range map[string]struct {
		outcomes        []outcome
		messages, calls int
	}{
		"refused twice":           {[]outcome{refused, refused, cells}, 0, 2},
		"refused after a message": {[]outcome{{answer: cells.answer, err: refused.err}, found}, 1, 1},
	} {
		client, server := serve(t, test.outcomes, WithTokenSource(source))
		messages, err := verify(t.Context(), client, func() {})
		if status.Code(err) != codes.Unauthenticated || messages != test.messages || server.calls() != test.calls {
			t.Errorf("%s: got %v after %d messages and %d calls", name, err, messages, server.calls())
		}
	}

	asked = nil
	client, server = serve(t, []outcome{refused, found}, WithTokenSource(source))
	sent, err := client.Organizations.ImportOrganization(t.Context())
	check(t, err)
	if err := sent.Send(&sealwardv1.ImportOrganizationRequest{}); err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if _, err := sent.CloseAndRecv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v", err)
	}
	// The next call is another one: its token wasn't refused.
	_, err = client.Mailboxes.GetMailbox(t.Context(), &sealwardmailv1.GetMailboxRequest{Name: "a"})
	check(t, err)
	if !slices.Equal(asked, []bool{false, false}) || server.calls() != 2 {
		t.Errorf("asked %v in %d calls", asked, server.calls())
	}
}

func progress(state sealwardv1.Reencryption_State, err error) outcome {
	return outcome{answer: &sealwardv1.Reencryption{State: state}, err: err}
}

// watch follows a re-encryption without pauses.
func watch(t *testing.T, client *Client, progress iter.Seq2[*sealwardv1.Reencryption, error]) (states []sealwardv1.Reencryption_State, err error) {
	t.Helper()
	if client.connection.watchPause != time.Second {
		t.Errorf("the pause is %v", client.connection.watchPause)
	}
	client.connection.watchPause = 0
	for progress, failure := range progress {
		if err != nil {
			t.Error("the iteration continues after an error")
		}
		if err = failure; err == nil {
			states = append(states, progress.GetState())
		}
	}
	return states, err
}

func TestWatchOpensTheStreamAgain(t *testing.T) {
	const running, done = sealwardv1.Reencryption_STATE_RUNNING, sealwardv1.Reencryption_STATE_DONE
	ending := fail(codes.Unavailable, "CONNECTION_ENDING")
	many := func(count int, before ...outcome) []outcome {
		return append(append(before, slices.Repeat([]outcome{ending}, count)...), progress(done, nil))
	}
	for name, test := range map[string]struct {
		outcomes []outcome
		code     codes.Code
		states   []sealwardv1.Reencryption_State
		calls    int
	}{
		"interrupted": {
			[]outcome{progress(running, ending.err), ending, progress(running, status.Error(codes.Canceled, "")), progress(done, nil)},
			codes.OK, []sealwardv1.Reencryption_State{running, running, done}, 4,
		},
		"at most 5 failures at first": {many(5), codes.OK, []sealwardv1.Reencryption_State{done}, 6},
		"6 failures at first":         {many(6), codes.Unavailable, nil, 6},
		"at most 60 failures":         {many(59, progress(running, ending.err)), codes.OK, []sealwardv1.Reencryption_State{running, done}, 61},
		"61 failures":                 {many(60, progress(running, ending.err)), codes.Unavailable, []sealwardv1.Reencryption_State{running}, 61},
		"denied":                      {[]outcome{fail(codes.PermissionDenied, "ACCESS_DENIED")}, codes.PermissionDenied, nil, 1},
	} {
		// The number of openings isn't one of retries.
		client, server := serve(t, test.outcomes, WithRetry(NeverRetry()))
		states, err := watch(t, client, client.WatchReencryption(t.Context(), "organizations/a"))
		if status.Code(err) != test.code || !slices.Equal(states, test.states) || server.calls() != test.calls || slices.Contains(server.deadline, true) {
			t.Errorf("%s: got %v and %v after %d calls", name, states, err, server.calls())
		}
	}

	client, server := serve(t, append([]outcome{{answer: &sealwardv1.SetDataEncryptionKeyResponse{}}}, many(60)...))
	_, changed, err := client.ChangeKey(t.Context(), "organizations/a", GenerateKeyText())
	check(t, err)
	if states, err := watch(t, client, changed); err != nil || len(states) != 1 || server.calls() != 62 {
		t.Errorf("got %v and %v after %d calls", states, err, server.calls())
	}
}

func TestWatchEndsWithItsContextOrClient(t *testing.T) {
	client, server := serve(t, []outcome{progress(sealwardv1.Reencryption_STATE_RUNNING, fail(codes.Unavailable, "CONNECTION_ENDING").err)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var failures []error
	for _, err := range client.WatchReencryption(ctx, "organizations/a") {
		cancel()
		if err != nil {
			failures = append(failures, err)
		}
	}
	if len(failures) != 1 || !errors.Is(failures[0], context.Canceled) || server.calls() != 1 {
		t.Errorf("got %v after %d calls", failures, server.calls())
	}

	check(t, client.Close())
	failures = nil
	for _, err := range client.WatchReencryption(t.Context(), "organizations/a") {
		failures = append(failures, err)
	}
	var failure *Error
	if len(failures) != 1 || !errors.As(failures[0], &failure) || failure.Origin != OriginCanceled || failure.Error() != "sealward: the client is closed" {
		t.Errorf("got %v of a closed client", failures)
	}
}

func TestWatchAsksForAnotherToken(t *testing.T) {
	source := TokenFunc(func(_ context.Context, refresh bool) (string, error) {
		if refresh {
			return "new", nil
		}
		return "old", nil
	})
	refused := fail(codes.Unauthenticated, "IDENTITY_REQUIRED")
	const running, done = sealwardv1.Reencryption_STATE_RUNNING, sealwardv1.Reencryption_STATE_DONE
	client, server := serve(t, []outcome{refused, progress(running, refused.err), refused, progress(done, nil)}, WithTokenSource(source))
	states, err := watch(t, client, client.WatchReencryption(t.Context(), "organizations/a"))
	check(t, err)
	var sent []string
	for _, received := range server.metadata {
		sent = append(sent, received.Get("authorization")...)
	}
	if !slices.Equal(states, []sealwardv1.Reencryption_State{running, done}) || !slices.Equal(sent, []string{"Bearer old", "Bearer new", "Bearer old", "Bearer new"}) {
		t.Errorf("got %v, sent %v", states, sent)
	}

	client, server = serve(t, []outcome{refused, refused, progress(done, nil)}, WithTokenSource(source))
	if states, err = watch(t, client, client.WatchReencryption(t.Context(), "organizations/a")); status.Code(err) != codes.Unauthenticated || server.calls() != 2 {
		t.Errorf("got %v and %v after %d calls", states, err, server.calls())
	}
}

func TestImportIsNeverRetried(t *testing.T) {
	source := TokenFunc(func(context.Context, bool) (string, error) { return "token", nil })
	for _, refused := range []outcome{fail(codes.Unavailable, "SHUTTING_DOWN"), fail(codes.Unauthenticated, "IDENTITY_REQUIRED")} {
		client, server := serve(t, []outcome{refused, found}, WithTokenSource(source))
		requests := slices.Values([]*sealwardmailv1.ImportMailboxesRequest{{Parent: "organizations/a"}})
		failures := 0
		for _, err := range ImportAll(t.Context(), client.Mailboxes.ImportMailboxes, requests) {
			if failures++; status.Code(err) != status.Code(refused.err) {
				t.Errorf("got %v", err)
			}
		}
		if failures != 1 || server.calls() != 1 {
			t.Errorf("%d failures of %d calls", failures, server.calls())
		}
	}
}

func TestErrorOfAnItem(t *testing.T) {
	info, err := anypb.New(&errdetails.ErrorInfo{Domain: "sealward", Reason: "OUTCOME_UNKNOWN"})
	check(t, err)
	uncertain := ItemError(&sealwardv1.ItemStatus{Code: int32(codes.Unavailable), Message: "words", Details: []*anypb.Any{info}})
	if uncertain.Error() != "sealward: OUTCOME_UNKNOWN: words" || status.Code(uncertain) != codes.Unavailable || !uncertain.MayHaveTakenEffect {
		t.Errorf("got %#v", uncertain)
	}
	for _, code := range []int32{0, 99, -1} {
		if unknown := ItemError(&sealwardv1.ItemStatus{Code: code}); unknown.Code != codes.Unknown {
			t.Errorf("got %#v", unknown)
		}
	}
	if ItemError(nil) != nil {
		t.Error("there is no error")
	}
}
