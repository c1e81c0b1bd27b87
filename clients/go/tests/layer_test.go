package tests

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/sealward/sealward/clients/go"
	sealwardmailv1 "github.com/sealward/sealward/clients/go/sealward/mail/v1"
	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
)

func TestListHasTheRecordsOfAllPages(t *testing.T) {
	client := newServer(t, nil).connect(t, "writer")
	var created []string
	for number := range 7 {
		mailbox, err := client.Mailboxes.CreateMailbox(t.Context(), &sealwardmailv1.CreateMailboxRequest{
			Parent: "organizations/default", Mailbox: &sealwardmailv1.Mailbox{DisplayName: proto.String(fmt.Sprint("Mailbox ", number))},
		})
		check(t, err)
		created = append(created, mailbox.GetName())
	}
	request := &sealwardmailv1.ListMailboxesRequest{Parent: "organizations/default", PageSize: 3, OrderBy: "display_name"}
	var listed []string
	for mailbox, err := range sealward.ListAll(t.Context(), client.Mailboxes.ListMailboxes, request, (*sealwardmailv1.ListMailboxesResponse).GetMailboxes) {
		check(t, err)
		listed = append(listed, mailbox.GetName())
	}
	if !slices.Equal(listed, created) {
		t.Errorf("got %v, want %v", listed, created)
	}
	var sizes []int
	for page, err := range sealward.Pages(t.Context(), client.Mailboxes.ListMailboxes, request) {
		check(t, err)
		if sizes = append(sizes, len(page.GetMailboxes())); len(sizes) == 2 {
			break
		}
	}
	if !slices.Equal(sizes, []int{3, 3}) {
		t.Errorf("got pages of %v", sizes)
	}
}

func TestKeyChangeIsWatchedToItsEnd(t *testing.T) {
	server := newServer(t, map[string]any{"limits.reencryption_batch_cells": 1, "limits.reencryption_pause_ms": 20, "limits.connection_age_max_seconds": 1})
	client := server.connect(t, "admin")
	for range 30 {
		createMailbox(t, server)
	}
	key := sealward.GenerateKeyText()
	answer, progress, err := client.ChangeKey(t.Context(), "organizations/default", key)
	check(t, err)
	var last *sealwardv1.Reencryption
	messages := 0
	for state, err := range progress {
		check(t, err)
		last, messages = state, messages+1
	}
	if answer.GetKeyVersion() != 2 || last.GetState() != sealwardv1.Reencryption_STATE_DONE || last.GetCellsDone() != 30 || messages < 2 {
		t.Errorf("got %v, and after %d messages %v", answer, messages, last)
	}
	retrieved, err := client.DataEncryption.RetrieveDataEncryptionKey(t.Context(), &sealwardv1.RetrieveDataEncryptionKeyRequest{
		Organization: "organizations/default",
	})
	check(t, err)
	if version := client.ServerVersion(); version != sealward.Version {
		t.Errorf("got the server's version %q", version)
	}
	if retrieved.GetEncryptionKey() != key.ExposeText() || retrieved.GetFingerprint() != answer.GetFingerprint() {
		t.Errorf("the key isn't the one that was set: %v", retrieved)
	}
	_, err = client.RestoreKey(t.Context(), "organizations/default", key)
	var failure *sealward.Error
	if !errors.As(err, &failure) || failure.Reason != sealwardv1.ErrorReason_ERROR_REASON_KEY_ALREADY_ACTIVE {
		t.Errorf("got %v", err)
	}
}

func TestRevealedValuesDoNotPrint(t *testing.T) {
	server := newServer(t, nil)
	writer := server.connect(t, "writer")
	const password = "canary in the mine 1"
	mailbox, err := writer.Mailboxes.CreateMailbox(t.Context(), &sealwardmailv1.CreateMailboxRequest{
		Parent: "organizations/default", Mailbox: &sealwardmailv1.Mailbox{DisplayName: proto.String("Sales"), Password: proto.String(password)},
	})
	check(t, err)
	values, err := server.connect(t, "connector").RevealAttributes(t.Context(), mailbox.GetName(), []string{"password"}, "a test")
	check(t, err)
	if len(values) != 1 || values["password"].ExposeText() != password || string(values["password"].ExposeBytes()) != password {
		t.Errorf("got %v", values)
	}
	encoded, err := json.Marshal(values)
	check(t, err)
	if printed := fmt.Sprintf("%v %+v %#v %s %x", values, values, values, values, values) + string(encoded); strings.Contains(printed, "canary") || strings.Contains(printed, "63616e617279") {
		t.Errorf("printed %s", printed)
	}
	_, err = writer.RevealAttributes(t.Context(), mailbox.GetName(), []string{"password"}, "a test")
	var failure *sealward.Error
	if !errors.As(err, &failure) || failure.Reason != sealwardv1.ErrorReason_ERROR_REASON_PRIVILEGE_MISSING {
		t.Errorf("got %v", err)
	}
}

func TestRefusalOfAnImportArrivesWhileTheClientStillSends(t *testing.T) {
	client := newServer(t, nil).connect(t, "reader")
	// Requests around the size that the server still reads of a refused request.
	for _, size := range []int{0, 1, 60, 64, 68, 256} {
		for range 5 {
			stream, err := client.Organizations.ImportOrganization(t.Context())
			check(t, err)
			err = stream.Send(&sealwardv1.ImportOrganizationRequest{OrganizationId: "contoso"})
			for sent := 0; err == nil && sent < size; sent++ {
				err = stream.Send(&sealwardv1.ImportOrganizationRequest{Chunk: make([]byte, 1024)})
			}
			// The side of the client is still open.
			err = stream.RecvMsg(&sealwardv1.Organization{})
			var failure *sealward.Error
			if !errors.As(err, &failure) || failure.Reason != sealwardv1.ErrorReason_ERROR_REASON_PRIVILEGE_MISSING || failure.MayHaveTakenEffect {
				t.Fatalf("%d KiB: got %v", size, err)
			}
		}
	}
}

func TestEnvironmentIsReadOnlyOnRequest(t *testing.T) {
	server := newServer(t, nil)
	t.Setenv("SEALWARD_DEV", server.folder)
	t.Setenv("SEALWARD_AS", "auditor")
	client, err := sealward.NewClientFromEnvironment()
	check(t, err)
	defer func() { _ = client.Close() }()
	answer, err := client.Access.WhoAmI(t.Context(), &sealwardv1.WhoAmIRequest{})
	check(t, err)
	if answer.GetIdentity() != "cn:auditor" {
		t.Errorf("got %v", answer)
	}
	// Without the request, neither the CA nor the identity comes from the environment.
	t.Setenv("SEALWARD_CA", server.folder+"/tls/ca.pem")
	plain, err := sealward.NewClient(server.endpoint)
	check(t, err)
	defer func() { _ = plain.Close() }()
	_, err = plain.Access.WhoAmI(t.Context(), &sealwardv1.WhoAmIRequest{})
	var failure *sealward.Error
	if !errors.As(err, &failure) || failure.Origin != sealward.OriginTLSRefused {
		t.Errorf("got %v", err)
	}
}

func TestProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	program, err := os.Executable()
	check(t, err)
	// In a program of its own, because Go reads the variable once. Go uses no proxy for 127.0.0.1, but for the name of this test.
	command := exec.Command(program, "-test.run=^TestReadsAreDistributedOverAllServers$")
	command.Env = append(os.Environ(), "HTTPS_PROXY=http://127.0.0.1:1")
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

func TestCallsOverPlaintextAreRefused(t *testing.T) {
	server := newServer(t, map[string]any{"listen.plaintext_address": "127.0.0.1:0"})
	client, err := sealward.NewClient("http://"+server.plaintext, sealward.WithPlaintext())
	check(t, err)
	defer func() { _ = client.Close() }()
	_, err = client.Access.WhoAmI(t.Context(), &sealwardv1.WhoAmIRequest{})
	var failure *sealward.Error
	if !errors.As(err, &failure) || failure.Code != codes.FailedPrecondition || failure.ReasonName != "HTTPS_REQUIRED" || failure.CallID == "" {
		t.Errorf("got %v", err)
	}
}

func TestMethodThatTheServerLacksIsExplained(t *testing.T) {
	client := newServer(t, map[string]any{"schema.mail": false}).connect(t, "reader")
	_, err := client.Mailboxes.GetMailbox(t.Context(), &sealwardmailv1.GetMailboxRequest{Name: "organizations/default/mailboxes/a"})
	const want = "sealward: METHOD_UNKNOWN: the server doesn't have this method: it may be older than this client"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
