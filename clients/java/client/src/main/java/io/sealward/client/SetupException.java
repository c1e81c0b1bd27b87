package io.sealward.client;

/** An error in the configuration of a client. The message says what to do, and contains no secrets. */
public final class SetupException extends IllegalArgumentException {
    private static final long serialVersionUID = 1;

    SetupException(String message) {
        super(message);
    }

    SetupException(String message, Throwable cause) {
        super(message, cause);
    }
}
