// Generated from sealward/mail/v1/email_server_profile.proto. Do not edit.
package io.sealward.client;

import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Manages e-mail server profiles: how to reach mail servers, with credentials that mailboxes can share.
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
public final class EmailServerProfilesClient {
    private static final MethodDescriptor<io.sealward.mail.v1.CreateEmailServerProfileRequest, io.sealward.mail.v1.EmailServerProfile> CREATE_EMAIL_SERVER_PROFILE = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.EmailServerProfileService",
            "CreateEmailServerProfile",
            io.sealward.mail.v1.CreateEmailServerProfileRequest.getDefaultInstance(),
            io.sealward.mail.v1.EmailServerProfile.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.GetEmailServerProfileRequest, io.sealward.mail.v1.EmailServerProfile> GET_EMAIL_SERVER_PROFILE = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.EmailServerProfileService",
            "GetEmailServerProfile",
            io.sealward.mail.v1.GetEmailServerProfileRequest.getDefaultInstance(),
            io.sealward.mail.v1.EmailServerProfile.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.ListEmailServerProfilesRequest, io.sealward.mail.v1.ListEmailServerProfilesResponse> LIST_EMAIL_SERVER_PROFILES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.EmailServerProfileService",
            "ListEmailServerProfiles",
            io.sealward.mail.v1.ListEmailServerProfilesRequest.getDefaultInstance(),
            io.sealward.mail.v1.ListEmailServerProfilesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.UpdateEmailServerProfileRequest, io.sealward.mail.v1.EmailServerProfile> UPDATE_EMAIL_SERVER_PROFILE = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.EmailServerProfileService",
            "UpdateEmailServerProfile",
            io.sealward.mail.v1.UpdateEmailServerProfileRequest.getDefaultInstance(),
            io.sealward.mail.v1.EmailServerProfile.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.DeleteEmailServerProfileRequest, com.google.protobuf.Empty> DELETE_EMAIL_SERVER_PROFILE = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.EmailServerProfileService",
            "DeleteEmailServerProfile",
            io.sealward.mail.v1.DeleteEmailServerProfileRequest.getDefaultInstance(),
            com.google.protobuf.Empty.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchGetEmailServerProfilesRequest, io.sealward.mail.v1.BatchGetEmailServerProfilesResponse> BATCH_GET_EMAIL_SERVER_PROFILES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.EmailServerProfileService",
            "BatchGetEmailServerProfiles",
            io.sealward.mail.v1.BatchGetEmailServerProfilesRequest.getDefaultInstance(),
            io.sealward.mail.v1.BatchGetEmailServerProfilesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchCreateEmailServerProfilesRequest, io.sealward.mail.v1.BatchCreateEmailServerProfilesResponse> BATCH_CREATE_EMAIL_SERVER_PROFILES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.EmailServerProfileService",
            "BatchCreateEmailServerProfiles",
            io.sealward.mail.v1.BatchCreateEmailServerProfilesRequest.getDefaultInstance(),
            io.sealward.mail.v1.BatchCreateEmailServerProfilesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchUpdateEmailServerProfilesRequest, io.sealward.mail.v1.BatchUpdateEmailServerProfilesResponse> BATCH_UPDATE_EMAIL_SERVER_PROFILES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.EmailServerProfileService",
            "BatchUpdateEmailServerProfiles",
            io.sealward.mail.v1.BatchUpdateEmailServerProfilesRequest.getDefaultInstance(),
            io.sealward.mail.v1.BatchUpdateEmailServerProfilesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchDeleteEmailServerProfilesRequest, com.google.protobuf.Empty> BATCH_DELETE_EMAIL_SERVER_PROFILES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.EmailServerProfileService",
            "BatchDeleteEmailServerProfiles",
            io.sealward.mail.v1.BatchDeleteEmailServerProfilesRequest.getDefaultInstance(),
            com.google.protobuf.Empty.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.ImportEmailServerProfilesRequest, io.sealward.mail.v1.ImportEmailServerProfilesResponse> IMPORT_EMAIL_SERVER_PROFILES = Methods.describe(
            MethodDescriptor.MethodType.BIDI_STREAMING,
            "sealward.mail.v1.EmailServerProfileService",
            "ImportEmailServerProfiles",
            io.sealward.mail.v1.ImportEmailServerProfilesRequest.getDefaultInstance(),
            io.sealward.mail.v1.ImportEmailServerProfilesResponse.getDefaultInstance());

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(CREATE_EMAIL_SERVER_PROFILE, GET_EMAIL_SERVER_PROFILE, LIST_EMAIL_SERVER_PROFILES, UPDATE_EMAIL_SERVER_PROFILE, DELETE_EMAIL_SERVER_PROFILE, BATCH_GET_EMAIL_SERVER_PROFILES, BATCH_CREATE_EMAIL_SERVER_PROFILES, BATCH_UPDATE_EMAIL_SERVER_PROFILES, BATCH_DELETE_EMAIL_SERVER_PROFILES, IMPORT_EMAIL_SERVER_PROFILES);

    private final Calls calls;

    EmailServerProfilesClient(Calls calls) {
        this.calls = calls;
    }

    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */
    public EmailServerProfilesClient withTimeout(Duration timeout) {
        return new EmailServerProfilesClient(calls.withTimeout(timeout));
    }

    /**
     * Creates an e-mail server profile and returns it as stored, with defaults filled in.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>ALREADY_EXISTS: an e-mail server profile with this id exists.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the e-mail server profile was created.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed Create changes nothing. It returns the e-mail server profile as it is
     * now, or NOT_FOUND if it was deleted. Without a {@code request_id}, a repetition returns ALREADY_EXISTS if {@code email_server_profile_id} is set.
     * Otherwise it creates another e-mail server profile.
     */
    public io.sealward.mail.v1.EmailServerProfile createEmailServerProfile(io.sealward.mail.v1.CreateEmailServerProfileRequest request) {
        return calls.unary(CREATE_EMAIL_SERVER_PROFILE, createEmailServerProfileRequest(request));
    }

    /**
     * The asynchronous form of {@link #createEmailServerProfile}.
     */
    public CompletableFuture<io.sealward.mail.v1.EmailServerProfile> createEmailServerProfileAsync(io.sealward.mail.v1.CreateEmailServerProfileRequest request) {
        return calls.unaryAsync(CREATE_EMAIL_SERVER_PROFILE, createEmailServerProfileRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.CreateEmailServerProfileRequest createEmailServerProfileRequest(io.sealward.mail.v1.CreateEmailServerProfileRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Returns an e-mail server profile, or only the fields of it that {@code read_mask} names.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>NOT_FOUND: the organization or the e-mail server profile doesn't exist.
     * </ul>
     */
    public io.sealward.mail.v1.EmailServerProfile getEmailServerProfile(io.sealward.mail.v1.GetEmailServerProfileRequest request) {
        return calls.unary(GET_EMAIL_SERVER_PROFILE, request);
    }

    /**
     * The asynchronous form of {@link #getEmailServerProfile}.
     */
    public CompletableFuture<io.sealward.mail.v1.EmailServerProfile> getEmailServerProfileAsync(io.sealward.mail.v1.GetEmailServerProfileRequest request) {
        return calls.unaryAsync(GET_EMAIL_SERVER_PROFILE, request);
    }

    /**
     * Lists the e-mail server profiles of an organization that match {@code filter}, in the order of {@code order_by}, page by page.
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
    public io.sealward.mail.v1.ListEmailServerProfilesResponse listEmailServerProfiles(io.sealward.mail.v1.ListEmailServerProfilesRequest request) {
        return calls.unary(LIST_EMAIL_SERVER_PROFILES, request);
    }

    /**
     * The asynchronous form of {@link #listEmailServerProfiles}.
     */
    public CompletableFuture<io.sealward.mail.v1.ListEmailServerProfilesResponse> listEmailServerProfilesAsync(io.sealward.mail.v1.ListEmailServerProfilesRequest request) {
        return calls.unaryAsync(LIST_EMAIL_SERVER_PROFILES, request);
    }

    /**
     * Returns all records of {@link #listEmailServerProfiles}, from the request's page on. Each page is a call.
     */
    public Pages<io.sealward.mail.v1.EmailServerProfile> listAllEmailServerProfiles(io.sealward.mail.v1.ListEmailServerProfilesRequest request) {
        return new Pages<>(
                request.getPageToken(),
                token -> listEmailServerProfiles(request.toBuilder().setPageToken(token).build()),
                page -> page.getEmailServerProfilesList(),
                page -> page.getNextPageToken());
    }

    /**
     * Updates the attributes that {@code update_mask} names and returns the e-mail server profile as it is now.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or the e-mail server profile doesn't exist.
     * <li>ABORTED ETAG_MISMATCH: the e-mail server profile was changed after the etag was read.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value. Clearing an
     * encrypted attribute needs no key.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the e-mail server profile was updated.
     * </ul>
     * <p>An Update that changes where a password is sent, and doesn't set that password, clears it. So a caller that can't read a password can't
     * have it sent to another server. These settings decide where a password is sent: the server and its type, port, TLS, discovery, and the
     * user name, which discovery can begin with. The password for receiving can also be used for sending, so a change of the server or port
     * for sending clears both passwords. The response lists the cleared attributes in {@code cleared_attributes}, and the audit trail records them.
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed Update changes nothing. It returns the e-mail server profile as it is
     * now, or NOT_FOUND if it was deleted. Without a {@code request_id}, a repetition writes the same values again and overwrites later changes of
     * other callers. If the request has an etag, the repetition returns ETAG_MISMATCH instead.
     */
    public io.sealward.mail.v1.EmailServerProfile updateEmailServerProfile(io.sealward.mail.v1.UpdateEmailServerProfileRequest request) {
        return calls.unary(UPDATE_EMAIL_SERVER_PROFILE, updateEmailServerProfileRequest(request));
    }

    /**
     * The asynchronous form of {@link #updateEmailServerProfile}.
     */
    public CompletableFuture<io.sealward.mail.v1.EmailServerProfile> updateEmailServerProfileAsync(io.sealward.mail.v1.UpdateEmailServerProfileRequest request) {
        return calls.unaryAsync(UPDATE_EMAIL_SERVER_PROFILE, updateEmailServerProfileRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.UpdateEmailServerProfileRequest updateEmailServerProfileRequest(io.sealward.mail.v1.UpdateEmailServerProfileRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Deletes an e-mail server profile, including its encrypted attributes. Mailboxes that refer to it remain. Their {@code email_server_profile}
     * becomes null in the same transaction.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or the e-mail server profile doesn't exist.
     * <li>ABORTED ETAG_MISMATCH: the e-mail server profile was changed after the etag was read.
     * <li>FAILED_PRECONDITION REFERENCE_IN_USE: a reference of the schema prevents the deletion. No built-in reference does.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the e-mail server profile was deleted.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed Delete changes nothing and returns the same response. Without a
     * {@code request_id}, a repetition returns NOT_FOUND, or deletes an e-mail server profile that was created with the same id since.
     */
    public com.google.protobuf.Empty deleteEmailServerProfile(io.sealward.mail.v1.DeleteEmailServerProfileRequest request) {
        return calls.unary(DELETE_EMAIL_SERVER_PROFILE, deleteEmailServerProfileRequest(request));
    }

    /**
     * The asynchronous form of {@link #deleteEmailServerProfile}.
     */
    public CompletableFuture<com.google.protobuf.Empty> deleteEmailServerProfileAsync(io.sealward.mail.v1.DeleteEmailServerProfileRequest request) {
        return calls.unaryAsync(DELETE_EMAIL_SERVER_PROFILE, deleteEmailServerProfileRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.DeleteEmailServerProfileRequest deleteEmailServerProfileRequest(io.sealward.mail.v1.DeleteEmailServerProfileRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Returns up to 1,000 e-mail server profiles, in the order of {@code names}: all of them, or an error.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or a name is listed twice. The error lists all violations.
     * <li>NOT_FOUND: the organization or some of the e-mail server profiles don't exist. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the response would exceed the maximum size of a message.
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many lists or batches open.
     * </ul>
     */
    public io.sealward.mail.v1.BatchGetEmailServerProfilesResponse batchGetEmailServerProfiles(io.sealward.mail.v1.BatchGetEmailServerProfilesRequest request) {
        return calls.unary(BATCH_GET_EMAIL_SERVER_PROFILES, request);
    }

    /**
     * The asynchronous form of {@link #batchGetEmailServerProfiles}.
     */
    public CompletableFuture<io.sealward.mail.v1.BatchGetEmailServerProfilesResponse> batchGetEmailServerProfilesAsync(io.sealward.mail.v1.BatchGetEmailServerProfilesRequest request) {
        return calls.unaryAsync(BATCH_GET_EMAIL_SERVER_PROFILES, request);
    }

    /**
     * Creates up to 1,000 e-mail server profiles in one transaction, all or none, and returns them as stored, in the order of the requests.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations, with their request:
     * {@code requests[3].email_server_profile_id}.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>ALREADY_EXISTS: some of the ids exist. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the response would exceed the maximum size of a message. Nothing was created.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the e-mail server profiles were created.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed call changes nothing. It returns the e-mail server profiles as they
     * are now, or NOT_FOUND if one was deleted. Without a {@code request_id}, a repetition returns ALREADY_EXISTS for ids that the requests set,
     * and otherwise creates other e-mail server profiles.
     */
    public io.sealward.mail.v1.BatchCreateEmailServerProfilesResponse batchCreateEmailServerProfiles(io.sealward.mail.v1.BatchCreateEmailServerProfilesRequest request) {
        return calls.unary(BATCH_CREATE_EMAIL_SERVER_PROFILES, batchCreateEmailServerProfilesRequest(request));
    }

    /**
     * The asynchronous form of {@link #batchCreateEmailServerProfiles}.
     */
    public CompletableFuture<io.sealward.mail.v1.BatchCreateEmailServerProfilesResponse> batchCreateEmailServerProfilesAsync(io.sealward.mail.v1.BatchCreateEmailServerProfilesRequest request) {
        return calls.unaryAsync(BATCH_CREATE_EMAIL_SERVER_PROFILES, batchCreateEmailServerProfilesRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.BatchCreateEmailServerProfilesRequest batchCreateEmailServerProfilesRequest(io.sealward.mail.v1.BatchCreateEmailServerProfilesRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Updates up to 1,000 e-mail server profiles in one transaction, all or none, and returns them as they are now, in the order of the
     * requests.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or an e-mail server profile is named twice. The error lists all
     * violations, with their request: {@code requests[3].email_server_profile.name}.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or some of the e-mail server profiles don't exist. The error names them.
     * <li>ABORTED ETAG_MISMATCH: some of the e-mail server profiles were changed after their etags were read. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the stored e-mail server profiles or the response would exceed the maximum size of a message.
     * Nothing was updated.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the e-mail server profiles were updated.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed call changes nothing. It returns the e-mail server profiles as they
     * are now, or NOT_FOUND if one was deleted. Without a {@code request_id}, a repetition writes the same values again and overwrites later
     * changes of other callers, unless the requests have etags.
     */
    public io.sealward.mail.v1.BatchUpdateEmailServerProfilesResponse batchUpdateEmailServerProfiles(io.sealward.mail.v1.BatchUpdateEmailServerProfilesRequest request) {
        return calls.unary(BATCH_UPDATE_EMAIL_SERVER_PROFILES, batchUpdateEmailServerProfilesRequest(request));
    }

    /**
     * The asynchronous form of {@link #batchUpdateEmailServerProfiles}.
     */
    public CompletableFuture<io.sealward.mail.v1.BatchUpdateEmailServerProfilesResponse> batchUpdateEmailServerProfilesAsync(io.sealward.mail.v1.BatchUpdateEmailServerProfilesRequest request) {
        return calls.unaryAsync(BATCH_UPDATE_EMAIL_SERVER_PROFILES, batchUpdateEmailServerProfilesRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.BatchUpdateEmailServerProfilesRequest batchUpdateEmailServerProfilesRequest(io.sealward.mail.v1.BatchUpdateEmailServerProfilesRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Deletes up to 1,000 e-mail server profiles in one transaction, all or none, including their encrypted attributes. References to them
     * are handled as by DeleteEmailServerProfile.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or an e-mail server profile is named twice. The error lists all
     * violations, with their request: {@code requests[3].name}.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or some of the e-mail server profiles don't exist. The error names them.
     * <li>ABORTED ETAG_MISMATCH: some of the e-mail server profiles were changed after their etags were read. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the stored e-mail server profiles exceed the maximum size of a message together. Nothing was
     * deleted.
     * <li>FAILED_PRECONDITION REFERENCE_IN_USE: a reference of the schema prevents the deletion. No built-in reference does.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the e-mail server profiles were deleted.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed call changes nothing and returns the same response. Without a
     * {@code request_id}, a repetition returns NOT_FOUND.
     */
    public com.google.protobuf.Empty batchDeleteEmailServerProfiles(io.sealward.mail.v1.BatchDeleteEmailServerProfilesRequest request) {
        return calls.unary(BATCH_DELETE_EMAIL_SERVER_PROFILES, batchDeleteEmailServerProfilesRequest(request));
    }

    /**
     * The asynchronous form of {@link #batchDeleteEmailServerProfiles}.
     */
    public CompletableFuture<com.google.protobuf.Empty> batchDeleteEmailServerProfilesAsync(io.sealward.mail.v1.BatchDeleteEmailServerProfilesRequest request) {
        return calls.unaryAsync(BATCH_DELETE_EMAIL_SERVER_PROFILES, batchDeleteEmailServerProfilesRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.BatchDeleteEmailServerProfilesRequest batchDeleteEmailServerProfilesRequest(io.sealward.mail.v1.BatchDeleteEmailServerProfilesRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Creates any number of e-mail server profiles from a stream, and returns a result for each, in the order of the requests. Each e-mail
     * server profile is created or refused on its own.
     * <p>The first message names the organization. The server collects requests into groups and creates each group in one transaction: up to
     * 1,000 e-mail server profiles, or the requests that have arrived when no further one is waiting. It returns the results of a group when
     * the group is on disk. It reads ahead only a few groups, so read the results while you send.
     * <p>Errors, in addition to those of every method, which end the stream:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: the first message is invalid, or a message has too many requests.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many streams open.
     * <li>UNAVAILABLE CONNECTION_ENDING: the connection is closing. Continue with the first request that has no result, on another connection.
     * </ul>
     * <p>Errors of a single e-mail server profile are in its result, and are those of CreateEmailServerProfile. If the stream ends with an
     * error, requests without a result may have been executed.
     * <p>Safe to repeat if every request has a {@code request_id}: the repetition of a request that was executed creates nothing and returns the same
     * name. The same applies to requests with an id, but their repetition returns ALREADY_EXISTS. A repetition of other requests creates
     * other e-mail server profiles.
     * <p>A thread of the client reads the requests as the server takes them. Close the stream unless you read it to its end.
     */
    public ResponseStream<io.sealward.mail.v1.ImportEmailServerProfilesResponse> importEmailServerProfiles(Iterable<io.sealward.mail.v1.ImportEmailServerProfilesRequest> requests) {
        return calls.bidirectionalStream(IMPORT_EMAIL_SERVER_PROFILES, requests);
    }
}
