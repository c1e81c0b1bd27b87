// Generated from sealward/v1/data_encryption.proto. Do not edit.
package io.sealward.client;

import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Manages the encryption key of an organization. The key is a text that an administrator sets and keeps safe. All keys that protect the
 * organization's encrypted attributes are derived from it or encrypted with it.
 * <p>Data encryption is active if the key is present and proven to open the organization's data. Otherwise, it is inactive, for example after
 * the organization's database was moved from another deployment. It can't be switched off.
 * <p>Every method requires TLS and an identity. Every method can return these errors:
 * <ul>
 * <li>FAILED_PRECONDITION HTTPS_REQUIRED
 * <li>UNAUTHENTICATED IDENTITY_REQUIRED
 * <li>PERMISSION_DENIED PRIVILEGE_MISSING
 * <li>INVALID_ARGUMENT MESSAGE_INVALID
 * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE
 * <li>UNAVAILABLE STORE_UNAVAILABLE, AUDIT_UNAVAILABLE or SHUTTING_DOWN
 * <li>DEADLINE_EXCEEDED, CANCELLED or INTERNAL
 * <li>INVALID_ARGUMENT FIELD_INVALID
 * <li>NOT_FOUND: the organization doesn't exist.
 * </ul>
 * <p>A database that can't be reached is UNAVAILABLE. It is never reported as inactive.
 * <p>A failed call throws a {@link SealwardException}.
 */
public final class DataEncryptionClient {
    private static final MethodDescriptor<io.sealward.v1.IsDataEncryptionActiveRequest, io.sealward.v1.IsDataEncryptionActiveResponse> IS_DATA_ENCRYPTION_ACTIVE = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.DataEncryptionService",
            "IsDataEncryptionActive",
            io.sealward.v1.IsDataEncryptionActiveRequest.getDefaultInstance(),
            io.sealward.v1.IsDataEncryptionActiveResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.RetrieveDataEncryptionKeyRequest, io.sealward.v1.RetrieveDataEncryptionKeyResponse> RETRIEVE_DATA_ENCRYPTION_KEY = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.DataEncryptionService",
            "RetrieveDataEncryptionKey",
            io.sealward.v1.RetrieveDataEncryptionKeyRequest.getDefaultInstance(),
            io.sealward.v1.RetrieveDataEncryptionKeyResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.SetDataEncryptionKeyRequest, io.sealward.v1.SetDataEncryptionKeyResponse> SET_DATA_ENCRYPTION_KEY = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.DataEncryptionService",
            "SetDataEncryptionKey",
            io.sealward.v1.SetDataEncryptionKeyRequest.getDefaultInstance(),
            io.sealward.v1.SetDataEncryptionKeyResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.WatchReencryptionRequest, io.sealward.v1.Reencryption> WATCH_REENCRYPTION = Methods.describe(
            MethodDescriptor.MethodType.SERVER_STREAMING,
            "sealward.v1.DataEncryptionService",
            "WatchReencryption",
            io.sealward.v1.WatchReencryptionRequest.getDefaultInstance(),
            io.sealward.v1.Reencryption.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.ListUnreadableCellsRequest, io.sealward.v1.ListUnreadableCellsResponse> LIST_UNREADABLE_CELLS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.DataEncryptionService",
            "ListUnreadableCells",
            io.sealward.v1.ListUnreadableCellsRequest.getDefaultInstance(),
            io.sealward.v1.ListUnreadableCellsResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.VerifyCellsRequest, io.sealward.v1.VerifyCellsResponse> VERIFY_CELLS = Methods.describe(
            MethodDescriptor.MethodType.SERVER_STREAMING,
            "sealward.v1.DataEncryptionService",
            "VerifyCells",
            io.sealward.v1.VerifyCellsRequest.getDefaultInstance(),
            io.sealward.v1.VerifyCellsResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.ListKeyChangesRequest, io.sealward.v1.ListKeyChangesResponse> LIST_KEY_CHANGES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.DataEncryptionService",
            "ListKeyChanges",
            io.sealward.v1.ListKeyChangesRequest.getDefaultInstance(),
            io.sealward.v1.ListKeyChangesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.AbandonEncryptedDataRequest, io.sealward.v1.AbandonEncryptedDataResponse> ABANDON_ENCRYPTED_DATA = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.DataEncryptionService",
            "AbandonEncryptedData",
            io.sealward.v1.AbandonEncryptedDataRequest.getDefaultInstance(),
            io.sealward.v1.AbandonEncryptedDataResponse.getDefaultInstance());

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(IS_DATA_ENCRYPTION_ACTIVE, RETRIEVE_DATA_ENCRYPTION_KEY, SET_DATA_ENCRYPTION_KEY, WATCH_REENCRYPTION, LIST_UNREADABLE_CELLS, VERIFY_CELLS, LIST_KEY_CHANGES, ABANDON_ENCRYPTED_DATA);

    private final Calls calls;

    DataEncryptionClient(Calls calls) {
        this.calls = calls;
    }

    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */
    public DataEncryptionClient withTimeout(Duration timeout) {
        return new DataEncryptionClient(calls.withTimeout(timeout));
    }

    /**
     * Returns whether data encryption is active, with the current key's fingerprint and the progress of a re-encryption.
     * <p>Errors: only those of every method. A missing or damaged key ring isn't an error. The response then has {@code is_active} false and no
     * fingerprint.
     */
    public io.sealward.v1.IsDataEncryptionActiveResponse isDataEncryptionActive(io.sealward.v1.IsDataEncryptionActiveRequest request) {
        return calls.unary(IS_DATA_ENCRYPTION_ACTIVE, request);
    }

    /**
     * The asynchronous form of {@link #isDataEncryptionActive}.
     */
    public CompletableFuture<io.sealward.v1.IsDataEncryptionActiveResponse> isDataEncryptionActiveAsync(io.sealward.v1.IsDataEncryptionActiveRequest request) {
        return calls.unaryAsync(IS_DATA_ENCRYPTION_ACTIVE, request);
    }

    /**
     * Returns the encryption key of an organization, so that it can be kept in a safe place. Without the key, a copy of the organization's
     * database is useless. Each call is recorded in the audit trail before the response is sent.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE: data encryption is inactive.
     * <li>DATA_LOSS KEY_RING_DAMAGED: the key ring is missing or damaged.
     * </ul>
     */
    public io.sealward.v1.RetrieveDataEncryptionKeyResponse retrieveDataEncryptionKey(io.sealward.v1.RetrieveDataEncryptionKeyRequest request) {
        return calls.unary(RETRIEVE_DATA_ENCRYPTION_KEY, request);
    }

    /**
     * The asynchronous form of {@link #retrieveDataEncryptionKey}.
     */
    public CompletableFuture<io.sealward.v1.RetrieveDataEncryptionKeyResponse> retrieveDataEncryptionKeyAsync(io.sealward.v1.RetrieveDataEncryptionKeyRequest request) {
        return calls.unaryAsync(RETRIEVE_DATA_ENCRYPTION_KEY, request);
    }

    /**
     * Changes or restores the encryption key of an organization. {@code change_encryption_key} selects the operation.
     * <p>A restore takes the key that the organization's data is encrypted with, verifies it, and makes data encryption active again. It doesn't
     * re-encrypt anything. A re-encryption that waited for the key continues.
     * <p>A change takes a new key while data encryption is active. The response is sent as soon as the change is durable. Stored values are then
     * re-encrypted in the background, without an interruption of service. From then on, the new text is the organization's key, and new
     * copies of its database need it. Older copies still open with the older text.
     * <p>An organization has at most one SetDataEncryptionKey at a time, including its re-encryption. A second call is refused immediately. A
     * call isn't stopped if its caller disconnects or its deadline passes. Each call is recorded in the audit trail, including refused calls.
     * <p>A change requires the privilege prvChangeSqlEncryptionKey, a restore requires prvRestoreSqlEncryptionKey. The server reads the request
     * of a caller that has either privilege. Then it checks the privilege that the request requires.
     * <p>Errors, in addition to those of every method, in the order of the checks:
     * <ul>
     * <li>ABORTED SET_KEY_ALREADY_RUNNING: another call is running.
     * <li>DATA_LOSS KEY_RING_DAMAGED: the key ring is missing or damaged.
     * <li>FAILED_PRECONDITION KEY_INACTIVE: the request is a change, and data encryption is inactive.
     * <li>ABORTED SET_KEY_ALREADY_RUNNING: a re-encryption is running.
     * <li>FAILED_PRECONDITION KEY_ALREADY_ACTIVE: the request is a restore, and data encryption is active.
     * <li>RESOURCE_EXHAUSTED KEY_CHANGE_QUOTA or KEY_RESTORE_QUOTA: the limit of changes or of attempts to restore is reached.
     * <li>INVALID_ARGUMENT KEY_VALIDATION: the text can't be a key.
     * <li>FAILED_PRECONDITION KEY_MISMATCH: the request is a restore, and the text doesn't open the data.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the key was set.
     * </ul>
     * <p>Safe to repeat: a change to the current key changes nothing and returns the current fingerprint and version. While the re-encryption
     * runs, it returns SET_KEY_ALREADY_RUNNING. The repetition of a completed restore returns KEY_ALREADY_ACTIVE. Each attempt counts
     * towards the quota until a restore succeeds.
     */
    public io.sealward.v1.SetDataEncryptionKeyResponse setDataEncryptionKey(io.sealward.v1.SetDataEncryptionKeyRequest request) {
        return calls.unary(SET_DATA_ENCRYPTION_KEY, request);
    }

    /**
     * The asynchronous form of {@link #setDataEncryptionKey}.
     */
    public CompletableFuture<io.sealward.v1.SetDataEncryptionKeyResponse> setDataEncryptionKeyAsync(io.sealward.v1.SetDataEncryptionKeyRequest request) {
        return calls.unaryAsync(SET_DATA_ENCRYPTION_KEY, request);
    }

    /**
     * Streams the progress of the re-encryption that a key change began. The first message is sent immediately. While the re-encryption runs,
     * at least one message is sent each second. The last message is sent when it has ended. If no re-encryption runs, or if it waits for its
     * key, the stream ends after one message.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many lists or streams open.
     * <li>UNAVAILABLE SHUTTING_DOWN: the server is shutting down. The re-encryption continues at the next start.
     * <li>UNAVAILABLE CONNECTION_ENDING: the connection has reached its maximum age, or client CAs or revocation lists have changed.
     * </ul>
     * <p>If the caller reads nothing of a message for answer_stall_max_ms (20 seconds by default), the server resets the stream, and the caller
     * gets CANCELLED without a reason. In each of these cases, call the method again.
     * <p>Close the stream unless you read it to its end.
     */
    public ResponseStream<io.sealward.v1.Reencryption> watchReencryption(io.sealward.v1.WatchReencryptionRequest request) {
        return calls.serverStream(WATCH_REENCRYPTION, request);
    }

    /**
     * Lists the cells (stored values of encrypted attributes) that the last re-encryption could not open and left unchanged, page by page.
     * They are in the order of entity, attribute and record. A cell is no longer listed after its attribute is set or cleared, or its record
     * is deleted.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT PAGE_TOKEN_INVALID: the page token is invalid.
     * </ul>
     */
    public io.sealward.v1.ListUnreadableCellsResponse listUnreadableCells(io.sealward.v1.ListUnreadableCellsRequest request) {
        return calls.unary(LIST_UNREADABLE_CELLS, request);
    }

    /**
     * The asynchronous form of {@link #listUnreadableCells}.
     */
    public CompletableFuture<io.sealward.v1.ListUnreadableCellsResponse> listUnreadableCellsAsync(io.sealward.v1.ListUnreadableCellsRequest request) {
        return calls.unaryAsync(LIST_UNREADABLE_CELLS, request);
    }

    /**
     * Returns all records of {@link #listUnreadableCells}, from the request's page on. Each page is a call.
     */
    public Pages<io.sealward.v1.UnreadableCell> listAllUnreadableCells(io.sealward.v1.ListUnreadableCellsRequest request) {
        return new Pages<>(
                request.getPageToken(),
                token -> listUnreadableCells(request.toBuilder().setPageToken(token).build()),
                page -> page.getUnreadableCellsList(),
                page -> page.getNextPageToken());
    }

    /**
     * Verifies that every cell of an organization opens, in a snapshot of the database. It reports each cell that doesn't open, and each type
     * of cell that the census ({@code cell_counts}) counts incorrectly. It doesn't return or change values, and writes continue during the call.
     * The first message is sent immediately, then several each second. The last message has {@code is_complete} true. Each call is recorded in the
     * audit trail before the response is sent.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE: data encryption is inactive.
     * <li>DATA_LOSS KEY_RING_DAMAGED: the key ring is missing or damaged.
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many lists or streams open.
     * <li>ABORTED TRANSFER_LIMIT: the verification keeps a key change from finishing, or the database's write-ahead log from being truncated.
     * <li>UNAVAILABLE SHUTTING_DOWN: the server is shutting down.
     * <li>UNAVAILABLE CONNECTION_ENDING: the connection has reached its maximum age, or client CAs or revocation lists have changed.
     * </ul>
     * <p>If the caller reads nothing of a message for answer_stall_max_ms (20 seconds by default), the server resets the stream, and the caller
     * gets CANCELLED without a reason.
     * <p>Close the stream unless you read it to its end.
     */
    public ResponseStream<io.sealward.v1.VerifyCellsResponse> verifyCells(io.sealward.v1.VerifyCellsRequest request) {
        return calls.serverStream(VERIFY_CELLS, request);
    }

    /**
     * Lists the fingerprints of the keys that an organization has had, newest first, page by page. They show which text an older copy of its
     * database needs. The texts of former keys aren't kept.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT PAGE_TOKEN_INVALID: the page token is invalid.
     * </ul>
     */
    public io.sealward.v1.ListKeyChangesResponse listKeyChanges(io.sealward.v1.ListKeyChangesRequest request) {
        return calls.unary(LIST_KEY_CHANGES, request);
    }

    /**
     * The asynchronous form of {@link #listKeyChanges}.
     */
    public CompletableFuture<io.sealward.v1.ListKeyChangesResponse> listKeyChangesAsync(io.sealward.v1.ListKeyChangesRequest request) {
        return calls.unaryAsync(LIST_KEY_CHANGES, request);
    }

    /**
     * Returns all records of {@link #listKeyChanges}, from the request's page on. Each page is a call.
     */
    public Pages<io.sealward.v1.KeyChange> listAllKeyChanges(io.sealward.v1.ListKeyChangesRequest request) {
        return new Pages<>(
                request.getPageToken(),
                token -> listKeyChanges(request.toBuilder().setPageToken(token).build()),
                page -> page.getKeyChangesList(),
                page -> page.getNextPageToken());
    }

    /**
     * Discards all encrypted attributes of an organization whose key is permanently lost, or whose key ring is missing or damaged, and sets a
     * new key. The response is sent as soon as the operation is durable. Values that can't be opened are then cleared in the background, and
     * WatchReencryption reports the progress. Attributes that aren't encrypted remain. This can't be undone, except with a copy of the
     * database and its key.
     * <p>An organization has at most one AbandonEncryptedData or SetDataEncryptionKey at a time. Each call is recorded in the audit trail,
     * including refused calls.
     * <p>Errors, in addition to those of every method, in the order of the checks:
     * <ul>
     * <li>ABORTED SET_KEY_ALREADY_RUNNING: another call or a re-encryption is running.
     * <li>FAILED_PRECONDITION KEY_ALREADY_ACTIVE: data encryption is active, so nothing is lost.
     * <li>UNAVAILABLE WRITTEN_BY_NEWER_VERSION or ROOT_KEY_UNKNOWN: nothing is lost. Another server, or this server with another root key, can
     * use the key.
     * <li>INVALID_ARGUMENT FIELD_INVALID: {@code confirm_fingerprint} is the fingerprint of another key.
     * <li>INVALID_ARGUMENT KEY_VALIDATION: the text can't be a key.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the data was abandoned.
     * </ul>
     * <p>Safe to repeat: the repetition of a completed call returns KEY_ALREADY_ACTIVE, or SET_KEY_ALREADY_RUNNING while values are being
     * cleared.
     */
    public io.sealward.v1.AbandonEncryptedDataResponse abandonEncryptedData(io.sealward.v1.AbandonEncryptedDataRequest request) {
        return calls.unary(ABANDON_ENCRYPTED_DATA, request);
    }

    /**
     * The asynchronous form of {@link #abandonEncryptedData}.
     */
    public CompletableFuture<io.sealward.v1.AbandonEncryptedDataResponse> abandonEncryptedDataAsync(io.sealward.v1.AbandonEncryptedDataRequest request) {
        return calls.unaryAsync(ABANDON_ENCRYPTED_DATA, request);
    }
}
