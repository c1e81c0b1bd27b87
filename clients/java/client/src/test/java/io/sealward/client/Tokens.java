package io.sealward.client;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;

/** An issuer of bearer tokens, with its key. */
final class Tokens {
    private final KeyPair key;

    Tokens() throws GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        key = generator.generateKeyPair();
    }

    /** The configuration of a server that accepts the tokens. */
    static String configuration(String jwks) {
        return String.join(
                "\n",
                "[[token_issuers]]",
                "issuer = \"https://idp.test/\"",
                "audience = \"sealward\"",
                "algorithms = [\"ES256\"]",
                "jwks = \"" + jwks + "\"",
                "[[bindings]]",
                "identity = \"jwt:https://idp.test/#robot\"",
                "role = \"record-reader\"",
                "organizations = [\"*\"]",
                "");
    }

    String jwks() {
        ECPublicKey point = (ECPublicKey) key.getPublic();
        return "{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-256\", \"kid\": \"1\", \"alg\": \"ES256\", \"use\": \"sig\", \"x\": \""
                + coordinate(point.getW().getAffineX().toByteArray()) + "\", \"y\": \"" + coordinate(point.getW().getAffineY().toByteArray()) + "\"}]}";
    }

    String token() throws GeneralSecurityException {
        long now = Instant.now().getEpochSecond();
        String claims = "{\"iss\": \"https://idp.test/\", \"aud\": \"sealward\", \"sub\": \"robot\", \"iat\": " + now + ", \"exp\": " + (now + 600) + "}";
        String signed = encode("{\"alg\": \"ES256\", \"typ\": \"JWT\", \"kid\": \"1\"}".getBytes(StandardCharsets.UTF_8)) + "."
                + encode(claims.getBytes(StandardCharsets.UTF_8));
        Signature signature = Signature.getInstance("SHA256withECDSAinP1363Format");
        signature.initSign(key.getPrivate());
        signature.update(signed.getBytes(StandardCharsets.UTF_8));
        return signed + "." + encode(signature.sign());
    }

    private static String coordinate(byte[] number) {
        byte[] fixed = new byte[32];
        byte[] unsigned = number.length > 32 ? Arrays.copyOfRange(number, number.length - 32, number.length) : number;
        System.arraycopy(unsigned, 0, fixed, 32 - unsigned.length, unsigned.length);
        return encode(fixed);
    }

    private static String encode(byte[] bytes) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }
}
