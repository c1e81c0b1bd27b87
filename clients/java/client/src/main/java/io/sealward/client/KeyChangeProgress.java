package io.sealward.client;

import io.sealward.v1.SetDataEncryptionKeyResponse;
import java.time.Duration;

/** A key change that the server has accepted, with the progress of the re-encryption that follows. */
public final class KeyChangeProgress extends ReencryptionProgress {
    private final SetDataEncryptionKeyResponse response;

    KeyChangeProgress(SealwardClient client, String organization, SetDataEncryptionKeyResponse response, Duration pause) {
        // The server has just answered.
        super(client, organization, pause, Bounds.WATCH_FAILURES_MAX);
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
}
