/** Client of Sealward for browsers, over Connect or gRPC-Web. For Node, import `@sealward/client`. */

import { Code, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";

import { SealwardClient, shownTarget, type CommonOptions } from "./client.js";
import { SealwardError, SetupError } from "./errors.js";

export * from "./common.js";

/** The options of a client in a browser. */
export interface WebOptions extends CommonOptions {
  /** The protocol. Default: `connect`. */
  readonly protocol?: "connect" | "grpc-web" | undefined;
  /**
   * Whether the browser sends cookies and client certificates: `same-origin`, or `include` for another origin, which the server must allow
   * to use credentials. Default: `same-origin`.
   */
  readonly credentials?: "omit" | "same-origin" | "include" | undefined;
}

/**
 * Returns a client for browsers. The server must list the page's origin, unless it is its own.
 *
 * @param target - `https://host:port`.
 * @throws {@link SetupError} if an option is invalid.
 */
export function connect(target: string, options: WebOptions = {}): SealwardClient {
  let url: URL;
  try {
    url = new URL(target);
  } catch {
    throw new SetupError(`can't use the target ${shownTarget(target)}: use https://host:port`);
  }
  if (url.protocol !== "https:") throw new SetupError(`the target ${shownTarget(target)} isn't https`);

  const credentials = options.credentials ?? "same-origin";
  const controller = new AbortController();
  const common = {
    baseUrl: url.origin,
    useBinaryFormat: true,
    fetch: (input: RequestInfo | URL, init?: RequestInit) => {
      const signals = [controller.signal, ...(init?.signal ? [init.signal] : [])];
      return globalThis.fetch(input, { ...init, credentials, cache: "no-store", signal: AbortSignal.any(signals) });
    },
  };
  const transport = options.protocol === "grpc-web" ? createGrpcWebTransport(common) : createConnectTransport(common);
  return new SealwardClient(withoutClientStreams(transport), options, () => controller.abort());
}

/** Browsers send no request before its body is complete, so that they have no client streams. */
function withoutClientStreams(transport: Transport): Transport {
  return {
    unary: transport.unary.bind(transport),
    stream(method, ...rest) {
      if (method.methodKind === "server_streaming") return transport.stream(method, ...rest);
      const serverMessage = "browsers can't send a stream of messages: call this method from Node or the command line";
      const name = `${method.parent.typeName}/${method.name}`;
      throw new SealwardError({ method: name, origin: "client", code: Code.Unimplemented, serverMessage });
    },
  };
}
