/** Clients for Node: TLS with client certificates, gRPC by default, and load balancing. */

import { lookup as lookupName, type LookupAddress } from "node:dns";
import { isIP } from "node:net";
import { createSecureContext, type SecureContextOptions } from "node:tls";

import type { Transport } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  type Http2SessionManager,
} from "@connectrpc/connect-node";

import { Balancer, type Addresses, type Endpoint } from "./balancer.js";
import {
  CONNECT_TIMEOUT_DEFAULT_MS,
  KEEPALIVE_INTERVAL_MS,
  KEEPALIVE_TIMEOUT_MS,
  MESSAGE_SIZE_LIMIT_BYTES,
  MESSAGE_SIZE_MAX_DEFAULT_BYTES,
  TIMEOUT_MAX_MS,
} from "./bounds.js";
import { positive, SealwardClient, shownTarget, type CommonOptions } from "./client.js";
import { Connection } from "./connection.js";
import { SetupError } from "./errors.js";
import { readCertificates, readKey, readToken, type Pem } from "./pem.js";
import { tokenOf, type TokenOptions } from "./token.js";

/** A client certificate and its private key. */
export interface Identity {
  /** The certificate, with intermediate certificates. */
  readonly certificate: Pem;
  /** The private key, unencrypted. A file that other users can read causes a warning. */
  readonly key: Pem;
}

/** The options of a client in Node. */
export interface NodeOptions extends CommonOptions {
  /** The CA certificates that verify the server: the system's CAs aren't used then. Default: the CAs of Node. */
  readonly ca?: Pem | undefined;
  /** The client certificate and its key. Default: none. */
  readonly identity?: Identity | undefined;
  /** The file of a bearer token, instead of `bearerToken`. The file is read for each attempt of a call, so that the token can be replaced. */
  readonly bearerTokenFile?: string | undefined;
  /** The expected name in the server's certificate. Default: the host of the target. */
  readonly domainName?: string | undefined;
  /** The protocol. `connect` and `grpc-web` are for tests, and for proxies that don't forward gRPC. Default: `grpc`. */
  readonly protocol?: "grpc" | "grpc-web" | "connect" | undefined;
  /** The maximum size of a sent or received message, in bytes. At most 4 GiB. Default: 4 MiB. */
  readonly messageSizeMaxBytes?: number | undefined;
  /** The maximum time to connect, TLS handshake included, in milliseconds. Default: 10000. */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * Connects without TLS, to a target `http://…`. For tests and diagnostics: the server answers data calls with HTTPS_REQUIRED, and the
   * network can read everything that is sent.
   */
  readonly plaintext?: boolean | undefined;
  /** Resolves the host of a target `dns:///host:port` to IP addresses. Default: the system's resolver. */
  readonly resolve?: ((host: string) => Promise<readonly string[]>) | undefined;
}

/**
 * Returns a client. It connects with its first call, and again if a connection breaks.
 *
 * @param target - `https://host:port`; or `dns:///host:port`, or several URLs, for round robin over all addresses.
 * @throws {@link SetupError} if an option is invalid or a file can't be read. Doesn't check whether the server can be reached.
 */
export function connect(target: string | readonly string[], options: NodeOptions = {}): SealwardClient {
  const tokenOptions = withTokenFile(options);
  const urls = typeof target === "string" ? [target] : target;
  if (urls.length === 0) throw new SetupError("there is no target: use https://host:port");
  const plaintext = options.plaintext === true;
  if (plaintext && tokenOf(tokenOptions) !== undefined) throw new SetupError("a bearer token isn't sent over plaintext: remove one of the two options");
  const connection: ConnectionOptions = {
    tls: plaintext ? {} : tlsOptions(options),
    protocol: options.protocol ?? "grpc",
    messageSizeMaxBytes: positive(
      "messageSizeMaxBytes",
      options.messageSizeMaxBytes ?? MESSAGE_SIZE_MAX_DEFAULT_BYTES,
      MESSAGE_SIZE_LIMIT_BYTES,
    ),
    connectTimeoutMs: Math.min(positive("connectTimeoutMs", options.connectTimeoutMs ?? CONNECT_TIMEOUT_DEFAULT_MS), TIMEOUT_MAX_MS),
  };

  const open = (url: string, address?: string): Endpoint => openEndpoint(url, address, connection);
  const balancer = new Balancer(
    typeof target === "string" && target.startsWith("dns:")
      ? dnsAddresses(target, plaintext, options, open)
      : listAddresses(urls.map((url) => validUrl(url, plaintext)), open),
  );
  return new SealwardClient(balancer, { ...options, ...tokenOptions }, () => balancer.close());
}

function withTokenFile({ bearerToken, bearerTokenFile, tokenSource }: NodeOptions): TokenOptions {
  if (bearerTokenFile === undefined) return { bearerToken, tokenSource };
  if (bearerToken !== undefined || tokenSource !== undefined) {
    throw new SetupError("bearerTokenFile and another token are both set: remove one of the two options");
  }
  return { tokenSource: () => readToken(bearerTokenFile) };
}

/** The addresses of a list of URLs. */
function listAddresses(urls: readonly string[], open: (url: string) => Endpoint): Addresses {
  return { resolve: () => Promise.resolve(urls), open };
}

/** The addresses of a DNS name. Calls and certificates keep the name. */
function dnsAddresses(
  target: string,
  plaintext: boolean,
  options: NodeOptions,
  open: (url: string, address: string) => Endpoint,
): Addresses {
  const name = /^dns:(?:\/\/\/)?([^/]+)$/.exec(target)?.[1];
  if (name === undefined) throw new SetupError(`can't use the target ${shownTarget(target)}: use dns:///host:port`);
  const url = validUrl(`${plaintext ? "http" : "https"}://${name}`, plaintext);
  const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
  const resolve = options.resolve ?? resolveBySystem;
  return { resolve: () => resolve(host), open: (address) => open(url, address) };
}

function resolveBySystem(host: string): Promise<readonly string[]> {
  return new Promise((done, fail) => {
    lookupName(host, { all: true }, (error, addresses) => {
      if (error) fail(error);
      else done(addresses.map(({ address }) => address));
    });
  });
}

function validUrl(text: string, plaintext: boolean): string {
  const shown = shownTarget(text);
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new SetupError(`can't use the target ${shown}: use https://host:port`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new SetupError("the target has a user or a password: use identity or token");
  }
  if (url.protocol === "http:" && !plaintext) {
    throw new SetupError(`the target ${shown} isn't https: use https, or set the option plaintext for diagnostics`);
  }
  if (url.protocol === "https:" && plaintext) {
    throw new SetupError(`the target ${shown} is https: remove the option plaintext`);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new SetupError(`can't use the target ${shown}: use https://host:port`);
  }
  return url.origin;
}

/** Certificates are always verified: no option turns that off. */
function tlsOptions(options: NodeOptions): SecureContextOptions & { servername?: string } {
  const { ca, identity, domainName } = options;
  const tls: SecureContextOptions & { servername?: string } = { minVersion: "TLSv1.2" };
  if (ca !== undefined) tls.ca = readCertificates("CA", ca);
  if (identity !== undefined) {
    tls.cert = readCertificates("client certificate", identity.certificate);
    tls.key = readKey("client key", identity.key);
    try {
      createSecureContext(tls);
    } catch (cause) {
      throw new SetupError("can't use the client certificate with the client key", { cause });
    }
  }
  if (domainName !== undefined) tls.servername = domainName;
  return tls;
}

/** The validated options of connections. */
interface ConnectionOptions {
  readonly tls: SecureContextOptions & { servername?: string };
  readonly protocol: NonNullable<NodeOptions["protocol"]>;
  readonly messageSizeMaxBytes: number;
  readonly connectTimeoutMs: number;
}

/** Opens a URL, at one IP address of its host if it is given. */
function openEndpoint(url: string, address: string | undefined, options: ConnectionOptions): Endpoint {
  // `rejectUnauthorized` is set because NODE_TLS_REJECT_UNAUTHORIZED would turn the default off.
  const session = { ...options.tls, rejectUnauthorized: true, ...(address === undefined ? {} : { lookup: lookupOf(address) }) };
  const ping = { pingIntervalMs: KEEPALIVE_INTERVAL_MS, pingTimeoutMs: KEEPALIVE_TIMEOUT_MS };
  const sessionManager = new Connection(url, ping, session);
  return {
    transport: transportOf(url, sessionManager, options),
    connect: () => connectSession(sessionManager, options.connectTimeoutMs),
    close: () => sessionManager.abort(),
  };
}

function transportOf(baseUrl: string, sessionManager: Http2SessionManager, options: ConnectionOptions): Transport {
  const common = {
    baseUrl,
    sessionManager,
    readMaxBytes: options.messageSizeMaxBytes,
    writeMaxBytes: options.messageSizeMaxBytes,
    // Requests are never compressed: they can contain secrets.
    acceptCompression: [compressionGzip],
    useBinaryFormat: true,
  };
  switch (options.protocol) {
    case "grpc":
      return createGrpcTransport(common);
    case "grpc-web":
      return createGrpcWebTransport({ ...common, httpVersion: "2" });
    case "connect":
      return createConnectTransport({ ...common, httpVersion: "2" });
  }
}

async function connectSession(manager: Http2SessionManager, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<"timeout">((resolve) => {
    timer = setTimeout(() => resolve("timeout"), timeoutMs);
  });
  const result = await Promise.race([manager.connect(), timeout]).finally(() => clearTimeout(timer));
  if (result === "timeout") {
    const error = new Error(`no connection within ${timeoutMs} ms`);
    manager.abort(error);
    throw error;
  }
  if (result === "error") throw manager.error() ?? new Error("the connection was closed");
}

/** A `lookup` for Node's sockets that returns one address. */
function lookupOf(address: string) {
  const family = isIP(address);
  return (
    _host: string,
    options: { all?: boolean | undefined },
    done: (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void,
  ): void => {
    if (options.all === true) done(null, [{ address, family }]);
    else done(null, address, family);
  };
}
