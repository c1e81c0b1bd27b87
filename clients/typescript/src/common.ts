/** What clients for Node and for browsers have in common. */

export { Code } from "@connectrpc/connect";
export type { CallOptions } from "@connectrpc/connect";
export { SealwardClient, type CommonOptions } from "./client.js";
export { codeName, itemError, SealwardError, SetupError, type FieldViolation, type Origin } from "./errors.js";
export { ErrorReason as MailErrorReason } from "./gen/sealward/mail/v1/mailbox_connection_pb.js";
export { ErrorReason } from "./gen/sealward/v1/errors_pb.js";
export type { KeyChangeProgress } from "./key-change.js";
export { generateKeyText } from "./key-text.js";
export { listAll, pages } from "./lists.js";
export { newRequestId } from "./request-id.js";
export { RETRY_POLICY, type RetryPolicy } from "./retry.js";
export { clone, create, fromBinary, fromJson, protect, Secret, type SecretBytes, type SecretText } from "./secret.js";
export type { TokenOptions, TokenSource } from "./token.js";
export { VERSION } from "./version.js";
