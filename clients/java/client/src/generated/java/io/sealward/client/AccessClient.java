// Generated from sealward/v1/access.proto. Do not edit.
package io.sealward.client;

import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Explains the permissions of identities.
 * <p>Every method requires TLS and an identity. Every method can return these errors:
 * <ul>
 * <li>FAILED_PRECONDITION HTTPS_REQUIRED
 * <li>UNAUTHENTICATED IDENTITY_REQUIRED
 * <li>PERMISSION_DENIED PRIVILEGE_MISSING
 * <li>INVALID_ARGUMENT MESSAGE_INVALID
 * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE
 * <li>UNAVAILABLE SHUTTING_DOWN
 * <li>DEADLINE_EXCEEDED, CANCELLED or INTERNAL
 * </ul>
 * <p>A failed call throws a {@link SealwardException}.
 */
public final class AccessClient {
    private static final MethodDescriptor<io.sealward.v1.WhoAmIRequest, io.sealward.v1.WhoAmIResponse> WHO_AM_I = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.AccessService",
            "WhoAmI",
            io.sealward.v1.WhoAmIRequest.getDefaultInstance(),
            io.sealward.v1.WhoAmIResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.ExplainAccessRequest, io.sealward.v1.ExplainAccessResponse> EXPLAIN_ACCESS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.AccessService",
            "ExplainAccess",
            io.sealward.v1.ExplainAccessRequest.getDefaultInstance(),
            io.sealward.v1.ExplainAccessResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.ListBindingsRequest, io.sealward.v1.ListBindingsResponse> LIST_BINDINGS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.AccessService",
            "ListBindings",
            io.sealward.v1.ListBindingsRequest.getDefaultInstance(),
            io.sealward.v1.ListBindingsResponse.getDefaultInstance());

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(WHO_AM_I, EXPLAIN_ACCESS, LIST_BINDINGS);

    private final Calls calls;

    AccessClient(Calls calls) {
        this.calls = calls;
    }

    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */
    public AccessClient withTimeout(Duration timeout) {
        return new AccessClient(calls.withTimeout(timeout));
    }

    /**
     * Returns the identity of the caller, its proof, and the roles and privileges that the current bindings grant to it. The call isn't
     * recorded in the audit trail.
     * <p>An identity without bindings gets a response without roles.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>RESOURCE_EXHAUSTED RATE_LIMITED: the caller calls too often.
     * </ul>
     * <p>This method never returns PRIVILEGE_MISSING.
     */
    public io.sealward.v1.WhoAmIResponse whoAmI(io.sealward.v1.WhoAmIRequest request) {
        return calls.unary(WHO_AM_I, request);
    }

    /**
     * The asynchronous form of {@link #whoAmI}.
     */
    public CompletableFuture<io.sealward.v1.WhoAmIResponse> whoAmIAsync(io.sealward.v1.WhoAmIRequest request) {
        return calls.unaryAsync(WHO_AM_I, request);
    }

    /**
     * Explains whether an identity may call a method in an organization, according to the current bindings. The server checks neither whether
     * the organization exists nor whether the identity does.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * </ul>
     */
    public io.sealward.v1.ExplainAccessResponse explainAccess(io.sealward.v1.ExplainAccessRequest request) {
        return calls.unary(EXPLAIN_ACCESS, request);
    }

    /**
     * The asynchronous form of {@link #explainAccess}.
     */
    public CompletableFuture<io.sealward.v1.ExplainAccessResponse> explainAccessAsync(io.sealward.v1.ExplainAccessRequest request) {
        return calls.unaryAsync(EXPLAIN_ACCESS, request);
    }

    /**
     * Lists the bindings of the configuration that the server uses now, in their order, page by page.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>INVALID_ARGUMENT PAGE_TOKEN_INVALID: the page token is invalid, or the bindings have changed since the previous page. List them
     * again from the first page.
     * <li>RESOURCE_EXHAUSTED RATE_LIMITED: the caller calls too often.
     * </ul>
     */
    public io.sealward.v1.ListBindingsResponse listBindings(io.sealward.v1.ListBindingsRequest request) {
        return calls.unary(LIST_BINDINGS, request);
    }

    /**
     * The asynchronous form of {@link #listBindings}.
     */
    public CompletableFuture<io.sealward.v1.ListBindingsResponse> listBindingsAsync(io.sealward.v1.ListBindingsRequest request) {
        return calls.unaryAsync(LIST_BINDINGS, request);
    }

    /**
     * Returns all records of {@link #listBindings}, from the request's page on. Each page is a call.
     */
    public Pages<io.sealward.v1.Binding> listAllBindings(io.sealward.v1.ListBindingsRequest request) {
        return new Pages<>(
                request.getPageToken(),
                token -> listBindings(request.toBuilder().setPageToken(token).build()),
                page -> page.getBindingsList(),
                page -> page.getNextPageToken());
    }
}
