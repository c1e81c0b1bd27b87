package io.sealward.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import io.sealward.v1.ErrorReason;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** The {@code google.rpc} details of a status. Missing and malformed details are ignored. */
final class ErrorDetails {
    static final ErrorDetails NONE = new ErrorDetails();

    ErrorReason reason = ErrorReason.ERROR_REASON_UNSPECIFIED;
    io.sealward.mail.v1.ErrorReason mailReason = io.sealward.mail.v1.ErrorReason.ERROR_REASON_UNSPECIFIED;
    /** The reason as on the wire, or null. */
    String reasonName;
    Map<String, String> metadata = Map.of();
    List<FieldViolation> fieldViolations = List.of();
    /** The delay that the server requests, or null. */
    Duration retryDelay;
    /** The id of the call in the server's log, or null. */
    String callId;

    private ErrorDetails() {}

    /** The details of a timeout on this side. */
    static ErrorDetails timedOut() {
        ErrorDetails details = new ErrorDetails();
        details.reason = ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED;
        details.reasonName = "DEADLINE_EXCEEDED";
        return details;
    }

    /** Decodes the details of a status. Returns null if it has none. */
    static ErrorDetails of(Status status, Metadata trailers) {
        com.google.rpc.Status decoded = decode(status, trailers);
        return decoded == null || decoded.getDetailsCount() == 0 ? null : of(decoded.getDetailsList());
    }

    static ErrorDetails of(List<Any> packed) {
        ErrorDetails details = new ErrorDetails();
        for (Any detail : packed) {
            try {
                details.read(detail);
            } catch (InvalidProtocolBufferException ignored) {
                // A detail of another shape says nothing that a caller could use.
            }
        }
        return details;
    }

    private static com.google.rpc.Status decode(Status status, Metadata trailers) {
        try {
            return trailers == null ? null : StatusProto.fromStatusAndTrailers(status, trailers);
        } catch (IllegalArgumentException malformed) {
            return null;
        }
    }

    private void read(Any detail) throws InvalidProtocolBufferException {
        if (detail.is(ErrorInfo.class)) {
            readReason(detail.unpack(ErrorInfo.class));
        } else if (detail.is(BadRequest.class)) {
            List<FieldViolation> violations = new ArrayList<>();
            for (BadRequest.FieldViolation violation : detail.unpack(BadRequest.class).getFieldViolationsList()) {
                violations.add(new FieldViolation(violation.getField(), violation.getDescription(), violation.getReason()));
            }
            fieldViolations = List.copyOf(violations);
        } else if (detail.is(RetryInfo.class)) {
            RetryInfo info = detail.unpack(RetryInfo.class);
            if (info.hasRetryDelay()) {
                retryDelay = Duration.ofSeconds(info.getRetryDelay().getSeconds(), info.getRetryDelay().getNanos());
            }
        } else if (detail.is(RequestInfo.class)) {
            String id = detail.unpack(RequestInfo.class).getRequestId();
            callId = id.isEmpty() ? null : id;
        }
    }

    private void readReason(ErrorInfo info) {
        if (info.getDomain().equals(DOMAIN)) {
            reason = find(ErrorReason.values(), info.getReason(), reason);
        } else if (info.getDomain().equals(MAIL_DOMAIN)) {
            mailReason = find(io.sealward.mail.v1.ErrorReason.values(), info.getReason(), mailReason);
        } else {
            return;
        }
        reasonName = info.getReason();
        metadata = java.util.Collections.unmodifiableMap(new TreeMap<>(info.getMetadataMap()));
    }

    private static <E extends Enum<E>> E find(E[] values, String name, E unknown) {
        for (E value : values) {
            if (value.name().equals(REASON_PREFIX + name)) {
                return value;
            }
        }
        return unknown;
    }

    /** The domain of the platform's reasons. */
    private static final String DOMAIN = "sealward";

    /** The domain of the mail application's reasons. */
    private static final String MAIL_DOMAIN = "sealward.mail";

    /** The prefix of reasons in the enums. */
    private static final String REASON_PREFIX = "ERROR_REASON_";
}
