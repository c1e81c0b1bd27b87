/** Bearer tokens, which authenticate calls with or without a client certificate. */

import { SetupError } from "./errors.js";
import { Secret } from "./secret.js";

/**
 * Returns a bearer token. It is called for each attempt of each call, so it should keep its token until the token expires. With
 * `forceRefresh`, the server has refused the last token: return another one. If it throws, the call fails with the origin `no_token`.
 */
export type TokenSource = (request: { readonly forceRefresh: boolean }) => string | Secret | Promise<string | Secret>;

/** A bearer token (JWT), or its source. */
export type Token = string | Secret | TokenSource;

/** The options of a client for its bearer token. */
export interface TokenOptions {
  /** A bearer token (JWT) that doesn't change. Sent with each call. Refused over plaintext. Default: no token. */
  readonly bearerToken?: string | Secret | undefined;
  /** The source of bearer tokens, instead of `bearerToken`. */
  readonly tokenSource?: TokenSource | undefined;
}

/** The token or its source, validated. */
export function tokenOf({ bearerToken, tokenSource }: TokenOptions): Token | undefined {
  if (bearerToken !== undefined && tokenSource !== undefined) {
    throw new SetupError("bearerToken and tokenSource are both set: remove one of the two options");
  }
  if (bearerToken !== undefined) parseToken(textOf(bearerToken));
  return bearerToken ?? tokenSource;
}

/** The value of the header `authorization`. */
export async function authorization(token: Token, forceRefresh: boolean): Promise<string> {
  const given = typeof token === "function" ? await token({ forceRefresh }) : token;
  return `Bearer ${parseToken(textOf(given))}`;
}

/** Validates a token. The errors are more specific than the server's, which only reports an invalid token, and don't contain the token. */
export function parseToken(text: string): string {
  const token = text.trim();
  const problem = problemOf(token);
  if (problem !== undefined) throw new SetupError(`the bearer token ${problem}`);
  return token;
}

function textOf(token: string | Secret): string {
  return token instanceof Secret ? token.exposeText() : token;
}

function problemOf(token: string): string | undefined {
  if (token === "") return "is empty";
  if (/^bearer\s/i.test(token)) return 'begins with "Bearer ": use only the token';
  if (token.startsWith("{")) return "is JSON: use only the token, such as the value of access_token";
  if (/\s/.test(token)) return "has more than one word: use only the token";
  // The characters of RFC 6750, section 2.1.
  if (!/^[A-Za-z0-9\-._~+/=]+$/.test(token)) {
    return "has an invalid character: a token has only letters, digits and -._~+/=";
  }
  return undefined;
}
