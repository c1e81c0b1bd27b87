/** Idempotency keys of writes. */

/** Generates an idempotency key for the field `requestId`. If you store it before the call, you can repeat the call after a crash. */
export function newRequestId(): string {
  return crypto.randomUUID();
}
