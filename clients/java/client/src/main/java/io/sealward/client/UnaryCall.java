package io.sealward.client;

import io.grpc.ClientCall;
import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** A call with one request and one answer: its attempts, with the pauses between them. */
final class UnaryCall<Q, A> {
    private final Connection connection;
    private final MethodDescriptor<Q, A> method;
    private final Q request;
    private final RetryPolicy.Safety safety;
    private final Deadline deadline;
    private final CallFuture<A> future = new CallFuture<>();
    private int attempts;
    private boolean isTokenRefreshed;
    private boolean isInDoubt;

    UnaryCall(Connection connection, MethodDescriptor<Q, A> method, Q request, RetryPolicy.Safety safety, Deadline deadline) {
        this.connection = connection;
        this.method = method;
        this.request = request;
        this.safety = safety;
        this.deadline = deadline;
    }

    CompletableFuture<A> start() {
        attempt(false);
        return future;
    }

    /** Attempts don't overlap: each begins after the end of the one before. */
    private void attempt(boolean refreshToken) {
        if (future.isDone()) {
            return;
        }
        attempts++;
        try {
            connection.checkSize(request);
            Metadata headers = connection.headers(refreshToken);
            ClientCall<Q, A> call = connection.newCall(method, deadline);
            call.start(new Listener(), headers);
            future.current(call);
            call.request(2);
            call.sendMessage(request);
            call.halfClose();
        } catch (Throwable error) {
            // Only the first attempt is in the caller's thread: elsewhere nothing would report an error, and the caller would wait for ever.
            future.completeExceptionally(isInDoubt && error instanceof SealwardException ? ((SealwardException) error).inDoubt() : error);
        }
    }

    private void end(Status status, Metadata trailers) {
        SealwardException error = Failures.of(status, trailers, safety, isInDoubt);
        isInDoubt = error.mayHaveTakenEffect();
        if (error.code() == Status.Code.UNAUTHENTICATED && connection.canRefreshToken() && !isTokenRefreshed) {
            isTokenRefreshed = true;
            attempts--;
            attempt(true);
            return;
        }
        Optional<Duration> pause = connection.retry().pause(attempts, error, safety, ThreadLocalRandom.current().nextDouble());
        if (pause.isEmpty() || pause.get().toNanos() >= deadline.timeRemaining(TimeUnit.NANOSECONDS)) {
            connection.reconnectAfter(error);
            future.completeExceptionally(error);
            return;
        }
        connection.reconnect();
        Executor later = CompletableFuture.delayedExecutor(pause.get().toNanos(), TimeUnit.NANOSECONDS);
        later.execute(() -> attempt(false));
    }

    private final class Listener extends ClientCall.Listener<A> {
        private A answer;

        @Override
        public void onHeaders(Metadata headers) {
            connection.readHeaders(headers);
        }

        @Override
        public void onMessage(A message) {
            answer = message;
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            try {
                connection.readHeaders(trailers);
                if (status.isOk() && answer != null) {
                    future.complete(answer);
                } else {
                    end(status.isOk() ? Status.INTERNAL.withDescription("the response has no message") : status, trailers);
                }
            } catch (Throwable error) {
                // gRPC would only log it, and the caller would wait for ever.
                future.completeExceptionally(error);
            }
        }
    }
}
