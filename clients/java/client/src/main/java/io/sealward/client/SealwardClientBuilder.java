package io.sealward.client;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannelBuilder;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.time.Duration;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * Configures a {@link SealwardClient}. Created by {@link SealwardClient#builder}.
 *
 * <p>The server's certificate is always verified. Everything is validated by {@link #connect}, before a connection is attempted.
 */
public final class SealwardClientBuilder {
    private final String endpoint;
    private transient Pem ca;
    private transient Pem certificate;
    private transient Pem key;
    private transient Bearer bearer;
    private String domainName;
    private boolean isPlaintext;
    private Duration timeout = Bounds.TIMEOUT_DEFAULT;
    private RetryPolicy retry = RetryPolicy.defaults();
    private int messageSizeMaxBytes = Bounds.MESSAGE_SIZE_MAX_DEFAULT_BYTES;

    SealwardClientBuilder(String endpoint) {
        this.endpoint = endpoint;
    }

    /** Sets the CA certificates that verify the server, in PEM. Default: the CAs of the Java runtime. */
    public SealwardClientBuilder caPem(byte[] pem) {
        ca = Pem.ofText("CA", pem);
        return this;
    }

    /** Sets the CA certificates from a file; see {@link #caPem}. */
    public SealwardClientBuilder caFile(Path file) {
        ca = Pem.ofFile("CA", file);
        return this;
    }

    /** Sets the client certificate, with intermediate certificates, and its private key, in PEM. The key is PKCS#8, EC or RSA. */
    public SealwardClientBuilder identityPem(byte[] certificatePem, byte[] keyPem) {
        certificate = Pem.ofText("client certificate", certificatePem);
        key = Pem.ofText("client key", keyPem);
        return this;
    }

    /**
     * Sets the client certificate and its key from files; see {@link #identityPem}. A key file that other users can read is reported to the
     * system logger, once.
     */
    public SealwardClientBuilder identityFiles(Path certificateFile, Path keyFile) {
        certificate = Pem.ofFile("client certificate", certificateFile);
        key = Pem.ofFile("client key", keyFile);
        return this;
    }

    /** Sets a bearer token (JWT) that is sent with each call, with or without a client certificate. Requires TLS. {@link #connect} validates it. */
    public SealwardClientBuilder bearerToken(String token) {
        bearer = Bearer.ofToken(token);
        return this;
    }

    /** Sets the file of a bearer token. The file is read for each attempt, so that the token can be replaced before it expires. */
    public SealwardClientBuilder bearerTokenFile(Path file) {
        bearer = Bearer.ofFile(file);
        return this;
    }

    /** Sets the source of bearer tokens. If the server refuses a token, the source is asked once more, and the call is repeated once. */
    public SealwardClientBuilder tokenSource(TokenSource source) {
        bearer = Bearer.ofSource(source);
        return this;
    }

    /** Sets the expected name in the server's certificate. Default: the endpoint's host. */
    public SealwardClientBuilder domainName(String name) {
        domainName = name;
        return this;
    }

    /**
     * Connects without TLS. For tests and diagnostics: the server answers data calls with HTTPS_REQUIRED, and the network can read everything
     * that is sent.
     */
    public SealwardClientBuilder plaintext() {
        isPlaintext = true;
        return this;
    }

    /** Sets the maximum time of a unary call with its retries, which is also the deadline that the server gets. At most 24 h.
     * Default: 30 s. */
    public SealwardClientBuilder timeout(Duration maximum) {
        timeout = Calls.checkTimeout(maximum);
        return this;
    }

    /** Sets the retry policy. Default: {@link RetryPolicy#defaults}. */
    public SealwardClientBuilder retry(RetryPolicy policy) {
        retry = policy;
        return this;
    }

    /** Sets the maximum size of a sent or received message, in bytes. Default: 4 MiB, the server's default. */
    public SealwardClientBuilder messageSizeMax(int bytes) {
        if (bytes <= 0) {
            throw new SetupException("the maximum size of a message must be greater than 0: " + bytes);
        }
        messageSizeMaxBytes = bytes;
        return this;
    }

    /**
     * Creates the client. It connects with its first call, and again if the connection breaks.
     *
     * @throws SetupException if a setting is invalid or a file can't be used
     */
    public SealwardClient connect() {
        Redaction.verify();
        String target = target();
        if (bearer != null) {
            bearer.check();
        }
        ManagedChannelBuilder<?> channel = Grpc.newChannelBuilder(target, credentials())
                // With several addresses, calls are spread over all of them.
                .defaultLoadBalancingPolicy("round_robin")
                // Settings come from this builder only, never from the DNS. So gRPC has no policy to retry calls by; it still repeats
                // a call that never reached a server, which is always safe.
                .disableServiceConfigLookUp()
                // Nor does a proxy come from system properties or the environment.
                .proxyDetector(address -> null)
                .maxInboundMessageSize(messageSizeMaxBytes)
                .keepAliveTime(Bounds.KEEPALIVE_INTERVAL.toSeconds(), TimeUnit.SECONDS)
                .keepAliveTimeout(Bounds.KEEPALIVE_TIMEOUT.toSeconds(), TimeUnit.SECONDS)
                .userAgent("sealward-client-java/" + Version.VERSION);
        if (domainName != null) {
            channel.overrideAuthority(domainName);
        }
        return new SealwardClient(new Connection(channel.build(), bearer, retry, messageSizeMaxBytes), timeout);
    }

    /** Returns gRPC's form of the endpoint, which names no scheme: TLS is a matter of the credentials. */
    private String target() {
        URI uri;
        try {
            uri = new URI(endpoint);
        } catch (URISyntaxException error) {
            throw invalidEndpoint();
        }
        String scheme = uri.getScheme() == null ? "" : uri.getScheme().toLowerCase(Locale.ROOT);
        switch (scheme) {
            case "https":
            case "http":
                boolean hasPath = uri.getRawPath() != null && !uri.getRawPath().isEmpty() && !uri.getRawPath().equals("/");
                boolean hasMore = uri.getRawQuery() != null || uri.getRawFragment() != null || uri.getRawUserInfo() != null;
                if (uri.getHost() == null || hasPath || hasMore) {
                    throw invalidEndpoint();
                }
                checkScheme(scheme.equals("https"));
                return "dns:///" + uri.getHost() + (uri.getPort() < 0 ? "" : ":" + uri.getPort());
            case "dns":
                if (endpoint.contains("@")) {
                    throw invalidEndpoint();
                }
                if (isPlaintext && bearer != null) {
                    throw new SetupException(TOKEN_OVER_PLAINTEXT);
                }
                return endpoint;
            default:
                throw invalidEndpoint();
        }
    }

    private void checkScheme(boolean isHttps) {
        if (isHttps && isPlaintext) {
            throw new SetupException("endpoint \"" + endpoint + "\" has TLS, but plaintext is enabled: use http://");
        }
        if (!isHttps && !isPlaintext) {
            throw new SetupException("endpoint \"" + endpoint + "\" has no TLS: use https://, or enable plaintext for diagnostics");
        }
        if (!isHttps && bearer != null) {
            throw new SetupException(TOKEN_OVER_PLAINTEXT);
        }
    }

    private SetupException invalidEndpoint() {
        // A URL with a password isn't valid, but its error is printed.
        String shown = endpoint.replaceFirst("(?s)^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", "$1…@");
        return new SetupException("invalid endpoint \"" + shown + "\": use a URL such as https://127.0.0.1:7443, or dns:///HOST:PORT");
    }

    private ChannelCredentials credentials() {
        if (isPlaintext) {
            return InsecureChannelCredentials.create();
        }
        TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
        try {
            if (ca != null) {
                tls.trustManager(ca.certificates());
            }
            if (certificate != null) {
                warnIfReadableByOthers(key.file());
                tls.keyManager(certificate.certificates(), key.privateKey());
            }
        } catch (IOException error) {
            throw new SetupException("invalid TLS configuration: check the certificates and the key", error);
        }
        return tls.build();
    }

    private static void warnIfReadableByOthers(Path keyFile) {
        if (keyFile == null) {
            return;
        }
        Set<PosixFilePermission> permissions;
        try {
            permissions = Files.getPosixFilePermissions(keyFile);
        } catch (IOException | UnsupportedOperationException error) {
            // An unreadable file is reported when it is read; a file system without these permissions has nothing to check.
            return;
        }
        boolean isReadable =
                permissions.contains(PosixFilePermission.GROUP_READ) || permissions.contains(PosixFilePermission.OTHERS_READ);
        if (isReadable && WARNED.add(keyFile.toAbsolutePath())) {
            System.getLogger("io.sealward.client")
                    .log(System.Logger.Level.WARNING, "other users can read the client key file {0}: run chmod 600 {0}", keyFile);
        }
    }

    /** The key files that have been reported. */
    private static final Set<Path> WARNED = ConcurrentHashMap.newKeySet();

    private static final String TOKEN_OVER_PLAINTEXT = "bearer tokens require TLS: use https://";
}
