// Generated from sealward/mail/v1/mailbox.proto. Do not edit.
package io.sealward.client;

import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Manages mailboxes: addresses that mail is received at and sent from, with their credentials.
 * <p>Every method requires TLS and an identity. Every method can return these errors:
 * <ul>
 * <li>FAILED_PRECONDITION HTTPS_REQUIRED
 * <li>UNAUTHENTICATED IDENTITY_REQUIRED
 * <li>PERMISSION_DENIED PRIVILEGE_MISSING
 * <li>INVALID_ARGUMENT MESSAGE_INVALID
 * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE
 * <li>UNAVAILABLE STORE_UNAVAILABLE, AUDIT_UNAVAILABLE or SHUTTING_DOWN
 * <li>DEADLINE_EXCEEDED, CANCELLED or INTERNAL
 * </ul>
 * <p>Encrypted attributes are write-only. They are absent from every response, including the responses of Create and Update.
 * <p>A failed call throws a {@link SealwardException}.
 */
public final class MailboxesClient {
    private static final MethodDescriptor<io.sealward.mail.v1.CreateMailboxRequest, io.sealward.mail.v1.Mailbox> CREATE_MAILBOX = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.MailboxService",
            "CreateMailbox",
            io.sealward.mail.v1.CreateMailboxRequest.getDefaultInstance(),
            io.sealward.mail.v1.Mailbox.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.GetMailboxRequest, io.sealward.mail.v1.Mailbox> GET_MAILBOX = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.MailboxService",
            "GetMailbox",
            io.sealward.mail.v1.GetMailboxRequest.getDefaultInstance(),
            io.sealward.mail.v1.Mailbox.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.ListMailboxesRequest, io.sealward.mail.v1.ListMailboxesResponse> LIST_MAILBOXES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.MailboxService",
            "ListMailboxes",
            io.sealward.mail.v1.ListMailboxesRequest.getDefaultInstance(),
            io.sealward.mail.v1.ListMailboxesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.UpdateMailboxRequest, io.sealward.mail.v1.Mailbox> UPDATE_MAILBOX = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.MailboxService",
            "UpdateMailbox",
            io.sealward.mail.v1.UpdateMailboxRequest.getDefaultInstance(),
            io.sealward.mail.v1.Mailbox.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.DeleteMailboxRequest, com.google.protobuf.Empty> DELETE_MAILBOX = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.MailboxService",
            "DeleteMailbox",
            io.sealward.mail.v1.DeleteMailboxRequest.getDefaultInstance(),
            com.google.protobuf.Empty.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchGetMailboxesRequest, io.sealward.mail.v1.BatchGetMailboxesResponse> BATCH_GET_MAILBOXES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.MailboxService",
            "BatchGetMailboxes",
            io.sealward.mail.v1.BatchGetMailboxesRequest.getDefaultInstance(),
            io.sealward.mail.v1.BatchGetMailboxesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchCreateMailboxesRequest, io.sealward.mail.v1.BatchCreateMailboxesResponse> BATCH_CREATE_MAILBOXES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.MailboxService",
            "BatchCreateMailboxes",
            io.sealward.mail.v1.BatchCreateMailboxesRequest.getDefaultInstance(),
            io.sealward.mail.v1.BatchCreateMailboxesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchUpdateMailboxesRequest, io.sealward.mail.v1.BatchUpdateMailboxesResponse> BATCH_UPDATE_MAILBOXES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.MailboxService",
            "BatchUpdateMailboxes",
            io.sealward.mail.v1.BatchUpdateMailboxesRequest.getDefaultInstance(),
            io.sealward.mail.v1.BatchUpdateMailboxesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchDeleteMailboxesRequest, com.google.protobuf.Empty> BATCH_DELETE_MAILBOXES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.MailboxService",
            "BatchDeleteMailboxes",
            io.sealward.mail.v1.BatchDeleteMailboxesRequest.getDefaultInstance(),
            com.google.protobuf.Empty.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.ImportMailboxesRequest, io.sealward.mail.v1.ImportMailboxesResponse> IMPORT_MAILBOXES = Methods.describe(
            MethodDescriptor.MethodType.BIDI_STREAMING,
            "sealward.mail.v1.MailboxService",
            "ImportMailboxes",
            io.sealward.mail.v1.ImportMailboxesRequest.getDefaultInstance(),
            io.sealward.mail.v1.ImportMailboxesResponse.getDefaultInstance());

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(CREATE_MAILBOX, GET_MAILBOX, LIST_MAILBOXES, UPDATE_MAILBOX, DELETE_MAILBOX, BATCH_GET_MAILBOXES, BATCH_CREATE_MAILBOXES, BATCH_UPDATE_MAILBOXES, BATCH_DELETE_MAILBOXES, IMPORT_MAILBOXES);

    private final Calls calls;

    MailboxesClient(Calls calls) {
        this.calls = calls;
    }

    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */
    public MailboxesClient withTimeout(Duration timeout) {
        return new MailboxesClient(calls.withTimeout(timeout));
    }

    /**
     * Creates a mailbox and returns it as stored, with defaults filled in.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>ALREADY_EXISTS: a mailbox with this id exists.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the mailbox was created.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed Create changes nothing. It returns the mailbox as it is now, or
     * NOT_FOUND if it was deleted. Without a {@code request_id}, a repetition returns ALREADY_EXISTS if {@code mailbox_id} is set. Otherwise it creates
     * another mailbox.
     */
    public io.sealward.mail.v1.Mailbox createMailbox(io.sealward.mail.v1.CreateMailboxRequest request) {
        return calls.unary(CREATE_MAILBOX, createMailboxRequest(request));
    }

    /**
     * The asynchronous form of {@link #createMailbox}.
     */
    public CompletableFuture<io.sealward.mail.v1.Mailbox> createMailboxAsync(io.sealward.mail.v1.CreateMailboxRequest request) {
        return calls.unaryAsync(CREATE_MAILBOX, createMailboxRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.CreateMailboxRequest createMailboxRequest(io.sealward.mail.v1.CreateMailboxRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Returns a mailbox, or only the fields of it that {@code read_mask} names.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>NOT_FOUND: the organization or the mailbox doesn't exist.
     * </ul>
     */
    public io.sealward.mail.v1.Mailbox getMailbox(io.sealward.mail.v1.GetMailboxRequest request) {
        return calls.unary(GET_MAILBOX, request);
    }

    /**
     * The asynchronous form of {@link #getMailbox}.
     */
    public CompletableFuture<io.sealward.mail.v1.Mailbox> getMailboxAsync(io.sealward.mail.v1.GetMailboxRequest request) {
        return calls.unaryAsync(GET_MAILBOX, request);
    }

    /**
     * Lists the mailboxes of an organization that match {@code filter}, in the order of {@code order_by}, page by page.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT ENCRYPTED_ATTRIBUTE: the filter or the order names an encrypted attribute.
     * <li>INVALID_ARGUMENT FILTER_INVALID: the filter is invalid.
     * <li>INVALID_ARGUMENT FIELD_INVALID: other fields of the request are invalid.
     * <li>INVALID_ARGUMENT PAGE_TOKEN_INVALID: the page token is invalid. It is checked only if all other fields are valid.
     * <li>NOT_FOUND: the organization doesn't exist.
     * </ul>
     * <p>If several of the INVALID_ARGUMENT reasons apply, the error has the first one in this order, and lists all violations.
     * <p>Pages aren't a snapshot. A record that is created or deleted between two pages may or may not appear. A record that doesn't change
     * appears exactly once. If an update changes an attribute that the list filters or orders by, the record moves. It can then be missing
     * from two successive pages, or appear on both.
     */
    public io.sealward.mail.v1.ListMailboxesResponse listMailboxes(io.sealward.mail.v1.ListMailboxesRequest request) {
        return calls.unary(LIST_MAILBOXES, request);
    }

    /**
     * The asynchronous form of {@link #listMailboxes}.
     */
    public CompletableFuture<io.sealward.mail.v1.ListMailboxesResponse> listMailboxesAsync(io.sealward.mail.v1.ListMailboxesRequest request) {
        return calls.unaryAsync(LIST_MAILBOXES, request);
    }

    /**
     * Returns all records of {@link #listMailboxes}, from the request's page on. Each page is a call.
     */
    public Pages<io.sealward.mail.v1.Mailbox> listAllMailboxes(io.sealward.mail.v1.ListMailboxesRequest request) {
        return new Pages<>(
                request.getPageToken(),
                token -> listMailboxes(request.toBuilder().setPageToken(token).build()),
                page -> page.getMailboxesList(),
                page -> page.getNextPageToken());
    }

    /**
     * Updates the attributes that {@code update_mask} names and returns the mailbox as it is now.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or the mailbox doesn't exist.
     * <li>ABORTED ETAG_MISMATCH: the mailbox was changed after the etag was read.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value. Clearing an
     * encrypted attribute needs no key.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the mailbox was updated.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed Update changes nothing. It returns the mailbox as it is now, or
     * NOT_FOUND if it was deleted. Without a {@code request_id}, a repetition writes the same values again and overwrites later changes of other
     * callers. If the request has an etag, the repetition returns ETAG_MISMATCH instead.
     */
    public io.sealward.mail.v1.Mailbox updateMailbox(io.sealward.mail.v1.UpdateMailboxRequest request) {
        return calls.unary(UPDATE_MAILBOX, updateMailboxRequest(request));
    }

    /**
     * The asynchronous form of {@link #updateMailbox}.
     */
    public CompletableFuture<io.sealward.mail.v1.Mailbox> updateMailboxAsync(io.sealward.mail.v1.UpdateMailboxRequest request) {
        return calls.unaryAsync(UPDATE_MAILBOX, updateMailboxRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.UpdateMailboxRequest updateMailboxRequest(io.sealward.mail.v1.UpdateMailboxRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Deletes a mailbox, including its encrypted attributes. Queues that refer to it remain. Their {@code default_mailbox} becomes null in the same
     * transaction.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or the mailbox doesn't exist.
     * <li>ABORTED ETAG_MISMATCH: the mailbox was changed after the etag was read.
     * <li>FAILED_PRECONDITION REFERENCE_IN_USE: a reference of the schema prevents the deletion. No built-in reference does.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the mailbox was deleted.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed Delete changes nothing and returns the same response. Without a
     * {@code request_id}, a repetition returns NOT_FOUND, or deletes a mailbox that was created with the same id since.
     */
    public com.google.protobuf.Empty deleteMailbox(io.sealward.mail.v1.DeleteMailboxRequest request) {
        return calls.unary(DELETE_MAILBOX, deleteMailboxRequest(request));
    }

    /**
     * The asynchronous form of {@link #deleteMailbox}.
     */
    public CompletableFuture<com.google.protobuf.Empty> deleteMailboxAsync(io.sealward.mail.v1.DeleteMailboxRequest request) {
        return calls.unaryAsync(DELETE_MAILBOX, deleteMailboxRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.DeleteMailboxRequest deleteMailboxRequest(io.sealward.mail.v1.DeleteMailboxRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Returns up to 1,000 mailboxes, in the order of {@code names}: all of them, or an error.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or a name is listed twice. The error lists all violations.
     * <li>NOT_FOUND: the organization or some of the mailboxes don't exist. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the response would exceed the maximum size of a message.
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many lists or batches open.
     * </ul>
     */
    public io.sealward.mail.v1.BatchGetMailboxesResponse batchGetMailboxes(io.sealward.mail.v1.BatchGetMailboxesRequest request) {
        return calls.unary(BATCH_GET_MAILBOXES, request);
    }

    /**
     * The asynchronous form of {@link #batchGetMailboxes}.
     */
    public CompletableFuture<io.sealward.mail.v1.BatchGetMailboxesResponse> batchGetMailboxesAsync(io.sealward.mail.v1.BatchGetMailboxesRequest request) {
        return calls.unaryAsync(BATCH_GET_MAILBOXES, request);
    }

    /**
     * Creates up to 1,000 mailboxes in one transaction, all or none, and returns them as stored, in the order of the requests.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations, with their request:
     * {@code requests[3].mailbox_id}.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>ALREADY_EXISTS: some of the ids exist. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the response would exceed the maximum size of a message. Nothing was created.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the mailboxes were created.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed call changes nothing. It returns the mailboxes as they are now, or
     * NOT_FOUND if one was deleted. Without a {@code request_id}, a repetition returns ALREADY_EXISTS for ids that the requests set, and otherwise
     * creates other mailboxes.
     */
    public io.sealward.mail.v1.BatchCreateMailboxesResponse batchCreateMailboxes(io.sealward.mail.v1.BatchCreateMailboxesRequest request) {
        return calls.unary(BATCH_CREATE_MAILBOXES, batchCreateMailboxesRequest(request));
    }

    /**
     * The asynchronous form of {@link #batchCreateMailboxes}.
     */
    public CompletableFuture<io.sealward.mail.v1.BatchCreateMailboxesResponse> batchCreateMailboxesAsync(io.sealward.mail.v1.BatchCreateMailboxesRequest request) {
        return calls.unaryAsync(BATCH_CREATE_MAILBOXES, batchCreateMailboxesRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.BatchCreateMailboxesRequest batchCreateMailboxesRequest(io.sealward.mail.v1.BatchCreateMailboxesRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Updates up to 1,000 mailboxes in one transaction, all or none, and returns them as they are now, in the order of the requests.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or a mailbox is named twice. The error lists all violations, with
     * their request: {@code requests[3].mailbox.name}.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or some of the mailboxes don't exist. The error names them.
     * <li>ABORTED ETAG_MISMATCH: some of the mailboxes were changed after their etags were read. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the stored mailboxes or the response would exceed the maximum size of a message. Nothing was
     * updated.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the mailboxes were updated.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed call changes nothing. It returns the mailboxes as they are now, or
     * NOT_FOUND if one was deleted. Without a {@code request_id}, a repetition writes the same values again and overwrites later changes of other
     * callers, unless the requests have etags.
     */
    public io.sealward.mail.v1.BatchUpdateMailboxesResponse batchUpdateMailboxes(io.sealward.mail.v1.BatchUpdateMailboxesRequest request) {
        return calls.unary(BATCH_UPDATE_MAILBOXES, batchUpdateMailboxesRequest(request));
    }

    /**
     * The asynchronous form of {@link #batchUpdateMailboxes}.
     */
    public CompletableFuture<io.sealward.mail.v1.BatchUpdateMailboxesResponse> batchUpdateMailboxesAsync(io.sealward.mail.v1.BatchUpdateMailboxesRequest request) {
        return calls.unaryAsync(BATCH_UPDATE_MAILBOXES, batchUpdateMailboxesRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.BatchUpdateMailboxesRequest batchUpdateMailboxesRequest(io.sealward.mail.v1.BatchUpdateMailboxesRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Deletes up to 1,000 mailboxes in one transaction, all or none, including their encrypted attributes. References to them are handled as
     * by DeleteMailbox.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or a mailbox is named twice. The error lists all violations, with
     * their request: {@code requests[3].name}.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or some of the mailboxes don't exist. The error names them.
     * <li>ABORTED ETAG_MISMATCH: some of the mailboxes were changed after their etags were read. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the stored mailboxes exceed the maximum size of a message together. Nothing was deleted.
     * <li>FAILED_PRECONDITION REFERENCE_IN_USE: a reference of the schema prevents the deletion. No built-in reference does.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the mailboxes were deleted.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed call changes nothing and returns the same response. Without a
     * {@code request_id}, a repetition returns NOT_FOUND.
     */
    public com.google.protobuf.Empty batchDeleteMailboxes(io.sealward.mail.v1.BatchDeleteMailboxesRequest request) {
        return calls.unary(BATCH_DELETE_MAILBOXES, batchDeleteMailboxesRequest(request));
    }

    /**
     * The asynchronous form of {@link #batchDeleteMailboxes}.
     */
    public CompletableFuture<com.google.protobuf.Empty> batchDeleteMailboxesAsync(io.sealward.mail.v1.BatchDeleteMailboxesRequest request) {
        return calls.unaryAsync(BATCH_DELETE_MAILBOXES, batchDeleteMailboxesRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.BatchDeleteMailboxesRequest batchDeleteMailboxesRequest(io.sealward.mail.v1.BatchDeleteMailboxesRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Creates any number of mailboxes from a stream, and returns a result for each, in the order of the requests. Each mailbox is created or
     * refused on its own.
     * <p>The first message names the organization. The server collects requests into groups and creates each group in one transaction: up to
     * 1,000 mailboxes, or the requests that have arrived when no further one is waiting. It returns the results of a group when the group is
     * on disk. It reads ahead only a few groups, so read the results while you send.
     * <p>Errors, in addition to those of every method, which end the stream:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: the first message is invalid, or a message has too many requests.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many streams open.
     * <li>UNAVAILABLE CONNECTION_ENDING: the connection is closing. Continue with the first request that has no result, on another connection.
     * </ul>
     * <p>Errors of a single mailbox are in its result, and are those of CreateMailbox. If the stream ends with an error, requests without a
     * result may have been executed.
     * <p>Safe to repeat if every request has a {@code request_id}: the repetition of a request that was executed creates nothing and returns the same
     * name. The same applies to requests with an id, but their repetition returns ALREADY_EXISTS. A repetition of other requests creates
     * other mailboxes.
     * <p>A thread of the client reads the requests as the server takes them. Close the stream unless you read it to its end.
     */
    public ResponseStream<io.sealward.mail.v1.ImportMailboxesResponse> importMailboxes(Iterable<io.sealward.mail.v1.ImportMailboxesRequest> requests) {
        return calls.bidirectionalStream(IMPORT_MAILBOXES, requests);
    }
}
