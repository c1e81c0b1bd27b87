// Generated from sealward/mail/v1/user_settings.proto. Do not edit.
package io.sealward.client;

import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Manages the settings of users: one record for each user, with the user's id.
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
public final class UserSettingsClient {
    private static final MethodDescriptor<io.sealward.mail.v1.CreateUserSettingsRequest, io.sealward.mail.v1.UserSettings> CREATE_USER_SETTINGS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.UserSettingsService",
            "CreateUserSettings",
            io.sealward.mail.v1.CreateUserSettingsRequest.getDefaultInstance(),
            io.sealward.mail.v1.UserSettings.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.GetUserSettingsRequest, io.sealward.mail.v1.UserSettings> GET_USER_SETTINGS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.UserSettingsService",
            "GetUserSettings",
            io.sealward.mail.v1.GetUserSettingsRequest.getDefaultInstance(),
            io.sealward.mail.v1.UserSettings.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.ListUserSettingsRequest, io.sealward.mail.v1.ListUserSettingsResponse> LIST_USER_SETTINGS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.UserSettingsService",
            "ListUserSettings",
            io.sealward.mail.v1.ListUserSettingsRequest.getDefaultInstance(),
            io.sealward.mail.v1.ListUserSettingsResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.UpdateUserSettingsRequest, io.sealward.mail.v1.UserSettings> UPDATE_USER_SETTINGS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.UserSettingsService",
            "UpdateUserSettings",
            io.sealward.mail.v1.UpdateUserSettingsRequest.getDefaultInstance(),
            io.sealward.mail.v1.UserSettings.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.DeleteUserSettingsRequest, com.google.protobuf.Empty> DELETE_USER_SETTINGS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.UserSettingsService",
            "DeleteUserSettings",
            io.sealward.mail.v1.DeleteUserSettingsRequest.getDefaultInstance(),
            com.google.protobuf.Empty.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchGetUserSettingsRequest, io.sealward.mail.v1.BatchGetUserSettingsResponse> BATCH_GET_USER_SETTINGS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.UserSettingsService",
            "BatchGetUserSettings",
            io.sealward.mail.v1.BatchGetUserSettingsRequest.getDefaultInstance(),
            io.sealward.mail.v1.BatchGetUserSettingsResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchCreateUserSettingsRequest, io.sealward.mail.v1.BatchCreateUserSettingsResponse> BATCH_CREATE_USER_SETTINGS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.UserSettingsService",
            "BatchCreateUserSettings",
            io.sealward.mail.v1.BatchCreateUserSettingsRequest.getDefaultInstance(),
            io.sealward.mail.v1.BatchCreateUserSettingsResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchUpdateUserSettingsRequest, io.sealward.mail.v1.BatchUpdateUserSettingsResponse> BATCH_UPDATE_USER_SETTINGS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.UserSettingsService",
            "BatchUpdateUserSettings",
            io.sealward.mail.v1.BatchUpdateUserSettingsRequest.getDefaultInstance(),
            io.sealward.mail.v1.BatchUpdateUserSettingsResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchDeleteUserSettingsRequest, com.google.protobuf.Empty> BATCH_DELETE_USER_SETTINGS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.UserSettingsService",
            "BatchDeleteUserSettings",
            io.sealward.mail.v1.BatchDeleteUserSettingsRequest.getDefaultInstance(),
            com.google.protobuf.Empty.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.ImportUserSettingsRequest, io.sealward.mail.v1.ImportUserSettingsResponse> IMPORT_USER_SETTINGS = Methods.describe(
            MethodDescriptor.MethodType.BIDI_STREAMING,
            "sealward.mail.v1.UserSettingsService",
            "ImportUserSettings",
            io.sealward.mail.v1.ImportUserSettingsRequest.getDefaultInstance(),
            io.sealward.mail.v1.ImportUserSettingsResponse.getDefaultInstance());

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(CREATE_USER_SETTINGS, GET_USER_SETTINGS, LIST_USER_SETTINGS, UPDATE_USER_SETTINGS, DELETE_USER_SETTINGS, BATCH_GET_USER_SETTINGS, BATCH_CREATE_USER_SETTINGS, BATCH_UPDATE_USER_SETTINGS, BATCH_DELETE_USER_SETTINGS, IMPORT_USER_SETTINGS);

    private final Calls calls;

    UserSettingsClient(Calls calls) {
        this.calls = calls;
    }

    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */
    public UserSettingsClient withTimeout(Duration timeout) {
        return new UserSettingsClient(calls.withTimeout(timeout));
    }

    /**
     * Creates a user settings record and returns it as stored, with defaults filled in.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>ALREADY_EXISTS: a user settings record with this id exists.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the user settings record was created.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed Create changes nothing. It returns the user settings record as it is
     * now, or NOT_FOUND if it was deleted. Without a {@code request_id}, a repetition returns ALREADY_EXISTS.
     */
    public io.sealward.mail.v1.UserSettings createUserSettings(io.sealward.mail.v1.CreateUserSettingsRequest request) {
        return calls.unary(CREATE_USER_SETTINGS, createUserSettingsRequest(request));
    }

    /**
     * The asynchronous form of {@link #createUserSettings}.
     */
    public CompletableFuture<io.sealward.mail.v1.UserSettings> createUserSettingsAsync(io.sealward.mail.v1.CreateUserSettingsRequest request) {
        return calls.unaryAsync(CREATE_USER_SETTINGS, createUserSettingsRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.CreateUserSettingsRequest createUserSettingsRequest(io.sealward.mail.v1.CreateUserSettingsRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Returns a user settings record, or only the fields of it that {@code read_mask} names.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>NOT_FOUND: the organization or the user settings record doesn't exist.
     * </ul>
     */
    public io.sealward.mail.v1.UserSettings getUserSettings(io.sealward.mail.v1.GetUserSettingsRequest request) {
        return calls.unary(GET_USER_SETTINGS, request);
    }

    /**
     * The asynchronous form of {@link #getUserSettings}.
     */
    public CompletableFuture<io.sealward.mail.v1.UserSettings> getUserSettingsAsync(io.sealward.mail.v1.GetUserSettingsRequest request) {
        return calls.unaryAsync(GET_USER_SETTINGS, request);
    }

    /**
     * Lists the user settings records of an organization that match {@code filter}, in the order of {@code order_by}, page by page.
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
    public io.sealward.mail.v1.ListUserSettingsResponse listUserSettings(io.sealward.mail.v1.ListUserSettingsRequest request) {
        return calls.unary(LIST_USER_SETTINGS, request);
    }

    /**
     * The asynchronous form of {@link #listUserSettings}.
     */
    public CompletableFuture<io.sealward.mail.v1.ListUserSettingsResponse> listUserSettingsAsync(io.sealward.mail.v1.ListUserSettingsRequest request) {
        return calls.unaryAsync(LIST_USER_SETTINGS, request);
    }

    /**
     * Returns all records of {@link #listUserSettings}, from the request's page on. Each page is a call.
     */
    public Pages<io.sealward.mail.v1.UserSettings> listAllUserSettings(io.sealward.mail.v1.ListUserSettingsRequest request) {
        return new Pages<>(
                request.getPageToken(),
                token -> listUserSettings(request.toBuilder().setPageToken(token).build()),
                page -> page.getUserSettingsList(),
                page -> page.getNextPageToken());
    }

    /**
     * Updates the attributes that {@code update_mask} names and returns the user settings record as it is now.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or the user settings record doesn't exist.
     * <li>ABORTED ETAG_MISMATCH: the user settings record was changed after the etag was read.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value. Clearing an
     * encrypted attribute needs no key.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the user settings record was updated.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed Update changes nothing. It returns the user settings record as it is
     * now, or NOT_FOUND if it was deleted. Without a {@code request_id}, a repetition writes the same values again and overwrites later changes of
     * other callers. If the request has an etag, the repetition returns ETAG_MISMATCH instead.
     */
    public io.sealward.mail.v1.UserSettings updateUserSettings(io.sealward.mail.v1.UpdateUserSettingsRequest request) {
        return calls.unary(UPDATE_USER_SETTINGS, updateUserSettingsRequest(request));
    }

    /**
     * The asynchronous form of {@link #updateUserSettings}.
     */
    public CompletableFuture<io.sealward.mail.v1.UserSettings> updateUserSettingsAsync(io.sealward.mail.v1.UpdateUserSettingsRequest request) {
        return calls.unaryAsync(UPDATE_USER_SETTINGS, updateUserSettingsRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.UpdateUserSettingsRequest updateUserSettingsRequest(io.sealward.mail.v1.UpdateUserSettingsRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Deletes a user settings record, including its encrypted attributes. No built-in entity refers to user settings.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or the user settings record doesn't exist.
     * <li>ABORTED ETAG_MISMATCH: the user settings record was changed after the etag was read.
     * <li>FAILED_PRECONDITION REFERENCE_IN_USE: a reference of the schema prevents the deletion. No built-in reference does.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the user settings record was deleted.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed Delete changes nothing and returns the same response. Without a
     * {@code request_id}, a repetition returns NOT_FOUND, or deletes a user settings record that was created with the same id since.
     */
    public com.google.protobuf.Empty deleteUserSettings(io.sealward.mail.v1.DeleteUserSettingsRequest request) {
        return calls.unary(DELETE_USER_SETTINGS, deleteUserSettingsRequest(request));
    }

    /**
     * The asynchronous form of {@link #deleteUserSettings}.
     */
    public CompletableFuture<com.google.protobuf.Empty> deleteUserSettingsAsync(io.sealward.mail.v1.DeleteUserSettingsRequest request) {
        return calls.unaryAsync(DELETE_USER_SETTINGS, deleteUserSettingsRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.DeleteUserSettingsRequest deleteUserSettingsRequest(io.sealward.mail.v1.DeleteUserSettingsRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Returns up to 1,000 user settings records, in the order of {@code names}: all of them, or an error.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or a name is listed twice. The error lists all violations.
     * <li>NOT_FOUND: the organization or some of the user settings records don't exist. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the response would exceed the maximum size of a message.
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many lists or batches open.
     * </ul>
     */
    public io.sealward.mail.v1.BatchGetUserSettingsResponse batchGetUserSettings(io.sealward.mail.v1.BatchGetUserSettingsRequest request) {
        return calls.unary(BATCH_GET_USER_SETTINGS, request);
    }

    /**
     * The asynchronous form of {@link #batchGetUserSettings}.
     */
    public CompletableFuture<io.sealward.mail.v1.BatchGetUserSettingsResponse> batchGetUserSettingsAsync(io.sealward.mail.v1.BatchGetUserSettingsRequest request) {
        return calls.unaryAsync(BATCH_GET_USER_SETTINGS, request);
    }

    /**
     * Creates up to 1,000 user settings records in one transaction, all or none, and returns them as stored, in the order of the requests.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations, with their request:
     * {@code requests[3].user_settings_id}.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>ALREADY_EXISTS: some of the ids exist. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the response would exceed the maximum size of a message. Nothing was created.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the user settings records were created.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed call changes nothing. It returns the user settings records as they
     * are now, or NOT_FOUND if one was deleted. Without a {@code request_id}, a repetition returns ALREADY_EXISTS.
     */
    public io.sealward.mail.v1.BatchCreateUserSettingsResponse batchCreateUserSettings(io.sealward.mail.v1.BatchCreateUserSettingsRequest request) {
        return calls.unary(BATCH_CREATE_USER_SETTINGS, batchCreateUserSettingsRequest(request));
    }

    /**
     * The asynchronous form of {@link #batchCreateUserSettings}.
     */
    public CompletableFuture<io.sealward.mail.v1.BatchCreateUserSettingsResponse> batchCreateUserSettingsAsync(io.sealward.mail.v1.BatchCreateUserSettingsRequest request) {
        return calls.unaryAsync(BATCH_CREATE_USER_SETTINGS, batchCreateUserSettingsRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.BatchCreateUserSettingsRequest batchCreateUserSettingsRequest(io.sealward.mail.v1.BatchCreateUserSettingsRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Updates up to 1,000 user settings records in one transaction, all or none, and returns them as they are now, in the order of the
     * requests.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or a user settings record is named twice. The error lists all
     * violations, with their request: {@code requests[3].user_settings.name}.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or some of the user settings records don't exist. The error names them.
     * <li>ABORTED ETAG_MISMATCH: some of the user settings records were changed after their etags were read. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the stored user settings records or the response would exceed the maximum size of a message.
     * Nothing was updated.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the user settings records were updated.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed call changes nothing. It returns the user settings records as they
     * are now, or NOT_FOUND if one was deleted. Without a {@code request_id}, a repetition writes the same values again and overwrites later
     * changes of other callers, unless the requests have etags.
     */
    public io.sealward.mail.v1.BatchUpdateUserSettingsResponse batchUpdateUserSettings(io.sealward.mail.v1.BatchUpdateUserSettingsRequest request) {
        return calls.unary(BATCH_UPDATE_USER_SETTINGS, batchUpdateUserSettingsRequest(request));
    }

    /**
     * The asynchronous form of {@link #batchUpdateUserSettings}.
     */
    public CompletableFuture<io.sealward.mail.v1.BatchUpdateUserSettingsResponse> batchUpdateUserSettingsAsync(io.sealward.mail.v1.BatchUpdateUserSettingsRequest request) {
        return calls.unaryAsync(BATCH_UPDATE_USER_SETTINGS, batchUpdateUserSettingsRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.BatchUpdateUserSettingsRequest batchUpdateUserSettingsRequest(io.sealward.mail.v1.BatchUpdateUserSettingsRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Deletes up to 1,000 user settings records in one transaction, all or none, including their encrypted attributes. References to them
     * are handled as by DeleteUserSettings.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or a user settings record is named twice. The error lists all
     * violations, with their request: {@code requests[3].name}.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or some of the user settings records don't exist. The error names them.
     * <li>ABORTED ETAG_MISMATCH: some of the user settings records were changed after their etags were read. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the stored user settings records exceed the maximum size of a message together. Nothing was
     * deleted.
     * <li>FAILED_PRECONDITION REFERENCE_IN_USE: a reference of the schema prevents the deletion. No built-in reference does.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the user settings records were deleted.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed call changes nothing and returns the same response. Without a
     * {@code request_id}, a repetition returns NOT_FOUND.
     */
    public com.google.protobuf.Empty batchDeleteUserSettings(io.sealward.mail.v1.BatchDeleteUserSettingsRequest request) {
        return calls.unary(BATCH_DELETE_USER_SETTINGS, batchDeleteUserSettingsRequest(request));
    }

    /**
     * The asynchronous form of {@link #batchDeleteUserSettings}.
     */
    public CompletableFuture<com.google.protobuf.Empty> batchDeleteUserSettingsAsync(io.sealward.mail.v1.BatchDeleteUserSettingsRequest request) {
        return calls.unaryAsync(BATCH_DELETE_USER_SETTINGS, batchDeleteUserSettingsRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.BatchDeleteUserSettingsRequest batchDeleteUserSettingsRequest(io.sealward.mail.v1.BatchDeleteUserSettingsRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Creates any number of user settings records from a stream, and returns a result for each, in the order of the requests. Each user
     * settings record is created or refused on its own.
     * <p>The first message names the organization. The server collects requests into groups and creates each group in one transaction: up to
     * 1,000 user settings records, or the requests that have arrived when no further one is waiting. It returns the results of a group when
     * the group is on disk. It reads ahead only a few groups, so read the results while you send.
     * <p>Errors, in addition to those of every method, which end the stream:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: the first message is invalid, or a message has too many requests.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many streams open.
     * <li>UNAVAILABLE CONNECTION_ENDING: the connection is closing. Continue with the first request that has no result, on another connection.
     * </ul>
     * <p>Errors of a single user settings record are in its result, and are those of CreateUserSettings. If the stream ends with an error,
     * requests without a result may have been executed.
     * <p>Safe to repeat if every request has a {@code request_id}: the repetition of a request that was executed creates nothing and returns the same
     * name. The repetition of a request without one returns ALREADY_EXISTS.
     * <p>A thread of the client reads the requests as the server takes them. Close the stream unless you read it to its end.
     */
    public ResponseStream<io.sealward.mail.v1.ImportUserSettingsResponse> importUserSettings(Iterable<io.sealward.mail.v1.ImportUserSettingsRequest> requests) {
        return calls.bidirectionalStream(IMPORT_USER_SETTINGS, requests);
    }
}
