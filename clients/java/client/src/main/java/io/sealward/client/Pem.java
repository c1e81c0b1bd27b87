package io.sealward.client;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** PEM, or its file. The label names it in errors. */
final class Pem {
    private final String label;
    private final Path file;
    private final transient byte[] text;

    private Pem(String label, Path file, byte[] text) {
        this.label = label;
        this.file = file;
        this.text = text;
    }

    static Pem ofText(String label, byte[] text) {
        return new Pem(label, null, text.clone());
    }

    static Pem ofFile(String label, Path file) {
        return new Pem(label + " file", file, null);
    }

    /** Returns the file, or null. */
    Path file() {
        return file;
    }

    /** Reads certificates. Every section must be one: TLS would skip the others, and then trust fewer CAs than the file has. */
    InputStream certificates() {
        byte[] bytes = read();
        int count = 0;
        Matcher section = SECTION.matcher(latin(bytes));
        while (section.find()) {
            if (!section.group(1).equals("CERTIFICATE")) {
                throw unusable("it has the section " + section.group(1) + ": only certificates are allowed", null);
            }
            count++;
        }
        if (count == 0) {
            throw unusable("it has no certificate (BEGIN CERTIFICATE)", null);
        }
        try {
            int parsed = CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(bytes)).size();
            if (parsed != count) {
                throw unusable("only " + parsed + " of its " + count + " certificates can be read", null);
            }
        } catch (CertificateException error) {
            throw unusable("a certificate isn't valid", error);
        }
        return new ByteArrayInputStream(bytes);
    }

    /** Reads a private key: PKCS#8, without a password. */
    InputStream privateKey() {
        byte[] bytes = read();
        Matcher section = SECTION.matcher(latin(bytes));
        String der = null;
        while (section.find()) {
            String kind = section.group(1);
            if (kind.equals("PRIVATE KEY") && der == null) {
                der = section.group(2);
            } else if (kind.equals("ENCRYPTED PRIVATE KEY")) {
                throw unusable("the key is encrypted: decrypt it with openssl pkcs8 -in FILE -out key.pem", null);
            } else if (kind.endsWith("PRIVATE KEY")) {
                throw unusable("use one key in PKCS#8: convert it with openssl pkcs8 -topk8 -nocrypt -in FILE -out key.pem", null);
            }
        }
        if (der == null) {
            throw unusable("it has no private key (BEGIN PRIVATE KEY)", null);
        }
        check(der);
        return new ByteArrayInputStream(bytes);
    }

    private void check(String base64) {
        byte[] der;
        try {
            der = Base64.getMimeDecoder().decode(base64);
        } catch (IllegalArgumentException error) {
            // The cause isn't kept: its text can have a part of the key.
            throw unusable("the key isn't valid Base64", null);
        }
        for (String algorithm : KEY_ALGORITHMS) {
            try {
                KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(der));
                return;
            } catch (GeneralSecurityException error) {
                continue;
            } finally {
                if (algorithm.equals(KEY_ALGORITHMS.get(KEY_ALGORITHMS.size() - 1))) {
                    Arrays.fill(der, (byte) 0);
                }
            }
        }
        throw unusable("the key isn't a valid EC or RSA key", null);
    }

    private byte[] read() {
        if (file == null) {
            return text.clone();
        }
        try {
            return Files.readAllBytes(file);
        } catch (IOException error) {
            throw new SetupException("can't read the " + name(), error);
        }
    }

    private String name() {
        return file == null ? label : label + " " + file;
    }

    private SetupException unusable(String problem, Throwable cause) {
        String text = file == null ? problem : problem.replace("FILE", file.toString());
        return new SetupException("can't use the " + name() + ": " + text, cause);
    }

    private static String latin(byte[] bytes) {
        return new String(bytes, StandardCharsets.ISO_8859_1);
    }

    private static final List<String> KEY_ALGORITHMS = List.of("EC", "RSA");

    private static final Pattern SECTION = Pattern.compile("-----BEGIN ([A-Z0-9 ]+)-----([^-]*)");
}
