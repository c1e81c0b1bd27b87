package io.sealward.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Context;
import io.grpc.Status;
import io.sealward.v1.ExportOrganizationRequest;
import io.sealward.v1.ImportOrganizationRequest;
import io.sealward.v1.Reencryption;
import io.sealward.v1.RevealAttributesRequest;
import io.sealward.v1.RevealAttributesResponse;
import io.sealward.v1.SetDataEncryptionKeyResponse;
import io.sealward.v1.WatchReencryptionRequest;
import io.sealward.v1.WhoAmIRequest;
import io.sealward.v1.WhoAmIResponse;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.SocketAddress;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** Calls and streams that are interrupted: by the server, by the connection, or by this program. */
class InterruptionTest {
    private static final Reencryption RUNNING = Reencryption.newBuilder().setState(Reencryption.State.STATE_RUNNING).build();
    private static final Reencryption DONE = Reencryption.newBuilder().setState(Reencryption.State.STATE_DONE).build();

    @Test
    void failed_call_that_is_not_repeated_connects_again_for_the_next_one() {
        try (ScriptedServer server = ScriptedServer.of(SecretAccessClient.METHODS)) {
            for (RetryPolicy retry : List.of(RetryPolicy.never(), RetryPolicy.defaults())) {
                CountingChannel channel = server.channel();
                try (SealwardClient client = server.connect(channel, null, retry)) {
                    server.then(Status.NOT_FOUND).then(Status.UNAVAILABLE).then(Status.UNAVAILABLE);
                    server.then(Status.OK, RevealAttributesResponse.getDefaultInstance());
                    for (int expected : List.of(0, 1, 1)) {
                        assertThrows(SealwardException.class, () -> client.secretAccess().revealAttributes(RevealAttributesRequest.getDefaultInstance()));
                        assertEquals(expected, channel.resets());
                    }
                    client.secretAccess().revealAttributes(RevealAttributesRequest.getDefaultInstance());
                    assertEquals(1, channel.resets());
                }
            }
        }
    }

    @Test
    void failed_stream_connects_again_for_the_next_one() {
        try (ScriptedServer server = ScriptedServer.of(OrganizationsClient.METHODS)) {
            CountingChannel channel = server.channel();
            try (SealwardClient client = server.connect(channel, null, RetryPolicy.never())) {
                server.then(Status.UNAVAILABLE);
                ExportOrganizationRequest request = ExportOrganizationRequest.getDefaultInstance();
                assertThrows(SealwardException.class, () -> client.organizations().exportOrganization(request).iterator().hasNext());
                assertEquals(1, channel.resets());
            }
            CountingChannel other = server.channel();
            try (SealwardClient client = server.connect(other, null, RetryPolicy.never())) {
                server.then(Status.UNAVAILABLE);
                assertThrows(SealwardException.class, () -> client.organizations().importOrganization(List.of()));
                assertEquals(1, other.resets());
            }
        }
    }

    @Test
    void key_change_is_followed_over_a_restart_and_a_reset_whatever_the_retry_policy() {
        try (ScriptedServer server = ScriptedServer.of(DataEncryptionClient.METHODS)) {
            CountingChannel channel = server.channel();
            try (SealwardClient client = server.connect(channel, null, RetryPolicy.never())) {
                fail(server, Bounds.WATCH_FAILURES_MAX_AT_FIRST);
                server.then(Status.UNAVAILABLE, RUNNING);
                fail(server, Bounds.WATCH_FAILURES_MAX - 1);
                server.then(Status.CANCELLED.withDescription("a reset"), RUNNING).then(Status.OK, DONE);
                List<Reencryption> progress = new ArrayList<>();
                follow(client).forEach(progress::add);
                assertEquals(List.of(RUNNING, RUNNING, DONE), progress);
                assertTrue(channel.resets() >= Bounds.WATCH_FAILURES_MAX, "resets: " + channel.resets());
            }
        }
    }

    @Test
    void key_change_is_not_followed_without_end() {
        try (ScriptedServer server = ScriptedServer.of(DataEncryptionClient.METHODS);
                SealwardClient client = server.connect(null, RetryPolicy.defaults())) {
            fail(server, Bounds.WATCH_FAILURES_MAX_AT_FIRST + 1);
            assertThrows(SealwardException.class, () -> follow(client).await());
            assertEquals(0, server.remaining());
            server.then(Status.UNAVAILABLE, RUNNING);
            fail(server, Bounds.WATCH_FAILURES_MAX);
            assertThrows(SealwardException.class, () -> follow(client).await());
            assertEquals(0, server.remaining());
            server.then(Status.PERMISSION_DENIED);
            SealwardException refused = assertThrows(SealwardException.class, () -> follow(client).await());
            assertEquals(Status.Code.PERMISSION_DENIED, refused.code());
        }
    }

    private static void fail(ScriptedServer server, int times) {
        for (int number = 0; number < times; number++) {
            server.then(Status.UNAVAILABLE);
        }
    }

    private static KeyChangeProgress follow(SealwardClient client) {
        return new KeyChangeProgress(client, "organizations/a", SetDataEncryptionKeyResponse.getDefaultInstance(), Duration.ofMillis(1));
    }

    @Test
    void key_change_that_is_closed_while_its_stream_is_opened_again_ends() {
        AtomicReference<KeyChangeProgress> progress = new AtomicReference<>();
        AtomicInteger openings = new AtomicInteger();
        TokenSource closing = refresh -> {
            if (openings.incrementAndGet() == 2) {
                progress.get().close();
            }
            return "token";
        };
        try (ScriptedServer server = ScriptedServer.of(DataEncryptionClient.METHODS);
                SealwardClient client = server.connect(closing, RetryPolicy.defaults())) {
            server.then(Status.UNAVAILABLE, RUNNING).then(null).then(null);
            progress.set(follow(client));
            Iterator<Reencryption> messages = progress.get().iterator();
            assertEquals(RUNNING, messages.next());
            SealwardException error = assertThrows(SealwardException.class, messages::hasNext);
            assertEquals(Origin.CANCELLED, error.origin());
            assertEquals(2, openings.get());
        }
    }

    @Test
    void stream_that_is_closed_while_it_is_opened_again_ends() {
        AtomicReference<ResponseStream<Reencryption>> stream = new AtomicReference<>();
        TokenSource closing = refresh -> {
            if (refresh) {
                stream.get().close();
            }
            return "token";
        };
        try (ScriptedServer server = ScriptedServer.of(DataEncryptionClient.METHODS);
                SealwardClient client = server.connect(closing, RetryPolicy.defaults())) {
            server.then(Status.UNAUTHENTICATED).then(null);
            stream.set(client.dataEncryption().watchReencryption(WatchReencryptionRequest.getDefaultInstance()));
            SealwardException error = assertThrows(SealwardException.class, () -> stream.get().iterator().hasNext());
            assertEquals(Status.Code.CANCELLED, error.code());
            assertEquals(Origin.CANCELLED, error.origin());
        }
    }

    @Test
    void error_of_a_token_source_ends_the_call() throws Exception {
        Error failure = new AssertionError("the source is broken");
        AtomicInteger asked = new AtomicInteger();
        TokenSource source = refresh -> {
            if (asked.getAndIncrement() > 0) {
                throw failure;
            }
            return "token";
        };
        // The second attempt is a retry in one case, and has another token in the other.
        for (Status first : List.of(Status.UNAVAILABLE, Status.UNAUTHENTICATED)) {
            asked.set(0);
            try (ScriptedServer server = ScriptedServer.of(AccessClient.METHODS);
                    SealwardClient client = server.connect(source, RetryPolicy.defaults())) {
                server.then(first);
                CompletableFuture<WhoAmIResponse> future = client.access().whoAmIAsync(WhoAmIRequest.getDefaultInstance());
                assertSame(failure, assertThrows(ExecutionException.class, () -> future.get(20, TimeUnit.SECONDS)).getCause());
            }
        }
        asked.set(0);
        try (ScriptedServer server = ScriptedServer.of(DataEncryptionClient.METHODS);
                SealwardClient client = server.connect(source, RetryPolicy.defaults())) {
            server.then(Status.UNAUTHENTICATED);
            Iterator<Reencryption> messages = client.dataEncryption().watchReencryption(WatchReencryptionRequest.getDefaultInstance()).iterator();
            for (int number = 0; number < 2; number++) {
                assertSame(failure, assertThrows(SealwardException.class, messages::hasNext).getCause());
            }
        }
        try (ScriptedServer server = ScriptedServer.of(OrganizationsClient.METHODS);
                SealwardClient client = server.connect(source, RetryPolicy.defaults())) {
            CompletableFuture<?> future = client.organizations().importOrganizationAsync(List.of());
            assertSame(failure, assertThrows(ExecutionException.class, future::get).getCause());
        }
    }

    @Test
    void error_of_the_requests_of_a_stream_ends_the_call() {
        Error failure = new AssertionError("no requests");
        Iterable<ImportOrganizationRequest> requests = () -> new Iterator<>() {
            @Override
            public boolean hasNext() {
                throw failure;
            }

            @Override
            public ImportOrganizationRequest next() {
                throw failure;
            }
        };
        try (ScriptedServer server = ScriptedServer.of(OrganizationsClient.METHODS);
                SealwardClient client = server.connect(null, RetryPolicy.defaults())) {
            server.then(null);
            SealwardException error = assertThrows(SealwardException.class, () -> client.organizations().importOrganization(requests));
            assertEquals("the requests of the stream failed", error.getMessage());
            assertSame(failure, error.getCause());
        }
    }

    @Test
    void failure_of_a_retry_keeps_the_doubt_about_an_earlier_attempt() {
        AtomicInteger asked = new AtomicInteger();
        TokenSource source = refresh -> {
            if (asked.getAndIncrement() > 0) {
                throw new IllegalStateException("no token");
            }
            return "token";
        };
        try (ScriptedServer server = ScriptedServer.of(MailboxesClient.METHODS);
                SealwardClient client = server.connect(source, RetryPolicy.defaults())) {
            server.then(Status.UNAVAILABLE);
            SealwardException error = assertThrows(
                    SealwardException.class,
                    () -> client.mailboxes().createMailbox(io.sealward.mail.v1.CreateMailboxRequest.getDefaultInstance()));
            assertEquals("the token source failed", error.getMessage());
            assertTrue(error.mayHaveTakenEffect());
        }
    }

    @Test
    void context_that_is_cancelled_is_not_an_answer_of_the_server() {
        try (ScriptedServer server = ScriptedServer.of(DataEncryptionClient.METHODS);
                SealwardClient client = server.connect(null, RetryPolicy.defaults());
                Context.CancellableContext context = Context.current().withCancellation()) {
            server.then(null, RUNNING);
            context.run(() -> {
                Iterator<Reencryption> messages = follow(client).iterator();
                assertEquals(RUNNING, messages.next());
                context.cancel(null);
                assertEquals(Origin.CANCELLED, assertThrows(SealwardException.class, messages::hasNext).origin());
            });
        }
    }

    @Test
    void key_change_is_never_repeated() {
        AtomicInteger attempts = new AtomicInteger();
        TokenSource counting = refresh -> "token" + attempts.incrementAndGet();
        try (ScriptedServer server = ScriptedServer.of(DataEncryptionClient.METHODS);
                SealwardClient client = server.connect(counting, RetryPolicy.defaults())) {
            server.then(Status.UNAVAILABLE).then(Status.OK, SetDataEncryptionKeyResponse.getDefaultInstance());
            SealwardException error =
                    assertThrows(SealwardException.class, () -> client.changeKey("organizations/a", SealwardClient.generateKeyText()));
            assertEquals(Status.Code.UNAVAILABLE, error.code());
            assertTrue(error.mayHaveTakenEffect());
            assertEquals(1, attempts.get());
        }
    }

    @Test
    void call_of_a_closed_client_is_a_failure_of_this_side() {
        try (ScriptedServer server = ScriptedServer.of(AccessClient.METHODS)) {
            AtomicInteger asked = new AtomicInteger();
            TokenSource source = refresh -> "token" + asked.incrementAndGet();
            SealwardClient client = server.connect(source, RetryPolicy.defaults());
            client.close();
            SealwardException error = assertThrows(SealwardException.class, () -> client.access().whoAmI(WhoAmIRequest.getDefaultInstance()));
            assertEquals("the client is closed", error.getMessage());
            assertEquals(Origin.CANCELLED, error.origin());
            assertEquals(1, asked.get(), "attempts");
            SealwardException unsafe = assertThrows(
                    SealwardException.class, () -> client.secretAccess().revealAttributes(RevealAttributesRequest.getDefaultInstance()));
            assertFalse(unsafe.mayHaveTakenEffect());
        }
    }

    @Test
    void proxies_of_the_system_are_not_used() {
        ProxySelector before = ProxySelector.getDefault();
        List<URI> asked = new ArrayList<>();
        ProxySelector.setDefault(new ProxySelector() {
            @Override
            public List<Proxy> select(URI uri) {
                asked.add(uri);
                return List.of(new Proxy(Proxy.Type.HTTP, InetSocketAddress.createUnresolved("proxy.invalid", 1)));
            }

            @Override
            public void connectFailed(URI uri, SocketAddress address, java.io.IOException error) {}
        });
        try (ScriptedServer server = ScriptedServer.of(AccessClient.METHODS);
                SealwardClient client = SealwardClient.builder(server.endpoint()).plaintext().connect()) {
            server.then(Status.OK, WhoAmIResponse.newBuilder().setIdentity("cn:a").build());
            assertEquals("cn:a", client.access().whoAmI(WhoAmIRequest.getDefaultInstance()).getIdentity());
            assertEquals(List.of(), asked);
        } finally {
            ProxySelector.setDefault(before);
        }
    }
}
