package tests

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/sealward/sealward/clients/go"
	sealwardmailv1 "github.com/sealward/sealward/clients/go/sealward/mail/v1"
	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
)

// importOf is a message of an import with a mailbox for each name.
func importOf(parent string, names ...string) *sealwardmailv1.ImportMailboxesRequest {
	message := &sealwardmailv1.ImportMailboxesRequest{Parent: parent}
	for _, name := range names {
		message.Requests = append(message.Requests, &sealwardmailv1.CreateMailboxRequest{
			Mailbox: &sealwardmailv1.Mailbox{DisplayName: proto.String(name), Password: proto.String(canary)},
		})
	}
	return message
}

// importAll imports messages, and returns the results until the end or the error.
func importAll(
	ctx context.Context, client *sealward.Client, messages ...*sealwardmailv1.ImportMailboxesRequest,
) (results []*sealwardmailv1.ImportMailboxesResult, err error) {
	for response, failure := range sealward.ImportAll(ctx, client.Mailboxes.ImportMailboxes, slices.Values(messages)) {
		err = failure
		results = append(results, response.GetResults()...)
	}
	return results, err
}

func TestImportHasAResultForEachRequest(t *testing.T) {
	server := newServer(t, nil)
	messages := []*sealwardmailv1.ImportMailboxesRequest{
		importOf("organizations/default", "Sales", strings.Repeat("x", 201)), importOf("", "Support"),
	}
	results, err := importAll(t.Context(), server.connect(t, "writer"), messages...)
	check(t, err)
	if len(results) != 3 {
		t.Fatalf("got %v", results)
	}
	for _, position := range []int{0, 2} {
		if failure := sealward.ItemError(results[position].GetError()); failure != nil || results[position].GetName() == "" {
			t.Errorf("got %v", results[position])
		}
	}
	failure := sealward.ItemError(results[1].GetError())
	if failure == nil || failure.Code != codes.InvalidArgument || failure.Reason != sealwardv1.ErrorReason_ERROR_REASON_FIELD_INVALID ||
		failure.Origin != sealward.OriginServer || failure.MayHaveTakenEffect {
		t.Fatalf("got %#v", failure)
	}
	violations := failure.FieldViolations
	if len(violations) != 1 || violations[0].Field != "mailbox.display_name" || violations[0].Reason != "TOO_LONG" {
		t.Errorf("got %v", violations)
	}
	if printed := fmt.Sprintf("%v %+v %#v %v", messages, messages, failure, results); discloses(printed) {
		t.Errorf("printed %s", printed)
	}
	values, err := server.connect(t, "connector").RevealAttributes(t.Context(), results[2].GetName(), []string{"password"}, "a test")
	check(t, err)
	if values["password"].ExposeText() != canary {
		t.Error("another password was stored")
	}
}

func TestResultsArriveWhileRequestsAreSent(t *testing.T) {
	client := newServer(t, nil).connect(t, "writer")
	created := make(chan string)
	messages := func(yield func(*sealwardmailv1.ImportMailboxesRequest) bool) {
		// The second request needs the result of the first.
		_ = yield(importOf("organizations/default", "first")) && yield(importOf("", <-created))
	}
	count := 0
	for response, err := range sealward.ImportAll(t.Context(), client.Mailboxes.ImportMailboxes, messages) {
		check(t, err)
		for _, result := range response.GetResults() {
			if count++; count == 1 {
				created <- result.GetName()
			}
		}
	}
	if count != 2 {
		t.Errorf("got %d results", count)
	}
}

func TestFailedImportIsAnError(t *testing.T) {
	server := newServer(t, nil)
	first := importOf("organizations/default", "Sales")
	for role, expected := range map[string]struct {
		reason    sealwardv1.ErrorReason
		results   int
		isInDoubt bool
	}{
		"reader": {sealwardv1.ErrorReason_ERROR_REASON_PRIVILEGE_MISSING, 0, false},
		"writer": {sealwardv1.ErrorReason_ERROR_REASON_FIELD_INVALID, 1, true},
	} {
		results, err := importAll(t.Context(), server.connect(t, role), first, importOf("organizations/other", "Sales"))
		var failure *sealward.Error
		if !errors.As(err, &failure) || failure.Reason != expected.reason || failure.CallID == "" ||
			len(results) != expected.results || failure.MayHaveTakenEffect != expected.isInDoubt {
			t.Errorf("%s: got %v and %#v", role, results, err)
		}
	}
}

func TestImportEndsWithItsLoopAndItsContext(t *testing.T) {
	client := newServer(t, nil).connect(t, "writer")
	ended := make(chan bool)
	// Requests without an end.
	messages := func(yield func(*sealwardmailv1.ImportMailboxesRequest) bool) {
		names := slices.Repeat([]string{"Sales"}, 10)
		for message := importOf("organizations/default", names...); yield(message); message = importOf("", names...) {
		}
		ended <- true
	}
	expectEnd := func() {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("the requests are still read")
		}
	}
	for _, err := range sealward.ImportAll(t.Context(), client.Mailboxes.ImportMailboxes, messages) {
		check(t, err)
		break
	}
	expectEnd()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range sealward.ImportAll(ctx, client.Mailboxes.ImportMailboxes, messages) {
		last = err
		cancel()
	}
	expectEnd()
	var failure *sealward.Error
	if !errors.As(last, &failure) || !errors.Is(last, context.Canceled) || failure.Origin != sealward.OriginCanceled ||
		!failure.MayHaveTakenEffect {
		t.Errorf("got %#v", last)
	}
}
