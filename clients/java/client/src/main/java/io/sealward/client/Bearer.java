package io.sealward.client;

import io.grpc.Metadata;
import io.grpc.Status;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Locale;

/** Bearer tokens, which authenticate calls with or without a client certificate. */
final class Bearer {
    private final String label;
    private final transient TokenSource source;
    private final boolean canRefresh;

    private Bearer(String label, TokenSource source, boolean canRefresh) {
        this.label = label;
        this.source = source;
        this.canRefresh = canRefresh;
    }

    static Bearer ofToken(String token) {
        return new Bearer("bearer token", refresh -> token, false);
    }

    /** Validates a fixed token. A file and a source are asked for each attempt only: their token may come later. */
    void check() {
        if (canRefresh) {
            return;
        }
        try {
            authorize(new Metadata(), false);
        } catch (SealwardException error) {
            throw new SetupException(error.getMessage());
        }
    }

    /** The file is read for each attempt, so that the token can be replaced before it expires. */
    static Bearer ofFile(Path file) {
        return new Bearer("token file " + file, refresh -> decode(read(file)), true);
    }

    /**
     * Reads a file. The error of an unreadable one has the path only if it is in a folder that exists: a token can be given where a path is
     * expected. It doesn't have the error of the system, which has the path too.
     */
    private static byte[] read(Path file) throws UnreadableFile {
        try {
            return Files.readAllBytes(file);
        } catch (IOException error) {
            String problem = error instanceof NoSuchFileException ? "no such file" : error.getClass().getSimpleName();
            boolean isShown = file.getParent() != null && Files.isDirectory(file.getParent());
            throw new UnreadableFile(
                    isShown
                            ? "can't read the token file " + file + ": " + problem
                            : "can't read the token file: " + problem + " (the path isn't shown, because it can be a token)");
        }
    }

    static Bearer ofSource(TokenSource source) {
        return new Bearer("bearer token", source, true);
    }

    /** Whether the source can have another token after the server has refused one. */
    boolean canRefresh() {
        return canRefresh;
    }

    /** Adds the header {@code authorization}. */
    void authorize(Metadata headers, boolean refresh) {
        String token;
        try {
            token = source.token(refresh);
        } catch (UnusableToken unusable) {
            throw failure("the " + label + " " + unusable.getMessage(), null);
        } catch (UnreadableFile unreadable) {
            throw failure(unreadable.getMessage(), null);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw failure("interrupted while getting the " + label, error);
        } catch (Exception error) {
            throw failure("the token source failed", error);
        }
        String text = token == null ? "" : token.strip();
        String problem = problem(text);
        if (problem != null) {
            throw failure("the " + label + " " + problem, null);
        }
        headers.put(AUTHORIZATION, "Bearer " + text);
    }

    private static SealwardException failure(String text, Throwable cause) {
        return SealwardException.ofClient(Status.Code.UNAUTHENTICATED, text, cause);
    }

    private static String decode(byte[] bytes) throws UnusableToken {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException error) {
            throw new UnusableToken("isn't valid UTF-8: a token has only letters, digits and -._~+/=");
        }
    }

    /** Returns the problem of a token, or null. The server would only report an invalid token. */
    static String problem(String token) {
        if (token.isEmpty()) {
            return "is empty";
        }
        if (token.charAt(0) == '\uFEFF') {
            return "begins with a byte order mark: save it as UTF-8 without one";
        }
        if (token.toLowerCase(Locale.ROOT).startsWith("bearer ")) {
            return "begins with \"Bearer \": use only the token";
        }
        if (token.startsWith("{")) {
            return "is JSON: use only the token, such as the value of access_token";
        }
        if (token.chars().anyMatch(Character::isWhitespace)) {
            return "has more than one word: use only the token";
        }
        // The characters of RFC 6750, section 2.1.
        boolean isValid = token.chars().allMatch(c -> c < 128 && (Character.isLetterOrDigit(c) || "-._~+/=".indexOf(c) >= 0));
        return isValid ? null : "has an invalid character: a token has only letters, digits and -._~+/=";
    }

    private static final class UnusableToken extends Exception {
        private static final long serialVersionUID = 1;

        UnusableToken(String message) {
            super(message);
        }
    }

    private static final class UnreadableFile extends Exception {
        private static final long serialVersionUID = 1;

        UnreadableFile(String message) {
            super(message);
        }
    }

    private static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
}
