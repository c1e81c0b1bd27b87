package io.sealward.client;

import io.grpc.Status;
import io.sealward.v1.Reencryption;
import io.sealward.v1.SetDataEncryptionKeyResponse;
import io.sealward.v1.WatchReencryptionRequest;
import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;

/**
 * A change of an organization's encryption key, with the progress of its re-encryption. The server continues the re-encryption if nobody
 * watches it.
 *
 * <p>Iterating waits for the next message, at least one a second, until the re-encryption has ended. If the connection or the server ends, the
 * iterator opens the stream again, within the limits of the {@link RetryPolicy}.
 */
public final class KeyChangeProgress implements Iterable<Reencryption>, AutoCloseable {
    private final SealwardClient client;
    private final String organization;
    private final SetDataEncryptionKeyResponse response;
    private volatile ResponseStream<Reencryption> stream;
    private volatile boolean isClosed;

    KeyChangeProgress(SealwardClient client, String organization, SetDataEncryptionKeyResponse response) {
        this.client = client;
        this.organization = organization;
        this.response = response;
    }

    /** Returns the public id of the new key. Store it with the text. */
    public String fingerprint() {
        return response.getFingerprint();
    }

    /** Returns the version of the new key. */
    public int keyVersion() {
        return response.getKeyVersion();
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
        isClosed = true;
        ResponseStream<Reencryption> current = stream;
        if (current != null) {
            current.close();
        }
    }

    private final class ProgressIterator implements Iterator<Reencryption> {
        private Iterator<Reencryption> messages;
        private int failures;

        @Override
        public boolean hasNext() {
            while (true) {
                try {
                    if (messages == null) {
                        stream = client.dataEncryption().watchReencryption(
                                WatchReencryptionRequest.newBuilder().setOrganization(organization).build());
                        messages = stream.iterator();
                    }
                    boolean hasNext = messages.hasNext();
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

        private void pauseOrThrow(SealwardException error) {
            // A server that can't write to a slow reader resets the stream, without a reason.
            boolean isReset = error.code() == Status.Code.CANCELLED && error.origin() == Origin.SERVER;
            SealwardException cause = isReset
                    ? new SealwardException(Origin.BROKEN, Status.Code.UNAVAILABLE, error.serverMessage(), ErrorDetails.NONE, false, error)
                    : error;
            Optional<Duration> pause = client.retryPolicy()
                    .pause(failures, cause, RetryPolicy.Safety.READ_ONLY, ThreadLocalRandom.current().nextDouble());
            if (isClosed || pause.isEmpty()) {
                throw error;
            }
            try {
                Thread.sleep(pause.get().toMillis());
            } catch (InterruptedException interruption) {
                Thread.currentThread().interrupt();
                throw error;
            }
        }
    }
}
