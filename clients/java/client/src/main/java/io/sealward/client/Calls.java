package io.sealward.client;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.grpc.Deadline;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** Calls with a timeout, the same for every method. The generated clients are made of them. */
final class Calls {
    private final Connection connection;
    private final Duration timeout;
    /** Whether the caller has chosen the timeout for these calls. Only then, it applies to streams. */
    private final boolean appliesToStreams;

    Calls(Connection connection, Duration timeout) {
        this(connection, timeout, false);
    }

    private Calls(Connection connection, Duration timeout, boolean appliesToStreams) {
        this.connection = connection;
        this.timeout = timeout;
        this.appliesToStreams = appliesToStreams;
    }

    Calls withTimeout(Duration other) {
        return new Calls(connection, checkTimeout(other), true);
    }

    static Duration checkTimeout(Duration timeout) {
        if (timeout.isZero() || timeout.isNegative() || timeout.compareTo(Bounds.TIMEOUT_MAX) > 0) {
            throw new SetupException("the timeout must be longer than 0, and at most 24 hours: " + timeout);
        }
        return timeout;
    }

    Connection connection() {
        return connection;
    }

    <Q extends Message, A> A unary(MethodDescriptor<Q, A> method, Q request) {
        return join(unaryAsync(method, request));
    }

    <Q extends Message, A> CompletableFuture<A> unaryAsync(MethodDescriptor<Q, A> method, Q request) {
        UnaryCall<Q, A> call = new UnaryCall<>(connection, method, request, safety(method, request), deadline());
        return call.start();
    }

    <Q extends Message, A> ResponseStream<A> serverStream(MethodDescriptor<Q, A> method, Q request) {
        return ResponseStream.open(connection, method, request, safety(method, request), appliesToStreams ? deadline() : null);
    }

    <Q, A> A clientStream(MethodDescriptor<Q, A> method, Iterable<Q> requests) {
        return join(clientStreamAsync(method, requests));
    }

    <Q, A> CompletableFuture<A> clientStreamAsync(MethodDescriptor<Q, A> method, Iterable<Q> requests) {
        return new StreamedCall<>(connection, method, requests.iterator()).start(appliesToStreams ? deadline() : null);
    }

    <Q, A> ResponseStream<A> bidirectionalStream(MethodDescriptor<Q, A> method, Iterable<Q> requests) {
        return ResponseStream.open(connection, method, requests.iterator(), appliesToStreams ? deadline() : null);
    }

    private Deadline deadline() {
        return Deadline.after(timeout.toNanos(), TimeUnit.NANOSECONDS);
    }

    /** Waits for an answer. The exception's stack trace is the caller's; the trace of the attempt is in the cause. */
    private static <A> A join(CompletableFuture<A> future) {
        try {
            return future.get();
        } catch (InterruptedException error) {
            future.cancel(true);
            Thread.currentThread().interrupt();
            throw SealwardException.ofClient(Status.Code.CANCELLED, "interrupted while waiting for the response", error);
        } catch (ExecutionException error) {
            Throwable cause = error.getCause();
            cause.fillInStackTrace();
            if (cause instanceof SealwardException) {
                throw (SealwardException) cause;
            }
            throw SealwardException.ofClient(Status.Code.INTERNAL, "the call failed in the client", cause);
        }
    }

    private static RetryPolicy.Safety safety(MethodDescriptor<?, ?> method, Message request) {
        if (RetryFacts.shared().isReadOnly(method.getFullMethodName())) {
            return RetryPolicy.Safety.READ_ONLY;
        }
        FieldDescriptor key = request.getDescriptorForType().findFieldByName("request_id");
        boolean hasKey = key != null && !request.getField(key).equals("");
        return hasKey ? RetryPolicy.Safety.REPEATABLE : RetryPolicy.Safety.UNSAFE;
    }
}
