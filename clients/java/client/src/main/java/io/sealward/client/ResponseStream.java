package io.sealward.client;

import io.grpc.ClientCall;
import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * The messages that the server streams, in order. Waiting for a message can throw a {@link SealwardException}. A stream has no timeout, unless
 * its client was made by {@code withTimeout}. Close it to end the call.
 *
 * @param <A> the messages
 */
public final class ResponseStream<A> implements Iterable<A>, AutoCloseable {
    private final Opening<A> opening;
    private final BlockingQueue<Event<A>> events = new LinkedBlockingQueue<>();
    private final MessageIterator iterator = new MessageIterator();
    /** Sends the requests of a stream in both directions. Null if there is a single request. */
    private volatile RequestSender<?> sender;

    private volatile ClientCall<?, A> call;
    private volatile boolean isClosed;

    private ResponseStream(Opening<A> opening) {
        this.opening = opening;
        this.call = opening.open(this, false);
    }

    static <Q, A> ResponseStream<A> open(
            Connection connection, MethodDescriptor<Q, A> method, Q request, RetryPolicy.Safety safety, Deadline deadline) {
        return new ResponseStream<>(new Opening<A>() {
            @Override
            public ClientCall<?, A> open(ResponseStream<A> stream, boolean refreshToken) {
                connection.checkSize(request);
                Metadata headers = connection.headers(refreshToken);
                ClientCall<Q, A> call = connection.newCall(method, deadline);
                call.start(stream.new Listener(connection, safety), headers);
                call.request(1);
                call.sendMessage(request);
                call.halfClose();
                return call;
            }

            @Override
            public boolean canRefreshToken() {
                return connection.canRefreshToken();
            }
        });
    }

    /** Opens a stream in both directions. It writes, and is never repeated. */
    static <Q, A> ResponseStream<A> open(Connection connection, MethodDescriptor<Q, A> method, Iterator<Q> requests, Deadline deadline) {
        return new ResponseStream<>(new Opening<A>() {
            @Override
            public ClientCall<?, A> open(ResponseStream<A> stream, boolean refreshToken) {
                Metadata headers = connection.headers(refreshToken);
                ClientCall<Q, A> call = connection.newCall(method, deadline);
                RequestSender<Q> sender = new RequestSender<>(connection, call, requests);
                stream.sender = sender;
                call.start(stream.new Listener(connection, RetryPolicy.Safety.UNSAFE), headers);
                call.request(1);
                sender.start();
                return call;
            }

            @Override
            public boolean canRefreshToken() {
                return false;
            }
        });
    }

    /** Returns the iterator over the messages. A stream has only one, and each message is returned once. */
    @Override
    public Iterator<A> iterator() {
        return iterator;
    }

    /** Ends the call. Messages that weren't read are discarded. */
    @Override
    public void close() {
        isClosed = true;
        if (sender != null) {
            sender.end();
        }
        call.cancel(CallFuture.CANCELLED, null);
    }

    /** Opens the call, again with another token if the server refuses the first one. */
    private interface Opening<A> {
        ClientCall<?, A> open(ResponseStream<A> stream, boolean refreshToken);

        boolean canRefreshToken();
    }

    private final class MessageIterator implements Iterator<A> {
        private A next;
        private boolean isAtStart = true;
        private boolean isTokenRefreshed;
        private Event<A> end;

        @Override
        public boolean hasNext() {
            while (next == null && end == null) {
                Event<A> event = take();
                if (event.message != null) {
                    next = event.message;
                    isAtStart = false;
                    call.request(1);
                } else if (needsRefresh(event.error)) {
                    isTokenRefreshed = true;
                    reopen();
                } else {
                    end = event;
                }
            }
            if (next == null && end.error != null) {
                end.error.fillInStackTrace();
                throw end.error;
            }
            return next != null;
        }

        @Override
        public A next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            A message = next;
            next = null;
            return message;
        }

        private void reopen() {
            try {
                call = opening.open(ResponseStream.this, true);
            } catch (SealwardException error) {
                end = new Event<>(null, error);
            } catch (Throwable error) {
                end = new Event<>(null, failed(error));
            }
            // Another thread may have closed the stream meanwhile, and so have cancelled the call before.
            if (isClosed) {
                call.cancel(CallFuture.CANCELLED, null);
            }
        }

        private boolean needsRefresh(SealwardException error) {
            boolean isRefused = error != null && error.code() == Status.Code.UNAUTHENTICATED;
            return isRefused && isAtStart && !isTokenRefreshed && !isClosed && opening.canRefreshToken();
        }

        private Event<A> take() {
            try {
                return events.take();
            } catch (InterruptedException error) {
                close();
                Thread.currentThread().interrupt();
                throw SealwardException.ofClient(Status.Code.CANCELLED, "interrupted while waiting for the response", error);
            }
        }
    }

    private static SealwardException failed(Throwable error) {
        return SealwardException.ofClient(Status.Code.INTERNAL, "the call failed in the client", error);
    }

    private final class Listener extends ClientCall.Listener<A> {
        private final Connection connection;
        private final RetryPolicy.Safety safety;
        private boolean isAnswered;

        Listener(Connection connection, RetryPolicy.Safety safety) {
            this.connection = connection;
            this.safety = safety;
        }

        @Override
        public void onReady() {
            if (sender != null) {
                sender.ready();
            }
        }

        @Override
        public void onHeaders(Metadata headers) {
            connection.readHeaders(headers);
        }

        @Override
        public void onMessage(A message) {
            isAnswered = true;
            events.add(new Event<>(message, null));
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            SealwardException error;
            try {
                connection.readHeaders(trailers);
                // After an answer to some requests, others may have been executed too.
                error = status.isOk() ? null : Failures.of(status, trailers, safety, isAnswered && sender != null);
                if (error != null) {
                    connection.reconnectAfter(error);
                }
                if (sender != null) {
                    sender.end();
                    error = sender.failure() == null ? error : sender.failure();
                }
            } catch (Throwable failure) {
                // gRPC would only log it, and the caller would wait for ever.
                error = failed(failure);
            }
            events.add(new Event<>(null, error));
        }
    }

    /** A message, or the end of the stream with its error, if it has one. The call asks for one message at a time, so few are waiting. */
    private static final class Event<A> {
        private final A message;
        private final SealwardException error;

        Event(A message, SealwardException error) {
            this.message = message;
            this.error = error;
        }
    }
}
