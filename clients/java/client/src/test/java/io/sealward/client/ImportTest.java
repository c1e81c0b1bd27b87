package io.sealward.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import io.sealward.mail.v1.CreateMailboxRequest;
import io.sealward.mail.v1.ImportMailboxesRequest;
import io.sealward.mail.v1.ImportMailboxesResponse;
import io.sealward.mail.v1.ImportMailboxesResult;
import io.sealward.mail.v1.Mailbox;
import io.sealward.v1.ErrorReason;
import io.sealward.v1.ItemStatus;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Imports of records, which stream in both directions. */
@Timeout(60)
class ImportTest {
    private static final String PASSWORD = "canary in the mine";
    private static DevServer server;
    private static SealwardClient writer;

    @BeforeAll
    static void start() {
        server = DevServer.start();
        writer = server.connect("writer");
    }

    @AfterAll
    static void stop() {
        writer.close();
        server.close();
    }

    private static ImportMailboxesRequest message(String parent, String... names) {
        ImportMailboxesRequest.Builder message = ImportMailboxesRequest.newBuilder().setParent(parent);
        for (String name : names) {
            Mailbox.Builder mailbox = Mailbox.newBuilder().setDisplayName(name).setPassword(PASSWORD);
            message.addRequests(CreateMailboxRequest.newBuilder().setMailbox(mailbox));
        }
        return message.build();
    }

    private static final ImportMailboxesRequest FIRST = message("organizations/default", "Sales");

    private static List<ImportMailboxesResult> results(ResponseStream<ImportMailboxesResponse> responses) {
        List<ImportMailboxesResult> results = new ArrayList<>();
        responses.forEach(response -> results.addAll(response.getResultsList()));
        return results;
    }

    /** Messages that are produced one after the other. */
    private static Iterable<ImportMailboxesRequest> produced(Producer producer) {
        return () -> new Iterator<>() {
            private int count;
            private ImportMailboxesRequest next;

            @Override
            public boolean hasNext() {
                if (next == null) {
                    next = producer.next(count++);
                }
                return next != null;
            }

            @Override
            public ImportMailboxesRequest next() {
                ImportMailboxesRequest message = next;
                next = null;
                return message;
            }
        };
    }

    private interface Producer {
        ImportMailboxesRequest next(int count);
    }

    @Test
    void every_request_has_a_result() {
        List<ImportMailboxesRequest> messages = List.of(message("organizations/default", "Sales", "x".repeat(201)), message("", "Support"));
        List<ImportMailboxesResult> results = results(writer.mailboxes().importMailboxes(messages));
        assertEquals(3, results.size());
        assertFalse(results.get(0).getName().isEmpty());
        SealwardException error = SealwardException.itemError(results.get(1).getError());
        assertEquals(Status.Code.INVALID_ARGUMENT, error.code());
        assertEquals(ErrorReason.ERROR_REASON_FIELD_INVALID, error.reason());
        assertEquals("mailbox.display_name", error.fieldViolations().get(0).field());
        assertEquals("TOO_LONG", error.fieldViolations().get(0).reason());
        assertEquals(Origin.SERVER, error.origin());
        assertFalse(error.mayHaveTakenEffect());
        assertFalse((messages + " " + results + " " + error).contains(PASSWORD));
        try (SealwardClient connector = server.connect("connector")) {
            Secret revealed = connector.revealAttributes(results.get(2).getName(), List.of("password"), "a test").get("password");
            assertEquals(PASSWORD, revealed.exposeText());
        }
    }

    @Test
    void results_arrive_while_requests_are_sent() {
        BlockingQueue<String> created = new LinkedBlockingQueue<>();
        Iterable<ImportMailboxesRequest> messages = produced(count -> {
            try {
                // The second request needs the result of the first.
                return count == 0 ? FIRST : count == 1 ? message("", created.take()) : null;
            } catch (InterruptedException error) {
                throw new IllegalStateException(error);
            }
        });
        int count = 0;
        try (ResponseStream<ImportMailboxesResponse> responses = writer.mailboxes().importMailboxes(messages)) {
            for (ImportMailboxesResponse response : responses) {
                response.getResultsList().forEach(result -> created.add(result.getName()));
                count += response.getResultsCount();
            }
        }
        assertEquals(2, count);
    }

    @Test
    void failed_import_is_an_exception() {
        try (SealwardClient reader = server.connect("reader")) {
            SealwardException refused =
                    assertThrows(SealwardException.class, () -> results(reader.mailboxes().importMailboxes(List.of(FIRST))));
            assertEquals(ErrorReason.ERROR_REASON_PRIVILEGE_MISSING, refused.reason());
            assertFalse(refused.mayHaveTakenEffect());
        }
        Iterator<ImportMailboxesResponse> responses =
                writer.mailboxes().importMailboxes(List.of(FIRST, message("organizations/other", "Sales"))).iterator();
        assertEquals(1, responses.next().getResultsCount());
        SealwardException refused = assertThrows(SealwardException.class, responses::hasNext);
        assertEquals(ErrorReason.ERROR_REASON_FIELD_INVALID, refused.reason());
        assertTrue(refused.callId().isPresent());
        assertTrue(refused.mayHaveTakenEffect());
    }

    @Test
    void failure_of_the_requests_ends_the_import() {
        Error failure = new AssertionError("no more rows");
        Iterable<ImportMailboxesRequest> messages = produced(count -> {
            if (count > 0) {
                throw failure;
            }
            return FIRST;
        });
        SealwardException error = assertThrows(SealwardException.class, () -> results(writer.mailboxes().importMailboxes(messages)));
        assertEquals("the requests of the stream failed", error.getMessage());
        assertEquals(Origin.CLIENT, error.origin());
        assertTrue(error.mayHaveTakenEffect());
        assertSame(failure, error.getCause());
    }

    @Test
    void closed_import_ends_and_interrupts_its_requests() throws InterruptedException {
        CountDownLatch interrupted = new CountDownLatch(1);
        Iterable<ImportMailboxesRequest> messages = produced(count -> {
            try {
                if (count > 0) {
                    new CountDownLatch(1).await();
                }
                return FIRST;
            } catch (InterruptedException error) {
                interrupted.countDown();
                throw new IllegalStateException(error);
            }
        });
        ResponseStream<ImportMailboxesResponse> responses = writer.mailboxes().importMailboxes(messages);
        try (responses) {
            assertEquals(1, responses.iterator().next().getResultsCount());
        }
        assertTrue(interrupted.await(30, TimeUnit.SECONDS));
        SealwardException error = assertThrows(SealwardException.class, () -> responses.iterator().hasNext());
        assertEquals(Origin.CANCELLED, error.origin());
        assertTrue(error.mayHaveTakenEffect());
    }

    @Test
    void import_has_the_timeout_of_its_client() {
        CountDownLatch never = new CountDownLatch(1);
        Iterable<ImportMailboxesRequest> messages = produced(count -> {
            try {
                if (count > 0) {
                    never.await();
                }
                return FIRST;
            } catch (InterruptedException error) {
                return null;
            }
        });
        MailboxesClient hurried = writer.mailboxes().withTimeout(Duration.ofMillis(500));
        SealwardException error = assertThrows(SealwardException.class, () -> results(hurried.importMailboxes(messages)));
        assertEquals("DEADLINE_EXCEEDED", error.reasonName().orElseThrow());
    }

    @Test
    void import_is_never_repeated() {
        for (Status status : List.of(Status.UNAVAILABLE, Status.UNAUTHENTICATED)) {
            try (ScriptedServer scripted = ScriptedServer.of(MailboxesClient.METHODS);
                    SealwardClient client = scripted.connect(refresh -> "token", RetryPolicy.defaults())) {
                scripted.then(status).then(Status.OK);
                assertThrows(SealwardException.class, () -> results(client.mailboxes().importMailboxes(List.of(FIRST))));
                assertEquals(1, scripted.remaining());
            }
        }
    }

    @Test
    void error_of_an_item_can_be_uncertain_or_unknown() {
        Any uncertain = Any.pack(ErrorInfo.newBuilder().setDomain("sealward").setReason("OUTCOME_UNKNOWN").build());
        ItemStatus status = ItemStatus.newBuilder().setCode(14).setMessage("words").addDetails(uncertain).build();
        assertTrue(SealwardException.itemError(status).mayHaveTakenEffect());
        SealwardException unknown = SealwardException.itemError(ItemStatus.newBuilder().setCode(99).setMessage("words").build());
        assertEquals(Status.Code.UNKNOWN, unknown.code());
        assertEquals("UNKNOWN: words", unknown.getMessage());
    }
}
