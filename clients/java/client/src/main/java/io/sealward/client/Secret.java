package io.sealward.client;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/**
 * A secret text or bytes: an encryption key, or a revealed value. It prints as {@code [REDACTED]}; only {@link #exposeText} and
 * {@link #exposeBytes} return the value. It has no equality.
 */
public final class Secret {
    /** Transient, for libraries that print fields by reflection. */
    private final transient byte[] value;

    private Secret(byte[] value) {
        this.value = value;
    }

    /** Wraps a text. */
    public static Secret of(String text) {
        try {
            ByteBuffer encoded = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text));
            byte[] bytes = new byte[encoded.remaining()];
            encoded.get(bytes);
            return new Secret(bytes);
        } catch (CharacterCodingException error) {
            throw new IllegalArgumentException("the secret isn't valid Unicode text");
        }
    }

    /** Wraps bytes. */
    public static Secret of(byte[] bytes) {
        return new Secret(bytes.clone());
    }

    /**
     * Returns the value as text.
     *
     * @throws IllegalStateException if the value is bytes that aren't UTF-8
     */
    public String exposeText() {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(value)).toString();
        } catch (CharacterCodingException error) {
            throw new IllegalStateException("the secret is bytes: use exposeBytes");
        }
    }

    /** Returns the value as bytes; a text is UTF-8. */
    public byte[] exposeBytes() {
        return value.clone();
    }

    @Override
    public String toString() {
        return "[REDACTED]";
    }
}
