package io.sealward.client;

import io.grpc.Status;
import io.sealward.v1.ErrorReason;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Optional;
import java.util.Set;

/**
 * The limits for retries of failed calls. The defaults are those of the service configuration that all clients share.
 *
 * <p>A call is retried if a repetition is safe: if it changes nothing, or if its request has a {@code request_id}. It is retried after
 * UNAVAILABLE, and after RESOURCE_EXHAUSTED with a delay that the server requests. The call's timeout includes all attempts. Streams aren't
 * retried.
 */
public final class RetryPolicy {
    private final int attemptsMax;
    private final Duration pauseFirst;
    private final Duration pauseMax;
    private final double multiplier;

    RetryPolicy(int attemptsMax, Duration pauseFirst, Duration pauseMax, double multiplier) {
        this.attemptsMax = attemptsMax;
        this.pauseFirst = pauseFirst;
        this.pauseMax = pauseMax;
        this.multiplier = multiplier;
    }

    /** Returns the default policy: 4 attempts, and pauses that double from 100 ms up to 5 s, half of each at random. */
    public static RetryPolicy defaults() {
        return RetryFacts.shared().policy();
    }

    /** Returns a policy without retries. */
    public static RetryPolicy never() {
        return new RetryPolicy(1, Duration.ZERO, Duration.ZERO, 1);
    }

    /** Returns a policy with another pause after the first failure. It doubles with each further failure, up to the maximum. */
    public RetryPolicy withPauseFirst(Duration pause) {
        return new RetryPolicy(attemptsMax, checkPause(pause), pauseMax, multiplier);
    }

    /** Returns a policy with another maximum pause. If the server requests a longer delay, the call fails at once. */
    public RetryPolicy withPauseMax(Duration pause) {
        return new RetryPolicy(attemptsMax, pauseFirst, checkPause(pause), multiplier);
    }

    private static Duration checkPause(Duration pause) {
        if (pause.isNegative()) {
            throw new SetupException("a pause must not be negative: " + pause);
        }
        return pause;
    }

    /** Returns a policy with another maximum number of attempts, 1 to 10, including the first. More would hide a failure from the caller. */
    public RetryPolicy withAttemptsMax(int attempts) {
        if (attempts < 1 || attempts > ATTEMPTS_LIMIT) {
            throw new SetupException("attempts must be 1 to " + ATTEMPTS_LIMIT + ": " + attempts);
        }
        return new RetryPolicy(attempts, pauseFirst, pauseMax, multiplier);
    }

    /**
     * Returns the pause before the next attempt of a call, after {@code attempts} attempts with {@code error} as the last failure. Empty if the
     * call isn't retried. {@code jitter} is between 0 and 1.
     */
    Optional<Duration> pause(int attempts, SealwardException error, Safety safety, double jitter) {
        if (attempts >= attemptsMax || !isRetryable(error, safety)) {
            return Optional.empty();
        }
        double grown = pauseFirst.toNanos() * Math.pow(multiplier, attempts - 1.0);
        double pause = Math.min(grown, pauseMax.toNanos()) * (0.5 + jitter / 2);
        Duration backoff = Duration.ofNanos((long) pause);
        Duration requested = error.retryDelay().orElse(Duration.ZERO);
        if (requested.compareTo(pauseMax) > 0) {
            return Optional.empty();
        }
        return Optional.of(requested.compareTo(backoff) > 0 ? requested : backoff);
    }

    private static boolean isRetryable(SealwardException error, Safety safety) {
        if (safety == Safety.UNSAFE || NOT_REPEATED.contains(error.origin())) {
            return false;
        }
        boolean isTransient = error.code() == Status.Code.UNAVAILABLE
                || error.code() == Status.Code.RESOURCE_EXHAUSTED && error.retryDelay().isPresent();
        // A running change may be this caller's or another's: a person has to look.
        boolean needsCheck = error.reason() == ErrorReason.ERROR_REASON_SET_KEY_ALREADY_RUNNING
                || error.reason() == ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN && safety != Safety.REPEATABLE;
        return isTransient && !needsCheck;
    }

    /** The effect of a repetition of a call. */
    enum Safety {
        /** The call changes nothing. */
        READ_ONLY,
        /** The request has an idempotency key: the server recognizes the repetition. */
        REPEATABLE,
        /** A repetition may take effect again. */
        UNSAFE
    }

    private static final Set<Origin> NOT_REPEATED = EnumSet.of(Origin.TLS_REFUSED, Origin.CANCELLED, Origin.CLIENT);

    private static final int ATTEMPTS_LIMIT = 10;
}
