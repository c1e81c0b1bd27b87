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

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(CREATE_USER_SETTINGS, GET_USER_SETTINGS, LIST_USER_SETTINGS, UPDATE_USER_SETTINGS, DELETE_USER_SETTINGS);

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
}
