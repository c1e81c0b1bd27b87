package io.sealward.client;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** A development server in a folder of its own, on a free port. */
final class DevServer implements AutoCloseable {
    private final Path folder;
    private Process process;
    private String plaintextAddress;

    private DevServer(Path folder) {
        this.folder = folder;
    }

    static DevServer start() {
        return start(Map.of(), "");
    }

    /** Starts a server with changed settings, {@code SECTION.NAME} to a TOML value, and with more lines of configuration. */
    static DevServer start(Map<String, String> settings, String more) {
        DevServer server = new DevServer(temporaryFolder());
        server.run();
        if (!settings.isEmpty() || !more.isEmpty()) {
            server.stop();
            server.change(settings, more);
            server.run();
        }
        return server;
    }

    /** Starts a server on a copy of the folder of a stopped server. */
    static DevServer startCopy(DevServer stopped) {
        DevServer server = new DevServer(temporaryFolder());
        try (Stream<Path> files = Files.walk(stopped.folder)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                Path target = server.folder.resolve(stopped.folder.relativize(file).toString());
                if (!Files.exists(target)) {
                    Files.copy(file, target, java.nio.file.StandardCopyOption.COPY_ATTRIBUTES);
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        server.run();
        return server;
    }

    void run() {
        try {
            ProcessBuilder builder = new ProcessBuilder(
                    program().toString(), "dev", "--data-dir", data().toString(), "--listen", "127.0.0.1:0");
            process = builder.redirectError(ProcessBuilder.Redirect.appendTo(folder.resolve("log").toFile())).start();
            Runtime.getRuntime().addShutdownHook(new Thread(process::destroy));
            BufferedReader output = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
            for (String line = output.readLine(); line != null; line = output.readLine()) {
                if (line.startsWith("  without TLS")) {
                    plaintextAddress = line.substring("  without TLS".length()).strip().split(",")[0];
                }
                if (line.startsWith("Press Ctrl-C")) {
                    return;
                }
            }
            throw new IllegalStateException("the server doesn't start: " + Files.readString(folder.resolve("log")));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** Stops the server as an operator does. Its folder remains until {@link #close}. */
    void stop() {
        process.destroy();
        try {
            process.waitFor();
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        stop();
        try (Stream<Path> files = Files.walk(folder)) {
            files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void change(Map<String, String> settings, String more) {
        Path file = data().resolve("sealward.toml");
        try {
            List<String> lines = new ArrayList<>(Files.readAllLines(file));
            settings.forEach((name, value) -> {
                String setting = name.substring(name.indexOf('.') + 1);
                int line = find(lines, setting);
                lines.set(line, setting + " = " + value);
            });
            lines.add(more);
            Files.write(file, lines);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static int find(List<String> lines, String setting) {
        for (int line = 0; line < lines.size(); line++) {
            if (lines.get(line).matches("(# )?" + setting + " = .*")) {
                return line;
            }
        }
        throw new IllegalArgumentException("the configuration has no setting " + setting);
    }

    Path data() {
        return folder.resolve("sealward-dev");
    }

    Path tls(String name) {
        return data().resolve("tls").resolve(name);
    }

    String endpoint() {
        try {
            return Files.readString(data().resolve("endpoint")).strip();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    int port() {
        return Integer.parseInt(endpoint().substring(endpoint().lastIndexOf(':') + 1));
    }

    String plaintextEndpoint() {
        return "http://" + plaintextAddress;
    }

    /** A client of this server by a role's certificate. */
    SealwardClientBuilder builder(String role) {
        return identify(SealwardClient.builder(endpoint()), role);
    }

    SealwardClientBuilder identify(SealwardClientBuilder builder, String role) {
        return builder.caFile(tls("ca.pem")).identityFiles(tls(role + ".pem"), tls(role + ".key"));
    }

    SealwardClient connect(String role) {
        return builder(role).connect();
    }

    static Path root() {
        return Path.of(System.getProperty("sealward.root")).toAbsolutePath().normalize();
    }

    private static Path program() {
        String program = System.getenv("SEALWARD_SERVER");
        return program == null || program.isEmpty() ? root().resolve("target/debug/sealward-server") : Path.of(program);
    }

    private static Path temporaryFolder() {
        try {
            return Files.createTempDirectory("sealward-java-");
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
