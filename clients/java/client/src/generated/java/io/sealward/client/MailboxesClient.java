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

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(CREATE_MAILBOX, GET_MAILBOX, LIST_MAILBOXES, UPDATE_MAILBOX, DELETE_MAILBOX);

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
}
