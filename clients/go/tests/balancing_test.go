package tests

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/sealward/sealward/clients/go"
	sealwardmailv1 "github.com/sealward/sealward/clients/go/sealward/mail/v1"
	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
)

// deploymentName is a name with deploymentAddresses.
const deploymentName = "sealward.test"

var deploymentAddresses = [][4]byte{{127, 0, 0, 1}, {127, 0, 0, 2}}

// TestMain makes the program use a DNS server of its own, before a client resolves a name.
func TestMain(m *testing.M) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go serveDNS(socket)
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
	m.Run()
}

// serveDNS answers queries until the program ends.
func serveDNS(socket net.PacketConn) {
	buffer := make([]byte, 512)
	for {
		length, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return
		}
		if answer, err := answerDNS(buffer[:length], deploymentAddresses); err == nil {
			_, _ = socket.WriteTo(answer, from)
		}
	}
}

func answerDNS(query []byte, addresses [][4]byte) ([]byte, error) {
	var message dnsmessage.Message
	if err := message.Unpack(query); err != nil {
		return nil, err
	}
	message.Response, message.Authoritative, message.Additionals = true, true, nil
	for _, question := range message.Questions {
		if question.Type != dnsmessage.TypeA || !strings.HasPrefix(question.Name.String(), deploymentName+".") {
			continue
		}
		for _, address := range addresses {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: address},
			})
		}
	}
	return message.Pack()
}

// createMailbox creates a mailbox with a password, and returns its name.
func createMailbox(t *testing.T, server *server) string {
	t.Helper()
	mailbox, err := server.connect(t, "writer").Mailboxes.CreateMailbox(t.Context(), &sealwardmailv1.CreateMailboxRequest{
		Parent:  "organizations/default",
		Mailbox: &sealwardmailv1.Mailbox{DisplayName: proto.String("Sales"), Password: proto.String(newSecret())},
	})
	check(t, err)
	return mailbox.GetName()
}

func TestReadsAreDistributedOverAllServers(t *testing.T) {
	first := newFolder(t, nil)
	prepared := start(t, first, "127.0.0.1:0")
	mailbox := createMailbox(t, prepared)
	prepared.stop(t)
	second := newFolder(t, nil)
	check(t, exec.Command("cp", "-a", first, second).Run())
	one := start(t, first, "127.0.0.1:0")
	defer one.stop(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(one.endpoint, "https://"), ":")
	other := start(t, second, "127.0.0.2:"+port)
	defer other.stop(t)

	client := connectTo(t, "dns:///"+deploymentName+":"+port, first, "reader", sealward.WithDomainName("localhost"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	read := func() string {
		var answered peer.Peer
		answer, err := client.Mailboxes.GetMailbox(ctx, &sealwardmailv1.GetMailboxRequest{Name: mailbox}, grpc.Peer(&answered))
		check(t, err)
		if !answer.GetIsPasswordSet() || answer.Password != nil {
			t.Fatalf("got %v", answer)
		}
		host, _, err := net.SplitHostPort(answered.Addr.String())
		check(t, err)
		return host
	}
	// The client connects to both, and uses the first connection until the second is ready.
	for seen := map[string]bool{}; len(seen) < 2; {
		seen[read()] = true
	}
	counts := map[string]int{}
	for range 100 {
		counts[read()]++
	}
	if counts["127.0.0.1"] != 50 || counts["127.0.0.2"] != 50 {
		t.Errorf("got %v", counts)
	}
	// A server stops while clients read: its calls go to the other one.
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		other.stop(t)
	}()
	after := map[string]int{}
	for isStopped := false; !isStopped; {
		select {
		case <-stopped:
			isStopped = true
		default:
		}
		for range 20 {
			after[read()]++
		}
	}
	t.Logf("reads by server: %v; while one stops: %v; no failed call", counts, after)
}

// A call of the load, which reports the connection that it used.
type loadCall func(ctx context.Context, option grpc.CallOption) error

func TestConnectionsReachTheirMaximumAgeUnderLoad(t *testing.T) {
	server := newServer(t, map[string]any{"limits.connection_age_max_seconds": 1, "limits.reveals_per_minute_per_identity": 0})
	mailbox := createMailbox(t, server)
	// Without retries by the client: a call that the server doesn't process is sent again by gRPC on a new connection.
	writer := server.connect(t, "writer", sealward.WithRetry(sealward.NeverRetry()))
	reader := server.connect(t, "reader", sealward.WithRetry(sealward.NeverRetry()))
	connector := server.connect(t, "connector", sealward.WithRetry(sealward.NeverRetry()))
	loads := map[string]loadCall{
		"reads": func(ctx context.Context, option grpc.CallOption) error {
			_, err := reader.Mailboxes.GetMailbox(ctx, &sealwardmailv1.GetMailboxRequest{Name: mailbox}, option)
			return err
		},
		"reveals": func(ctx context.Context, option grpc.CallOption) error {
			request := &sealwardv1.RevealAttributesRequest{Name: mailbox, Attributes: []string{"password"}, Purpose: "load"}
			_, err := connector.SecretAccess.RevealAttributes(ctx, request, option)
			return err
		},
		"updates": func(ctx context.Context, option grpc.CallOption) error {
			_, err := writer.Mailboxes.UpdateMailbox(ctx, &sealwardmailv1.UpdateMailboxRequest{
				Mailbox:    &sealwardmailv1.Mailbox{Name: mailbox, Password: proto.String(newSecret())},
				UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"password"}},
			}, option)
			return err
		},
	}
	for name, call := range loads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls, err := load(t, call)
			if err != nil {
				t.Fatalf("after %d calls: %v", calls, err)
			}
			t.Logf("%d calls over %d connections, no failed call", calls, connections)
		})
	}
}

const (
	// callers is the number of concurrent callers of a client.
	callers = 3
	// connections is the number of connections that a client must use until its load ends.
	connections = 4
)

var errTooFew = errors.New("the connections don't reach their maximum age")

// load makes calls until they have used enough connections, or one fails.
func load(t *testing.T, call loadCall) (int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var mutex sync.Mutex
	calls, used := 0, map[string]bool{}
	var failures []error
	var group sync.WaitGroup
	for range callers {
		group.Add(1)
		go func() {
			defer group.Done()
			for isDone := false; !isDone; {
				var answered peer.Peer
				err := call(ctx, grpc.Peer(&answered))
				mutex.Lock()
				calls++
				if err != nil {
					failures = append(failures, err)
				} else {
					used[fmt.Sprint(answered.LocalAddr)] = true
				}
				isDone = len(used) >= connections || len(failures) > 0
				mutex.Unlock()
			}
		}()
	}
	group.Wait()
	if len(failures) == 0 && len(used) < connections {
		failures = append(failures, errTooFew)
	}
	return calls, errors.Join(failures...)
}
