package io.sealward.client;

import io.grpc.ManagedChannel;
import io.sealward.v1.RevealAttributesRequest;
import io.sealward.v1.SetDataEncryptionKeyRequest;
import io.sealward.v1.SetDataEncryptionKeyResponse;
import java.time.Duration;
import java.util.Collection;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/**
 * A client of Sealward, with a client for each service. Thread-safe: use one for a whole program, and close it at its end.
 *
 * <p>Each rpc has a blocking method, and an asynchronous one that returns a {@code CompletableFuture}. Cancelling the future cancels the call.
 * Lists also have a method {@code listAll…}, which follows the pages.
 */
public final class SealwardClient implements AutoCloseable {
    private final Connection connection;
    private final Calls calls;

    SealwardClient(Connection connection, Duration timeout) {
        this(connection, new Calls(connection, timeout));
    }

    private SealwardClient(Connection connection, Calls calls) {
        this.connection = connection;
        this.calls = calls;
    }

    /**
     * Configures a client for a server, such as {@code https://127.0.0.1:7443}, or for all addresses of a name, such as
     * {@code dns:///sealward.example.org:7443}.
     */
    public static SealwardClientBuilder builder(String endpoint) {
        return new SealwardClientBuilder(endpoint);
    }

    /**
     * Configures a client by the environment variables of the command line: SEALWARD_ENDPOINT, SEALWARD_CA, SEALWARD_CERT, SEALWARD_KEY,
     * SEALWARD_TOKEN_FILE, SEALWARD_DEV and SEALWARD_AS. The certificates of SEALWARD_DEV take precedence over those of SEALWARD_CA,
     * SEALWARD_CERT and SEALWARD_KEY. Nothing else in this library reads the environment.
     */
    public static SealwardClientBuilder fromEnvironment() {
        return new Environment(System::getenv).builder();
    }

    /**
     * Returns a client on the same connection whose calls end after {@code timeout}, with their retries. It applies to streams too, which have
     * no timeout by default. Closing either client closes the connection.
     */
    public SealwardClient withTimeout(Duration timeout) {
        return new SealwardClient(connection, calls.withTimeout(timeout));
    }

    /** Returns the client of OrganizationService. */
    public OrganizationsClient organizations() {
        return new OrganizationsClient(calls);
    }

    /** Returns the client of DataEncryptionService. */
    public DataEncryptionClient dataEncryption() {
        return new DataEncryptionClient(calls);
    }

    /** Returns the client of SecretAccessService. */
    public SecretAccessClient secretAccess() {
        return new SecretAccessClient(calls);
    }

    /** Returns the client of AuditService. */
    public AuditClient audit() {
        return new AuditClient(calls);
    }

    /** Returns the client of MetadataService. */
    public MetadataClient metadata() {
        return new MetadataClient(calls);
    }

    /** Returns the client of AccessService. */
    public AccessClient access() {
        return new AccessClient(calls);
    }

    /** Returns the client of ServerService. */
    public ServerClient server() {
        return new ServerClient(calls);
    }

    /** Returns the client of MailboxService. */
    public MailboxesClient mailboxes() {
        return new MailboxesClient(calls);
    }

    /** Returns the client of EmailServerProfileService. */
    public EmailServerProfilesClient emailServerProfiles() {
        return new EmailServerProfilesClient(calls);
    }

    /** Returns the client of QueueService. */
    public QueuesClient queues() {
        return new QueuesClient(calls);
    }

    /** Returns the client of UserSettingsService. */
    public UserSettingsClient userSettings() {
        return new UserSettingsClient(calls);
    }

    /** Returns the client of MailboxConnectionService. */
    public MailboxConnectionsClient mailboxConnections() {
        return new MailboxConnectionsClient(calls);
    }

    /**
     * Changes the encryption key of an organization. The answer is sent as soon as the change is durable; the result reports the progress of
     * the re-encryption that follows. Store the new key in a safe place before the call; {@link #generateKeyText} makes one.
     *
     * <p>Never repeated. If it isn't known whether the key was set, call this method again with the same key: a change to the current key changes
     * nothing.
     */
    public KeyChangeProgress changeKey(String organization, Secret encryptionKey) {
        return new KeyChangeProgress(this, organization, setKey(organization, encryptionKey, true), Bounds.WATCH_PAUSE);
    }

    /** Restores the encryption key of an inactive organization. Never repeated, because attempts count against a limit. */
    public SetDataEncryptionKeyResponse restoreKey(String organization, Secret encryptionKey) {
        return setKey(organization, encryptionKey, false);
    }

    private SetDataEncryptionKeyResponse setKey(String organization, Secret encryptionKey, boolean isChange) {
        return dataEncryption().setDataEncryptionKey(SetDataEncryptionKeyRequest.newBuilder()
                .setOrganization(organization)
                .setEncryptionKey(encryptionKey.exposeText())
                .setChangeEncryptionKey(isChange)
                .build());
    }

    /** Follows a re-encryption to its end. If it waits for its key, the progress ends after one message. */
    public ReencryptionProgress watchReencryption(String organization) {
        return new ReencryptionProgress(this, organization, Bounds.WATCH_PAUSE, Bounds.WATCH_FAILURES_MAX_AT_FIRST);
    }

    /**
     * Returns the values of encrypted attributes of a record, by attribute. An attribute without a value is absent. The audit trail records the
     * call and its purpose. Never repeated: each call adds an audit record.
     */
    public Map<String, Secret> revealAttributes(String name, Collection<String> attributes, String purpose) {
        Map<String, Secret> values = new TreeMap<>();
        secretAccess()
                .revealAttributes(RevealAttributesRequest.newBuilder().setName(name).addAllAttributes(attributes).setPurpose(purpose).build())
                .getValuesMap()
                .forEach((attribute, value) ->
                        values.put(attribute, value.hasText() ? Secret.of(value.getText()) : Secret.of(value.getData().toByteArray())));
        return values;
    }

    /**
     * Generates an encryption key with 175 random bits: seven groups of five characters of Crockford's Base32, with hyphens, such as
     * {@code 8FQ2M-…}.
     */
    public static Secret generateKeyText() {
        return Secret.of(KeyText.generate());
    }

    /** Generates an idempotency key for the field {@code request_id}. If you store it before the call, you can repeat the call after a crash. */
    public static String newRequestId() {
        return UUID.randomUUID().toString();
    }

    /** Returns the server's version, as it was in the last answer. Empty before the first answer, and if the server doesn't send it. */
    public Optional<String> serverVersion() {
        return connection.serverVersion();
    }

    /** Returns the connection, for other generated clients. Timeouts, retries and tokens of this client don't apply to it. */
    public ManagedChannel channel() {
        return connection.channel();
    }

    /** Closes the connection. Waits up to 5 s for running calls, and then cancels them. A later call fails with {@link Origin#CANCELLED}. */
    @Override
    public void close() {
        ManagedChannel channel = connection.channel().shutdown();
        try {
            if (!channel.awaitTermination(Bounds.CLOSE_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS)) {
                channel.shutdownNow();
            }
        } catch (InterruptedException error) {
            channel.shutdownNow();
            Thread.currentThread().interrupt();
        }
    }

    Connection connection() {
        return connection;
    }
}
