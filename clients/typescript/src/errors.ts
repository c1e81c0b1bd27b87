/** Errors: of a client's setup, and of calls with the details that the server returned. */

import { isFieldError } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError } from "@connectrpc/connect";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import { ErrorReason as MailErrorReason } from "./gen/sealward/mail/v1/mailbox_connection_pb.js";
import { ErrorReason } from "./gen/sealward/v1/errors_pb.js";
import type { ItemStatus } from "./gen/sealward/v1/item_status_pb.js";

/** An invalid option of a client: an unreadable file, or a plaintext target that wasn't asked for. */
export class SetupError extends Error {
  /** Creates the error. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SetupError";
  }
}

/** The origin of a failed call. */
export type Origin =
  /** The server, or a proxy, answered with an error. */
  | "server"
  /** No connection: the call wasn't sent. */
  | "not_connected"
  /** The TLS handshake failed: client or server refused the other's certificate. */
  | "tls_refused"
  /** The connection broke, possibly after the call was sent. */
  | "broken"
  /** The timeout expired. */
  | "timed_out"
  /** The program cancelled the call, or closed the client. */
  | "canceled"
  /** This side failed before the call was sent: there is no token, or the request can't be sent, because it is too large for example. */
  | "client"
  /** The answer can't be decoded as a message of the contract. */
  | "unreadable";

/** A violation in a request. */
export interface FieldViolation {
  /** The field, as a path from the request: `mailbox.display_name`. */
  readonly field: string;
  /** The description, for people. */
  readonly description: string;
  /** The machine-readable reason, such as `TOO_LONG` or the reason of an entity's rule. Can be empty. */
  readonly reason: string;
}

/** The values of a {@link SealwardError}. */
export interface SealwardErrorFields {
  readonly method: string;
  readonly origin: Origin;
  readonly code: Code;
  readonly serverMessage?: string;
  readonly reason?: ErrorReason;
  readonly mailReason?: MailErrorReason;
  readonly reasonName?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly fieldViolations?: readonly FieldViolation[];
  readonly retryDelayMs?: number | undefined;
  readonly callId?: string | undefined;
  readonly mayHaveTakenEffect?: boolean;
  readonly cause?: unknown;
}

/** A failed call. Contains no secrets: the contract excludes them from errors, and the client adds none. */
export class SealwardError extends Error {
  /** The method, as `sealward.v1.AccessService/WhoAmI`. */
  readonly method: string;
  /** The origin of the failure. */
  readonly origin: Origin;
  /** The gRPC code. */
  readonly code: Code;
  /** The name of the gRPC code, such as `FAILED_PRECONDITION`. */
  readonly codeName: string;
  /** The server's message, without the reason that `message` begins with. Can be empty. */
  readonly serverMessage: string;
  /** The machine-readable reason. `ErrorReason.UNSPECIFIED` if there is none, or if this version doesn't know it. */
  readonly reason: ErrorReason;
  /** The reason of the mail application. `UNSPECIFIED` for all other errors. */
  readonly mailReason: MailErrorReason;
  /** The reason as on the wire, such as `KEY_MISMATCH`, also if this version doesn't know it. */
  readonly reasonName: string | undefined;
  /** The values of the reason by their names in the contract, such as `wanted_fingerprint` and `limit`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The violations of the request's fields. */
  readonly fieldViolations: readonly FieldViolation[];
  /** The delay before a retry that the server requests, in milliseconds. */
  readonly retryDelayMs: number | undefined;
  /** The id of the call in the server's log. */
  readonly callId: string | undefined;
  /**
   * Whether an attempt of the call may have taken effect, although the call failed. Check before you repeat the call. Always false for a call
   * that changes nothing.
   */
  readonly mayHaveTakenEffect: boolean;

  /** Creates the error. Programs need this only for tests. */
  constructor(fields: SealwardErrorFields) {
    super(display(fields), fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = "SealwardError";
    this.method = fields.method;
    this.origin = fields.origin;
    this.code = fields.code;
    this.codeName = codeName(fields.code);
    this.serverMessage = fields.serverMessage ?? "";
    this.reason = fields.reason ?? ErrorReason.UNSPECIFIED;
    this.mailReason = fields.mailReason ?? MailErrorReason.UNSPECIFIED;
    this.reasonName = fields.reasonName;
    this.metadata = fields.metadata ?? {};
    this.fieldViolations = fields.fieldViolations ?? [];
    this.retryDelayMs = fields.retryDelayMs;
    this.callId = fields.callId;
    this.mayHaveTakenEffect = fields.mayHaveTakenEffect ?? false;
  }
}

/** A failed attempt to connect, before anything was sent. */
export class ConnectFailure extends Error {
  /** Wraps the error of the connection. */
  constructor(cause: unknown) {
    super("can't connect", { cause });
    this.name = "ConnectFailure";
  }
}

/** The end of a stream that the server reset, on a connection that continues. */
export class ResetStream extends Error {
  /** Creates the error. */
  constructor() {
    super("the server reset the call");
    this.name = "ResetStream";
  }
}

/** The end of a stream whose connection was lost. */
export class LostStream extends Error {
  /** Creates the error. */
  constructor() {
    super("the connection was lost");
    this.name = "LostStream";
  }
}

/** A failed token source, before anything was sent. */
export class TokenFailure extends Error {
  /** Wraps the error of the token source. */
  constructor(cause: unknown) {
    super("no token", { cause });
    this.name = "TokenFailure";
  }
}

/** Returns the name of a gRPC code, such as `FAILED_PRECONDITION`. */
export function codeName(code: Code): string {
  return CODE_NAMES[code];
}

/**
 * Converts the error of one item, such as a result of an import, to the error that a call of its own would throw. Its `method` is empty: the
 * item doesn't name it.
 */
export function itemError(status: ItemStatus): SealwardError {
  const code = Object.hasOwn(CODE_NAMES, status.code) ? (status.code as Code) : Code.Unknown;
  const packed = new ConnectError(status.message, code);
  packed.details = status.details.map(({ typeUrl, value }) => ({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value }));
  const error = new SealwardError({ method: "", origin: "server", code, serverMessage: status.message, ...details(packed), cause: packed });
  return mayHaveTakenEffect(error) ? markEffect(error) : error;
}

/** Converts the error of an attempt. `isCanceled`: the program has canceled the call or closed the client. */
export function callError(method: string, error: unknown, isCanceled: boolean): SealwardError {
  if (error instanceof SealwardError) return error;
  if (isCanceled) return canceled(method);
  if (error instanceof TokenFailure) {
    const { cause } = error;
    const serverMessage = cause instanceof SetupError ? `no token: ${cause.message}` : "the token source failed";
    return new SealwardError({ method, origin: "client", code: Code.Unauthenticated, serverMessage, cause });
  }
  if (error instanceof ConnectFailure) {
    const origin = causes(error).some(isTlsRefusal) ? "tls_refused" : "not_connected";
    return new SealwardError({ method, origin, code: Code.Unavailable, cause: error.cause });
  }
  const field = causes(error).find(isFieldError);
  if (field !== undefined) {
    // The error itself can quote the value.
    return unusableValue(method, field.field());
  }
  return ofConnectError(method, ConnectError.from(error));
}

/** The error of a request with a value of the wrong type. Doesn't contain the value. */
export function unusableValue(method: string, field: { toString(): string }): SealwardError {
  const serverMessage = `can't send the request: the value of ${field.toString()} has the wrong type, or isn't valid text`;
  return new SealwardError({ method, origin: "client", code: Code.InvalidArgument, serverMessage });
}

/** The error of a call that the program canceled, or whose client it closed. */
export function canceled(method: string): SealwardError {
  return new SealwardError({ method, origin: "canceled", code: Code.Canceled });
}

/** The error of a call whose own timeout expired. */
export function timedOut(method: string): SealwardError {
  return new SealwardError({ method, origin: "timed_out", code: Code.DeadlineExceeded, ...TIMED_OUT });
}

/**
 * Whether the server reset the call because too many responses wait for their callers. Node's message has `NGHTTP2_`, that of Connect
 * doesn't. A connection that ends with the same code is a lost one.
 */
function isOverloadedStream(error: ConnectError): boolean {
  return causes(error).some(({ message }) => /stream closed with error code (NGHTTP2_)?ENHANCE_YOUR_CALM/i.test(message));
}

/** Whether the server may have carried out an attempt that failed like this, if the call changes something. */
export function mayHaveTakenEffect({ origin, code, reasonName }: SealwardError): boolean {
  switch (origin) {
    case "broken":
    case "timed_out":
    case "canceled":
    case "unreadable":
      return true;
    case "server":
      // Without a reason, the error may be a proxy's, or the end of a stream.
      return reasonName === undefined ? UNCERTAIN_CODES.has(code) : UNCERTAIN_REASONS.has(reasonName);
    case "not_connected":
    case "tls_refused":
    case "client":
      return false;
  }
}

/** Marks the failure of a call that may have taken effect. */
export function markEffect(error: SealwardError): SealwardError {
  return Object.assign(error, { mayHaveTakenEffect: true });
}

/** Whether the server refused the call's HTTP/2 stream, which means that it didn't process the call. */
export function isRefusedStream(error: SealwardError): boolean {
  return error.origin === "broken" && causes(error).some((cause) => cause.message.includes("REFUSED_STREAM"));
}

function ofConnectError(method: string, error: ConnectError): SealwardError {
  const reset = causes(error).find((cause) => cause instanceof ResetStream);
  if (reset !== undefined) {
    return new SealwardError({ method, origin: "server", code: Code.Canceled, serverMessage: reset.message, cause: error });
  }
  if (isOverloadedStream(error)) {
    const serverMessage = "the server reset the call: too many responses wait for their callers";
    return new SealwardError({ method, origin: "server", code: Code.ResourceExhausted, serverMessage, cause: error });
  }
  const origin = originOf(error);
  switch (origin) {
    case "timed_out":
      return timedOut(method);
    case "broken":
      // Node reports a lost connection with several codes, such as CANCELLED and INTERNAL.
      return new SealwardError({ method, origin, code: Code.Unavailable, cause: error });
    case "unreadable":
      // The cause can quote the answer.
      return new SealwardError({ method, origin, code: Code.Internal });
    case "client":
      return new SealwardError({ method, origin, code: error.code, serverMessage: `can't send the request: ${error.rawMessage}` });
    default:
      return new SealwardError({
        method,
        origin: "server",
        code: error.code,
        serverMessage: error.rawMessage,
        ...details(error),
        cause: error,
      });
  }
}

/** Errors of the server have headers or details. Errors of this side have neither. */
function originOf(error: ConnectError): Origin {
  const isAnswer = error.details.length > 0 || !error.metadata.keys().next().done;
  const isBroken = causes(error).some(
    (cause) => typeof (cause as { code?: unknown }).code === "string" || cause instanceof TypeError || cause instanceof LostStream,
  );
  if (error.code === Code.DeadlineExceeded && !isAnswer) return "timed_out";
  if (/readMaxBytes/.test(error.rawMessage)) return "unreadable";
  if (isBroken || /^http\/2 stream closed/.test(error.rawMessage)) return "broken";
  if (/^message size .* is larger than configured writeMaxBytes/.test(error.rawMessage)) return "client";
  if (error.cause !== undefined || /^(protocol error|message size)/.test(error.rawMessage)) return "unreadable";
  return "server";
}

/** The `google.rpc` details of an error. Missing and malformed details are ignored. */
function details(error: ConnectError): Omit<SealwardErrorFields, "method" | "origin" | "code"> {
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === DOMAIN || domain === MAIL_DOMAIN);
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    ...(info?.domain === DOMAIN ? { reason: value(ErrorReason, info.reason) } : {}),
    ...(info?.domain === MAIL_DOMAIN ? { mailReason: value(MailErrorReason, info.reason) } : {}),
    reasonName: info?.reason,
    metadata: { ...info?.metadata },
    fieldViolations: error
      .findDetails(BadRequestSchema)
      .flatMap(({ fieldViolations }) => fieldViolations)
      .map(({ field, description, reason }) => ({ field, description, reason })),
    retryDelayMs: delay && Number(delay.seconds) * 1000 + delay.nanos / 1_000_000,
    callId: error.findDetails(RequestInfoSchema)[0]?.requestId || undefined,
  };
}

/** The value of an enum of reasons by its name on the wire. */
function value<E extends number>(reasons: Readonly<Record<string, E | string>>, name: string): E {
  const found = Object.hasOwn(reasons, name) ? reasons[name] : undefined;
  return (typeof found === "number" ? found : 0) as E;
}

function display(fields: SealwardErrorFields): string {
  const { origin, code, reasonName, serverMessage = "" } = fields;
  switch (origin) {
    case "not_connected":
      return "can't connect to the server";
    case "tls_refused":
      return "TLS handshake failed";
    case "broken":
      return "connection lost before the response";
    case "timed_out":
      return "the call timed out";
    case "canceled":
      return "the call was canceled";
    case "client":
      return serverMessage;
    case "unreadable":
      return "can't decode the response";
    case "server": {
      const what = reasonName ?? codeName(code);
      if (code === Code.Unimplemented && (reasonName === undefined || reasonName === "METHOD_UNKNOWN")) {
        return `${what}: the server doesn't have this method: it may be older than this client`;
      }
      return serverMessage === "" ? what : `${what}: ${serverMessage}`;
    }
  }
}

/** The error and its causes, as far as they are errors. */
function causes(error: unknown): Error[] {
  const found: Error[] = [];
  for (let next = error; next instanceof Error && !found.includes(next); next = next.cause) found.push(next);
  return found;
}

/** Whether an error of Node is about certificates, or an alert of TLS. */
function isTlsRefusal(error: Error): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === "string" && TLS_ERRORS.test(code);
}

const TLS_ERRORS = /^(ERR_SSL_|ERR_TLS_|ERR_OSSL_|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH|EPROTO)/;

const TIMED_OUT = { reason: ErrorReason.DEADLINE_EXCEEDED, reasonName: "DEADLINE_EXCEEDED" } as const;

/** The reasons of the server for an unknown outcome. */
const UNCERTAIN_REASONS: ReadonlySet<string> = new Set(["OUTCOME_UNKNOWN", "DEADLINE_EXCEEDED", "CANCELLED"]);

/** The codes of errors without a reason, after which the outcome is unknown. */
const UNCERTAIN_CODES: ReadonlySet<Code> = new Set([
  Code.Canceled,
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.ResourceExhausted,
  Code.Internal,
  Code.Unavailable,
]);

/** The domain of the platform's reasons. */
const DOMAIN = "sealward";

/** The domain of the mail application's reasons. */
const MAIL_DOMAIN = "sealward.mail";

const CODE_NAMES: Readonly<Record<Code, string>> = {
  [Code.Canceled]: "CANCELLED",
  [Code.Unknown]: "UNKNOWN",
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.NotFound]: "NOT_FOUND",
  [Code.AlreadyExists]: "ALREADY_EXISTS",
  [Code.PermissionDenied]: "PERMISSION_DENIED",
  [Code.ResourceExhausted]: "RESOURCE_EXHAUSTED",
  [Code.FailedPrecondition]: "FAILED_PRECONDITION",
  [Code.Aborted]: "ABORTED",
  [Code.OutOfRange]: "OUT_OF_RANGE",
  [Code.Unimplemented]: "UNIMPLEMENTED",
  [Code.Internal]: "INTERNAL",
  [Code.Unavailable]: "UNAVAILABLE",
  [Code.DataLoss]: "DATA_LOSS",
  [Code.Unauthenticated]: "UNAUTHENTICATED",
};
