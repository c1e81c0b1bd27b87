package io.sealward.client;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.UnaryOperator;

/**
 * The variables of the command line, as settings of a client. A variable that is set to an empty value counts as unset.
 */
final class Environment {
    private final UnaryOperator<String> variables;

    Environment(UnaryOperator<String> variables) {
        this.variables = variables;
    }

    SealwardClientBuilder builder() {
        Optional<Path> dev = variable("SEALWARD_DEV").map(Path::of);
        Optional<String> role = variable("SEALWARD_AS");
        if (dev.isPresent() != role.isPresent()) {
            throw new SetupException("SEALWARD_DEV and SEALWARD_AS require each other: set both or none");
        }
        SealwardClientBuilder builder = new SealwardClientBuilder(
                variable("SEALWARD_ENDPOINT").or(() -> dev.flatMap(Environment::endpoint)).orElse(ENDPOINT_DEFAULT));
        // As in the command line, a development folder takes precedence over the variables of single files.
        Optional<Path> tls = dev.map(folder -> folder.resolve("tls"));
        tls.map(folder -> folder.resolve("ca.pem")).or(() -> file("SEALWARD_CA")).ifPresent(builder::caFile);
        Optional<Path> certificate = tls.map(folder -> folder.resolve(role.get() + ".pem")).or(() -> file("SEALWARD_CERT"));
        Optional<Path> key = tls.map(folder -> folder.resolve(role.get() + ".key")).or(() -> file("SEALWARD_KEY"));
        if (certificate.isPresent() != key.isPresent()) {
            throw new SetupException("SEALWARD_CERT and SEALWARD_KEY require each other: set both or none");
        }
        certificate.ifPresent(file -> builder.identityFiles(file, key.get()));
        file("SEALWARD_TOKEN_FILE").ifPresent(builder::bearerTokenFile);
        return builder;
    }

    private Optional<String> variable(String name) {
        return Optional.ofNullable(variables.apply(name)).filter(value -> !value.isEmpty());
    }

    private Optional<Path> file(String name) {
        return variable(name).map(Path::of);
    }

    /** The address of a development server, which it writes to its folder. */
    private static Optional<String> endpoint(Path dev) {
        Path file = dev.resolve("endpoint");
        if (!Files.exists(file)) {
            return Optional.empty();
        }
        try {
            return Optional.of(Files.readString(file, StandardCharsets.UTF_8).strip());
        } catch (IOException error) {
            throw new SetupException("can't read the endpoint file " + file, error);
        }
    }

    private static final String ENDPOINT_DEFAULT = "https://127.0.0.1:7443";
}
