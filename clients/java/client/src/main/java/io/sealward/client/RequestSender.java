package io.sealward.client;

import io.grpc.ClientCall;
import io.grpc.Status;
import java.util.Iterator;

/**
 * The requests of a stream in both directions. A thread reads them as the server takes them. gRPC's own thread would deliver no answer while
 * the program has no request yet, and the program may wait for an answer first.
 */
final class RequestSender<Q> {
    private final Connection connection;
    private final ClientCall<Q, ?> call;
    private final Iterator<Q> requests;
    private final Thread thread = new Thread(this::send, "sealward-requests");
    private boolean hasSent;
    private boolean isEnded;
    private SealwardException failure;

    RequestSender(Connection connection, ClientCall<Q, ?> call, Iterator<Q> requests) {
        this.connection = connection;
        this.call = call;
        this.requests = requests;
        thread.setDaemon(true);
    }

    void start() {
        thread.start();
    }

    /** Notes that the connection can take a request. */
    synchronized void ready() {
        notifyAll();
    }

    /** Ends the thread, because the call has ended. An interruption ends a wait for the program's next request. */
    synchronized void end() {
        isEnded = true;
        notifyAll();
        thread.interrupt();
    }

    /** The failure of the program's requests, or null. */
    synchronized SealwardException failure() {
        return failure;
    }

    private void send() {
        try {
            while (isReady()) {
                if (!requests.hasNext()) {
                    unlessEnded(call::halfClose);
                    return;
                }
                Q request = requests.next();
                connection.checkSize(request);
                unlessEnded(() -> {
                    hasSent = true;
                    call.sendMessage(request);
                });
            }
        } catch (Throwable error) {
            fail(error);
        }
    }

    private synchronized boolean isReady() throws InterruptedException {
        while (!isEnded && !call.isReady()) {
            wait();
        }
        return !isEnded;
    }

    /** Does something with the call. A call that was cancelled would throw. */
    private synchronized void unlessEnded(Runnable action) {
        if (!isEnded) {
            action.run();
        }
    }

    /** Ends the call, and keeps the failure for the reader of the answers. After the end of the call, a failure concerns nobody. */
    private void fail(Throwable error) {
        synchronized (this) {
            if (isEnded) {
                return;
            }
            isEnded = true;
            failure = describe(error);
        }
        call.cancel(FAILED, error);
    }

    /** Describes a failure of the program, or a message that is too large. The requests before it may have been executed. */
    private SealwardException describe(Throwable error) {
        if (error instanceof SealwardException) {
            return hasSent ? ((SealwardException) error).inDoubt() : (SealwardException) error;
        }
        return new SealwardException(Origin.CLIENT, Status.Code.CANCELLED, FAILED, ErrorDetails.NONE, hasSent, error);
    }

    private static final String FAILED = "the requests of the stream failed";
}
