package io.sealward.client;

import java.security.SecureRandom;

/**
 * Generation of encryption keys: texts with 175 random bits that meet the service's rule, and that are easy to copy, print and dictate. The
 * format is that of keys that the server generates.
 */
final class KeyText {
    private KeyText() {}

    /** Generates an encryption key: seven groups of five characters of Crockford's Base32, with hyphens, such as {@code 8FQ2M-…}. */
    static String generate() {
        SecureRandom random = new SecureRandom();
        // The rule requires a letter and a numeral. A key without one of them, about 1 in 500,000, is discarded.
        while (true) {
            StringBuilder text = new StringBuilder();
            for (int position = 0; position < GROUPS * GROUP_CHARACTERS; position++) {
                if (position > 0 && position % GROUP_CHARACTERS == 0) {
                    text.append('-');
                }
                text.append(ALPHABET.charAt(random.nextInt(ALPHABET.length())));
            }
            boolean hasNumeral = text.chars().anyMatch(Character::isDigit);
            boolean hasLetter = text.chars().anyMatch(Character::isLetter);
            if (hasNumeral && hasLetter) {
                return text.toString();
            }
        }
    }

    private static final int GROUPS = 7;
    private static final int GROUP_CHARACTERS = 5;

    /** Crockford's Base32: no I, L, O and U. */
    private static final String ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
}
