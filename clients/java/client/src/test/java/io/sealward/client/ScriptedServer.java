package io.sealward.client;

import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/** A gRPC server without TLS that answers each call with the next of its answers: for failures that the real server has only by accident. */
final class ScriptedServer implements AutoCloseable {
    private final Server server;
    private final BlockingQueue<Answer> answers = new LinkedBlockingQueue<>();

    /** An answer: its messages, and then its status. The stream stays open if there is no status. */
    private record Answer(List<?> messages, Status status) {}

    private ScriptedServer(ServerServiceDefinition service) {
        try {
            server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create()).addService(service).build().start();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    static ScriptedServer of(List<MethodDescriptor<?, ?>> methods) {
        ScriptedServer[] started = new ScriptedServer[1];
        ServerServiceDefinition.Builder service = ServerServiceDefinition.builder(methods.get(0).getServiceName());
        methods.forEach(method -> service.addMethod(method, (call, headers) -> started[0].answer(call)));
        started[0] = new ScriptedServer(service.build());
        return started[0];
    }

    /** Adds an answer. */
    ScriptedServer then(Status status, Object... messages) {
        answers.add(new Answer(List.of(messages), status));
        return this;
    }

    /** The number of answers that no call has asked for. */
    int remaining() {
        return answers.size();
    }

    @SuppressWarnings("unchecked")
    private <Q, A> ServerCall.Listener<Q> answer(ServerCall<Q, A> call) {
        Answer answer = answers.remove();
        call.request(1);
        call.sendHeaders(new Metadata());
        answer.messages.forEach(message -> call.sendMessage((A) message));
        if (answer.status != null) {
            call.close(answer.status, new Metadata());
        }
        return new ServerCall.Listener<>() {};
    }

    /** A channel to this server. */
    CountingChannel channel() {
        return new CountingChannel(Grpc.newChannelBuilder(endpoint().substring("http://".length()), InsecureChannelCredentials.create()).build());
    }

    /** A client with bearer tokens, which the builder refuses without TLS. */
    SealwardClient connect(CountingChannel channel, TokenSource source, RetryPolicy retry) {
        Connection connection = new Connection(channel, source == null ? null : Bearer.ofSource(source), retry, 1_000);
        return new SealwardClient(connection, Duration.ofSeconds(30));
    }

    SealwardClient connect(TokenSource source, RetryPolicy retry) {
        return connect(channel(), source, retry);
    }

    String endpoint() {
        return "http://127.0.0.1:" + server.getPort();
    }

    @Override
    public void close() {
        server.shutdownNow();
    }
}
