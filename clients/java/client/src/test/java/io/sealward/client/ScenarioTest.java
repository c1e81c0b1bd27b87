package io.sealward.client;

import static org.junit.jupiter.api.Assertions.assertFalse;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.sealward.mail.v1.ErrorReason;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.yaml.snakeyaml.DumperOptions;
import org.yaml.snakeyaml.LoaderOptions;
import org.yaml.snakeyaml.Yaml;
import org.yaml.snakeyaml.constructor.SafeConstructor;
import org.yaml.snakeyaml.nodes.Tag;
import org.yaml.snakeyaml.representer.Representer;
import org.yaml.snakeyaml.resolver.Resolver;

/** Runs the scenario of all languages, clients/scenario, by this client. The format is in its README. */
class ScenarioTest {
    private static int files;
    private static int steps;

    @TestFactory
    Stream<DynamicTest> scenario() throws IOException {
        String chosen = System.getenv("SEALWARD_SCENARIO");
        Path folder = chosen == null || chosen.isEmpty() ? DevServer.root().resolve("clients/scenario") : Path.of(chosen);
        List<Path> found;
        try (Stream<Path> all = Files.list(folder)) {
            found = all.filter(file -> file.toString().endsWith(".yaml")).sorted().toList();
        }
        assertFalse(found.isEmpty(), "no scenario in " + folder);
        return found.stream().map(file -> DynamicTest.dynamicTest(file.getFileName().toString(), () -> run(file)));
    }

    @AfterAll
    static void report() {
        System.out.println("scenario: " + files + " files, " + steps + " steps passed, 0 skipped");
    }

    private static void run(Path file) throws Exception {
        Map<String, Object> scenario = object(yaml().load(Files.readString(file)));
        Map<String, Object> configuration = object(scenario.getOrDefault("server", Map.of()));
        Map<String, String> settings = new LinkedHashMap<>();
        object(configuration.getOrDefault("settings", Map.of())).forEach((name, value) -> settings.put(name, String.valueOf(value)));
        if (Boolean.TRUE.equals(configuration.get("plaintext"))) {
            settings.put("listen.plaintext_address", "\"127.0.0.1:0\"");
        }
        int passed = 0;
        try (Run run = new Run(DevServer.start(settings, ""))) {
            for (Object step : list(scenario.get("steps"))) {
                run.step(object(step));
                passed++;
            }
        }
        files++;
        steps += passed;
        System.out.println("scenario " + file.getFileName() + " (" + scenario.get("name") + "): " + passed + " steps passed");
    }

    /** YAML with only the types of JSON. */
    private static Yaml yaml() {
        LoaderOptions options = new LoaderOptions();
        DumperOptions dumper = new DumperOptions();
        return new Yaml(new SafeConstructor(options), new Representer(dumper), dumper, options, new Resolver() {
            @Override
            protected void addImplicitResolvers() {
                addImplicitResolver(Tag.BOOL, Pattern.compile("true|false"), "tf");
                addImplicitResolver(Tag.INT, Pattern.compile("-?[0-9]+"), "-0123456789");
                addImplicitResolver(Tag.FLOAT, Pattern.compile("-?[0-9]+\\.[0-9]+"), "-0123456789");
                addImplicitResolver(Tag.NULL, Pattern.compile("null"), "n");
            }
        });
    }

    /** A file's run: its server, connections and variables. */
    private static final class Run implements AutoCloseable {
        private final DevServer server;
        private final Map<String, SealwardClient> clients = new HashMap<>();
        private final List<Runnable> open = new ArrayList<>();
        private final Map<String, Object> variables = new HashMap<>();
        private final List<String> secrets = new ArrayList<>();

        Run(DevServer server) {
            this.server = server;
        }

        @Override
        public void close() {
            open.forEach(Runnable::run);
            server.close();
        }

        void step(Map<String, Object> step) {
            String name = String.valueOf(step.get("name"));
            Map<String, Object> expect = object(substitute(step.get("expect")));
            Outcome outcome = new Outcome();
            try {
                call(step, outcome);
            } catch (SealwardException error) {
                outcome.error = error;
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            List<String> problems = new ArrayList<>();
            compare(expect, outcome, problems);
            if (!problems.isEmpty()) {
                throw new AssertionError(mask("step \"" + name + "\": " + String.join("; ", problems) + "\nexpected: " + expect + "\nactual: " + outcome.text()));
            }
            object(step.getOrDefault("save", Map.of())).forEach((variable, path) -> variables.put(variable, outcome.find((String) path)));
        }

        private void call(Map<String, Object> step, Outcome outcome) throws IOException {
            String role = (String) step.get("as");
            SealwardClient client = "new".equals(step.get("connection")) ? connect(role) : clients.computeIfAbsent(role, this::connect);
            Rpc rpc = Rpc.find((String) step.get("call"));
            if (step.containsKey("raw") || step.containsKey("metadata")) {
                outcome.messages.add(callByHand(client, rpc, step));
                return;
            }
            Object argument = step.containsKey("requests") ? requests(rpc, step.get("requests")) : message(rpc, step.getOrDefault("request", Map.of()));
            Object answer = rpc.call(client, argument);
            if (!(answer instanceof ResponseStream)) {
                outcome.messages.add((Message) answer);
                return;
            }
            ResponseStream<?> stream = (ResponseStream<?>) answer;
            open.add(stream::close);
            outcome.isStream = true;
            Iterator<?> messages = stream.iterator();
            boolean isKeptOpen = Boolean.TRUE.equals(step.get("keep_open"));
            while (messages.hasNext()) {
                outcome.messages.add((Message) messages.next());
                if (isKeptOpen) {
                    return;
                }
            }
        }

        /** A call with bytes that needn't be a message, or with more headers. The layer has neither. */
        private Message callByHand(SealwardClient client, Rpc rpc, Map<String, Object> step) throws IOException {
            Metadata headers = new Metadata();
            object(substitute(step.getOrDefault("metadata", Map.of())))
                    .forEach((name, value) -> headers.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), String.valueOf(value)));
            byte[] request = step.containsKey("raw")
                    ? Base64.getDecoder().decode((String) step.get("raw"))
                    : message(rpc, step.getOrDefault("request", Map.of())).toByteArray();
            Channel channel = ClientInterceptors.intercept(client.channel(), MetadataUtils.newAttachHeadersInterceptor(headers));
            MethodDescriptor<byte[], Message> method = rpc.method.toBuilder(new BytesMarshaller(), rpc.method.getResponseMarshaller()).build();
            try {
                return ClientCalls.blockingUnaryCall(
                        channel, method, CallOptions.DEFAULT.withDeadlineAfter(30, java.util.concurrent.TimeUnit.SECONDS), request);
            } catch (StatusRuntimeException error) {
                throw Failures.of(error.getStatus(), error.getTrailers(), RetryPolicy.Safety.UNSAFE, false);
            }
        }

        private SealwardClient connect(String role) {
            SealwardClient client;
            switch (role) {
                case "plaintext":
                    client = SealwardClient.builder(server.plaintextEndpoint()).plaintext().connect();
                    break;
                case "nobody":
                    client = SealwardClient.builder(server.endpoint()).caFile(server.tls("ca.pem")).connect();
                    break;
                default:
                    client = server.connect(role);
            }
            open.add(client::close);
            return client;
        }

        private List<Message> requests(Rpc rpc, Object given) throws IOException {
            List<Message> requests = new ArrayList<>();
            if (given instanceof Map) {
                for (Object item : list(substitute(object(given).get("for_each")))) {
                    variables.put("item", item);
                    requests.add(message(rpc, object(given).get("request")));
                }
            } else {
                for (Object request : list(given)) {
                    requests.add(message(rpc, request));
                }
            }
            return requests;
        }

        private Message message(Rpc rpc, Object request) throws IOException {
            Message.Builder builder = rpc.request.newBuilderForType();
            JsonFormat.parser().merge(GSON.toJson(substitute(request)), builder);
            return builder.build();
        }

        private Object substitute(Object value) {
            if (value instanceof Map) {
                Map<String, Object> replaced = new LinkedHashMap<>();
                object(value).forEach((name, member) -> replaced.put(name, substitute(member)));
                return replaced;
            }
            if (value instanceof List) {
                List<Object> replaced = new ArrayList<>();
                list(value).forEach(member -> replaced.add(substitute(member)));
                return replaced;
            }
            if (!(value instanceof String) || value.equals(ANY)) {
                return value;
            }
            String text = (String) value;
            Matcher whole = WHOLE.matcher(text);
            if (whole.matches()) {
                return variable(whole.group(1));
            }
            return INSIDE.matcher(text).replaceAll(match -> Matcher.quoteReplacement(String.valueOf(variable(match.group(1)))));
        }

        private Object variable(String name) {
            if (name.startsWith("text.")) {
                return "x".repeat(Integer.parseInt(name.substring("text.".length())));
            }
            if (name.startsWith("uuid.")) {
                return variables.computeIfAbsent(name, unused -> UUID.randomUUID().toString());
            }
            if (name.startsWith("secret.")) {
                return variables.computeIfAbsent(name, unused -> newSecret());
            }
            if (!variables.containsKey(name)) {
                throw new IllegalArgumentException("unknown variable " + name);
            }
            return variables.get(name);
        }

        private String newSecret() {
            StringBuilder secret = new StringBuilder("aZ7#");
            SecureRandom random = new SecureRandom();
            while (secret.length() < 24) {
                secret.append(SECRET_CHARACTERS.charAt(random.nextInt(SECRET_CHARACTERS.length())));
            }
            secrets.add(secret.toString());
            return secret.toString();
        }

        private String mask(String text) {
            String masked = text;
            for (String secret : secrets) {
                masked = masked.replace(secret, "[SECRET]");
            }
            return masked;
        }

        private static void compare(Map<String, Object> expect, Outcome outcome, List<String> problems) {
            if (expect.containsKey("error")) {
                compareError(object(expect.get("error")), outcome.error, problems);
            } else if (outcome.error != null) {
                problems.add("failed");
            } else if (expect.containsKey("stream")) {
                Map<String, Object> stream = object(expect.get("stream"));
                int minimum = ((Number) stream.getOrDefault("min", 0)).intValue();
                if (!outcome.isStream || outcome.messages.size() < minimum) {
                    problems.add("only " + outcome.messages.size() + " messages");
                }
                if (stream.containsKey("last")) {
                    match("last", stream.get("last"), json(outcome.last()), problems);
                }
            } else {
                match("answer", expect.get("answer"), json(outcome.last()), problems);
            }
        }

        private static void compareError(Map<String, Object> expected, SealwardException error, List<String> problems) {
            if (error == null) {
                problems.add("no error");
                return;
            }
            JsonObject actual = new JsonObject();
            boolean isMail = error.mailReason() != ErrorReason.ERROR_REASON_UNSPECIFIED;
            actual.addProperty("code", error.code().name());
            actual.addProperty("reason", error.reasonName().orElse(""));
            actual.addProperty("domain", isMail ? "sealward.mail" : error.reasonName().isPresent() ? "sealward" : "");
            actual.addProperty("retry", error.retryDelay().isPresent());
            actual.add("metadata", GSON.toJsonTree(error.metadata()));
            List<Map<String, String>> violations = new ArrayList<>();
            for (FieldViolation violation : error.fieldViolations()) {
                violations.add(Map.of("field", violation.field(), "reason", violation.reason(), "description", violation.description()));
            }
            actual.add("field_violations", GSON.toJsonTree(violations));
            Map<String, Object> complete = new LinkedHashMap<>(expected);
            complete.putIfAbsent("domain", "sealward");
            match("error", complete, actual, problems);
            if (error.callId().isEmpty()) {
                problems.add("error.call_id: missing");
            }
        }

        /** Names the paths at which the values differ, without the values. */
        private static void match(String path, Object expected, JsonElement actual, List<String> problems) {
            boolean isAbsent = actual == null || actual.isJsonNull();
            boolean isDefault = expected == null
                    || Boolean.FALSE.equals(expected)
                    || "".equals(expected)
                    || expected instanceof Number && ((Number) expected).doubleValue() == 0
                    || expected instanceof List && list(expected).isEmpty();
            boolean matches;
            if (isAbsent && isDefault) {
                return;
            } else if (expected instanceof Map) {
                JsonObject object = isAbsent ? new JsonObject() : actual.isJsonObject() ? actual.getAsJsonObject() : null;
                if (object != null) {
                    object(expected).forEach((name, value) -> match(path + "." + name, value, object.get(name), problems));
                    return;
                }
                matches = false;
            } else if (isAbsent || expected == null) {
                matches = false;
            } else if (expected.equals(ANY)) {
                matches = !(actual.isJsonPrimitive() && actual.getAsString().isEmpty());
            } else if (expected instanceof List) {
                matches = actual.isJsonArray() && actual.getAsJsonArray().size() == list(expected).size();
                for (int index = 0; matches && index < list(expected).size(); index++) {
                    match(path + "." + index, list(expected).get(index), actual.getAsJsonArray().get(index), problems);
                }
            } else if (expected instanceof Number) {
                matches = actual.isJsonPrimitive()
                        && actual.getAsString().matches("-?[0-9.eE+]+")
                        && new BigDecimal(expected.toString()).compareTo(new BigDecimal(actual.getAsString())) == 0;
            } else {
                matches = actual.isJsonPrimitive() && actual.getAsString().equals(expected.toString());
            }
            if (!matches) {
                problems.add(path + ": differs");
            }
        }
    }

    /** What a call returned. */
    private static final class Outcome {
        private final List<Message> messages = new ArrayList<>();
        private boolean isStream;
        private SealwardException error;

        Message last() {
            return messages.isEmpty() ? null : messages.get(messages.size() - 1);
        }

        /** The value at a path. A missing one has its default value, which is an empty text for all fields that are saved. */
        Object find(String path) {
            if (path.startsWith("*.")) {
                List<Object> values = new ArrayList<>();
                messages.forEach(message -> values.add(value(json(message), path.substring(2))));
                return values;
            }
            return value(json(last()), isStream && path.startsWith("last.") ? path.substring("last.".length()) : path);
        }

        private static Object value(JsonElement from, String path) {
            JsonElement value = from;
            for (String name : path.split("\\.")) {
                if (value == null) {
                    break;
                }
                value = value.isJsonArray() ? value.getAsJsonArray().get(Integer.parseInt(name)) : value.getAsJsonObject().get(name);
            }
            return value == null ? "" : GSON.fromJson(value, Object.class);
        }

        String text() {
            if (error == null) {
                return messages.size() + " messages, the last one:\n" + last();
            }
            return error.code() + " " + error.getMessage() + " " + error.metadata() + " " + error.fieldViolations();
        }
    }

    /** An rpc, with the method of its client. */
    private static final class Rpc {
        private final Method accessor;
        private final MethodDescriptor<Message, Message> method;
        private final Message request;

        private Rpc(Method accessor, MethodDescriptor<Message, Message> method) {
            this.accessor = accessor;
            this.method = method;
            this.request = (Message) ((MethodDescriptor.PrototypeMarshaller<?>) method.getRequestMarshaller()).getMessagePrototype();
        }

        @SuppressWarnings("unchecked")
        static Rpc find(String name) {
            for (Method accessor : SealwardClient.class.getDeclaredMethods()) {
                if (!accessor.getReturnType().getSimpleName().endsWith("Client") || accessor.getParameterCount() > 0) {
                    continue;
                }
                try {
                    var methods = (List<MethodDescriptor<?, ?>>) accessor.getReturnType().getDeclaredField("METHODS").get(null);
                    for (MethodDescriptor<?, ?> method : methods) {
                        if (method.getFullMethodName().equals(name)) {
                            return new Rpc(accessor, (MethodDescriptor<Message, Message>) method);
                        }
                    }
                } catch (ReflectiveOperationException error) {
                    throw new IllegalStateException(error);
                }
            }
            throw new IllegalArgumentException("unknown rpc " + name);
        }

        Object call(SealwardClient client, Object argument) {
            String bare = method.getBareMethodName();
            String name = Character.toLowerCase(bare.charAt(0)) + bare.substring(1);
            try {
                Object service = accessor.invoke(client);
                Method called = Arrays.stream(service.getClass().getMethods()).filter(found -> found.getName().equals(name)).findFirst().orElseThrow();
                return called.invoke(service, argument);
            } catch (InvocationTargetException error) {
                throw (RuntimeException) error.getCause();
            } catch (IllegalAccessException error) {
                throw new IllegalStateException(error);
            }
        }
    }

    private static final class BytesMarshaller implements MethodDescriptor.Marshaller<byte[]> {
        @Override
        public InputStream stream(byte[] value) {
            return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
            throw new UnsupportedOperationException("only requests are bytes");
        }
    }

    private static JsonElement json(Message message) {
        try {
            return message == null ? JsonNull.INSTANCE : JsonParser.parseString(JsonFormat.printer().preservingProtoFieldNames().print(message));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> object(Object value) {
        return (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    private static List<Object> list(Object value) {
        return (List<Object>) value;
    }

    private static final String ANY = "$any";
    private static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
    private static final Pattern WHOLE = Pattern.compile("\\$([a-z][a-zA-Z0-9_.]*)");
    private static final Pattern INSIDE = Pattern.compile("\\$\\{([a-z][a-zA-Z0-9_.]*)}");
    private static final String SECRET_CHARACTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789#%+-_=!";
}
