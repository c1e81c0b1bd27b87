package io.sealward.client;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.atomic.AtomicInteger;

/** Forwards TCP connections of an address to a server, and counts them. The first ones can be closed instead. */
final class Forwarder implements AutoCloseable {
    private final ServerSocket listener;
    private final int serverPort;
    private final int closedFirst;
    private final AtomicInteger accepted = new AtomicInteger();

    Forwarder(String address, int port, int serverPort, int closedFirst) throws IOException {
        this.serverPort = serverPort;
        this.closedFirst = closedFirst;
        listener = new ServerSocket();
        listener.bind(new InetSocketAddress(InetAddress.getByName(address), port));
        start(this::accept);
    }

    int port() {
        return listener.getLocalPort();
    }

    int accepted() {
        return accepted.get();
    }

    private void accept() {
        while (true) {
            try {
                Socket client = listener.accept();
                if (accepted.incrementAndGet() <= closedFirst) {
                    client.close();
                    continue;
                }
                Socket server = new Socket(InetAddress.getByName("127.0.0.1"), serverPort);
                start(() -> copy(client, server));
                start(() -> copy(server, client));
            } catch (IOException closed) {
                if (listener.isClosed()) {
                    return;
                }
            }
        }
    }

    private static void copy(Socket from, Socket to) {
        try (from; to; InputStream input = from.getInputStream(); OutputStream output = to.getOutputStream()) {
            input.transferTo(output);
        } catch (IOException closed) {
            // Either side may close at any moment.
        }
    }

    private static void start(Runnable work) {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        thread.start();
    }

    @Override
    public void close() {
        try {
            listener.close();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
