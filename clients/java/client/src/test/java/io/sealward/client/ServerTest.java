package io.sealward.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.sealward.mail.v1.CreateMailboxRequest;
import io.sealward.mail.v1.DeleteMailboxRequest;
import io.sealward.mail.v1.GetMailboxRequest;
import io.sealward.mail.v1.ListMailboxesRequest;
import io.sealward.mail.v1.Mailbox;
import io.sealward.v1.CreateOrganizationRequest;
import io.sealward.v1.DeleteOrganizationRequest;
import io.sealward.v1.ErrorReason;
import io.sealward.v1.ExportOrganizationRequest;
import io.sealward.v1.ExportOrganizationResponse;
import io.sealward.v1.ImportOrganizationRequest;
import io.sealward.v1.ListOrganizationsRequest;
import io.sealward.v1.Organization;
import io.sealward.v1.Reencryption;
import io.sealward.v1.RevealAttributesRequest;
import io.sealward.v1.WatchReencryptionRequest;
import io.sealward.v1.WhoAmIRequest;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The client against the real server. */
class ServerTest {
    private static DevServer server;
    private static SealwardClient writer;
    private static SealwardClient admin;

    @BeforeAll
    static void start() {
        server = DevServer.start(Map.of("listen.plaintext_address", "\"127.0.0.1:0\""), "");
        writer = server.connect("writer");
        admin = server.connect("admin");
    }

    @AfterAll
    static void stop() {
        writer.close();
        admin.close();
        server.close();
    }

    private static CreateMailboxRequest mailbox(String name) {
        return CreateMailboxRequest.newBuilder()
                .setParent("organizations/default")
                .setMailbox(Mailbox.newBuilder().setDisplayName(name).setPassword("hunter2"))
                .build();
    }

    @Test
    void password_is_written_and_only_revealed() {
        Mailbox stored = writer.mailboxes().createMailbox(mailbox("Sales"));
        assertFalse(stored.hasPassword());
        assertTrue(stored.getIsPasswordSet());
        try (SealwardClient connector = server.connect("connector")) {
            RevealAttributesRequest request = RevealAttributesRequest.newBuilder()
                    .setName(stored.getName())
                    .addAttributes("password")
                    .setPurpose("fetch mail")
                    .build();
            assertEquals("hunter2", connector.secretAccess().revealAttributes(request).getValuesOrThrow("password").getText());
        }
    }

    @Test
    void version_of_the_server_is_read_from_answers_and_errors() {
        for (boolean isError : List.of(false, true)) {
            try (SealwardClient client = server.connect("reader")) {
                assertTrue(client.serverVersion().isEmpty());
                if (isError) {
                    assertThrows(SealwardException.class, () -> client.mailboxes().createMailbox(mailbox("Refused")));
                } else {
                    client.access().whoAmI(WhoAmIRequest.getDefaultInstance());
                }
                assertTrue(client.serverVersion().orElseThrow().matches("[0-9]+[.][0-9]+[.][0-9]+.*"));
            }
        }
    }

    @Test
    void future_has_the_answer_or_the_typed_error() {
        CompletableFuture<Mailbox> stored = writer.mailboxes().createMailboxAsync(mailbox("Async"));
        assertEquals("Async", stored.join().getDisplayName());
        CompletionException error = assertThrows(
                CompletionException.class,
                () -> writer.mailboxes().createMailboxAsync(mailbox("x".repeat(201))).join());
        SealwardException typed = (SealwardException) error.getCause();
        assertEquals(ErrorReason.ERROR_REASON_FIELD_INVALID, typed.reason());
    }

    @Test
    void typed_error_has_every_detail_and_the_trace_of_the_caller() {
        SealwardException error = assertThrows(SealwardException.class, () -> writer.mailboxes().createMailbox(mailbox("")));
        assertEquals(Status.Code.INVALID_ARGUMENT, error.code());
        assertEquals("FIELD_INVALID", error.reasonName().orElseThrow());
        assertEquals("mailbox.display_name", error.fieldViolations().get(0).field());
        SealwardException exists = assertThrows(
                SealwardException.class,
                () -> admin.organizations().createOrganization(CreateOrganizationRequest.newBuilder().setOrganizationId("default").build()));
        assertEquals("default", exists.metadata().get("organization"));
        assertTrue(error.callId().isPresent() && error.origin() == Origin.SERVER && !error.mayHaveTakenEffect());
        assertTrue(error.getMessage().startsWith("FIELD_INVALID: "), error.getMessage());
        boolean isCaller = List.of(error.getStackTrace()).stream().anyMatch(frame -> frame.getClassName().equals(ServerTest.class.getName()));
        assertTrue(isCaller);
        SealwardException missing = assertThrows(
                SealwardException.class,
                () -> writer.mailboxes().getMailbox(GetMailboxRequest.newBuilder().setName("organizations/default/mailboxes/nothing").build()));
        assertEquals(Status.Code.INVALID_ARGUMENT, missing.code());
    }

    @Test
    void list_follows_its_pages() {
        Set<String> created = new java.util.HashSet<>();
        for (int number = 0; number < 5; number++) {
            created.add(writer.mailboxes().createMailbox(mailbox("Page " + number)).getName());
        }
        ListMailboxesRequest request = ListMailboxesRequest.newBuilder()
                .setParent("organizations/default")
                .setFilter("display_name = \"Page*\"")
                .setPageSize(2)
                .build();
        Set<String> listed = writer.mailboxes().listAllMailboxes(request).stream().map(Mailbox::getName).collect(Collectors.toSet());
        assertEquals(created, listed);
        Iterator<Mailbox> none = writer.mailboxes().listAllMailboxes(request.toBuilder().setFilter("display_name = \"Nobody\"").build()).iterator();
        assertFalse(none.hasNext());
        assertThrows(java.util.NoSuchElementException.class, none::next);
    }

    @Test
    void write_has_an_idempotency_key() {
        Mailbox first = writer.mailboxes().createMailbox(mailbox("Once").toBuilder().setRequestId(Methods.newRequestId()).build());
        Mailbox other = writer.mailboxes().createMailbox(mailbox("Once"));
        assertFalse(first.getName().equals(other.getName()));
        CreateMailboxRequest request = mailbox("Twice").toBuilder().setRequestId(Methods.newRequestId()).build();
        assertEquals(writer.mailboxes().createMailbox(request).getName(), writer.mailboxes().createMailbox(request).getName());
        Mailbox dry = writer.mailboxes().createMailbox(mailbox("Dry").toBuilder().setValidateOnly(true).build());
        assertEquals("Dry", dry.getDisplayName());
    }

    @Test
    void read_and_write_with_a_key_are_repeated_after_a_broken_connection() throws Exception {
        for (boolean isWrite : List.of(false, true)) {
            try (Forwarder forwarder = new Forwarder("127.0.0.1", 0, server.port(), 1);
                    SealwardClient client = server.identify(SealwardClient.builder("https://127.0.0.1:" + forwarder.port()), "writer").connect()) {
                if (isWrite) {
                    assertEquals("Repeated", client.mailboxes().createMailbox(mailbox("Repeated")).getDisplayName());
                } else {
                    assertEquals("cn:writer", client.access().whoAmI(WhoAmIRequest.getDefaultInstance()).getIdentity());
                }
                assertTrue(forwarder.accepted() > 1);
            }
        }
    }

    @Test
    void call_that_is_not_safe_to_repeat_fails_at_once() throws Exception {
        try (Forwarder forwarder = new Forwarder("127.0.0.1", 0, server.port(), 1);
                SealwardClient client = server.identify(SealwardClient.builder("https://127.0.0.1:" + forwarder.port()), "admin").connect()) {
            SealwardException error = assertThrows(
                    SealwardException.class,
                    () -> client.organizations().createOrganization(CreateOrganizationRequest.newBuilder().setOrganizationId("unsafe").build()));
            assertEquals(Status.Code.UNAVAILABLE, error.code());
        }
        SealwardException error = assertThrows(
                SealwardException.class,
                () -> admin.organizations().getOrganization(io.sealward.v1.GetOrganizationRequest.newBuilder().setName("organizations/unsafe").build()));
        assertEquals(ErrorReason.ERROR_REASON_NOT_FOUND, error.reason());
    }

    @Test
    void server_that_is_not_there_is_not_connected() throws Exception {
        int port;
        try (Forwarder forwarder = new Forwarder("127.0.0.1", 0, server.port(), 0)) {
            port = forwarder.port();
        }
        try (SealwardClient client = server.identify(SealwardClient.builder("https://127.0.0.1:" + port), "writer").retry(RetryPolicy.never()).connect()) {
            SealwardException error = assertThrows(SealwardException.class, () -> client.access().whoAmI(WhoAmIRequest.getDefaultInstance()));
            assertEquals(Origin.NOT_CONNECTED, error.origin());
            assertEquals("can't connect to the server", error.getMessage());
        }
    }

    @Test
    void server_with_an_untrusted_certificate_is_refused() throws Exception {
        try (SealwardClient client = SealwardClient.builder(server.endpoint()).connect()) {
            SealwardException error = assertThrows(SealwardException.class, () -> client.access().whoAmI(WhoAmIRequest.getDefaultInstance()));
            assertEquals(Origin.TLS_REFUSED, error.origin());
        }
        try (SealwardClient client = server.builder("writer").domainName("elsewhere.example.org").connect()) {
            SealwardException error = assertThrows(SealwardException.class, () -> client.access().whoAmI(WhoAmIRequest.getDefaultInstance()));
            assertEquals(Origin.TLS_REFUSED, error.origin());
        }
    }

    @Test
    void deadline_ends_a_call_and_a_stream_that_has_one() {
        SealwardException error = assertThrows(
                SealwardException.class,
                () -> writer.access().withTimeout(Duration.ofNanos(1)).whoAmI(WhoAmIRequest.getDefaultInstance()));
        assertEquals(Origin.TIMED_OUT, error.origin());
        assertEquals(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, error.reason());
        SealwardException ofStream = assertThrows(SealwardException.class, () -> {
            try (ResponseStream<Reencryption> stream = admin.dataEncryption().withTimeout(Duration.ofNanos(1)).watchReencryption(watch())) {
                stream.iterator().hasNext();
            }
        });
        assertEquals(Status.Code.DEADLINE_EXCEEDED, ofStream.code());
    }

    private static WatchReencryptionRequest watch() {
        return WatchReencryptionRequest.newBuilder().setOrganization("organizations/default").build();
    }

    @Test
    void cancelled_future_cancels_its_call() {
        CompletableFuture<Organization> future = admin.organizations()
                .createOrganizationAsync(CreateOrganizationRequest.newBuilder().setOrganizationId("cancelled").build());
        assertTrue(future.cancel(true));
        assertThrows(CancellationException.class, future::join);
    }

    @Test
    void plaintext_is_refused_by_the_server_with_a_reason() {
        try (SealwardClient client = SealwardClient.builder(server.plaintextEndpoint()).plaintext().connect()) {
            SealwardException error = assertThrows(SealwardException.class, () -> client.access().whoAmI(WhoAmIRequest.getDefaultInstance()));
            assertEquals(ErrorReason.ERROR_REASON_HTTPS_REQUIRED, error.reason());
        }
    }

    @Test
    void key_change_is_followed_to_its_end() {
        try (KeyChangeProgress change = changed()) {
            List<Reencryption> progress = new ArrayList<>();
            change.forEach(progress::add);
            assertEquals(Reencryption.State.STATE_DONE, progress.get(progress.size() - 1).getState());
            assertEquals(change.keyVersion(), progress.get(progress.size() - 1).getKeyVersion());
            assertFalse(change.fingerprint().isEmpty());
        }
    }

    @Test
    void key_is_watched_and_not_restored_while_it_is_active() {
        Reencryption last = admin.watchReencryption("organizations/default").await();
        assertEquals(Reencryption.State.STATE_NONE, last.getState());
        SealwardException error =
                assertThrows(SealwardException.class, () -> admin.restoreKey("organizations/default", Secret.of("a key of the past, 1")));
        assertEquals(ErrorReason.ERROR_REASON_KEY_ALREADY_ACTIVE, error.reason());
    }

    @Test
    void revealed_values_do_not_print() {
        Mailbox sales = Mailbox.newBuilder().setDisplayName("Revealed").setPassword("canary in the mine").build();
        Mailbox stored = writer.mailboxes()
                .createMailbox(CreateMailboxRequest.newBuilder().setParent("organizations/default").setMailbox(sales).build());
        try (SealwardClient connector = server.builder("connector").connect()) {
            Map<String, Secret> values = connector.revealAttributes(stored.getName(), List.of("password"), "a test");
            assertEquals("{password=[REDACTED]}", values.toString());
            assertEquals("canary in the mine", values.get("password").exposeText());
        }
    }

    @Test
    void refusal_of_an_import_arrives_while_the_client_still_sends() {
        try (SealwardClient reader = server.builder("reader").connect()) {
            // Requests around the size that the server still reads of a refused request.
            for (int size : new int[] {0, 1, 60, 64, 68, 256}) {
                for (int repetition = 0; repetition < 5; repetition++) {
                    List<ImportOrganizationRequest> requests = new ArrayList<>();
                    requests.add(ImportOrganizationRequest.newBuilder().setOrganizationId("contoso").build());
                    for (int sent = 0; sent < size; sent++) {
                        requests.add(ImportOrganizationRequest.newBuilder().setChunk(ByteString.copyFrom(new byte[1024])).build());
                    }
                    SealwardException error =
                            assertThrows(SealwardException.class, () -> reader.organizations().importOrganization(requests));
                    assertEquals(ErrorReason.ERROR_REASON_PRIVILEGE_MISSING, error.reason(), error.toString());
                    assertFalse(error.mayHaveTakenEffect());
                }
            }
        }
    }

    private static KeyChangeProgress changed() {
        admin.organizations().createOrganization(CreateOrganizationRequest.newBuilder().setOrganizationId("rotating").build());
        return admin.changeKey("organizations/rotating", SealwardClient.generateKeyText());
    }

    @Test
    void organization_is_exported_and_imported_by_streams() {
        admin.organizations().createOrganization(CreateOrganizationRequest.newBuilder().setOrganizationId("moving").build());
        List<ImportOrganizationRequest> requests = new ArrayList<>();
        try (ResponseStream<ExportOrganizationResponse> export =
                admin.organizations().exportOrganization(ExportOrganizationRequest.newBuilder().setName("organizations/moving").build())) {
            export.forEach(message -> requests.add(ImportOrganizationRequest.newBuilder().setChunk(message.getChunk()).build()));
        }
        DeleteOrganizationRequest deletion =
                DeleteOrganizationRequest.newBuilder().setName("organizations/moving").setConfirmName("organizations/moving").build();
        admin.organizations().deleteOrganization(deletion);
        assertEquals("organizations/moving", admin.organizations().importOrganization(requests).getName());
        SealwardException failing = assertThrows(SealwardException.class, () -> admin.organizations().importOrganization(() -> new Iterator<>() {
            @Override
            public boolean hasNext() {
                throw new IllegalStateException("no requests");
            }

            @Override
            public ImportOrganizationRequest next() {
                throw new IllegalStateException("no requests");
            }
        }));
        assertEquals("the requests of the stream failed", failing.getMessage());
    }

    @Test
    void environment_names_a_development_server() {
        Map<String, String> variables = Map.of("SEALWARD_DEV", server.data().toString(), "SEALWARD_AS", "reader");
        try (SealwardClient client = new Environment(variables::get).builder().connect()) {
            assertEquals("cn:reader", client.access().whoAmI(WhoAmIRequest.getDefaultInstance()).getIdentity());
        }
    }

    @Test
    void identity_with_an_rsa_key_is_accepted(@TempDir Path folder) throws Exception {
        Files.writeString(folder.resolve("extensions"), "extendedKeyUsage = clientAuth\n");
        openssl(folder, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=reader", "-keyout", "key", "-out", "request");
        openssl(
                folder, "x509", "-req", "-in", "request", "-CA", server.tls("ca.pem").toString(), "-CAkey", server.tls("ca.key").toString(),
                "-set_serial", "7", "-days", "1", "-extfile", "extensions", "-out", "certificate");
        try (SealwardClient client = SealwardClient.builder(server.endpoint())
                .caPem(Files.readAllBytes(server.tls("ca.pem")))
                .identityPem(Files.readAllBytes(folder.resolve("certificate")), Files.readAllBytes(folder.resolve("key")))
                .connect()) {
            assertEquals("cn:reader", client.access().whoAmI(WhoAmIRequest.getDefaultInstance()).getIdentity());
        }
    }

    private static void openssl(Path folder, String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of("openssl"));
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(folder.resolve("log").toFile()))
                .start();
        assertEquals(0, process.waitFor(), () -> command.toString());
    }

    @Test
    void key_file_that_others_can_read_is_reported_once(@TempDir Path folder) throws Exception {
        Path key = Files.copy(server.tls("writer.key"), folder.resolve("writer.key"));
        List<String> warnings = new ArrayList<>();
        Handler handler = new Handler() {
            @Override
            public void publish(LogRecord entry) {
                warnings.add(new java.util.logging.SimpleFormatter().formatMessage(entry));
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        Logger logger = Logger.getLogger("io.sealward.client");
        logger.addHandler(handler);
        logger.setUseParentHandlers(false);
        try {
            for (String mode : List.of("rw-------", "rw-r-----", "rw-r--r--")) {
                Files.setPosixFilePermissions(key, PosixFilePermissions.fromString(mode));
                SealwardClient.builder(server.endpoint()).caFile(server.tls("ca.pem")).identityFiles(server.tls("writer.pem"), key).connect().close();
                assertEquals(mode.equals("rw-------") ? 0 : 1, warnings.size());
            }
            assertEquals("other users can read the client key file " + key + ": run chmod 600 " + key, warnings.get(0));
        } finally {
            logger.removeHandler(handler);
            logger.setUseParentHandlers(true);
        }
    }

    @Test
    void refused_token_is_replaced_once_and_the_call_repeated() throws Exception {
        Tokens tokens = new Tokens();
        Path jwks = Files.createTempFile("sealward-java-", ".json");
        Files.writeString(jwks, tokens.jwks());
        try (DevServer withTokens = DevServer.start(Map.of(), Tokens.configuration(jwks.toString()))) {
            List<Boolean> asked = new ArrayList<>();
            TokenSource source = refresh -> {
                asked.add(refresh);
                return refresh ? tokens.token() : "expired";
            };
            try (SealwardClient client =
                    SealwardClient.builder(withTokens.endpoint()).caFile(withTokens.tls("ca.pem")).tokenSource(source).connect()) {
                assertEquals("jwt:https://idp.test/#robot", client.access().whoAmI(WhoAmIRequest.getDefaultInstance()).getIdentity());
                assertEquals(List.of(false, true), asked);
            }
            asked.clear();
            TokenSource useless = refresh -> {
                asked.add(refresh);
                return "expired";
            };
            try (SealwardClient client =
                    SealwardClient.builder(withTokens.endpoint()).caFile(withTokens.tls("ca.pem")).tokenSource(useless).connect()) {
                SealwardException error = assertThrows(SealwardException.class, () -> client.access().whoAmI(WhoAmIRequest.getDefaultInstance()));
                assertEquals(Status.Code.UNAUTHENTICATED, error.code());
                assertEquals(List.of(false, true), asked);
                asked.clear();
                assertThrows(SealwardException.class, () -> client.dataEncryption().watchReencryption(watch()).iterator().hasNext());
                assertEquals(List.of(false, true), asked);
            }
        } finally {
            Files.delete(jwks);
        }
    }

    @Test
    void server_without_a_method_is_called_older() {
        try (DevServer platform = DevServer.start(Map.of("schema.mail", "false"), "");
                SealwardClient client = platform.connect("writer")) {
            SealwardException error = assertThrows(
                    SealwardException.class,
                    () -> client.mailboxes().deleteMailbox(DeleteMailboxRequest.newBuilder().setName("organizations/default/mailboxes/a").build()));
            assertEquals("the server doesn't have this method: it may be older than this client", error.getMessage());
            assertEquals(ErrorReason.ERROR_REASON_METHOD_UNKNOWN, error.reason());
        }
    }

    @Test
    void message_over_the_limit_is_not_sent() {
        try (SealwardClient client = server.builder("writer").messageSizeMax(1_000).connect()) {
            SealwardException error = assertThrows(SealwardException.class, () -> client.mailboxes().createMailbox(mailbox("x".repeat(1_000))));
            assertEquals(Status.Code.RESOURCE_EXHAUSTED, error.code());
        }
    }

    @Test
    void closed_client_refuses_calls() {
        SealwardClient client = server.connect("writer");
        client.close();
        assertThrows(SealwardException.class, () -> client.organizations().listOrganizations(ListOrganizationsRequest.getDefaultInstance()));
        assertTrue(client.channel().isTerminated());
    }
}
