// Generated from sealward/v1/organization.proto. Do not edit.
package io.sealward.client;

import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Manages the organizations of a deployment. An organization is a tenant with its own records, its own encryption key and its own database.
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
 * <p>A failed call throws a {@link SealwardException}.
 */
public final class OrganizationsClient {
    private static final MethodDescriptor<io.sealward.v1.CreateOrganizationRequest, io.sealward.v1.Organization> CREATE_ORGANIZATION = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.OrganizationService",
            "CreateOrganization",
            io.sealward.v1.CreateOrganizationRequest.getDefaultInstance(),
            io.sealward.v1.Organization.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.GetOrganizationRequest, io.sealward.v1.Organization> GET_ORGANIZATION = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.OrganizationService",
            "GetOrganization",
            io.sealward.v1.GetOrganizationRequest.getDefaultInstance(),
            io.sealward.v1.Organization.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.ListOrganizationsRequest, io.sealward.v1.ListOrganizationsResponse> LIST_ORGANIZATIONS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.OrganizationService",
            "ListOrganizations",
            io.sealward.v1.ListOrganizationsRequest.getDefaultInstance(),
            io.sealward.v1.ListOrganizationsResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.ExportOrganizationRequest, io.sealward.v1.ExportOrganizationResponse> EXPORT_ORGANIZATION = Methods.describe(
            MethodDescriptor.MethodType.SERVER_STREAMING,
            "sealward.v1.OrganizationService",
            "ExportOrganization",
            io.sealward.v1.ExportOrganizationRequest.getDefaultInstance(),
            io.sealward.v1.ExportOrganizationResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.ImportOrganizationRequest, io.sealward.v1.Organization> IMPORT_ORGANIZATION = Methods.describe(
            MethodDescriptor.MethodType.CLIENT_STREAMING,
            "sealward.v1.OrganizationService",
            "ImportOrganization",
            io.sealward.v1.ImportOrganizationRequest.getDefaultInstance(),
            io.sealward.v1.Organization.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.DeleteOrganizationRequest, com.google.protobuf.Empty> DELETE_ORGANIZATION = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.OrganizationService",
            "DeleteOrganization",
            io.sealward.v1.DeleteOrganizationRequest.getDefaultInstance(),
            com.google.protobuf.Empty.getDefaultInstance());

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(CREATE_ORGANIZATION, GET_ORGANIZATION, LIST_ORGANIZATIONS, EXPORT_ORGANIZATION, IMPORT_ORGANIZATION, DELETE_ORGANIZATION);

    private final Calls calls;

    OrganizationsClient(Calls calls) {
        this.calls = calls;
    }

    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */
    public OrganizationsClient withTimeout(Duration timeout) {
        return new OrganizationsClient(calls.withTimeout(timeout));
    }

    /**
     * Creates an organization. Data encryption is active immediately, under a generated key. The response doesn't contain the key: retrieve
     * it with RetrieveDataEncryptionKey and keep it safe, or change it to your own key.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>ALREADY_EXISTS: an organization with this id exists.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the organization was created.
     * </ul>
     * <p>Safe to repeat: the repetition of a completed Create returns ALREADY_EXISTS.
     */
    public io.sealward.v1.Organization createOrganization(io.sealward.v1.CreateOrganizationRequest request) {
        return calls.unary(CREATE_ORGANIZATION, request);
    }

    /**
     * The asynchronous form of {@link #createOrganization}.
     */
    public CompletableFuture<io.sealward.v1.Organization> createOrganizationAsync(io.sealward.v1.CreateOrganizationRequest request) {
        return calls.unaryAsync(CREATE_ORGANIZATION, request);
    }

    /**
     * Returns an organization.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>NOT_FOUND: the organization doesn't exist.
     * </ul>
     */
    public io.sealward.v1.Organization getOrganization(io.sealward.v1.GetOrganizationRequest request) {
        return calls.unary(GET_ORGANIZATION, request);
    }

    /**
     * The asynchronous form of {@link #getOrganization}.
     */
    public CompletableFuture<io.sealward.v1.Organization> getOrganizationAsync(io.sealward.v1.GetOrganizationRequest request) {
        return calls.unaryAsync(GET_ORGANIZATION, request);
    }

    /**
     * Lists the organizations in which the caller has the privilege, in the order of their names, page by page.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>INVALID_ARGUMENT PAGE_TOKEN_INVALID: the page token is invalid.
     * </ul>
     */
    public io.sealward.v1.ListOrganizationsResponse listOrganizations(io.sealward.v1.ListOrganizationsRequest request) {
        return calls.unary(LIST_ORGANIZATIONS, request);
    }

    /**
     * The asynchronous form of {@link #listOrganizations}.
     */
    public CompletableFuture<io.sealward.v1.ListOrganizationsResponse> listOrganizationsAsync(io.sealward.v1.ListOrganizationsRequest request) {
        return calls.unaryAsync(LIST_ORGANIZATIONS, request);
    }

    /**
     * Returns all records of {@link #listOrganizations}, from the request's page on. Each page is a call.
     */
    public Pages<io.sealward.v1.Organization> listAllOrganizations(io.sealward.v1.ListOrganizationsRequest request) {
        return new Pages<>(
                request.getPageToken(),
                token -> listOrganizations(request.toBuilder().setPageToken(token).build()),
                page -> page.getOrganizationsList(),
                page -> page.getNextPageToken());
    }

    /**
     * Exports an organization. The response is a file, in chunks, with a snapshot of the organization's database. Writes continue during the
     * export.
     * <p>In the file, encrypted attributes are sealed as they are stored, and data keys are wrapped. It never contains an encryption key, so it
     * is useful only with the key whose fingerprint is in its header. Attributes that aren't encrypted, and the audit trail, are in clear
     * text. docs/export-format.md describes the file. Each call is recorded in the audit trail before the response is sent.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many lists or streams open.
     * <li>ABORTED TRANSFER_LIMIT: the caller reads the file more slowly than transfer_rate_min_bytes_per_second on average, or for longer than
     * transfer_time_max_seconds. Or the export keeps a key change from finishing, or the database's write-ahead log from being truncated.
     * <li>UNAVAILABLE SHUTTING_DOWN: the server is shutting down.
     * <li>UNAVAILABLE CONNECTION_ENDING: the connection has reached its maximum age, or client CAs or revocation lists have changed.
     * </ul>
     * <p>If the caller reads nothing of a message for answer_stall_max_ms (20 seconds by default), the server resets the stream, and the caller
     * gets CANCELLED without a reason. This can happen even if another limit has ended the export. In each of these cases, export again. A
     * file is complete only if its stream ended with OK.
     * <p>Safe to repeat: each call exports another snapshot.
     * <p>Close the stream unless you read it to its end.
     */
    public ResponseStream<io.sealward.v1.ExportOrganizationResponse> exportOrganization(io.sealward.v1.ExportOrganizationRequest request) {
        return calls.serverStream(EXPORT_ORGANIZATION, request);
    }

    /**
     * Imports an organization from an exported file. The server checks the whole file before any of it becomes visible. A call that fails or
     * is interrupted leaves nothing behind, and can be repeated.
     * <p>The organization keeps its UUID, and is inactive until its key is restored. A re-encryption that was running at the time of the export
     * continues then. The import is recorded in the organization's audit trail and in the deployment's audit trail.
     * <p>With {@code as_copy}, the import makes another organization of the file, which can exist beside the first one, for example as a sandbox. The
     * copy has a new UUID, its own creation time and a new key. It is active immediately: the server opens each encrypted value with
     * {@code source_encryption_key}, and encrypts it again. The copy keeps records, customizations of the schema and the changes of audited
     * attributes. It has a new key history and a new audit trail, which begins with the record of the import. The details of that record name
     * the source, and the heads of its audit trail in the file. The response doesn't contain the key: retrieve it with
     * RetrieveDataEncryptionKey.
     * <p>Each attempt to open a file is counted before its key is tried, by the UUID in the file. A correct key isn't counted. A refused key is
     * recorded in the deployment's audit trail.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>INVALID_ARGUMENT EXPORT_INVALID: the file is invalid. If it has a value that a write would refuse, the error names the table,
     * attribute and record of the first such value. A copy also needs a key ring that isn't damaged, and values that can be decrypted.
     * <li>INVALID_ARGUMENT KEY_VALIDATION: {@code source_encryption_key} can't be a key, or {@code encryption_key} breaks the rule for new keys, or the two
     * are equal.
     * <li>FAILED_PRECONDITION KEY_MISMATCH: {@code source_encryption_key} isn't the key of the file.
     * <li>RESOURCE_EXHAUSTED KEY_RESTORE_QUOTA: a copy was attempted with wrong keys as often as the deployment allows.
     * <li>UNAVAILABLE WRITTEN_BY_NEWER_VERSION: a newer version of the server wrote the file's key ring, or an encrypted value.
     * <li>ALREADY_EXISTS: an organization with this name or UUID exists.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the organization was imported.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: a chunk is larger than the limit for messages.
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many lists or streams open.
     * <li>ABORTED TRANSFER_LIMIT: the caller sends the file more slowly than transfer_rate_min_bytes_per_second on average, or for longer than
     * transfer_time_max_seconds.
     * <li>UNAVAILABLE SHUTTING_DOWN: the server is shutting down.
     * <li>UNAVAILABLE CONNECTION_ENDING: the connection has reached its maximum age, or client CAs or revocation lists have changed.
     * </ul>
     * <p>Safe to repeat: the repetition of a completed Import returns ALREADY_EXISTS.
     * <p>The requests are read as the server takes them.
     */
    public io.sealward.v1.Organization importOrganization(Iterable<io.sealward.v1.ImportOrganizationRequest> requests) {
        return calls.clientStream(IMPORT_ORGANIZATION, requests);
    }

    /**
     * The asynchronous form of {@link #importOrganization}. The requests are read in a thread of the client.
     */
    public CompletableFuture<io.sealward.v1.Organization> importOrganizationAsync(Iterable<io.sealward.v1.ImportOrganizationRequest> requests) {
        return calls.clientStreamAsync(IMPORT_ORGANIZATION, requests);
    }

    /**
     * Deletes an organization with all its data. The encryption key is deleted first, so that nothing can be opened any more, then the
     * records and the audit trail. The deployment's audit trail keeps the record of the deletion, with its time and caller. Existing copies
     * of the database aren't deleted, and can be opened with their keys elsewhere.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or {@code confirm_name} isn't equal to {@code name}.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>ABORTED SET_KEY_ALREADY_RUNNING: a change of the organization's key is running.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the organization was deleted.
     * </ul>
     * <p>After UNAVAILABLE, the organization may already be deleted. The server deletes the rest of it at its next start.
     * <p>Safe to repeat: the repetition of a completed Delete returns NOT_FOUND, or deletes an organization that was created with the same name
     * since.
     */
    public com.google.protobuf.Empty deleteOrganization(io.sealward.v1.DeleteOrganizationRequest request) {
        return calls.unary(DELETE_ORGANIZATION, request);
    }

    /**
     * The asynchronous form of {@link #deleteOrganization}.
     */
    public CompletableFuture<com.google.protobuf.Empty> deleteOrganizationAsync(io.sealward.v1.DeleteOrganizationRequest request) {
        return calls.unaryAsync(DELETE_ORGANIZATION, request);
    }
}
