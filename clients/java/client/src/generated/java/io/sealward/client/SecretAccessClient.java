// Generated from sealward/v1/secret_access.proto. Do not edit.
package io.sealward.client;

import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Returns values of encrypted attributes to the programs that need them, for example to sign in to another server. No other service of the
 * platform returns them.
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
public final class SecretAccessClient {
    private static final MethodDescriptor<io.sealward.v1.RevealAttributesRequest, io.sealward.v1.RevealAttributesResponse> REVEAL_ATTRIBUTES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.SecretAccessService",
            "RevealAttributes",
            io.sealward.v1.RevealAttributesRequest.getDefaultInstance(),
            io.sealward.v1.RevealAttributesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.CompareAttributeRequest, io.sealward.v1.CompareAttributeResponse> COMPARE_ATTRIBUTE = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.SecretAccessService",
            "CompareAttribute",
            io.sealward.v1.CompareAttributeRequest.getDefaultInstance(),
            io.sealward.v1.CompareAttributeResponse.getDefaultInstance());

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(REVEAL_ATTRIBUTES, COMPARE_ATTRIBUTE);

    private final Calls calls;

    SecretAccessClient(Calls calls) {
        this.calls = calls;
    }

    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */
    public SecretAccessClient withTimeout(Duration timeout) {
        return new SecretAccessClient(calls.withTimeout(timeout));
    }

    /**
     * Returns the values of encrypted attributes of a record. Before the response is sent, the audit trail records the caller, its network
     * address, the attributes and the purpose. If they can't be recorded, nothing is revealed.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations.
     * <li>NOT_FOUND: the organization or the record doesn't exist.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE: data encryption is inactive.
     * <li>DATA_LOSS KEY_RING_DAMAGED: the key ring is missing or damaged.
     * <li>DATA_LOSS CELL_UNREADABLE: a value can't be opened. To get the other values, omit its attribute.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: the audit record may have been written. Nothing was revealed.
     * </ul>
     * <p>Safe to repeat: each call adds an audit record.
     */
    public io.sealward.v1.RevealAttributesResponse revealAttributes(io.sealward.v1.RevealAttributesRequest request) {
        return calls.unary(REVEAL_ATTRIBUTES, request);
    }

    /**
     * The asynchronous form of {@link #revealAttributes}.
     */
    public CompletableFuture<io.sealward.v1.RevealAttributesResponse> revealAttributesAsync(io.sealward.v1.RevealAttributesRequest request) {
        return calls.unaryAsync(REVEAL_ATTRIBUTES, request);
    }

    /**
     * Compares an encrypted attribute of a record with a value, without revealing the attribute. The comparison takes constant time. Each
     * comparison is recorded like a reveal, with its result, before the response is sent. The number of comparisons of an attribute of a
     * record in 15 minutes is limited, whether they are equal or not.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations.
     * <li>NOT_FOUND: the organization or the record doesn't exist.
     * <li>RESOURCE_EXHAUSTED COMPARISON_QUOTA: the limit of comparisons is reached.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE: data encryption is inactive.
     * <li>DATA_LOSS KEY_RING_DAMAGED: the key ring is missing or damaged.
     * <li>DATA_LOSS CELL_UNREADABLE: the value can't be opened.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: the audit record may have been written. No result was returned.
     * </ul>
     * <p>Safe to repeat: each call counts towards the limit and adds an audit record.
     */
    public io.sealward.v1.CompareAttributeResponse compareAttribute(io.sealward.v1.CompareAttributeRequest request) {
        return calls.unary(COMPARE_ATTRIBUTE, request);
    }

    /**
     * The asynchronous form of {@link #compareAttribute}.
     */
    public CompletableFuture<io.sealward.v1.CompareAttributeResponse> compareAttributeAsync(io.sealward.v1.CompareAttributeRequest request) {
        return calls.unaryAsync(COMPARE_ATTRIBUTE, request);
    }
}
