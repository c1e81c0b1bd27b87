package io.sealward.client;

import io.grpc.Status;
import io.sealward.v1.ErrorReason;
import io.sealward.v1.ItemStatus;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** A failed call. Contains no secrets: the contract excludes them from errors. */
public final class SealwardException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final Origin origin;
    private final Status.Code code;
    private final transient ErrorDetails details;
    private final String serverMessage;
    private final boolean mayHaveTakenEffect;

    SealwardException(
            Origin origin, Status.Code code, String serverMessage, ErrorDetails details, boolean mayHaveTakenEffect, Throwable cause) {
        super(text(origin, code, serverMessage, details), cause);
        this.origin = origin;
        this.code = code;
        this.serverMessage = serverMessage;
        this.details = details;
        this.mayHaveTakenEffect = mayHaveTakenEffect;
    }

    /** Converts the error of one item, such as a result of an import, to the exception that a call of its own would throw. */
    public static SealwardException itemError(ItemStatus status) {
        return Failures.ofItem(status);
    }

    /** A failure of this side, with its text. */
    static SealwardException ofClient(Status.Code code, String text, Throwable cause) {
        return new SealwardException(Origin.CLIENT, code, text, ErrorDetails.NONE, false, cause);
    }

    /** The failure of a call of a closed client. */
    static SealwardException ofClosedClient() {
        return new SealwardException(Origin.CANCELLED, Status.Code.UNAVAILABLE, Failures.CLOSED, ErrorDetails.NONE, false, null);
    }

    /** The same failure of a call with an earlier attempt that may have taken effect. */
    SealwardException inDoubt() {
        return new SealwardException(origin, code, serverMessage, details(), true, this);
    }

    /** Returns the gRPC code. */
    public Status.Code code() {
        return code;
    }

    /** Returns the machine-readable reason. {@code ERROR_REASON_UNSPECIFIED} if there is none, or if this client doesn't know it. */
    public ErrorReason reason() {
        return details().reason;
    }

    /** Returns the reason of the mail application. {@code ERROR_REASON_UNSPECIFIED} for all other errors. */
    public io.sealward.mail.v1.ErrorReason mailReason() {
        return details().mailReason;
    }

    /** Returns the reason as on the wire, such as {@code KEY_MISMATCH}, also if this client doesn't know it. */
    public Optional<String> reasonName() {
        return Optional.ofNullable(details().reasonName);
    }

    /** Returns the server's message. Can be empty. {@link #getMessage} has the reason too. */
    public String serverMessage() {
        return serverMessage;
    }

    /** Returns the values of the reason by their names in the contract, such as {@code wanted_fingerprint} and {@code limit}. */
    public Map<String, String> metadata() {
        return details().metadata;
    }

    /** Returns the violations of the request's fields. */
    public List<FieldViolation> fieldViolations() {
        return details().fieldViolations;
    }

    /** Returns the delay before a retry that the server requests. */
    public Optional<Duration> retryDelay() {
        return Optional.ofNullable(details().retryDelay);
    }

    /** Returns the id of the call in the server's log. */
    public Optional<String> callId() {
        return Optional.ofNullable(details().callId);
    }

    /** Returns the origin of the failure. */
    public Origin origin() {
        return origin;
    }

    /**
     * Returns whether an attempt of the call may have taken effect, although the call failed. Check before you repeat the call. Always false
     * for a call that changes nothing.
     */
    public boolean mayHaveTakenEffect() {
        return mayHaveTakenEffect;
    }

    /** A deserialized exception has no details. */
    private ErrorDetails details() {
        return details == null ? ErrorDetails.NONE : details;
    }

    private static String text(Origin origin, Status.Code code, String serverMessage, ErrorDetails details) {
        switch (origin) {
            case NOT_CONNECTED:
                return "can't connect to the server";
            case TLS_REFUSED:
                return "TLS handshake failed";
            case BROKEN:
                return "connection lost before the response";
            case TIMED_OUT:
                return "the call timed out";
            case UNREADABLE:
                return "can't decode the response";
            case CANCELLED:
            case CLIENT:
                return serverMessage;
            case SERVER:
            default:
                if (isMethodMissing(code, details)) {
                    return METHOD_MISSING;
                }
                String what = details.reasonName == null ? code.name() : details.reasonName;
                return serverMessage.isEmpty() ? what : what + ": " + serverMessage;
        }
    }

    /** A server refuses some calls of known methods as unimplemented, with another reason. */
    private static boolean isMethodMissing(Status.Code code, ErrorDetails details) {
        return code == Status.Code.UNIMPLEMENTED && (details.reasonName == null || details.reason == ErrorReason.ERROR_REASON_METHOD_UNKNOWN);
    }

    private static final String METHOD_MISSING = "the server doesn't have this method: it may be older than this client";
}
