// Generated from sealward/v1/server.proto. Do not edit.
package io.sealward.client;

import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Describes the server: its build, and its state.
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
public final class ServerClient {
    private static final MethodDescriptor<io.sealward.v1.GetServerInfoRequest, io.sealward.v1.ServerInfo> GET_SERVER_INFO = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.ServerService",
            "GetServerInfo",
            io.sealward.v1.GetServerInfoRequest.getDefaultInstance(),
            io.sealward.v1.ServerInfo.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.GetServerStatusRequest, io.sealward.v1.ServerStatus> GET_SERVER_STATUS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.ServerService",
            "GetServerStatus",
            io.sealward.v1.GetServerStatusRequest.getDefaultInstance(),
            io.sealward.v1.ServerStatus.getDefaultInstance());

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(GET_SERVER_INFO, GET_SERVER_STATUS);

    private final Calls calls;

    ServerClient(Calls calls) {
        this.calls = calls;
    }

    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */
    public ServerClient withTimeout(Duration timeout) {
        return new ServerClient(calls.withTimeout(timeout));
    }

    /**
     * Returns the version of the server, its schema, its formats and its cryptographic modules. The call isn't recorded in the audit trail.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>RESOURCE_EXHAUSTED RATE_LIMITED: the caller calls too often.
     * </ul>
     * <p>This method never returns PRIVILEGE_MISSING.
     */
    public io.sealward.v1.ServerInfo getServerInfo(io.sealward.v1.GetServerInfoRequest request) {
        return calls.unary(GET_SERVER_INFO, request);
    }

    /**
     * The asynchronous form of {@link #getServerInfo}.
     */
    public CompletableFuture<io.sealward.v1.ServerInfo> getServerInfoAsync(io.sealward.v1.GetServerInfoRequest request) {
        return calls.unaryAsync(GET_SERVER_INFO, request);
    }

    /**
     * Returns the state of the server: certificates, stores, root keys, the audit copy, and findings, which are problems with their remedies.
     * It is what the server knows in memory. {@code sealward-server check-config} also checks files and databases.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>RESOURCE_EXHAUSTED RATE_LIMITED: the caller calls too often.
     * </ul>
     */
    public io.sealward.v1.ServerStatus getServerStatus(io.sealward.v1.GetServerStatusRequest request) {
        return calls.unary(GET_SERVER_STATUS, request);
    }

    /**
     * The asynchronous form of {@link #getServerStatus}.
     */
    public CompletableFuture<io.sealward.v1.ServerStatus> getServerStatusAsync(io.sealward.v1.GetServerStatusRequest request) {
        return calls.unaryAsync(GET_SERVER_STATUS, request);
    }
}
