/**
 * Retries of failed calls: which calls, and after which pause. Pure functions, without a clock.
 *
 * A call whose answer was lost may have taken effect. So only two kinds of calls are repeated: methods that change nothing, which the
 * service config lists, and requests with a `request_id`, which take effect once. Streams are never repeated.
 */

import { Code } from "@connectrpc/connect";

import { isRefusedStream, type SealwardError } from "./errors.js";
import { SERVICE_CONFIG } from "./gen/service_config.js";
import { ErrorReason } from "./gen/sealward/v1/errors_pb.js";

/** The limits for retries. The timeout of a call includes all attempts. */
export interface RetryPolicy {
  /** Maximum number of attempts, including the first. 1 disables retries. Default: 4. */
  readonly attemptsMax: number;
  /**
   * Pause after the first failure, in milliseconds. It doubles with each further failure. Half of each pause is random, so that clients don't
   * retry together. Default: 100.
   */
  readonly pauseFirstMs: number;
  /**
   * Maximum pause, in milliseconds. If the server requests a longer delay, the call fails at once, and the error has the delay.
   * Default: 5000.
   */
  readonly pauseMaxMs: number;
}

/** Why a call can be repeated: `read` if its method changes nothing, `request_id` if its request has one, `no` if it can't. */
export type Repeatable = "read" | "request_id" | "no";

/** The policy of the service config. */
export const RETRY_POLICY: RetryPolicy = policyOf(SERVICE_CONFIG.methodConfig[0].retryPolicy);

/** The factor of the pause for each further failure. */
const BACKOFF_MULTIPLIER = SERVICE_CONFIG.methodConfig[0].retryPolicy.backoffMultiplier;

/** Whether a method, as `sealward.v1.AccessService/WhoAmI`, changes nothing. */
export function changesNothing(method: string): boolean {
  return READS.has(method);
}

/**
 * Returns the pause before the next attempt, in milliseconds, or undefined if the call isn't repeated.
 *
 * @param attempts - The number of attempts so far.
 * @param jitter - A random number from 0 to 1.
 */
export function pauseMs(
  policy: RetryPolicy,
  attempts: number,
  error: SealwardError,
  repeatable: Repeatable,
  jitter: number,
): number | undefined {
  if (attempts >= policy.attemptsMax || !isRetryable(error, repeatable)) return undefined;
  const grown = policy.pauseFirstMs * BACKOFF_MULTIPLIER ** (attempts - 1);
  const pause = Math.min(grown, policy.pauseMaxMs) * (0.5 + jitter / 2);
  const requested = error.retryDelayMs ?? 0;
  return requested > policy.pauseMaxMs ? undefined : Math.max(pause, requested);
}

function isRetryable(error: SealwardError, repeatable: Repeatable): boolean {
  // The server didn't process the call, so that every call can be repeated.
  if (isRefusedStream(error)) return true;
  if (repeatable === "no" || error.origin === "tls_refused") return false;
  if (error.reason === ErrorReason.SET_KEY_ALREADY_RUNNING) return false;
  if (error.reason === ErrorReason.OUTCOME_UNKNOWN && repeatable !== "request_id") return false;
  return (
    error.code === Code.Unavailable || (error.code === Code.ResourceExhausted && error.retryDelayMs !== undefined)
  );
}

const READS: ReadonlySet<string> = new Set(
  SERVICE_CONFIG.methodConfig.flatMap(({ name }) => name.map(({ service, method }) => `${service}/${method}`)),
);

function policyOf(config: ServiceRetryPolicy): RetryPolicy {
  return {
    attemptsMax: config.maxAttempts,
    pauseFirstMs: seconds(config.initialBackoff) * 1000,
    pauseMaxMs: seconds(config.maxBackoff) * 1000,
  };
}

/** The number of seconds in a duration of the service config, such as `0.1s`. */
function seconds(duration: string): number {
  return Number(duration.replace(/s$/, ""));
}

type ServiceRetryPolicy = (typeof SERVICE_CONFIG.methodConfig)[0]["retryPolicy"];
