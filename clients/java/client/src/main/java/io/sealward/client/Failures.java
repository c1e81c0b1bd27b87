package io.sealward.client;

import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Metadata;
import io.grpc.Status;
import io.sealward.v1.ErrorReason;
import java.net.ConnectException;
import java.net.UnknownHostException;
import javax.net.ssl.SSLException;

/** Failed attempts of calls, as exceptions. */
final class Failures {
    private Failures() {}

    /** Describes the end of an attempt. {@code wasInDoubt} is whether an earlier attempt may have taken effect. */
    static SealwardException of(Status status, Metadata trailers, RetryPolicy.Safety safety, boolean wasInDoubt) {
        ErrorDetails decoded = ErrorDetails.of(status, trailers);
        Origin origin = origin(status, trailers, decoded != null);
        ErrorDetails details = decoded != null ? decoded : origin == Origin.TIMED_OUT ? ErrorDetails.timedOut() : ErrorDetails.NONE;
        boolean isInDoubt = safety != RetryPolicy.Safety.READ_ONLY && (wasInDoubt || mayHaveTakenEffect(origin, details));
        String message = status.getDescription() == null ? "" : status.getDescription();
        return new SealwardException(origin, status.getCode(), message, details, isInDoubt, status.asRuntimeException(trailers));
    }

    private static boolean mayHaveTakenEffect(Origin origin, ErrorDetails details) {
        switch (origin) {
            case BROKEN:
            case TIMED_OUT:
            case UNREADABLE:
                return true;
            case SERVER:
                return details.reason == ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN
                        || details.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
                        || details.reason == ErrorReason.ERROR_REASON_CANCELLED;
            case CLIENT:
            case NOT_CONNECTED:
            case TLS_REFUSED:
            default:
                return false;
        }
    }

    /** A status of the server has details, or at least trailers. A status of this side has none. */
    private static Origin origin(Status status, Metadata trailers, boolean hasDetails) {
        if (hasDetails) {
            return Origin.SERVER;
        }
        Throwable cause = status.getCause();
        if (has(cause, InvalidProtocolBufferException.class)) {
            return Origin.UNREADABLE;
        }
        switch (status.getCode()) {
            case DEADLINE_EXCEEDED:
                return Origin.TIMED_OUT;
            case CANCELLED:
                return Origin.CLIENT;
            case RESOURCE_EXHAUSTED:
                return isFromServer(trailers) ? Origin.SERVER : Origin.UNREADABLE;
            case UNAVAILABLE:
                if (has(cause, SSLException.class)) {
                    return Origin.TLS_REFUSED;
                }
                if (has(cause, ConnectException.class) || has(cause, UnknownHostException.class)) {
                    return Origin.NOT_CONNECTED;
                }
                return isFromServer(trailers) ? Origin.SERVER : Origin.BROKEN;
            default:
                return Origin.SERVER;
        }
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
}
