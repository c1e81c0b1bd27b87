/** Generation of encryption keys, in the format of keys that the server generates. The server validates its rule for keys. */

import { Secret } from "./secret.js";

/** Generates an encryption key with 175 random bits: seven groups of five characters of Crockford's Base32, with hyphens. */
export function generateKeyText(): Secret {
  for (;;) {
    const drawn = crypto.getRandomValues(new Uint8Array(GROUPS * GROUP_CHARACTERS));
    // 256 is a multiple of 32, so every character is equally likely.
    const text = Array.from(drawn, (byte) => ALPHABET.charAt(byte % ALPHABET.length)).join("");
    // The rule requires a letter and a numeral. A text without one of them, about 1 in 500,000, is discarded.
    if (/[0-9]/.test(text) && /[A-Z]/.test(text)) return new Secret(text.replace(/.{5}(?=.)/g, "$&-"));
  }
}

const GROUPS = 7;
const GROUP_CHARACTERS = 5;

/** Crockford's Base32: no I, L, O and U. */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
