/** Changes of an organization's key, with the progress of the re-encryption. */

import type { CallOptions, Client } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";

import { WATCH_FAILURES_MAX, WATCH_FAILURES_MAX_AT_FIRST, WATCH_PAUSE_MS } from "./bounds.js";
import { SealwardError, timedOut } from "./errors.js";
import type { DataEncryptionService, Reencryption, SetDataEncryptionKeyResponse } from "./gen/sealward/v1/data_encryption_pb.js";
import { Secret } from "./secret.js";

/** A key that was changed. Iterate over it to follow the re-encryption to its end; the re-encryption continues without a reader. */
export interface KeyChangeProgress extends AsyncIterable<Reencryption> {
  /** The public id of the new key. Store it with the text of the key. */
  readonly fingerprint: string;
  /** The version of the data key that encrypts new values. */
  readonly keyVersion: number;
}

/** Changes the key of an organization. Not repeated: another caller could change the key in between. */
export async function changeKey(
  client: Client<typeof DataEncryptionService>,
  organization: string,
  encryptionKey: string | Secret,
  options?: CallOptions,
): Promise<KeyChangeProgress> {
  const request = { organization, encryptionKey: textOf(encryptionKey), changeEncryptionKey: true };
  const { fingerprint, keyVersion } = await client.setDataEncryptionKey(request, options);
  const signal = options?.signal;
  return {
    fingerprint,
    keyVersion,
    // The server has just answered.
    [Symbol.asyncIterator]: () => watchReencryption(client, organization, signal ? { signal } : {}, { failuresMax: WATCH_FAILURES_MAX }),
  };
}

/** Restores the key of an inactive organization. Not repeated: attempts count against a limit. */
export function restoreKey(
  client: Client<typeof DataEncryptionService>,
  organization: string,
  encryptionKey: string | Secret,
  options?: CallOptions,
): Promise<SetDataEncryptionKeyResponse> {
  return client.setDataEncryptionKey({ organization, encryptionKey: textOf(encryptionKey) }, options);
}

/**
 * Follows the re-encryption of an organization to its end. The stream is opened again if it is interrupted, for example because the
 * connection reaches its maximum age or the server restarts. A timeout includes all openings.
 */
export async function* watchReencryption(
  client: Client<typeof DataEncryptionService>,
  organization: string,
  options?: CallOptions,
  { pauseMs = WATCH_PAUSE_MS, failuresMax = WATCH_FAILURES_MAX_AT_FIRST } = {},
): AsyncGenerator<Reencryption, void, undefined> {
  const { timeoutMs } = options ?? {};
  const end = timeoutMs !== undefined && timeoutMs > 0 ? performance.now() + timeoutMs : Number.POSITIVE_INFINITY;
  for (let failures = 0; ; ) {
    const remaining = end - performance.now();
    if (remaining <= 0) throw timedOut(METHOD);
    const limited = remaining === Number.POSITIVE_INFINITY ? options : { ...options, timeoutMs: remaining };
    try {
      for await (const progress of client.watchReencryption({ organization }, limited)) {
        [failures, failuresMax] = [0, WATCH_FAILURES_MAX];
        yield progress;
      }
      return;
    } catch (error) {
      failures += 1;
      if (failures > failuresMax || !isInterruption(error) || pauseMs >= end - performance.now()) throw error;
      await sleep(pauseMs, options?.signal);
    }
  }
}

/** Whether a stream ended for a reason that has nothing to do with the re-encryption. */
function isInterruption(error: unknown): boolean {
  if (!(error instanceof SealwardError) || error.origin === "tls_refused") return false;
  // The server resets the stream of a caller that doesn't read. The caller gets CANCELLED without a reason.
  const isReset = error.code === Code.Canceled && error.origin === "server" && error.reasonName === undefined;
  return isReset || error.code === Code.Unavailable;
}

function sleep(pauseMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise<void>((resolve) => {
    const timer = setTimeout(done, pauseMs);
    signal?.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
  });
}

function textOf(key: string | Secret): string {
  return key instanceof Secret ? key.exposeText() : key;
}

const METHOD = "sealward.v1.DataEncryptionService/WatchReencryption";
