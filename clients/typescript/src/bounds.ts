/**
 * The bounds of a client, each with its unit, default, range and reason. Options change the ones that say so.
 */

/** The maximum time of a unary call with its retries, in milliseconds. 1 or more. It is the server's default. Option `timeoutMs`. */
export const TIMEOUT_DEFAULT_MS = 30_000;

/**
 * The longest timeout, in milliseconds: 27 hours. It is the longest that Connect can send in gRPC's header, which has at most 8 digits, and
 * JavaScript's timers can wait for it. Longer timeouts are shortened to it. Fixed.
 */
export const TIMEOUT_MAX_MS = 99_999_999;

/** The maximum time to connect, TLS handshake included, in milliseconds. 1 or more. A handshake takes less than a second. Option `connectTimeoutMs`. */
export const CONNECT_TIMEOUT_DEFAULT_MS = 10_000;

/** The maximum size of a sent or received message, in bytes: 4 MiB. 1 or more. It is the server's default. Option `messageSizeMaxBytes`. */
export const MESSAGE_SIZE_MAX_DEFAULT_BYTES = 4 * 1024 * 1024;

/** The maximum of that option, in bytes: 4 GiB. It is Connect's. Fixed. */
export const MESSAGE_SIZE_LIMIT_BYTES = 4_294_967_295;

/** The interval of HTTP/2 pings while calls are open, in milliseconds. It detects dead connections of idle streams. Fixed. */
export const KEEPALIVE_INTERVAL_MS = 60_000;

/** The maximum time for the answer to a ping, in milliseconds. Fixed. */
export const KEEPALIVE_TIMEOUT_MS = 20_000;

/** The time for which an address gets no calls after a failed connection, in milliseconds. It doubles with each further failure. Fixed. */
export const ADDRESS_PAUSE_FIRST_MS = 1_000;

/** The maximum of that time, in milliseconds. A server that is restarted is used again after at most this time. Fixed. */
export const ADDRESS_PAUSE_MAX_MS = 30_000;

/** The age at which the addresses of a name are resolved again, in milliseconds. It is gRPC's minimum interval for DNS. Fixed. */
export const ADDRESSES_AGE_MAX_MS = 30_000;

/** The maximum number of addresses of one name. More are ignored, because each can have a connection. Fixed. */
export const ADDRESSES_MAX = 100;

/** The maximum length of a server's version in characters. Longer values are ignored: they are text from outside. Fixed. */
export const SERVER_VERSION_LENGTH_MAX = 64;

/** The pause before a stream about a re-encryption is opened again, in milliseconds: a restart of the server takes seconds. Fixed. */
export const WATCH_PAUSE_MS = 1_000;

/** The maximum number of failures of that stream in a row, without a message in between. It allows for a minute without a server. Fixed. */
export const WATCH_FAILURES_MAX = 60;

/** The same before the first message, if nothing shows that the server can be reached. A wrong address is reported within seconds. Fixed. */
export const WATCH_FAILURES_MAX_AT_FIRST = 5;
