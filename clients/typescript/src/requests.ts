/** The requests of a stream, which a program produces. */

import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";

import { markEffect, SealwardError, unusableValue } from "./errors.js";
import { unusableSecret } from "./secret.js";

/**
 * The requests of a stream, for one call. If the program can't produce a request, the call ends, and the failure is here: Connect reports it as
 * one of the connection. Connect leaves requests open if the call ends before them. Here, `end` ends them.
 */
export class Requests<I extends DescMessage> {
  readonly #method: string;
  readonly #schema: I;
  readonly #input: AsyncIterable<MessageInitShape<I>>;
  readonly #failed = new AbortController();
  #iterator: AsyncIterator<MessageInitShape<I>> | undefined;
  #isEnded = false;
  #hasSent = false;
  #failure: SealwardError | undefined;

  /** Wraps the requests of a program. */
  constructor(method: string, schema: I, input: AsyncIterable<MessageInitShape<I>>) {
    this.#method = method;
    this.#schema = schema;
    this.#input = input;
  }

  /** The failure of the program. Undefined if it produced all requests that it was asked for. */
  get failure(): SealwardError | undefined {
    return this.#failure;
  }

  /** Returns a signal that ends the call if the program fails, or if `signal` does. */
  signal(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#failed.signal : AbortSignal.any([signal, this.#failed.signal]);
  }

  /** Sends the requests. */
  async *messages(): AsyncGenerator<MessageShape<I>> {
    this.#iterator = this.#input[Symbol.asyncIterator]();
    for (;;) {
      const request = await this.#next(this.#iterator);
      if (request === undefined) return;
      this.#hasSent = true;
      yield request;
    }
  }

  /** Ends the requests with their call. A program that is producing one finishes it first. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    Promise.resolve(this.#iterator?.return?.()).catch(() => undefined);
  }

  async #next(iterator: AsyncIterator<MessageInitShape<I>>): Promise<MessageShape<I> | undefined> {
    try {
      const next = await iterator.next();
      if (next.done) {
        this.#isEnded = true;
        return undefined;
      }
      const request = create(this.#schema, next.value);
      const unusable = unusableSecret(this.#schema, request);
      if (unusable !== undefined) throw unusableValue(this.#method, unusable);
      return request;
    } catch (cause) {
      const error = cause instanceof SealwardError ? cause : this.#failedWith(cause);
      this.#failure ??= this.#hasSent ? markEffect(error) : error;
      this.#failed.abort();
      throw error;
    }
  }

  #failedWith(cause: unknown): SealwardError {
    const serverMessage = "the requests of the stream failed";
    return new SealwardError({ method: this.#method, origin: "client", code: Code.Canceled, serverMessage, cause });
  }
}
