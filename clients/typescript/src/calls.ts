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
import { Code, type StreamResponse, type Transport } from "@connectrpc/connect";

import { SERVER_VERSION_LENGTH_MAX, TIMEOUT_MAX_MS } from "./bounds.js";
import type { Closing } from "./closing.js";
import {
  callError,
  canceled,
  markEffect,
  mayHaveTakenEffect,
  SealwardError,
  timedOut,
  TokenFailure,
  unusableValue,
} from "./errors.js";
import { Requests } from "./requests.js";
import { changesNothing, pauseMs, type Repeatable, type RetryPolicy } from "./retry.js";
import { protect, unusableSecret } from "./secret.js";
import { authorization, type Token } from "./token.js";
import { VERSION } from "./version.js";

/** What applies to all calls of a client. */
export interface CallSettings {
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  readonly token: Token | undefined;
  readonly closing: Closing;
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
      throw new TokenFailure(cause);
    }
    return made;
  };
  const isRefreshable = typeof settings.token === "function";

  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const name = nameOf(method);
      const limits = new Limits(name, timeoutOf(timeoutMs) ?? settings.timeoutMs, signal, settings.closing);
      const { request, repeatable } = prepare(method, input);
      let mayRefresh = isRefreshable;
      let forceRefresh = false;
      let isInDoubt = false;
      for (let count = 1; ; count++) {
        let isSent = false;
        try {
          const sent = await limits.within(() => headers(header, forceRefresh));
          isSent = true;
          const response = await limits.within(() => attempts.unary(method, signal, limits.attemptMs(), sent, request, contextValues));
          noteServer(response.header, settings);
          protect(method.output, response.message);
          return response;
        } catch (caught) {
          const error = callError(name, caught, limits.isCanceled);
          isInDoubt ||= isSent && repeatable !== "read" && mayHaveTakenEffect(error);
          if (isInDoubt) markEffect(error);
          if (mayRefresh && isTokenRefused(error)) {
            mayRefresh = false;
            forceRefresh = true;
            count -= 1;
            continue;
          }
          forceRefresh = false;
          const pause = pauseMs(settings.retry, count, error, repeatable, Math.random());
          if (pause === undefined || pause >= limits.remainingMs()) throw error;
          try {
            await limits.sleep(pause);
          } catch (canceled) {
            throw isInDoubt ? markEffect(canceled as SealwardError) : canceled;
          }
        }
      }
    },

    async stream(method, signal, timeoutMs, header, input, contextValues) {
      const name = nameOf(method);
      const limits = new Limits(name, timeoutOf(timeoutMs), signal, settings.closing);
      // Only the single request of a server stream can be sent again.
      const single = method.methodKind === "server_streaming" ? await collect(input) : undefined;
      const several = single === undefined ? new Requests(name, method.input, input) : undefined;
      let mayRefresh = isRefreshable && single !== undefined;
      for (let forceRefresh = false; ; forceRefresh = true) {
        try {
          const requests = several?.messages() ?? iterate(single ?? []);
          const end = several?.signal(signal) ?? signal;
          const sent = await limits.within(() => headers(header, forceRefresh));
          const response = await limits.within(() => attempts.stream(method, end, limits.attemptMs(), sent, requests, contextValues));
          noteServer(response.header, settings);
          return await opened(name, response, limits, several);
        } catch (caught) {
          several?.end();
          const error = streamError(name, caught, limits, several, false);
          if (!mayRefresh || !isTokenRefused(error)) throw error;
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

/** The timeout of a call's own options. Undefined if they have none. */
function timeoutOf(timeoutMs: number | undefined): number | undefined {
  return timeoutMs !== undefined && timeoutMs > 0 ? timeoutMs : undefined;
}

/** Whether the server refused the token. Without a token from its source, the source isn't asked again. */
function isTokenRefused(error: SealwardError): boolean {
  return error.code === Code.Unauthenticated && error.origin === "server";
}

/** Creates the request of a call, with an idempotency key if it has a field for it that is empty. The program's own message isn't changed. */
function prepare<I extends DescMessage>(
  method: DescMethodUnary<I>,
  input: MessageInitShape<I>,
): { request: MessageShape<I>; repeatable: Repeatable } {
  let request = create(method.input, input);
  const unusable = unusableSecret(method.input, request);
  if (unusable !== undefined) throw unusableValue(nameOf(method), unusable);
  const field = method.input.fields.find(isRequestId);
  if (field === undefined) return { request, repeatable: changesNothing(nameOf(method)) ? "read" : "no" };
  const { requestId, validateOnly } = request as unknown as { requestId: string; validateOnly?: boolean };
  if (requestId === "" && validateOnly !== true) {
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
  limits: Limits,
  requests: Requests<I> | undefined,
): Promise<StreamResponse<I, O>> {
  const iterator = response.message[Symbol.asyncIterator]();
  const first = requests === undefined ? await iterator.next() : undefined;
  return { ...response, message: messages(name, response.method.output, iterator, first, limits, requests) };
}

async function* messages<I extends DescMessage, O extends DescMessage>(
  name: string,
  output: O,
  iterator: AsyncIterator<MessageShape<O>>,
  first: IteratorResult<MessageShape<O>> | undefined,
  limits: Limits,
  requests: Requests<I> | undefined,
): AsyncGenerator<MessageShape<O>> {
  let isEnded = false;
  let isAnswered = false;
  try {
    for (let next = first ?? (await iterator.next()); !next.done; next = await iterator.next()) {
      isAnswered = true;
      yield protect(output, next.value);
    }
    isEnded = true;
  } catch (error) {
    isEnded = true;
    throw streamError(name, error, limits, requests, isAnswered);
  } finally {
    requests?.end();
    // The program stopped reading. The end of the call doesn't concern it any more.
    if (!isEnded) Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

/** The failure of a stream. A stream of requests writes. After an answer to some of the requests, others may have been executed too. */
function streamError<I extends DescMessage>(
  name: string,
  caught: unknown,
  limits: Limits,
  requests: Requests<I> | undefined,
  isAnswered: boolean,
): SealwardError {
  const error = requests?.failure ?? callError(name, caught, limits.isCanceled);
  return requests !== undefined && (isAnswered || mayHaveTakenEffect(error)) ? markEffect(error) : error;
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

/** What ends a call early: its timeout, which includes all of its attempts, the program's signal, and the end of the client. */
class Limits {
  readonly #method: string;
  readonly #end: number;
  readonly #signal: AbortSignal | undefined;
  readonly #closing: Closing;

  /** Begins the time of a call. Without `timeoutMs`, the time has no end. */
  constructor(method: string, timeoutMs: number | undefined, signal: AbortSignal | undefined, closing: Closing) {
    this.#method = method;
    this.#end = timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + Math.min(timeoutMs, TIMEOUT_MAX_MS);
    this.#signal = signal;
    this.#closing = closing;
  }

  /** Whether the program has canceled the call or closed the client. */
  get isCanceled(): boolean {
    return this.#signal?.aborted === true || this.#closing.isClosed;
  }

  remainingMs(): number {
    return this.#end - performance.now();
  }

  /** The timeout of an attempt that begins now, in whole milliseconds. 0 is "no timeout", as in Connect's transports. */
  attemptMs(): number {
    const remaining = this.remainingMs();
    if (remaining <= 0) throw timedOut(this.#method);
    // The difference of two times can be a fraction too long.
    return remaining === Number.POSITIVE_INFINITY ? 0 : Math.min(Math.ceil(remaining), TIMEOUT_MAX_MS);
  }

  /** Does `work`, up to the end of the call. Work that ignores the end, such as a token source, is abandoned. */
  async within<T>(work: () => Promise<T>): Promise<T> {
    if (this.isCanceled) throw canceled(this.#method);
    return this.#bounded(work(), this.remainingMs() + GRACE_MS, (_, fail) => fail(timedOut(this.#method)));
  }

  /** Waits, unless the program cancels the call. */
  async sleep(pauseMs: number): Promise<void> {
    if (this.isCanceled) throw canceled(this.#method);
    await this.#bounded(new Promise<void>(() => {}), pauseMs, (done) => done());
  }

  /** Waits for `work`, up to a time. */
  async #bounded<T>(
    work: Promise<T>,
    timeMs: number,
    onTime: (resolve: (result: T) => void, reject: (error: SealwardError) => void) => void,
  ): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let release = (): void => undefined;
    // A failure after the end of the wait has no reader.
    work.catch(() => undefined);
    try {
      return await new Promise<T>((resolve, reject) => {
        // A longer time would make the timer fire at once.
        if (timeMs !== Number.POSITIVE_INFINITY) {
          timer = setTimeout(() => onTime(resolve, reject), Math.min(Math.max(0, timeMs), TIMEOUT_MAX_MS));
        }
        const cancel = (): void => reject(canceled(this.#method));
        const unlisten = this.#closing.onClose(cancel);
        this.#signal?.addEventListener("abort", cancel, { once: true });
        release = () => {
          unlisten();
          this.#signal?.removeEventListener("abort", cancel);
        };
        work.then(resolve, reject);
      });
    } finally {
      clearTimeout(timer);
      release();
    }
  }
}

/** Time for an attempt to report its own timeout, in milliseconds. */
const GRACE_MS = 100;
