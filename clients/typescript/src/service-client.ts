/**
 * Typed clients of services. They are Connect's, except for streams of responses: Connect leaves a stream open if a program stops reading it,
 * and the server then counts it as running. Here, the end of a `for await` ends the stream.
 */

import type { DescMessage, DescMethodStreaming, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { createClient, type CallOptions, type Client, type Transport } from "@connectrpc/connect";

/** Returns a client of a service. */
export function serviceClient<Service extends DescService>(service: Service, transport: Transport): Client<Service> {
  const client = createClient(service, transport);
  for (const method of service.methods) {
    const hasRequests = method.methodKind === "bidi_streaming";
    if (!hasRequests && method.methodKind !== "server_streaming") continue;
    (client as Record<string, unknown>)[method.localName] = (input: Init | AsyncIterable<Init>, options?: CallOptions) =>
      responses(transport, method as DescMethodStreaming, hasRequests ? (input as AsyncIterable<Init>) : once(input as Init), options);
  }
  return client;
}

/** What a program passes as a message. */
type Init = Record<string, unknown>;

/** Calls a method with the first `next`, and ends the call with the iterator. */
async function* responses<I extends DescMessage, O extends DescMessage>(
  transport: Transport,
  method: DescMethodStreaming<I, O>,
  input: AsyncIterable<MessageInitShape<I>>,
  options: CallOptions | undefined,
): AsyncGenerator<MessageShape<O>, void, undefined> {
  const ended = new AbortController();
  const signal = options?.signal ? AbortSignal.any([options.signal, ended.signal]) : ended.signal;
  const { timeoutMs, headers, contextValues, onHeader, onTrailer } = options ?? {};
  const response = await transport.stream(method, signal, timeoutMs, headers, input, contextValues);
  onHeader?.(response.header);
  for await (const message of response.message) {
    let isReading = false;
    try {
      yield message;
      isReading = true;
    } finally {
      if (!isReading) ended.abort();
    }
  }
  onTrailer?.(response.trailer);
}

async function* once<T>(item: T): AsyncGenerator<T> {
  yield item;
}
