package io.sealward.client;

import io.grpc.ClientCall;
import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.Iterator;
import java.util.concurrent.CompletableFuture;

/** A call with many requests and one answer. A request is read when the connection can take it. Never repeated. */
final class StreamedCall<Q, A> {
    private final Connection connection;
    private final MethodDescriptor<Q, A> method;
    private final Iterator<Q> requests;
    private final CallFuture<A> future = new CallFuture<>();
    private ClientCall<Q, A> call;
    private boolean isSent;

    StreamedCall(Connection connection, MethodDescriptor<Q, A> method, Iterator<Q> requests) {
        this.connection = connection;
        this.method = method;
        this.requests = requests;
    }

    CompletableFuture<A> start(Deadline deadline) {
        try {
            Metadata headers = connection.headers(false);
            call = connection.newCall(method, deadline);
            call.start(new Listener(), headers);
            future.current(call);
            call.request(2);
        } catch (Throwable error) {
            future.completeExceptionally(error);
        }
        return future;
    }

    /** Listeners run one after the other, so this isn't called twice at the same time. */
    private void send() {
        try {
            while (!isSent && call.isReady()) {
                if (requests.hasNext()) {
                    Q request = requests.next();
                    connection.checkSize(request);
                    call.sendMessage(request);
                } else {
                    isSent = true;
                    call.halfClose();
                }
            }
        } catch (Throwable error) {
            isSent = true;
            boolean isOwn = error instanceof SealwardException;
            future.completeExceptionally(
                    isOwn ? error : SealwardException.ofClient(Status.Code.CANCELLED, "the requests of the stream failed", error));
            call.cancel("the requests of the stream failed", error);
        }
    }

    private final class Listener extends ClientCall.Listener<A> {
        private A answer;

        @Override
        public void onReady() {
            send();
        }

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
            isSent = true;
            try {
                connection.readHeaders(trailers);
                if (status.isOk() && answer != null) {
                    future.complete(answer);
                    return;
                }
                Status failed = status.isOk() ? Status.INTERNAL.withDescription("the response has no message") : status;
                SealwardException error = Failures.of(failed, trailers, RetryPolicy.Safety.UNSAFE, false);
                connection.reconnectAfter(error);
                future.completeExceptionally(error);
            } catch (Throwable error) {
                // gRPC would only log it, and the caller would wait for ever.
                future.completeExceptionally(error);
            }
        }
    }
}
