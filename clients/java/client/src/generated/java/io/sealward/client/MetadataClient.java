// Generated from sealward/v1/metadata.proto. Do not edit.
package io.sealward.client;

import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Describes the entities and attributes of an organization, updates the settings that an organization can choose for an attribute, and
 * lists the changes of audited attributes.
 * <p>An organization chooses these settings for each attribute that isn't encrypted:
 * <ul>
 * <li>its display name
 * <li>its maximum length
 * <li>whether a record must have a value
 * <li>whether each change is recorded with the old and the new value
 * <li>whether it has an index
 * </ul>
 * <p>A setting applies to all later writes, is stored in the organization's database, and is recorded in the audit trail. No setting can be
 * chosen for an encrypted attribute. Its values are sealed, so an index is useless, and recorded changes would disclose its values.
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
public final class MetadataClient {
    private static final MethodDescriptor<io.sealward.v1.ListEntityMetadataRequest, io.sealward.v1.ListEntityMetadataResponse> LIST_ENTITY_METADATA = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.MetadataService",
            "ListEntityMetadata",
            io.sealward.v1.ListEntityMetadataRequest.getDefaultInstance(),
            io.sealward.v1.ListEntityMetadataResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.GetEntityMetadataRequest, io.sealward.v1.EntityMetadata> GET_ENTITY_METADATA = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.MetadataService",
            "GetEntityMetadata",
            io.sealward.v1.GetEntityMetadataRequest.getDefaultInstance(),
            io.sealward.v1.EntityMetadata.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.UpdateAttributeMetadataRequest, io.sealward.v1.AttributeMetadata> UPDATE_ATTRIBUTE_METADATA = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.MetadataService",
            "UpdateAttributeMetadata",
            io.sealward.v1.UpdateAttributeMetadataRequest.getDefaultInstance(),
            io.sealward.v1.AttributeMetadata.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.ListAttributeChangesRequest, io.sealward.v1.ListAttributeChangesResponse> LIST_ATTRIBUTE_CHANGES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.MetadataService",
            "ListAttributeChanges",
            io.sealward.v1.ListAttributeChangesRequest.getDefaultInstance(),
            io.sealward.v1.ListAttributeChangesResponse.getDefaultInstance());

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(LIST_ENTITY_METADATA, GET_ENTITY_METADATA, UPDATE_ATTRIBUTE_METADATA, LIST_ATTRIBUTE_CHANGES);

    private final Calls calls;

    MetadataClient(Calls calls) {
        this.calls = calls;
    }

    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */
    public MetadataClient withTimeout(Duration timeout) {
        return new MetadataClient(calls.withTimeout(timeout));
    }

    /**
     * Lists the entities with their attributes, in the order of their names, page by page.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>INVALID_ARGUMENT PAGE_TOKEN_INVALID: the page token is invalid.
     * <li>NOT_FOUND: the organization doesn't exist.
     * </ul>
     */
    public io.sealward.v1.ListEntityMetadataResponse listEntityMetadata(io.sealward.v1.ListEntityMetadataRequest request) {
        return calls.unary(LIST_ENTITY_METADATA, request);
    }

    /**
     * The asynchronous form of {@link #listEntityMetadata}.
     */
    public CompletableFuture<io.sealward.v1.ListEntityMetadataResponse> listEntityMetadataAsync(io.sealward.v1.ListEntityMetadataRequest request) {
        return calls.unaryAsync(LIST_ENTITY_METADATA, request);
    }

    /**
     * Returns all records of {@link #listEntityMetadata}, from the request's page on. Each page is a call.
     */
    public Pages<io.sealward.v1.EntityMetadata> listAllEntityMetadata(io.sealward.v1.ListEntityMetadataRequest request) {
        return new Pages<>(
                request.getPageToken(),
                token -> listEntityMetadata(request.toBuilder().setPageToken(token).build()),
                page -> page.getEntityMetadataList(),
                page -> page.getNextPageToken());
    }

    /**
     * Returns an entity with its attributes.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>NOT_FOUND: the organization or the entity doesn't exist.
     * </ul>
     */
    public io.sealward.v1.EntityMetadata getEntityMetadata(io.sealward.v1.GetEntityMetadataRequest request) {
        return calls.unary(GET_ENTITY_METADATA, request);
    }

    /**
     * The asynchronous form of {@link #getEntityMetadata}.
     */
    public CompletableFuture<io.sealward.v1.EntityMetadata> getEntityMetadataAsync(io.sealward.v1.GetEntityMetadataRequest request) {
        return calls.unaryAsync(GET_ENTITY_METADATA, request);
    }

    /**
     * Updates the settings of an attribute and returns the attribute as it is now. Stored values stay unchanged: a text that is longer than a
     * new maximum length can be read, and must fit when it is written again. An index is created before the response is sent. The
     * organization's writes wait for it, about a second for a million records.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations. SYSTEM_REQUIRED means that the
     * update would weaken an attribute that the schema requires.
     * <li>FAILED_PRECONDITION ENCRYPTED_ATTRIBUTE: the attribute is encrypted.
     * <li>NOT_FOUND: the organization, the entity or the attribute doesn't exist.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the settings were updated.
     * </ul>
     * <p>Safe to repeat: the repetition of a completed update changes nothing.
     */
    public io.sealward.v1.AttributeMetadata updateAttributeMetadata(io.sealward.v1.UpdateAttributeMetadataRequest request) {
        return calls.unary(UPDATE_ATTRIBUTE_METADATA, request);
    }

    /**
     * The asynchronous form of {@link #updateAttributeMetadata}.
     */
    public CompletableFuture<io.sealward.v1.AttributeMetadata> updateAttributeMetadataAsync(io.sealward.v1.UpdateAttributeMetadataRequest request) {
        return calls.unaryAsync(UPDATE_ATTRIBUTE_METADATA, request);
    }

    /**
     * Lists the recorded changes of audited attributes, newest first, page by page. Changes are kept as long as audit records
     * ({@code limits.audit_retention_days}), including changes of deleted records.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FILTER_INVALID: the filter is invalid.
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>INVALID_ARGUMENT PAGE_TOKEN_INVALID: the page token is invalid.
     * <li>FAILED_PRECONDITION ENCRYPTED_ATTRIBUTE: the attribute is encrypted, so its changes are never recorded.
     * <li>NOT_FOUND: the organization, the entity or the attribute doesn't exist.
     * </ul>
     * <p>Changes that were recorded before the first page appear exactly once. Later changes may not appear.
     */
    public io.sealward.v1.ListAttributeChangesResponse listAttributeChanges(io.sealward.v1.ListAttributeChangesRequest request) {
        return calls.unary(LIST_ATTRIBUTE_CHANGES, request);
    }

    /**
     * The asynchronous form of {@link #listAttributeChanges}.
     */
    public CompletableFuture<io.sealward.v1.ListAttributeChangesResponse> listAttributeChangesAsync(io.sealward.v1.ListAttributeChangesRequest request) {
        return calls.unaryAsync(LIST_ATTRIBUTE_CHANGES, request);
    }

    /**
     * Returns all records of {@link #listAttributeChanges}, from the request's page on. Each page is a call.
     */
    public Pages<io.sealward.v1.AttributeChange> listAllAttributeChanges(io.sealward.v1.ListAttributeChangesRequest request) {
        return new Pages<>(
                request.getPageToken(),
                token -> listAttributeChanges(request.toBuilder().setPageToken(token).build()),
                page -> page.getAttributeChangesList(),
                page -> page.getNextPageToken());
    }
}
