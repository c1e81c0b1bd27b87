package io.sealward.client;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;

/** Which methods change nothing, and the default policy, from the service configuration that all clients share. */
final class RetryFacts {
    private static final RetryFacts SHARED = read();

    private final RetryPolicy policy;
    private final Set<String> readOnlyMethods;

    private RetryFacts(RetryPolicy policy, Set<String> readOnlyMethods) {
        this.policy = policy;
        this.readOnlyMethods = readOnlyMethods;
    }

    static RetryFacts shared() {
        return SHARED;
    }

    RetryPolicy policy() {
        return policy;
    }

    /** Whether a method changes nothing. {@code fullMethodName} is as in gRPC: {@code sealward.mail.v1.MailboxService/GetMailbox}. */
    boolean isReadOnly(String fullMethodName) {
        return readOnlyMethods.contains(fullMethodName);
    }

    Set<String> readOnlyMethods() {
        return Set.copyOf(readOnlyMethods);
    }

    private static RetryFacts read() {
        try (InputStream file = RetryFacts.class.getResourceAsStream("service_config.json");
                Reader reader = new InputStreamReader(file, StandardCharsets.UTF_8)) {
            JsonObject config = JsonParser.parseReader(reader).getAsJsonObject().getAsJsonArray("methodConfig").get(0).getAsJsonObject();
            Set<String> methods = new HashSet<>();
            for (JsonElement element : config.getAsJsonArray("name")) {
                JsonObject name = element.getAsJsonObject();
                methods.add(name.get("service").getAsString() + "/" + name.get("method").getAsString());
            }
            JsonObject policy = config.getAsJsonObject("retryPolicy");
            RetryPolicy defaults = new RetryPolicy(
                    policy.get("maxAttempts").getAsInt(),
                    duration(policy.get("initialBackoff").getAsString()),
                    duration(policy.get("maxBackoff").getAsString()),
                    policy.get("backoffMultiplier").getAsDouble());
            return new RetryFacts(defaults, methods);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** A duration of the protobuf JSON mapping, such as {@code 0.1s}. */
    private static Duration duration(String text) {
        double seconds = Double.parseDouble(text.substring(0, text.length() - 1));
        return Duration.ofNanos(Math.round(seconds * 1e9));
    }
}
