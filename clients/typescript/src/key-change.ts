/** Changes of an organization's key, with the progress of the re-encryption. */

import type { CallOptions, Client } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";

import { WATCH_OPENINGS_MAX } from "./bounds.js";
import { SealwardError, timedOut } from "./errors.js";
import type { DataEncryptionService, Reencryption } from "./gen/sealward/v1/data_encryption_pb.js";
import { pauseMs, RETRY_POLICY } from "./retry.js";
import type { Secret } from "./secret.js";

/** A change of a key. */
export interface KeyChange {
  /** The organization: `organizations/contoso`. */
  readonly organization: string;
  /** The new key, 10 to 100 characters. */
  readonly encryptionKey: string | Secret;
}

/** A key that was changed. Iterate over it to follow the re-encryption to its end; the re-encryption continues without a reader. */
export interface ChangedKey extends AsyncIterable<Reencryption> {
  /** The public id of the new key. Store it with the text of the key. */
  readonly fingerprint: string;
  /** The version of the data key that encrypts new values. */
  readonly keyVersion: number;
}

/** Changes the key of an organization. Not repeated: after a failure, read the fingerprint to see whether it took effect. */
export async function changeKey(
  client: Client<typeof DataEncryptionService>,
  change: KeyChange,
  options?: CallOptions,
): Promise<ChangedKey> {
  const { organization, encryptionKey } = change;
  const { fingerprint, keyVersion } = await client.setDataEncryptionKey(
    {
      organization,
      encryptionKey: typeof encryptionKey === "string" ? encryptionKey : encryptionKey.expose(),
      changeEncryptionKey: true,
    },
    options,
  );
  const signal = options?.signal;
  return {
    fingerprint,
    keyVersion,
    [Symbol.asyncIterator]: () => watchReencryption(client, organization, signal ? { signal } : {}),
  };
}

/**
 * Follows the re-encryption of an organization to its end. The stream is opened again after UNAVAILABLE, for example if the connection
 * reaches its maximum age or the server restarts. A timeout includes all openings.
 */
export async function* watchReencryption(
  client: Client<typeof DataEncryptionService>,
  organization: string,
  options?: CallOptions,
): AsyncGenerator<Reencryption, void, undefined> {
  const { timeoutMs } = options ?? {};
  const end = timeoutMs !== undefined && timeoutMs > 0 ? performance.now() + timeoutMs : Number.POSITIVE_INFINITY;
  for (let openings = 1; ; openings++) {
    const remaining = end - performance.now();
    if (remaining <= 0) throw timedOut(METHOD);
    const limited = remaining === Number.POSITIVE_INFINITY ? options : { ...options, timeoutMs: remaining };
    try {
      for await (const progress of client.watchReencryption({ organization }, limited)) {
        openings = 0;
        yield progress;
      }
      return;
    } catch (error) {
      if (!(error instanceof SealwardError) || error.code !== Code.Unavailable) throw error;
      // A stream that delivered a message is opened again after the first pause.
      const attempts = Math.max(openings, 1);
      const policy = { ...RETRY_POLICY, maxAttempts: WATCH_OPENINGS_MAX };
      const pause = pauseMs(policy, attempts, error, "read", Math.random());
      if (pause === undefined || pause >= end - performance.now()) throw error;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, pause);
        options?.signal?.addEventListener("abort", done, { once: true });
        function done(): void {
          clearTimeout(timer);
          options?.signal?.removeEventListener("abort", done);
          resolve();
        }
      });
    }
  }
}

const METHOD = "sealward.v1.DataEncryptionService/WatchReencryption";
