package io.sealward.client;

import io.grpc.ClientCall;
import java.util.concurrent.CompletableFuture;

/** The answer of a call. Cancelling it cancels the call. */
final class CallFuture<A> extends CompletableFuture<A> {
    private volatile ClientCall<?, ?> current;

    /** Sets the attempt that a cancellation ends. */
    void current(ClientCall<?, ?> call) {
        current = call;
        if (isCancelled()) {
            call.cancel(CANCELLED, null);
        }
    }

    @Override
    public boolean cancel(boolean mayInterruptIfRunning) {
        boolean isCancelled = super.cancel(mayInterruptIfRunning);
        ClientCall<?, ?> call = current;
        if (isCancelled && call != null) {
            call.cancel(CANCELLED, null);
        }
        return isCancelled;
    }

    /** Futures that are derived from this one are ordinary: cancelling them doesn't cancel the call. */
    @Override
    public <U> CompletableFuture<U> newIncompleteFuture() {
        return new CompletableFuture<>();
    }

    static final String CANCELLED = "cancelled by the caller";
}
