//! A configuration file with every setting and a comment on each, for people to edit.
//!
//! What is given is written as a setting, what is left at its default as a comment that shows it. Knows nothing of files.

use std::fmt::Write;

use super::{
    DEFAULT_ADDRESS,
    limits::{LIMITS, Limit},
};

/// What a new configuration says. Paths are relative to its folder.
#[derive(Clone, Debug)]
pub struct Template<'a> {
    /// The first line: what this file is.
    pub title: &'a str,
    /// See [`super::Config::data_dir`].
    pub data_dir: &'a str,
    /// See [`super::Tls::certificate`].
    pub certificate: &'a str,
    /// See [`super::Tls::key`].
    pub key: &'a str,
    /// See [`super::Tls::client_ca`].
    pub client_ca: &'a str,
    /// See [`super::RootKey::files`].
    pub root_key: &'a str,
    /// Identities and their roles, in all organizations.
    pub bindings: &'a [(String, &'a str)],
}

impl Template<'_> {
    /// The text of the file.
    #[must_use]
    pub fn render(&self) -> String {
        let Self { title, data_dir, certificate, key, client_ca, root_key, bindings } = self;
        let bindings: String = bindings.iter().map(|(identity, role)| binding(identity, role)).collect();
        let limits: String = LIMITS.iter().map(limit).collect();
        format!(
            r#"# {title}
#
# Every setting is here; one that is commented out shows its default. Relative paths start at this file's folder.
# A change of [tls], with what is in its files, of [log] and of the bindings takes effect while the server runs: at SIGHUP, or by itself
# some seconds later. All else waits for the next start, and the log says so. What can't be used is reported there and changes nothing.

# The folder of configuration.db and organizations/. Only the server's own user needs to get in.
data_dir = "{data_dir}"

[listen]
# Where calls are taken, with TLS: IP:port. Port 0 takes a free one and prints it.
# address = "{DEFAULT_ADDRESS}"

# A second listener without TLS, for probes. It answers grpc.health.v1.Health, and everything else with HTTPS_REQUIRED. Default: none.
# plaintext_address = "127.0.0.1:7080"

[tls]
# The server's certificate in PEM, followed by those between it and its CA, and the private key of it.
certificate = "{certificate}"
key = "{key}"

# The CAs, in PEM, whose client certificates are believed.
client_ca = "{client_ca}"

# Certificate revocation lists in PEM. With them, every CA that issued one of a client's certificates needs a list here, or the client is
# refused. A list past its time goes on being used, and the log warns. Default: none, and nothing is revoked.
# client_crl = "crl.pem"

# The oldest version of TLS spoken: "1.3" or "1.2".
# minimum_version = "1.3"

[root_key]
# Files of 32 random bytes, mode 0600, that seal the encryption keys' texts in configuration.db. The first seals, all open.
# Without them the keys have to be restored by hand: keep a copy elsewhere.
files = ["{root_key}"]

[limits]
{limits}[log]
# What goes to stderr: "off", "error", "warn", "info", "debug" or "trace".
# level = "info"

# Who has which role where. Nobody else may do anything.
#   identity        "spiffe:…", "dns:…" or "cn:…": from a client certificate its SPIFFE id, else its first DNS name, else its common name
#   role            "system-administrator", "record-writer", "record-reader", "mail-connector" or "auditor", or one of the key privileges:
#                   "prvReadSqlEncryptionKey", "prvChangeSqlEncryptionKey", "prvRestoreSqlEncryptionKey"
#   organizations   their names, or ["*"] for all, those to come included
{bindings}"#
        )
    }
}

fn limit(limit: &Limit) -> String {
    let Limit { name, unit, default, minimum, maximum, doc } = limit;
    let mut text = String::new();
    for line in *doc {
        let _infallible = writeln!(text, "#{line}");
    }
    let _infallible = writeln!(text, "# {minimum} to {maximum} {unit}, {default} by default.\n# {name} = {default}\n");
    text
}

fn binding(identity: &str, role: &str) -> String {
    format!("\n[[bindings]]\nidentity = \"{identity}\"\nrole = \"{role}\"\norganizations = [\"*\"]\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, limits::Limits};

    fn rendered() -> String {
        Template {
            title: "Test.",
            data_dir: ".",
            certificate: "server.pem",
            key: "server.key",
            client_ca: "ca.pem",
            root_key: "root.key",
            bindings: &[("cn:admin".to_owned(), "system-administrator")],
        }
        .render()
    }

    #[test]
    fn the_template_is_a_configuration() {
        let config = Config::parse(&rendered(), Path::new("/srv/fieldseal.toml")).unwrap();
        assert_eq!(config.data_dir, Path::new("/srv"));
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.bindings.len(), 1);
    }

    #[test]
    fn every_default_shown_in_a_comment_is_the_default() {
        let without_default = ["# plaintext_address", "# client_crl"];
        let uncommented: String = rendered()
            .lines()
            .filter(|line| !without_default.iter().any(|setting| line.starts_with(setting)))
            .map(|line| match line.strip_prefix("# ") {
                Some(setting) if setting.split_once(" = ").is_some_and(|(name, _)| !name.contains(' ')) => {
                    format!("{setting}\n")
                }
                Some(_) | None => format!("{line}\n"),
            })
            .collect();
        assert!(uncommented.contains("\nkey_changes_per_hour = 5\n"));
        assert!(uncommented.contains("\nlevel = \"info\"\n"));
        let written_out = Config::parse(&uncommented, Path::new("fieldseal.toml")).unwrap();
        let by_default = Config::parse(&rendered(), Path::new("fieldseal.toml")).unwrap();
        assert_eq!(format!("{written_out:?}"), format!("{by_default:?}"));
    }
}
