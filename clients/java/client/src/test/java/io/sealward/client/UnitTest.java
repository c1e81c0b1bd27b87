package io.sealward.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.sealward.client.RetryPolicy.Safety;
import io.sealward.v1.ErrorReason;
import java.io.IOException;
import java.net.NoRouteToHostException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The parts of the layer that need no server. */
class UnitTest {
    @TempDir
    Path folder;

    @Test
    void plaintext_needs_an_explicit_choice() {
        assertSetup("has no TLS: use https://", SealwardClient.builder("http://127.0.0.1:1"));
        assertSetup("has TLS, but plaintext is enabled", SealwardClient.builder("https://127.0.0.1:1").plaintext());
        assertSetup("bearer tokens require TLS", SealwardClient.builder("http://127.0.0.1:1").plaintext().bearerToken("token"));
        assertSetup("bearer tokens require TLS", SealwardClient.builder("dns:///localhost:1").plaintext().bearerToken("token"));
        SealwardClient.builder("http://127.0.0.1:1").plaintext().connect().close();
        SealwardClient.builder("dns:///localhost:1").connect().close();
    }

    @Test
    void endpoint_without_scheme_or_host_is_refused() {
        for (String endpoint : List.of("", "127.0.0.1:7443", "localhost", "ftp://127.0.0.1", "https://", "https://a/b", "https://a?b", "https://b@a")) {
            assertSetup("use a URL such as", SealwardClient.builder(endpoint));
        }
    }

    @Test
    void password_in_an_endpoint_is_not_printed() {
        for (String endpoint : List.of(
                "https://user:can@ary@a", "https://user:canary//@a", "user:canary@a", "user:can//ary@a", "https://user:can\nary@a", "dns:///user:canary@a:1")) {
            SetupException error = assertThrows(SetupException.class, () -> SealwardClient.builder(endpoint).connect());
            assertTrue(error.getMessage().contains("…@a") && !error.getMessage().contains("can"), error.getMessage());
        }
        assertSetup("invalid endpoint \"https://…@a\": use a URL", SealwardClient.builder("https://user:canary@a"));
    }

    @Test
    void timeout_and_limits_outside_of_their_range_are_refused() {
        SealwardClientBuilder builder = SealwardClient.builder("https://a").timeout(Duration.ofHours(24)).timeout(Duration.ofNanos(1)).messageSizeMax(1);
        for (Duration timeout : List.of(Duration.ZERO, Duration.ofNanos(-1), Duration.ofHours(24).plusNanos(1))) {
            assertThrows(SetupException.class, () -> builder.timeout(timeout));
        }
        assertThrows(SetupException.class, () -> builder.messageSizeMax(0));
        RetryPolicy.defaults().withAttemptsMax(10).withAttemptsMax(1);
        assertThrows(SetupException.class, () -> RetryPolicy.defaults().withAttemptsMax(0));
        assertThrows(SetupException.class, () -> RetryPolicy.defaults().withAttemptsMax(11));
    }

    @Test
    void unusable_pem_is_named_with_what_to_do() throws Exception {
        Path file = folder.resolve("key.pem");
        assertSetup("can't read the CA file " + file, SealwardClient.builder("https://a").caFile(file));
        assertSetup("has no certificate", SealwardClient.builder("https://a").caPem(new byte[0]));
        String section = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assertSetup("a certificate isn't valid", SealwardClient.builder("https://a").caPem(section.getBytes(StandardCharsets.UTF_8)));
        for (Map.Entry<String, String> key : Map.of(
                        "", "has no private key",
                        pem("EC PRIVATE KEY", new byte[3]), "openssl pkcs8 -topk8 -nocrypt -in " + file,
                        pem("ENCRYPTED PRIVATE KEY", new byte[3]), "the key is encrypted",
                        pem("PRIVATE KEY", new byte[3]), "isn't a valid EC or RSA key")
                .entrySet()) {
            Files.writeString(file, key.getKey());
            SetupException error = assertThrows(SetupException.class, () -> Pem.ofFile("client key", file).privateKey());
            assertTrue(error.getMessage().contains(key.getValue()), error.getMessage());
        }
        for (String algorithm : List.of("EC", "RSA")) {
            byte[] der = KeyPairGenerator.getInstance(algorithm).generateKeyPair().getPrivate().getEncoded();
            assertTrue(Pem.ofText("key", pem("PRIVATE KEY", der).getBytes(StandardCharsets.UTF_8)).privateKey().available() > 0);
        }
    }

    private static String pem(String kind, byte[] der) {
        return "-----BEGIN " + kind + "-----\n" + Base64.getMimeEncoder().encodeToString(der) + "\n-----END " + kind + "-----\n";
    }

    @Test
    void fault_of_a_token_is_named_without_the_token() {
        Map<String, String> faults = new HashMap<>();
        faults.put("", "is empty");
        faults.put("Bearer canary", "begins with \"Bearer \"");
        faults.put("bearer canary", "begins with \"Bearer \"");
        faults.put("\uFEFFcanary", "byte order mark");
        faults.put("{\"access_token\": \"canary\"}", "JSON");
        faults.put("canary canary", "more than one word");
        faults.put("can\u00e4ry", "invalid character");
        faults.forEach((token, problem) -> {
            String found = Bearer.problem(token);
            assertTrue(found.contains(problem) && !found.contains("canary"), found);
        });
        assertEquals(null, Bearer.problem("a.b-c_d~e+f/g="));
    }

    @Test
    void fixed_token_is_validated_before_a_connection_is_attempted() {
        for (String token : Arrays.asList("Bearer canary", "", null)) {
            SetupException error = assertThrows(SetupException.class, () -> SealwardClient.builder("https://a").bearerToken(token).connect());
            assertTrue(error.getMessage().startsWith("the bearer token ") && !error.getMessage().contains("canary"), error.getMessage());
        }
        SealwardClient.builder("https://a").bearerToken("canary").connect().close();
        SealwardClient.builder("https://a").bearerTokenFile(folder.resolve("missing")).connect().close();
    }

    @Test
    void token_file_is_read_for_each_attempt() throws IOException {
        Path file = folder.resolve("token");
        Bearer bearer = Bearer.ofFile(file);
        for (String token : List.of("first", "second")) {
            Files.writeString(file, token + "\n");
            Metadata headers = new Metadata();
            bearer.authorize(headers, false);
            assertEquals("Bearer " + token, headers.get(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER)));
        }
        Files.delete(file);
        SealwardException error = assertThrows(SealwardException.class, () -> bearer.authorize(new Metadata(), false));
        assertEquals("can't read the token file " + file + ": no such file", error.getMessage());
    }

    @Test
    void environment_has_the_variables_of_the_command_line() throws IOException {
        Files.writeString(folder.resolve("endpoint"), "https://127.0.0.1:9\n");
        Map<String, String> variables = Map.of("SEALWARD_DEV", folder.toString(), "SEALWARD_AS", "writer", "SEALWARD_TOKEN_FILE", "");
        SetupException error = assertThrows(SetupException.class, () -> new Environment(variables::get).builder().connect());
        assertEquals("can't read the CA file " + folder.resolve("tls/ca.pem"), error.getMessage());
        assertThrows(SetupException.class, () -> new Environment(Map.of("SEALWARD_AS", "writer")::get).builder());
        assertThrows(SetupException.class, () -> new Environment(Map.of("SEALWARD_CERT", "a.pem")::get).builder());
        new Environment(name -> null).builder().connect().close();
    }

    @Test
    void development_folder_takes_precedence_over_the_variables_of_files() throws IOException {
        Files.createDirectory(folder.resolve("tls"));
        Map<String, String> variables = new HashMap<>(Map.of("SEALWARD_CA", "ca", "SEALWARD_CERT", "certificate", "SEALWARD_KEY", "key"));
        SetupException file = assertThrows(SetupException.class, () -> new Environment(variables::get).builder().connect());
        assertEquals("can't read the CA file ca", file.getMessage());
        variables.putAll(Map.of("SEALWARD_DEV", folder.toString(), "SEALWARD_AS", "writer"));
        SetupException ca = assertThrows(SetupException.class, () -> new Environment(variables::get).builder().connect());
        assertEquals("can't read the CA file " + folder.resolve("tls/ca.pem"), ca.getMessage());
        variables.remove("SEALWARD_KEY");
        new Environment(variables::get).builder();
        for (String alone : List.of("SEALWARD_DEV", "SEALWARD_AS")) {
            SetupException pair = assertThrows(SetupException.class, () -> new Environment(Map.of(alone, folder.toString())::get).builder());
            assertEquals("SEALWARD_DEV and SEALWARD_AS require each other: set both or none", pair.getMessage());
        }
    }

    @Test
    void all_error_details_of_a_server_are_decoded() {
        SealwardException error = failure(
                Status.Code.INVALID_ARGUMENT,
                Safety.UNSAFE,
                Any.pack(ErrorInfo.newBuilder().setReason("KEY_VALIDATION").setDomain("sealward").putMetadata("given_length", "3").build()),
                Any.pack(BadRequest.newBuilder()
                        .addFieldViolations(BadRequest.FieldViolation.newBuilder().setField("encryption_key").setDescription("too short").setReason("TOO_SHORT"))
                        .build()),
                Any.pack(RetryInfo.newBuilder().setRetryDelay(com.google.protobuf.Duration.newBuilder().setSeconds(7)).build()),
                Any.pack(RequestInfo.newBuilder().setRequestId("call-1").build()));
        assertEquals(Origin.SERVER, error.origin());
        assertEquals(ErrorReason.ERROR_REASON_KEY_VALIDATION, error.reason());
        assertEquals("KEY_VALIDATION: words", error.getMessage());
        assertEquals(Map.of("given_length", "3"), error.metadata());
        assertEquals("encryption_key: too short (TOO_SHORT)", error.fieldViolations().get(0).toString());
        assertEquals(Optional.of(Duration.ofSeconds(7)), error.retryDelay());
        assertEquals(Optional.of("call-1"), error.callId());
        assertFalse(error.mayHaveTakenEffect());
    }

    @Test
    void reason_that_the_client_does_not_know_stays_readable() {
        SealwardException error = failure(Status.Code.ABORTED, Safety.UNSAFE, info("NEW_REASON", "sealward"));
        assertEquals(ErrorReason.ERROR_REASON_UNSPECIFIED, error.reason());
        assertEquals(Optional.of("NEW_REASON"), error.reasonName());
        SealwardException mail = failure(Status.Code.FAILED_PRECONDITION, Safety.UNSAFE, info("MAILBOX_INACTIVE", "sealward.mail"));
        assertEquals(io.sealward.mail.v1.ErrorReason.ERROR_REASON_MAILBOX_INACTIVE, mail.mailReason());
        SealwardException other = failure(Status.Code.ABORTED, Safety.UNSAFE, info("KEY_MISMATCH", "proxy.example.org"));
        assertEquals(Optional.empty(), other.reasonName());
    }

    @Test
    void failure_without_details_has_the_origin_of_its_cause() {
        Status reset = Status.CANCELLED.withDescription("HTTP/2 error code: CANCEL\nReceived Rst Stream");
        assertFailure(Origin.SERVER, true, reset);
        assertFailure(Origin.CANCELLED, true, Status.CANCELLED.withDescription(CallFuture.CANCELLED));
        assertFailure(Origin.CANCELLED, true, Status.CANCELLED.withDescription("io.grpc.Context was cancelled without error"));
        Status calm = Status.RESOURCE_EXHAUSTED.withDescription("HTTP/2 error code: ENHANCE_YOUR_CALM (Bandwidth exhausted)\nReceived Rst Stream");
        assertFailure(Origin.BROKEN, true, calm);
        assertFailure(Origin.UNREADABLE, true, Status.RESOURCE_EXHAUSTED.withDescription("gRPC message exceeds maximum size 4194304: 5000000"));
        assertFailure(Origin.NOT_CONNECTED, false, Status.UNAVAILABLE.withCause(new NoRouteToHostException("no route")));
        assertFailure(Origin.BROKEN, true, Status.UNAVAILABLE);
        // The client was closed while the call was running.
        assertFailure(Origin.CANCELLED, true, Status.UNAVAILABLE.withDescription("Channel shutdown invoked"));
        assertFailure(Origin.CANCELLED, true, Status.UNAVAILABLE.withDescription("Channel shutdownNow invoked"));
        Metadata trailers = new Metadata();
        trailers.put(Metadata.Key.of("content-type", Metadata.ASCII_STRING_MARSHALLER), "application/grpc");
        Status ofProxy = Status.UNAVAILABLE.withDescription("Channel shutdown invoked");
        assertEquals(Origin.SERVER, Failures.of(ofProxy, trailers, Safety.UNSAFE, false).origin());
    }

    private static void assertFailure(Origin origin, boolean mayHaveTakenEffect, Status status) {
        SealwardException error = Failures.of(status, new Metadata(), Safety.UNSAFE, false);
        assertEquals(origin, error.origin(), status.toString());
        assertEquals(mayHaveTakenEffect, error.mayHaveTakenEffect(), status.toString());
        assertFalse(Failures.of(status, new Metadata(), Safety.READ_ONLY, false).mayHaveTakenEffect());
    }

    @Test
    void missing_method_hints_at_an_older_server() {
        String hint = "the server doesn't have this method: it may be older than this client";
        assertEquals(hint, failure(Status.Code.UNIMPLEMENTED, Safety.UNSAFE, info("METHOD_UNKNOWN", "sealward")).getMessage());
        assertEquals(hint, failure(Status.Code.UNIMPLEMENTED, Safety.UNSAFE).getMessage());
        String other = failure(Status.Code.UNIMPLEMENTED, Safety.UNSAFE, info("COMPRESSION_NOT_SERVED", "sealward")).getMessage();
        assertEquals("COMPRESSION_NOT_SERVED: words", other);
    }

    @Test
    void reads_are_repeated_after_transient_failures_only() {
        for (String reason : List.of("STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE", "SHUTTING_DOWN", "")) {
            assertEquals(Optional.of(Duration.ofMillis(100)), pause(Safety.READ_ONLY, Status.Code.UNAVAILABLE, reason, 0), reason);
            assertEquals(Optional.empty(), pause(Safety.UNSAFE, Status.Code.UNAVAILABLE, reason, 0), reason);
        }
        assertEquals(Optional.empty(), pause(Safety.READ_ONLY, Status.Code.UNAVAILABLE, "OUTCOME_UNKNOWN", 0));
        assertEquals(Optional.of(Duration.ofMillis(100)), pause(Safety.REPEATABLE, Status.Code.UNAVAILABLE, "OUTCOME_UNKNOWN", 0));
        for (Status.Code code : List.of(Status.Code.NOT_FOUND, Status.Code.INTERNAL, Status.Code.DEADLINE_EXCEEDED, Status.Code.ABORTED)) {
            assertEquals(Optional.empty(), pause(Safety.READ_ONLY, code, "INTERNAL", 0), code.name());
        }
        assertEquals(Optional.empty(), pause(Safety.REPEATABLE, Status.Code.UNAVAILABLE, "SET_KEY_ALREADY_RUNNING", 1));
    }

    @Test
    void retry_advice_is_followed_up_to_the_maximum_pause() {
        assertEquals(Optional.empty(), pause(Safety.READ_ONLY, Status.Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", 0));
        assertEquals(Optional.of(Duration.ofSeconds(5)), pause(Safety.READ_ONLY, Status.Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", 5));
        assertEquals(Optional.empty(), pause(Safety.READ_ONLY, Status.Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", 6));
    }

    @Test
    void pauses_double_up_to_the_maximum_and_attempts_are_limited() {
        RetryPolicy policy = RetryPolicy.defaults().withAttemptsMax(10);
        SealwardException error = failure(Status.Code.UNAVAILABLE, Safety.READ_ONLY);
        List<Long> pauses = new ArrayList<>();
        for (int attempts : List.of(1, 2, 3, 6, 7, 9)) {
            pauses.add(policy.pause(attempts, error, Safety.READ_ONLY, 1).orElseThrow().toMillis());
        }
        assertEquals(List.of(100L, 200L, 400L, 3_200L, 5_000L, 5_000L), pauses);
        assertEquals(Duration.ofMillis(50), policy.pause(1, error, Safety.READ_ONLY, 0).orElseThrow());
        assertEquals(Optional.empty(), policy.pause(10, error, Safety.READ_ONLY, 1));
        assertEquals(Optional.empty(), RetryPolicy.defaults().pause(4, error, Safety.READ_ONLY, 1));
        assertEquals(Optional.empty(), RetryPolicy.never().pause(1, error, Safety.READ_ONLY, 1));
    }

    @Test
    void every_rpc_of_the_contract_has_a_method() throws IOException {
        List<List<MethodDescriptor<?, ?>>> clients = List.of(
                OrganizationsClient.METHODS,
                DataEncryptionClient.METHODS,
                SecretAccessClient.METHODS,
                AuditClient.METHODS,
                MetadataClient.METHODS,
                AccessClient.METHODS,
                ServerClient.METHODS,
                MailboxesClient.METHODS,
                EmailServerProfilesClient.METHODS,
                QueuesClient.METHODS,
                UserSettingsClient.METHODS,
                MailboxConnectionsClient.METHODS);
        Set<String> names = new HashSet<>();
        clients.forEach(methods -> methods.forEach(method -> names.add(method.getFullMethodName())));
        Set<String> contract = new HashSet<>();
        Path proto = DevServer.root().resolve("proto/sealward");
        try (var files = Files.walk(proto)) {
            for (Path file : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator) {
                String text = Files.readString(file);
                var service = java.util.regex.Pattern.compile("(?m)^package (.*);|^service (\\w+)|^  rpc (\\w+)").matcher(text);
                String packageName = "";
                String serviceName = "";
                while (service.find()) {
                    packageName = service.group(1) == null ? packageName : service.group(1);
                    serviceName = service.group(2) == null ? serviceName : service.group(2);
                    if (service.group(3) != null) {
                        contract.add(packageName + "." + serviceName + "/" + service.group(3));
                    }
                }
            }
        }
        assertEquals(contract, names);
        assertTrue(names.containsAll(RetryFacts.shared().readOnlyMethods()));
        assertTrue(RetryFacts.shared().isReadOnly("sealward.mail.v1.MailboxService/GetMailbox"));
        assertFalse(RetryFacts.shared().isReadOnly("sealward.v1.SecretAccessService/RevealAttributes"));
        assertFalse(RetryFacts.shared().isReadOnly("sealward.mail.v1.MailboxService/DeleteMailbox"));
    }

    @Test
    void client_sends_its_version_and_reads_a_well_formed_one() {
        Connection connection = new Connection(null, null, RetryPolicy.never(), 1);
        Metadata.Key<String> client = Metadata.Key.of("sealward-client", Metadata.ASCII_STRING_MARSHALLER);
        assertEquals("java/" + Version.VERSION, connection.headers(false).get(client));
        for (String version : List.of("1.2.3", "", "1 2", "x".repeat(65))) {
            Metadata headers = new Metadata();
            headers.put(Metadata.Key.of("sealward-server", Metadata.ASCII_STRING_MARSHALLER), version);
            connection.readHeaders(headers);
            assertEquals(Optional.of("1.2.3"), connection.serverVersion(), version);
        }
    }

    @Test
    void runtimes_are_those_of_this_run() {
        String grpc = MethodDescriptor.class.getProtectionDomain().getCodeSource().getLocation().toString();
        String protobuf = Any.class.getProtectionDomain().getCodeSource().getLocation().toString();
        assertTrue(grpc.endsWith("/grpc-api-" + System.getProperty("sealward.grpc") + ".jar"), grpc);
        assertTrue(protobuf.endsWith("/protobuf-java-" + System.getProperty("sealward.protobuf") + ".jar"), protobuf);
        System.out.println("runtimes: Java " + Runtime.version() + ", " + grpc.replaceAll(".*/", "") + ", " + protobuf.replaceAll(".*/", ""));
    }

    @Test
    void version_is_that_of_the_project_files() throws IOException {
        for (String file : List.of("pom.xml", "bom/pom.xml", "client/pom.xml")) {
            String text = Files.readString(DevServer.root().resolve("clients/java").resolve(file));
            assertTrue(text.contains("<version>" + Version.VERSION + "</version>"), file);
        }
    }

    @Test
    void token_that_is_given_as_a_path_is_not_printed() {
        String token = "eyJhbGciOiJFUzI1NiJ9.e30.Y2FuYXJ5";
        Path missing = folder.resolve("missing");
        Map<Path, Boolean> shown = Map.of(
                Path.of(token), false, Path.of("canary/" + token), false, Path.of("canary"), false, missing, true, folder, true);
        shown.forEach((path, isShown) -> {
            SealwardException error = assertThrows(SealwardException.class, () -> Bearer.ofFile(path).authorize(new Metadata(), false));
            assertTrue(error.getMessage().startsWith("can't read the token file"), error.getMessage());
            assertEquals(isShown, error.getMessage().contains(path.toString()), error.getMessage());
            assertEquals(null, error.getCause());
        });
    }

    @Test
    void secret_does_not_print() {
        Secret secret = Secret.of("canary");
        assertEquals("[REDACTED] [REDACTED]", secret + " " + String.format("%s", secret));
        assertEquals("canary", secret.exposeText());
        byte[] bytes = {(byte) 0xff, 1};
        assertArrayEquals(bytes, Secret.of(bytes).exposeBytes());
        assertFalse(assertThrows(IllegalStateException.class, () -> Secret.of(bytes).exposeText()).toString().contains("-1"));
        assertFalse(new com.google.gson.Gson().toJson(secret).contains("99"));
        assertThrows(IllegalArgumentException.class, () -> Secret.of("\ud800"));
    }

    @Test
    void readme_names_what_the_library_has() throws IOException {
        Set<String> names = new HashSet<>();
        for (Class<?> type : List.of(
                SealwardClient.class, SealwardClientBuilder.class, SealwardException.class, SetupException.class, FieldViolation.class,
                KeyChangeProgress.class, RetryPolicy.class, Secret.class, TokenSource.class, Origin.class, MailboxesClient.class)) {
            names.add(type.getSimpleName());
            for (java.lang.reflect.Method method : type.getMethods()) {
                names.add(method.getName());
            }
            for (java.lang.reflect.Field field : type.getFields()) {
                names.add(field.getName());
            }
        }
        String text = Files.readString(Path.of("../../README.md"));
        String vocabulary = text.substring(text.indexOf("## Vocabulary"));
        int next = vocabulary.indexOf("\n## ");
        int count = 0;
        for (String line : vocabulary.substring(0, next).split("\n")) {
            String[] cells = line.split("\\|");
            if (cells.length == 7) {
                java.util.regex.Matcher name = java.util.regex.Pattern.compile("`([^`]+)`").matcher(cells[6]);
                while (name.find()) {
                    assertTrue(names.contains(name.group(1)), "the library has no " + name.group(1));
                    count++;
                }
            }
        }
        assertTrue(count > 40, "the README has only " + count + " names");
    }

    @Test
    void generated_key_meets_the_rule() {
        Set<String> keys = new HashSet<>();
        for (int number = 0; number < 1_000; number++) {
            String key = SealwardClient.generateKeyText().exposeText();
            assertTrue(key.matches("([0-9A-HJKMNP-TV-Z]{5}-){6}[0-9A-HJKMNP-TV-Z]{5}") && key.matches(".*[0-9].*") && key.matches(".*[A-Z].*"));
            keys.add(key);
        }
        assertEquals(1_000, keys.size());
    }

    private static void assertSetup(String text, SealwardClientBuilder builder) {
        SetupException error = assertThrows(SetupException.class, builder::connect);
        assertTrue(error.getMessage().contains(text), error.getMessage());
    }

    private static Any info(String reason, String domain) {
        return Any.pack(ErrorInfo.newBuilder().setReason(reason).setDomain(domain).build());
    }

    private static Optional<Duration> pause(Safety safety, Status.Code code, String reason, int retrySeconds) {
        List<Any> details = new ArrayList<>(List.of(info(reason, "sealward")));
        if (retrySeconds > 0) {
            details.add(Any.pack(RetryInfo.newBuilder().setRetryDelay(com.google.protobuf.Duration.newBuilder().setSeconds(retrySeconds)).build()));
        }
        return RetryPolicy.defaults().pause(1, failure(code, safety, details.toArray(new Any[0])), safety, 1);
    }

    private static SealwardException failure(Status.Code code, Safety safety, Any... details) {
        com.google.rpc.Status status = com.google.rpc.Status.newBuilder()
                .setCode(code.value())
                .setMessage("words")
                .addAllDetails(List.of(details))
                .build();
        StatusRuntimeException error = StatusProto.toStatusRuntimeException(status);
        return Failures.of(error.getStatus(), error.getTrailers(), safety, false);
    }
}
