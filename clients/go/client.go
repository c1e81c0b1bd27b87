package sealward

import (
	"fmt"
	"io"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	sealwardmailv1 "github.com/sealward/sealward/clients/go/sealward/mail/v1"
	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
)

// Client is a client of one deployment. It can be used concurrently. Its connections are restored if they break.
type Client struct {
	// Organizations manages the organizations of the deployment.
	Organizations sealwardv1.OrganizationServiceClient
	// DataEncryption manages encryption keys. See also [Client.ChangeKey] and [Client.WatchReencryption].
	DataEncryption sealwardv1.DataEncryptionServiceClient
	// SecretAccess reveals encrypted attributes.
	SecretAccess sealwardv1.SecretAccessServiceClient
	// Audit reads and verifies audit trails.
	Audit sealwardv1.AuditServiceClient
	// Metadata describes and customizes entities and attributes.
	Metadata sealwardv1.MetadataServiceClient
	// Access lists bindings and explains permissions.
	Access sealwardv1.AccessServiceClient
	// Server has the version and the state of the server.
	Server sealwardv1.ServerServiceClient
	// Mailboxes has the records of the entity Mailbox.
	Mailboxes sealwardmailv1.MailboxServiceClient
	// EmailServerProfiles has the records of the entity EmailServerProfile.
	EmailServerProfiles sealwardmailv1.EmailServerProfileServiceClient
	// Queues has the records of the entity Queue.
	Queues sealwardmailv1.QueueServiceClient
	// UserSettings has the records of the entity UserSettings.
	UserSettings sealwardmailv1.UserSettingsServiceClient
	// MailboxConnections resolves the data for signing in to a mail server.
	MailboxConnections sealwardmailv1.MailboxConnectionServiceClient

	connection *connection
}

// serviceConfig distributes calls over all addresses of the target.
const serviceConfig = `{"loadBalancingConfig": [{"round_robin": {}}]}`

// NewClient creates a client. It connects with the first call: NewClient reads files and validates options, but doesn't contact the server.
//
// The target is a URL such as https://127.0.0.1:7443, or a gRPC target such as dns:///sealward.example.com:7443. If its name has several
// addresses, calls are distributed over all of them. The connection uses TLS, except with [WithPlaintext]. Its error is a *[SetupError].
func NewClient(target string, options ...Option) (*Client, error) {
	settings := defaultSettings()
	for _, option := range options {
		option(&settings)
	}
	address, err := parseTarget(target, settings.isPlaintext)
	if err != nil {
		return nil, &SetupError{err}
	}
	credentials, err := settings.transportCredentials()
	if err != nil {
		return nil, &SetupError{err}
	}
	if err := settings.validate(); err != nil {
		return nil, &SetupError{err}
	}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials),
		grpc.WithUserAgent("sealward-go/" + Version),
		// This package makes the retries. Proxies from environment variables and service configs from DNS aren't used.
		grpc.WithDisableRetry(),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(settings.messageSizeMaxBytes),
			grpc.MaxCallSendMsgSize(settings.messageSizeMaxBytes),
		),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveInterval, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay:  policy.retry.PauseFirst,
				Multiplier: policy.multiplier,
				Jitter:     backoff.DefaultConfig.Jitter,
				MaxDelay:   policy.retry.PauseMax,
			},
			MinConnectTimeout: connectTimeout,
		}),
	}
	channel, err := grpc.NewClient(address, append(dial, settings.dial...)...)
	if err != nil {
		return nil, &SetupError{fmt.Errorf("sealward: %w", err)}
	}
	connection := &connection{
		channel:     channel,
		timeout:     settings.timeout,
		retry:       settings.retry,
		tokens:      settings.tokens,
		canRefresh:  settings.canRefresh,
		isPlaintext: settings.isPlaintext,
		watchPause:  watchPause,
	}
	return &Client{
		Organizations:       sealwardv1.NewOrganizationServiceClient(connection),
		DataEncryption:      sealwardv1.NewDataEncryptionServiceClient(connection),
		SecretAccess:        sealwardv1.NewSecretAccessServiceClient(connection),
		Audit:               sealwardv1.NewAuditServiceClient(connection),
		Metadata:            sealwardv1.NewMetadataServiceClient(connection),
		Access:              sealwardv1.NewAccessServiceClient(connection),
		Server:              sealwardv1.NewServerServiceClient(connection),
		Mailboxes:           sealwardmailv1.NewMailboxServiceClient(connection),
		EmailServerProfiles: sealwardmailv1.NewEmailServerProfileServiceClient(connection),
		Queues:              sealwardmailv1.NewQueueServiceClient(connection),
		UserSettings:        sealwardmailv1.NewUserSettingsServiceClient(connection),
		MailboxConnections:  sealwardmailv1.NewMailboxConnectionServiceClient(connection),
		connection:          connection,
	}, nil
}

// Close closes the connections. Running calls fail.
func (c *Client) Close() error {
	return c.connection.channel.Close()
}

// Conn returns the connection for generated clients of other services, such as the services of your own schema. Their calls have this client's
// deadlines, retries, credentials and errors.
func (c *Client) Conn() grpc.ClientConnInterface {
	return c.connection
}

// ServerVersion returns the version of the server that answered last. Empty before the first answer, and for a server that doesn't send it.
func (c *Client) ServerVersion() string {
	version, _ := c.connection.version.Load().(string)
	return version
}

// String returns the target of the client. It contains no credentials.
func (c *Client) String() string {
	if c == nil {
		return "<nil>"
	}
	return fmt.Sprintf("sealward.Client{%s}", c.connection.channel.Target())
}

// Format prints the target of the client for every verb of package fmt.
func (c *Client) Format(state fmt.State, verb rune) {
	formatSafely(state, verb, c.String())
}

// MarshalText returns the target of the client.
func (c *Client) MarshalText() ([]byte, error) {
	return []byte(c.String()), nil
}

// LogValue returns the target of the client for package log/slog.
func (c *Client) LogValue() slog.Value {
	return slog.StringValue(c.String())
}

// formatSafely prints a text instead of the value that is formatted.
func formatSafely(state fmt.State, verb rune, text string) {
	if verb == 'v' {
		_, _ = io.WriteString(state, text)
		return
	}
	_, _ = fmt.Fprintf(state, fmt.FormatString(state, verb), text)
}
