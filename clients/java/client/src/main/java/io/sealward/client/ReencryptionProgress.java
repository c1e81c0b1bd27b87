package io.sealward.client;

import io.grpc.Status;
import io.sealward.v1.Reencryption;
import io.sealward.v1.WatchReencryptionRequest;
import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * The progress of a re-encryption. The server continues the re-encryption if no program watches it.
 *
 * <p>Iterating waits for the next message, at least one a second, until the re-encryption has ended. If the connection or the server ends, the
 * iterator opens the stream again after a second: for a minute, or for five seconds before the first message. The {@link RetryPolicy} doesn't
 * apply.
 */
public class ReencryptionProgress implements Iterable<Reencryption>, AutoCloseable {
    private final SealwardClient client;
    private final String organization;
    private final Duration pause;
    private final int failuresMaxAtFirst;
    private final CountDownLatch closed = new CountDownLatch(1);
    private volatile ResponseStream<Reencryption> stream;

    ReencryptionProgress(SealwardClient client, String organization, Duration pause, int failuresMaxAtFirst) {
        this.client = client;
        this.organization = organization;
        this.pause = pause;
        this.failuresMaxAtFirst = failuresMaxAtFirst;
    }

    /** Waits until the re-encryption has ended, and returns its last state. */
    public Reencryption await() {
        Reencryption last = null;
        for (Reencryption progress : this) {
            last = progress;
        }
        return last;
    }

    /** Returns an iterator over the progress, which begins with the present state. */
    @Override
    public Iterator<Reencryption> iterator() {
        return new ProgressIterator();
    }

    /** Stops watching. The re-encryption continues. */
    @Override
    public void close() {
        closed.countDown();
        ResponseStream<Reencryption> current = stream;
        if (current != null) {
            current.close();
        }
    }

    private boolean isClosed() {
        return closed.getCount() == 0;
    }

    /** Whether a stream ended for a reason that has nothing to do with the re-encryption. */
    private static boolean isInterruption(SealwardException error) {
        switch (error.origin()) {
            case TLS_REFUSED:
            case CANCELLED:
            case CLIENT:
                return false;
            default:
                // A server that can't write to a slow reader resets the stream, without a reason.
                boolean isReset = error.code() == Status.Code.CANCELLED && error.reasonName().isEmpty();
                boolean isDelayed = error.code() == Status.Code.RESOURCE_EXHAUSTED && error.retryDelay().isPresent();
                return isReset || isDelayed || error.code() == Status.Code.UNAVAILABLE;
        }
    }

    private final class ProgressIterator implements Iterator<Reencryption> {
        private Iterator<Reencryption> messages;
        private boolean hasMessage;
        private int failures;

        @Override
        public boolean hasNext() {
            while (true) {
                try {
                    if (messages == null) {
                        messages = open();
                    }
                    boolean hasNext = messages.hasNext();
                    hasMessage = hasMessage || hasNext;
                    failures = 0;
                    return hasNext;
                } catch (SealwardException error) {
                    messages = null;
                    failures++;
                    pauseOrThrow(error);
                }
            }
        }

        @Override
        public Reencryption next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            return messages.next();
        }

        private Iterator<Reencryption> open() {
            ResponseStream<Reencryption> opened = client.dataEncryption().watchReencryption(
                    WatchReencryptionRequest.newBuilder().setOrganization(organization).build());
            stream = opened;
            // Another thread may have closed the progress meanwhile, and so have closed the stream before.
            if (isClosed()) {
                opened.close();
            }
            return opened.iterator();
        }

        private Duration pauseAfter(SealwardException error) {
            Duration requested = error.retryDelay().orElse(Duration.ZERO);
            Duration limited = requested.compareTo(Bounds.WATCH_PAUSE_MAX) > 0 ? Bounds.WATCH_PAUSE_MAX : requested;
            return limited.compareTo(pause) > 0 ? limited : pause;
        }

        private void pauseOrThrow(SealwardException error) {
            int failuresMax = hasMessage ? Bounds.WATCH_FAILURES_MAX : failuresMaxAtFirst;
            if (isClosed() || failures > failuresMax || !isInterruption(error)) {
                throw error;
            }
            client.connection().reconnect();
            try {
                if (closed.await(pauseAfter(error).toNanos(), TimeUnit.NANOSECONDS)) {
                    throw error;
                }
            } catch (InterruptedException interruption) {
                Thread.currentThread().interrupt();
                throw error;
            }
        }
    }
}
