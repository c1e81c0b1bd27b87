package io.sealward.client;

import com.google.protobuf.MessageLite;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;

/** What all calls of a client share: the channel, the token, the policy of retries and the limits. */
final class Connection {
    private final ManagedChannel channel;
    private final Bearer bearer;
    private final RetryPolicy retry;
    private final int messageSizeMaxBytes;
    private final AtomicLong reconnectedNanos = new AtomicLong(System.nanoTime() - Bounds.RECONNECT_INTERVAL.toNanos());
    private volatile String serverVersion;

    Connection(ManagedChannel channel, Bearer bearer, RetryPolicy retry, int messageSizeMaxBytes) {
        this.channel = channel;
        this.bearer = bearer;
        this.retry = retry;
        this.messageSizeMaxBytes = messageSizeMaxBytes;
    }

    ManagedChannel channel() {
        return channel;
    }

    RetryPolicy retry() {
        return retry;
    }

    /** Whether a call that was refused as unauthenticated can be repeated with another token. */
    boolean canRefreshToken() {
        return bearer != null && bearer.canRefresh();
    }

    /** Creates an attempt of a call. {@code deadline} can be null. A closed client sends nothing. */
    <Q, A> ClientCall<Q, A> newCall(MethodDescriptor<Q, A> method, Deadline deadline) {
        if (channel.isShutdown()) {
            throw SealwardException.ofClosedClient();
        }
        return channel.newCall(method, deadline == null ? CallOptions.DEFAULT : CallOptions.DEFAULT.withDeadline(deadline));
    }

    /**
     * Refuses a message that is too large. gRPC's own limit throws where nobody catches it, if the connection isn't open yet, and the call
     * never ends.
     */
    void checkSize(Object message) {
        int size = ((MessageLite) message).getSerializedSize();
        if (size > messageSizeMaxBytes) {
            throw SealwardException.ofClient(
                    Status.Code.RESOURCE_EXHAUSTED,
                    "the message of " + size + " bytes is larger than the limit of " + messageSizeMaxBytes + " bytes",
                    null);
        }
    }

    /** Connects again at once, instead of after gRPC's own pause. */
    void reconnect() {
        channel.resetConnectBackoff();
    }

    /** Does the same for the next call, after a failure that ends its call. */
    void reconnectAfter(SealwardException error) {
        if (error.code() != Status.Code.UNAVAILABLE) {
            return;
        }
        long now = System.nanoTime();
        long last = reconnectedNanos.get();
        if (now - last >= Bounds.RECONNECT_INTERVAL.toNanos() && reconnectedNanos.compareAndSet(last, now)) {
            reconnect();
        }
    }

    /** The headers of an attempt. Can ask the token source, and so wait. */
    Metadata headers(boolean refreshToken) {
        Metadata headers = new Metadata();
        headers.put(CLIENT, "java/" + Version.VERSION);
        if (bearer != null) {
            bearer.authorize(headers, refreshToken);
        }
        return headers;
    }

    /** Remembers the server's version from the headers of an answer, which an answer without a message has in its trailers. */
    void readHeaders(Metadata headers) {
        String version = headers.get(SERVER);
        boolean isUsable = version != null
                && !version.isEmpty()
                && version.length() <= Bounds.SERVER_VERSION_LENGTH_MAX
                && version.chars().allMatch(character -> character > ' ' && character < 127);
        if (isUsable) {
            serverVersion = version;
        }
    }

    Optional<String> serverVersion() {
        return Optional.ofNullable(serverVersion);
    }

    private static final Metadata.Key<String> CLIENT = Metadata.Key.of("sealward-client", Metadata.ASCII_STRING_MARSHALLER);
    private static final Metadata.Key<String> SERVER = Metadata.Key.of("sealward-server", Metadata.ASCII_STRING_MARSHALLER);
}
