// Generated from sealward/mail/v1/mailbox_connection.proto. Do not edit.
package io.sealward.client;

import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Resolves the data that a mail connector needs to sign in for a mailbox. To reveal single attributes, use sealward.v1.SecretAccessService.
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
public final class MailboxConnectionsClient {
    private static final MethodDescriptor<io.sealward.mail.v1.ResolveMailboxConnectionRequest, io.sealward.mail.v1.ResolveMailboxConnectionResponse> RESOLVE_MAILBOX_CONNECTION = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.MailboxConnectionService",
            "ResolveMailboxConnection",
            io.sealward.mail.v1.ResolveMailboxConnectionRequest.getDefaultInstance(),
            io.sealward.mail.v1.ResolveMailboxConnectionResponse.getDefaultInstance());

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(RESOLVE_MAILBOX_CONNECTION);

    private final Calls calls;

    MailboxConnectionsClient(Calls calls) {
        this.calls = calls;
    }

    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */
    public MailboxConnectionsClient withTimeout(Duration timeout) {
        return new MailboxConnectionsClient(calls.withTimeout(timeout));
    }

    /**
     * Returns the data that a mail connector needs to sign in for a mailbox, by the rules of Dynamics 365. It consists of servers, protocols,
     * user names, and the passwords of the mailbox or its profile. Before the response is sent, the audit trail records the caller, the
     * purpose, and where each password is sent: host, port, and whether TLS is used.
     * <p>A direction is absent from the response if its delivery method isn't server-side synchronization, or if it isn't enabled. If the
     * credentials of a direction can't be returned, it has the reason instead.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>NOT_FOUND: the organization or the mailbox doesn't exist.
     * <li>FAILED_PRECONDITION MAILBOX_INACTIVE, MAILBOX_WITHOUT_PROFILE or PROFILE_INACTIVE: see ErrorReason.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE: data encryption is inactive.
     * <li>DATA_LOSS KEY_RING_DAMAGED: the key ring is missing or damaged.
     * <li>DATA_LOSS CELL_UNREADABLE: a password can't be opened.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: the audit record may have been written. Nothing was returned.
     * </ul>
     * <p>Safe to repeat: each call adds an audit record.
     */
    public io.sealward.mail.v1.ResolveMailboxConnectionResponse resolveMailboxConnection(io.sealward.mail.v1.ResolveMailboxConnectionRequest request) {
        return calls.unary(RESOLVE_MAILBOX_CONNECTION, request);
    }

    /**
     * The asynchronous form of {@link #resolveMailboxConnection}.
     */
    public CompletableFuture<io.sealward.mail.v1.ResolveMailboxConnectionResponse> resolveMailboxConnectionAsync(io.sealward.mail.v1.ResolveMailboxConnectionRequest request) {
        return calls.unaryAsync(RESOLVE_MAILBOX_CONNECTION, request);
    }
}
