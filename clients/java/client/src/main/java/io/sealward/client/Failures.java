package io.sealward.client;

import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Metadata;
import io.grpc.Status;
import io.sealward.v1.ErrorReason;
import io.sealward.v1.ItemStatus;
import java.net.ConnectException;
import java.net.NoRouteToHostException;
import java.net.UnknownHostException;
import java.util.EnumSet;
import java.util.Set;
import javax.net.ssl.SSLException;

/** Failed attempts of calls, as exceptions. */
final class Failures {
    private Failures() {}

    /** Describes the end of an attempt. {@code wasInDoubt} is whether an earlier attempt may have taken effect. */
    static SealwardException of(Status status, Metadata trailers, RetryPolicy.Safety safety, boolean wasInDoubt) {
        ErrorDetails decoded = ErrorDetails.of(status, trailers);
        Origin origin = origin(status, trailers, decoded != null);
        ErrorDetails details = decoded != null ? decoded : origin == Origin.TIMED_OUT ? ErrorDetails.timedOut() : ErrorDetails.NONE;
        boolean isInDoubt = safety != RetryPolicy.Safety.READ_ONLY && (wasInDoubt || mayHaveTakenEffect(origin, status.getCode(), details));
        String message = isClosed(status, trailers) ? CLOSED : description(status);
        return new SealwardException(origin, status.getCode(), message, details, isInDoubt, status.asRuntimeException(trailers));
    }

    /** Describes the error of one item of an answer. */
    static SealwardException ofItem(ItemStatus item) {
        Status.Code code = Status.fromCodeValue(item.getCode()).getCode();
        ErrorDetails details = ErrorDetails.of(item.getDetailsList());
        boolean isInDoubt = mayHaveTakenEffect(Origin.SERVER, code, details);
        return new SealwardException(Origin.SERVER, code, item.getMessage(), details, isInDoubt, null);
    }

    private static boolean mayHaveTakenEffect(Origin origin, Status.Code code, ErrorDetails details) {
        switch (origin) {
            case BROKEN:
            case TIMED_OUT:
            case CANCELLED:
            case UNREADABLE:
                return true;
            case SERVER:
                // Without a reason, the error may be a proxy's, or the end of a stream.
                return details.reasonName == null ? UNCERTAIN_CODES.contains(code) : UNCERTAIN_REASONS.contains(details.reason);
            case NOT_CONNECTED:
            case TLS_REFUSED:
            case CLIENT:
            default:
                return false;
        }
    }

    /** A status of the server has details, or at least trailers. A status of this side has none. */
    private static Origin origin(Status status, Metadata trailers, boolean hasDetails) {
        if (hasDetails) {
            return Origin.SERVER;
        }
        if (isClosed(status, trailers)) {
            return Origin.CANCELLED;
        }
        Throwable cause = status.getCause();
        if (has(cause, InvalidProtocolBufferException.class)) {
            return Origin.UNREADABLE;
        }
        switch (status.getCode()) {
            case DEADLINE_EXCEEDED:
                return Origin.TIMED_OUT;
            case CANCELLED:
                // Otherwise the server reset the stream, for example because the caller reads too slowly.
                return isCancelledHere(status) ? Origin.CANCELLED : Origin.SERVER;
            case RESOURCE_EXHAUSTED:
                if (isFromServer(trailers)) {
                    return Origin.SERVER;
                }
                // Otherwise the server or a proxy ended the stream or the connection with ENHANCE_YOUR_CALM.
                return description(status).contains(TOO_LARGE) ? Origin.UNREADABLE : Origin.BROKEN;
            case UNAVAILABLE:
                if (has(cause, SSLException.class)) {
                    return Origin.TLS_REFUSED;
                }
                if (has(cause, ConnectException.class)
                        || has(cause, NoRouteToHostException.class)
                        || has(cause, UnknownHostException.class)) {
                    return Origin.NOT_CONNECTED;
                }
                return isFromServer(trailers) ? Origin.SERVER : Origin.BROKEN;
            default:
                return Origin.SERVER;
        }
    }

    /** Whether the client was closed before the call, or during it. */
    private static boolean isClosed(Status status, Metadata trailers) {
        return status.getCode() == Status.Code.UNAVAILABLE && !isFromServer(trailers) && CHANNEL_CLOSED.contains(description(status));
    }

    /** Whether this program cancelled the call: by its future or stream, or by a context of gRPC. */
    private static boolean isCancelledHere(Status status) {
        String text = description(status);
        return text.equals(CallFuture.CANCELLED) || CONTEXT_CANCELLED.stream().anyMatch(text::startsWith);
    }

    private static String description(Status status) {
        return status.getDescription() == null ? "" : status.getDescription();
    }

    private static boolean isFromServer(Metadata trailers) {
        return trailers != null && !trailers.keys().isEmpty();
    }

    private static boolean has(Throwable error, Class<? extends Throwable> type) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (type.isInstance(cause)) {
                return true;
            }
        }
        return false;
    }

    /** The text of a call of a closed client. */
    static final String CLOSED = "the client is closed";

    /** The reasons of the server for an unknown outcome. */
    private static final Set<ErrorReason> UNCERTAIN_REASONS = EnumSet.of(
            ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN, ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, ErrorReason.ERROR_REASON_CANCELLED);

    /** The codes of errors without a reason, after which the outcome is unknown. */
    private static final Set<Status.Code> UNCERTAIN_CODES = EnumSet.of(
            Status.Code.CANCELLED,
            Status.Code.UNKNOWN,
            Status.Code.DEADLINE_EXCEEDED,
            Status.Code.RESOURCE_EXHAUSTED,
            Status.Code.INTERNAL,
            Status.Code.UNAVAILABLE);

    // gRPC has only texts for these.
    private static final Set<String> CHANNEL_CLOSED = Set.of("Channel shutdown invoked", "Channel shutdownNow invoked");
    private static final Set<String> CONTEXT_CANCELLED = Set.of("io.grpc.Context was cancelled", "Context cancelled");
    private static final String TOO_LARGE = "exceeds maximum size";
}
