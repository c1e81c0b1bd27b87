package io.sealward.client;

/** The origin of a failure. */
public enum Origin {
    /** The server, or a proxy, answered with an error. */
    SERVER,
    /** No connection; the call wasn't sent. */
    NOT_CONNECTED,
    /** The TLS handshake failed: client or server refused the other's certificate. */
    TLS_REFUSED,
    /**
     * The connection broke, possibly after the call was sent. A server that refuses the client's certificate and closes the connection can
     * look the same.
     */
    BROKEN,
    /** The timeout expired. */
    TIMED_OUT,
    /** The answer can't be decoded as a message of the contract, or it is too large. */
    UNREADABLE,
    /** This program cancelled the call, or closed the client. */
    CANCELLED,
    /** This side failed before the call was sent: there is no token, or the request is too large. */
    CLIENT
}
