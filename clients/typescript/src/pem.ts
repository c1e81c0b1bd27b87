/** PEM from files or memory. Errors name the file, never its content. */

import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";

import { SetupError } from "./errors.js";
import { Secret } from "./secret.js";

/** PEM: the path of a file, or the content as bytes or as a text that contains `-----BEGIN`. */
export type Pem = string | Uint8Array | Secret;

/** Reads certificates. TLS would ignore text without a certificate, and then trust the system's CAs. */
export function readCertificates(what: string, pem: Pem): Buffer {
  const { bytes, name } = read(what, pem);
  if (!bytes.includes("-----BEGIN CERTIFICATE-----")) {
    throw new SetupError(`can't use the ${name}: it has no certificate in PEM`);
  }
  try {
    new X509Certificate(bytes);
  } catch {
    throw new SetupError(`can't use the ${name}: its first certificate is malformed`);
  }
  return bytes;
}

/** Reads a private key. Warns once if group or others can read its file. */
export function readKey(what: string, pem: Pem): Buffer {
  const { bytes, name, path } = read(what, pem);
  if (bytes.includes("ENCRYPTED")) {
    throw new SetupError(`can't use the ${name}: the private key is encrypted: decrypt it with \`openssl pkey\``);
  }
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(bytes.toString("latin1"))) {
    throw new SetupError(`can't use the ${name}: it has no private key in PEM`);
  }
  if (path !== undefined) warnIfReadable(path);
  return bytes;
}

/** Reads a file as text. */
export function readText(what: string, path: string): string {
  return readFile(what, path).toString("utf8");
}

/**
 * Reads a token from a file. An error shows the path only if it is in a folder that exists, without its cause, which has the path too: a token
 * can be given where a path is expected.
 */
export function readToken(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const folder = dirname(path);
    const isShown = folder !== "." && existsSync(folder);
    const code = (error as NodeJS.ErrnoException).code ?? "unreadable";
    throw new SetupError(`can't read the token file${isShown ? ` ${path}` : ""}: ${code}${isShown ? "" : PATH_NOT_SHOWN}`);
  }
}

const PATH_NOT_SHOWN = " (the path isn't shown, because it can be a token)";

function read(what: string, pem: Pem): { bytes: Buffer; name: string; path?: string } {
  if (pem instanceof Uint8Array) return { bytes: Buffer.from(pem), name: what };
  if (pem instanceof Secret) return { bytes: Buffer.from(pem.exposeBytes()), name: what };
  if (pem.includes("-----BEGIN")) return { bytes: Buffer.from(pem), name: what };
  return { bytes: readFile(what, pem), name: `${what} ${pem}`, path: pem };
}

function readFile(what: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new SetupError(`can't read the ${what} ${path}`, { cause });
  }
}

const warned = new Set<string>();

function warnIfReadable(path: string): void {
  const isPosix = process.platform !== "win32";
  if (!isPosix || warned.has(path) || (statSync(path).mode & 0o077) === 0) return;
  warned.add(path);
  process.emitWarning(`the private key ${path} can be read by other users: run \`chmod 600\` on it`, {
    type: "SealwardWarning",
    code: "SEALWARD_KEY_READABLE",
  });
}
