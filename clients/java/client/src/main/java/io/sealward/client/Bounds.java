package io.sealward.client;

import java.time.Duration;

/** The limits of the client, with their units and reasons. The retries have their own, in {@link RetryPolicy}. */
final class Bounds {
    private Bounds() {}

    /** Maximum time of a unary call with its retries. The server has the same default. */
    static final Duration TIMEOUT_DEFAULT = Duration.ofSeconds(30);

    /** Maximum timeout. A longer one is a mistake in the unit, and a deadline in nanoseconds has an end. */
    static final Duration TIMEOUT_MAX = Duration.ofHours(24);

    /** Maximum size of a sent or received message, in bytes: the server's default. */
    static final int MESSAGE_SIZE_MAX_DEFAULT_BYTES = 4 * 1024 * 1024;

    /** Interval of HTTP/2 pings while calls are open. They detect dead connections of idle streams. */
    static final Duration KEEPALIVE_INTERVAL = Duration.ofSeconds(60);

    /** Maximum time for the answer to a ping. */
    static final Duration KEEPALIVE_TIMEOUT = Duration.ofSeconds(20);

    /**
     * Minimum interval between the connection attempts that failed calls cause, unless they are repeated. gRPC's own pauses grow to 2 minutes: too
     * long after a restart of the server. A program that calls in a loop connects no more often than this.
     */
    static final Duration RECONNECT_INTERVAL = Duration.ofSeconds(5);

    /** The pause before the stream of a key change is opened again. The server sends a message a second at most. */
    static final Duration WATCH_PAUSE = Duration.ofSeconds(1);

    /** Maximum pause, if the server requests a longer one. */
    static final Duration WATCH_PAUSE_MAX = Duration.ofSeconds(5);

    /** Maximum number of consecutive failures of that stream: a restart of the server takes seconds. */
    static final int WATCH_FAILURES_MAX = 60;

    /** The same before its first message: the server may be unreachable for another reason than a restart. */
    static final int WATCH_FAILURES_MAX_AT_FIRST = 5;

    /** Maximum time that {@link SealwardClient#close} waits for running calls. After that, it cancels them. */
    static final Duration CLOSE_TIMEOUT = Duration.ofSeconds(5);

    /** Maximum length of the server's version, in characters. A longer value is ignored: it is text from outside. */
    static final int SERVER_VERSION_LENGTH_MAX = 64;
}
