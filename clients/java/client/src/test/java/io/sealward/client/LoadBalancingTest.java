package io.sealward.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.sealward.mail.v1.CreateMailboxRequest;
import io.sealward.mail.v1.GetMailboxRequest;
import io.sealward.mail.v1.Mailbox;
import io.sealward.mail.v1.UpdateMailboxRequest;
import io.sealward.v1.Reencryption;
import io.sealward.v1.RevealAttributesRequest;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Calls over two servers, and over connections that end. The name two-servers.test has two addresses, by the hosts file of the tests. */
class LoadBalancingTest {
    @Test
    void reads_are_spread_over_two_servers_on_copies_of_one_folder() throws Exception {
        try (DevServer first = DevServer.start()) {
            Mailbox mailbox;
            try (SealwardClient writer = first.connect("writer")) {
                mailbox = writer.mailboxes()
                        .createMailbox(CreateMailboxRequest.newBuilder()
                                .setParent("organizations/default")
                                .setMailbox(Mailbox.newBuilder().setDisplayName("first"))
                                .build());
            }
            first.stop();
            try (DevServer second = DevServer.startCopy(first)) {
                first.run();
                try (SealwardClient writer = second.connect("writer")) {
                    writer.mailboxes()
                            .updateMailbox(UpdateMailboxRequest.newBuilder()
                                    .setMailbox(Mailbox.newBuilder().setName(mailbox.getName()).setDisplayName("second"))
                                    .setUpdateMask(com.google.protobuf.FieldMask.newBuilder().addPaths("display_name"))
                                    .build());
                }
                Map<String, Integer> answers = readFromBoth(first, second, mailbox.getName());
                System.out.println("round_robin over two servers: " + answers);
                assertEquals(2, answers.size());
                assertEquals(1, Math.abs(answers.get("first") - answers.get("second")) <= 1 ? 1 : 0, answers.toString());
            }
        }
    }

    private static Map<String, Integer> readFromBoth(DevServer first, DevServer second, String name) throws IOException {
        try (Forwarder toFirst = new Forwarder("127.0.0.1", 0, first.port(), 0);
                Forwarder toSecond = new Forwarder("127.0.0.2", toFirst.port(), second.port(), 0);
                SealwardClient reader = first.identify(SealwardClient.builder("dns:///two-servers.test:" + toFirst.port()), "reader")
                        .domainName("localhost")
                        .connect()) {
            GetMailboxRequest request = GetMailboxRequest.newBuilder().setName(name).build();
            // Until both connections are open, the calls go to the first one.
            while (toFirst.accepted() + toSecond.accepted() < 2) {
                reader.mailboxes().getMailbox(request);
            }
            String before = "";
            String now = reader.mailboxes().getMailbox(request).getDisplayName();
            while (before.isEmpty() || before.equals(now)) {
                before = now;
                now = reader.mailboxes().getMailbox(request).getDisplayName();
            }
            Map<String, Integer> answers = new HashMap<>();
            for (int read = 0; read < 100; read++) {
                answers.merge(reader.mailboxes().getMailbox(request).getDisplayName(), 1, Integer::sum);
            }
            return answers;
        }
    }

    @Test
    void no_call_fails_while_connections_reach_their_maximum_age() throws Exception {
        Map<String, String> settings = Map.of(
                "limits.connection_age_max_seconds", "1",
                "limits.connection_grace_seconds", "1",
                "limits.reveals_per_minute_per_identity", "0");
        try (DevServer server = DevServer.start(settings, "");
                SealwardClient writer = server.connect("writer");
                Forwarder forwarder = new Forwarder("127.0.0.1", 0, server.port(), 0);
                SealwardClient connector = server.identify(SealwardClient.builder("https://127.0.0.1:" + forwarder.port()), "connector").connect();
                SealwardClient reader = server.identify(SealwardClient.builder("https://127.0.0.1:" + forwarder.port()), "reader").connect()) {
            String name = writer.mailboxes()
                    .createMailbox(CreateMailboxRequest.newBuilder()
                            .setParent("organizations/default")
                            .setMailbox(Mailbox.newBuilder().setDisplayName("Sales").setPassword("hunter2"))
                            .build())
                    .getName();
            GetMailboxRequest read = GetMailboxRequest.newBuilder().setName(name).build();
            // A reveal isn't retried by the client's policy: each is recorded.
            RevealAttributesRequest reveal =
                    RevealAttributesRequest.newBuilder().setName(name).addAttributes("password").setPurpose("fetch mail").build();
            AtomicInteger calls = new AtomicInteger();
            List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
            ExecutorService threads = Executors.newFixedThreadPool(4);
            List<Future<?>> running = new ArrayList<>();
            for (int thread = 0; thread < 4; thread++) {
                boolean isReveal = thread == 0;
                running.add(threads.submit(() -> {
                    // Both clients connect; each connection after that replaces one that has reached its age.
                    while (forwarder.accepted() < 8) {
                        calls.incrementAndGet();
                        try {
                            if (isReveal) {
                                connector.secretAccess().revealAttributes(reveal);
                            } else {
                                reader.mailboxes().getMailbox(read);
                            }
                        } catch (RuntimeException error) {
                            failures.add(error);
                        }
                    }
                }));
            }
            for (Future<?> work : running) {
                work.get();
            }
            threads.shutdown();
            System.out.println("maximum age: " + calls + " calls over " + forwarder.accepted() + " connections, " + failures.size() + " failed");
            assertEquals(List.of(), failures);
        }
    }

    @Test
    void progress_of_a_key_change_is_followed_over_connections_that_end() throws Exception {
        Map<String, String> settings = Map.of(
                "limits.connection_age_max_seconds", "1",
                "limits.connection_grace_seconds", "1",
                "limits.reencryption_batch_cells", "1",
                "limits.reencryption_pause_ms", "1000");
        try (DevServer server = DevServer.start(settings, "");
                SealwardClient writer = server.connect("writer");
                Forwarder forwarder = new Forwarder("127.0.0.1", 0, server.port(), 0);
                SealwardClient admin = server.identify(SealwardClient.builder("https://127.0.0.1:" + forwarder.port()), "admin").connect()) {
            for (int mailbox = 0; mailbox < 5; mailbox++) {
                writer.mailboxes()
                        .createMailbox(CreateMailboxRequest.newBuilder()
                                .setParent("organizations/default")
                                .setMailbox(Mailbox.newBuilder().setDisplayName("Sales").setPassword("hunter2"))
                                .build());
            }
            try (KeyChangeProgress change = admin.changeKey("organizations/default", SealwardClient.generateKeyText())) {
                Reencryption last = change.await();
                assertEquals(Reencryption.State.STATE_DONE, last.getState());
                assertEquals(5, last.getCellsDone());
            }
            assertEquals(true, forwarder.accepted() > 1, "connections: " + forwarder.accepted());
        }
    }
}
