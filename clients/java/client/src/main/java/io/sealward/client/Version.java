package io.sealward.client;

/** The version of the client, which is also in its header and in the project files. */
final class Version {
    private Version() {}

    static final String VERSION = "0.1.0";
}
