/**
 * Load balancing over the addresses of a server, for Node: round robin over the addresses that can be reached. Connect's own transports
 * have one connection to one address.
 *
 * A call goes to the next address. An address that can't be connected to gets no calls for a time, and the call goes to another one: nothing
 * was sent yet, so this is safe for every method.
 */

import type { DescMessage, DescMethodStreaming, DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type StreamResponse, type Transport, type UnaryResponse } from "@connectrpc/connect";

import { ADDRESS_PAUSE_FIRST_MS, ADDRESS_PAUSE_MAX_MS, ADDRESSES_AGE_MAX_MS, ADDRESSES_MAX } from "./bounds.js";
import { ConnectFailure } from "./errors.js";

/** An address with its connection. */
export interface Endpoint {
  readonly transport: Transport;
  /** Connects, unless there is a connection. Rejects if that fails. */
  connect(): Promise<void>;
  /** Closes the connection. */
  close(): void;
}

/** The addresses of a server. They can change. */
export interface Addresses {
  /** Resolves the addresses. Each is a key for {@link Addresses.open}. */
  resolve(): Promise<readonly string[]>;
  /** Opens an address. Doesn't connect yet. */
  open(address: string): Endpoint;
}

/** Makes each attempt at the next address that can be reached. */
export class Balancer implements Transport {
  readonly #addresses: Addresses;
  readonly #now: () => number;
  #states = new Map<string, State>();
  /** Addresses that are no longer in use, as long as they have calls. */
  readonly #leaving = new Map<string, State>();
  #order: State[] = [];
  #next = 0;
  #resolvedAt = Number.NEGATIVE_INFINITY;
  #resolving: Promise<void> | undefined;
  #isClosed = false;

  /** Creates a balancer. `now` is a clock in milliseconds. */
  constructor(addresses: Addresses, now: () => number = () => performance.now()) {
    this.#addresses = addresses;
    this.#now = now;
  }

  /** Makes a unary attempt. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: MessageInitShape<I>,
    contextValues?: ContextValues,
  ): Promise<UnaryResponse<I, O>> {
    const started = this.#now();
    const state = await this.#connected();
    try {
      const remaining = this.#remainingMs(signal, timeoutMs, started);
      return await state.endpoint.transport.unary(method, signal, remaining, header, input, contextValues);
    } finally {
      this.#ended(state);
    }
  }

  /** Makes a streaming attempt. The whole stream stays at one address. */
  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
    contextValues?: ContextValues,
  ): Promise<StreamResponse<I, O>> {
    const started = this.#now();
    const state = await this.#connected();
    try {
      const remaining = this.#remainingMs(signal, timeoutMs, started);
      const response = await state.endpoint.transport.stream(method, signal, remaining, header, input, contextValues);
      return { ...response, message: untilEnd(response.message, () => this.#ended(state)) };
    } catch (error) {
      this.#ended(state);
      throw error;
    }
  }

  /** Closes all connections. Later calls fail. */
  close(): void {
    this.#isClosed = true;
    for (const { endpoint } of [...this.#states.values(), ...this.#leaving.values()]) endpoint.close();
  }

  /** The rest of a call's timeout after connecting, in whole milliseconds. A call whose time is up isn't sent. */
  #remainingMs(signal: AbortSignal | undefined, timeoutMs: number | undefined, started: number): number | undefined {
    if (signal?.aborted) throw new ConnectError("canceled while connecting", Code.Canceled);
    // 0 is "no timeout" to Connect's transports.
    if (timeoutMs === undefined || timeoutMs <= 0) return timeoutMs;
    const remaining = timeoutMs - (this.#now() - started);
    if (remaining <= 0) throw new ConnectError("timed out while connecting", Code.DeadlineExceeded);
    return Math.ceil(remaining);
  }

  /** Returns the next address with a connection, and counts a call there. */
  async #connected(): Promise<State> {
    this.#checkOpen();
    await this.#refresh();
    const tried = new Set<State>();
    for (;;) {
      this.#checkOpen();
      const state = this.#pick(tried);
      if (state === undefined) throw new ConnectFailure(new Error("the name has no addresses"));
      state.calls += 1;
      try {
        await state.endpoint.connect();
        this.#checkOpen();
        state.pauseMs = 0;
        return state;
      } catch (error) {
        this.#ended(state);
        this.#checkOpen();
        tried.add(state);
        state.pauseMs = Math.min(Math.max(ADDRESS_PAUSE_FIRST_MS, state.pauseMs * 2), ADDRESS_PAUSE_MAX_MS);
        state.pausedUntil = this.#now() + state.pauseMs;
        if (this.#order.every((other) => tried.has(other))) throw new ConnectFailure(error);
      }
    }
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new ConnectError("the client is closed", Code.Canceled);
  }

  /** Ends a call at an address. The connection of an address that is no longer in use closes with its last call. */
  #ended(state: State): void {
    state.calls -= 1;
    const isLast = state.calls === 0 && this.#leaving.get(state.address) === state;
    if (isLast) this.#leaving.delete(state.address);
    if (isLast || this.#isClosed) state.endpoint.close();
  }

  /** Picks the next address that isn't paused, or if all are, the one whose pause ends first. */
  #pick(tried: ReadonlySet<State>): State | undefined {
    const now = this.#now();
    const untried = (state: State): boolean => !tried.has(state);
    for (let step = 0; step < this.#order.length; step++) {
      const state = this.#order[(this.#next + step) % this.#order.length];
      if (state !== undefined && untried(state) && !(state.pauseMs > 0 && state.pausedUntil > now)) {
        this.#next = (this.#next + step + 1) % this.#order.length;
        return state;
      }
    }
    return this.#order.filter(untried).sort((one, other) => one.pausedUntil - other.pausedUntil)[0];
  }

  /** Resolves the addresses if they are old. Only a first resolution is waited for; a failed one keeps the addresses. */
  async #refresh(): Promise<void> {
    if (this.#now() - this.#resolvedAt < ADDRESSES_AGE_MAX_MS) return;
    this.#resolving ??= this.#resolve().finally(() => {
      this.#resolving = undefined;
    });
    if (this.#order.length === 0) await this.#resolving;
    else this.#resolving.catch(() => undefined);
  }

  async #resolve(): Promise<void> {
    let found: readonly string[];
    try {
      found = await this.#addresses.resolve();
    } catch (error) {
      throw new ConnectFailure(error);
    }
    const states = new Map<string, State>();
    for (const address of found.slice(0, ADDRESSES_MAX)) {
      const known = this.#states.get(address) ?? this.#leaving.get(address);
      states.set(address, known ?? { address, endpoint: this.#addresses.open(address), calls: 0, pauseMs: 0, pausedUntil: 0 });
      this.#leaving.delete(address);
    }
    // Calls at addresses that are no longer in use run to their end.
    for (const state of this.#states.values()) {
      if (states.has(state.address)) continue;
      if (state.calls > 0) this.#leaving.set(state.address, state);
      else state.endpoint.close();
    }
    this.#states = states;
    this.#order = [...states.values()];
    this.#resolvedAt = this.#now();
  }
}

/** Calls `onEnd` when the messages have ended, or when their reader stops. */
async function* untilEnd<T>(messages: AsyncIterable<T>, onEnd: () => void): AsyncGenerator<T> {
  try {
    yield* messages;
  } finally {
    onEnd();
  }
}

interface State {
  readonly address: string;
  readonly endpoint: Endpoint;
  /** The number of running calls, from the attempt to connect to the end of the response. */
  calls: number;
  /** The current pause after failed connections; 0 if the last one succeeded. */
  pauseMs: number;
  pausedUntil: number;
}
