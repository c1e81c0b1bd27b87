//! The names of the two programs.

/// The names of a program.
pub(crate) struct Names {
    /// The program itself.
    pub(crate) program: &'static str,
    /// Its crate.
    pub(crate) krate: &'static str,
    /// Its Debian package, and its folder of documents.
    pub(crate) package: &'static str,
    pub(crate) summary: &'static str,
    /// Its manual page, below `share/man`.
    pub(crate) page: &'static str,
    /// The arguments that write its manual pages to a folder, which follows.
    pub(crate) manual: &'static [&'static str],
    /// The arguments that print a completion script, before the name of the shell.
    pub(crate) completions: &'static [&'static str],
}

pub(crate) const SERVER: Names = Names {
    program: "sealward-server",
    krate: "sealward-server",
    package: "sealward-server",
    summary: "gRPC service for records with encrypted fields",
    page: "man8/sealward-server.8",
    manual: &["reference", "man"],
    completions: &["reference", "completions"],
};

pub(crate) const CLI: Names = Names {
    program: "sealward",
    krate: "sealward-cli",
    package: "sealward",
    summary: "command line of Sealward, a service for encrypted records",
    page: "man1/sealward.1",
    manual: &["man", "--dir"],
    completions: &["completions"],
};
