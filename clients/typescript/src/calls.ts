/**
 * Calls, the same for every method: deadline, token, idempotency key, retries, errors, and protection of the answer. A layer between
 * Connect's typed clients and a transport that makes single attempts.
 */

import {
  create,
  type DescField,
  type DescMessage,
  type DescMethodStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Code, type StreamResponse, type Transport, type UnaryResponse } from "@connectrpc/connect";

import { SERVER_VERSION_LENGTH_MAX, TIMEOUT_MAX_MS } from "./bounds.js";
import { callError, SealwardError, timedOut, unusableValue } from "./errors.js";
import { changesNothing, pauseMs, type Repeatable, type RetryPolicy } from "./retry.js";
import { protect, unusableSecret } from "./secret.js";
import { authorization, type Token } from "./token.js";
import { VERSION } from "./version.js";

/** What applies to all calls of a client. */
export interface CallSettings {
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  readonly token: Token | undefined;
  /** Is called with the version of each server that answers. */
  readonly onServerVersion: (version: string) => void;
}

/** Returns a transport for whole calls. `attempts` makes single attempts. */
export function callTransport(attempts: Transport, settings: CallSettings): Transport {
  const headers = async (given: HeadersInit | undefined, forceRefresh: boolean): Promise<Headers> => {
    const made = new Headers(given);
    made.set(CLIENT_HEADER, `typescript/${VERSION}`);
    if (settings.token === undefined) return made;
    try {
      made.set("authorization", await authorization(settings.token, forceRefresh));
    } catch (cause) {
      throw new TokenFailure("no token", { cause });
    }
    return made;
  };
  const isRefreshable = typeof settings.token === "function";

  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const name = nameOf(method);
      const deadline = new Deadline(timeoutMs !== undefined && timeoutMs > 0 ? timeoutMs : settings.timeoutMs);
      const { request, repeatable } = prepare(method, input, settings.retry.maxAttempts > 1);
      let mayRefresh = isRefreshable;
      let forceRefresh = false;
      for (let attempts = 1; ; attempts++) {
        try {
          const sent = await deadline.within(name, signal, headers(header, forceRefresh));
          const response = await attempt(sent);
          noteServer(response.header, settings);
          protect(method.output, response.message);
          return response;
        } catch (caught) {
          const error = failure(name, caught, signal);
          if (error.code === Code.Unauthenticated && mayRefresh) {
            mayRefresh = false;
            forceRefresh = true;
            attempts -= 1;
            continue;
          }
          forceRefresh = false;
          const pause = pauseMs(settings.retry, attempts, error, repeatable, Math.random());
          if (pause === undefined || pause >= deadline.remainingMs()) throw error;
          await sleep(name, pause, signal);
        }
      }

      function attempt(sent: Headers): Promise<UnaryResponse<typeof method.input, typeof method.output>> {
        const remaining = deadline.remainingMs();
        if (remaining <= 0) throw timedOut(name);
        return deadline.within(
          name,
          signal,
          attempts.unary(method, signal, Math.ceil(remaining), sent, request, contextValues),
        );
      }
    },

    async stream(method, signal, timeoutMs, header, input, contextValues) {
      const name = nameOf(method);
      const timeout = timeoutMs !== undefined && timeoutMs > 0 ? Math.min(timeoutMs, TIMEOUT_MAX_MS) : undefined;
      // Only the single request of a server stream can be sent again.
      const single = method.methodKind === "server_streaming" ? await collect(input) : undefined;
      let mayRefresh = isRefreshable && single !== undefined;
      for (let forceRefresh = false; ; forceRefresh = true) {
        try {
          const requests = single === undefined ? input : iterate(single);
          const sent = await headers(header, forceRefresh);
          // 0 is "no timeout" to Connect's transports.
          const response = await attempts.stream(method, signal, timeout ?? 0, sent, requests, contextValues);
          noteServer(response.header, settings);
          return await opened(name, response, signal, single !== undefined);
        } catch (caught) {
          const error = failure(name, caught, signal);
          if (error.code !== Code.Unauthenticated || !mayRefresh) throw error;
          mayRefresh = false;
        }
      }
    },
  };
}

/** The header with the language and version of a client. */
const CLIENT_HEADER = "sealward-client";

/** The header with the version of the server. */
const SERVER_HEADER = "sealward-server";

/** The name of a method, as `sealward.v1.AccessService/WhoAmI`. */
function nameOf(method: DescMethodUnary | DescMethodStreaming): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** Converts the error of an attempt. The error of a token source is thrown as it is: it is the program's own. */
function failure(method: string, error: unknown, signal: AbortSignal | undefined): SealwardError {
  if (error instanceof TokenFailure) throw error.cause;
  return callError(method, error, signal);
}

/** Carries the error of a token source. */
class TokenFailure extends Error {}

/** Creates the request of a call, with an idempotency key if it has a field for it that is empty. The program's own message isn't changed. */
function prepare<I extends DescMessage>(
  method: DescMethodUnary<I>,
  input: MessageInitShape<I>,
  fillRequestId: boolean,
): { request: MessageShape<I>; repeatable: Repeatable } {
  let request = create(method.input, input);
  const unusable = unusableSecret(method.input, request);
  if (unusable !== undefined) throw unusableValue(nameOf(method), unusable);
  const field = method.input.fields.find(isRequestId);
  if (field === undefined) return { request, repeatable: changesNothing(nameOf(method)) ? "read" : "no" };
  const { requestId, validateOnly } = request as unknown as { requestId: string; validateOnly?: boolean };
  if (requestId === "" && fillRequestId && validateOnly !== true) {
    if ((request as unknown) === input) request = copy(request);
    (request as unknown as { requestId: string }).requestId = crypto.randomUUID();
    return { request, repeatable: "request_id" };
  }
  return { request, repeatable: requestId === "" ? "no" : "request_id" };
}

function isRequestId(field: DescField): boolean {
  return field.name === "request_id" && field.fieldKind === "scalar";
}

/** Copies the properties of a message, hidden ones included. */
function copy<T extends object>(message: T): T {
  return Object.create(Object.getPrototypeOf(message) as object, Object.getOwnPropertyDescriptors(message)) as T;
}

/** Waits for the first message of a server stream, so that its failure can be handled here, and converts messages and errors of all. */
async function opened<I extends DescMessage, O extends DescMessage>(
  name: string,
  response: StreamResponse<I, O>,
  signal: AbortSignal | undefined,
  waitForFirst: boolean,
): Promise<StreamResponse<I, O>> {
  const iterator = response.message[Symbol.asyncIterator]();
  const first = waitForFirst ? await iterator.next() : undefined;
  return { ...response, message: messages(name, response.method.output, iterator, first, signal) };
}

async function* messages<O extends DescMessage>(
  name: string,
  output: O,
  iterator: AsyncIterator<MessageShape<O>>,
  first: IteratorResult<MessageShape<O>> | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<MessageShape<O>> {
  let isEnded = false;
  try {
    for (let next = first ?? (await iterator.next()); !next.done; next = await iterator.next()) {
      yield protect(output, next.value);
    }
    isEnded = true;
  } catch (error) {
    isEnded = true;
    throw callError(name, error, signal);
  } finally {
    // The program stopped reading. The end of the call doesn't concern it any more.
    if (!isEnded) Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

async function collect<T>(input: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of input) items.push(item);
  return items;
}

async function* iterate<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

function noteServer(header: Headers, settings: CallSettings): void {
  const version = header.get(SERVER_HEADER);
  if (version !== null && version.length <= SERVER_VERSION_LENGTH_MAX && /^[\w.+-]+$/.test(version)) {
    settings.onServerVersion(version);
  }
}

/** The end of a call's time. */
class Deadline {
  readonly #end: number;

  constructor(timeoutMs: number) {
    this.#end = performance.now() + Math.min(timeoutMs, TIMEOUT_MAX_MS);
  }

  remainingMs(): number {
    return this.#end - performance.now();
  }

  /** Waits for `work`, up to the deadline. Work that ignores the deadline, such as a token source, is abandoned. */
  async within<T>(method: string, signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
    return bounded(work, this.remainingMs() + GRACE_MS, signal, () => timedOut(method), () => canceled(method));
  }
}

/** Time for an attempt to report its own timeout, in milliseconds. */
const GRACE_MS = 100;

async function sleep(method: string, pauseMs: number, signal: AbortSignal | undefined): Promise<void> {
  await bounded(new Promise<void>(() => {}), pauseMs, signal, () => undefined, () => canceled(method));
}

function canceled(method: string): SealwardError {
  return new SealwardError({ method, origin: "canceled", code: Code.Canceled });
}

/** Waits for `work`, up to a time or until the signal is aborted. */
async function bounded<T>(
  work: Promise<T>,
  timeMs: number,
  signal: AbortSignal | undefined,
  onTime: () => Error | undefined,
  onAbort: () => Error,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let abort: (() => void) | undefined;
  // A failure after the end of the wait has no reader.
  work.catch(() => undefined);
  try {
    return await new Promise<T>((resolve, reject) => {
      timer = setTimeout(
        () => {
          const error = onTime();
          if (error === undefined) resolve(undefined as T);
          else reject(error);
        },
        Math.max(0, timeMs),
      );
      abort = () => reject(onAbort());
      if (signal?.aborted) abort();
      signal?.addEventListener("abort", abort, { once: true });
      work.then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
    if (abort) signal?.removeEventListener("abort", abort);
  }
}
