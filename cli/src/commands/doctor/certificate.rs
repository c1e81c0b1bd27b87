//! Checks the client certificate and its key, and describes certificates.

use std::{fs, path::Path};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::report::Report;
use crate::connection::Connection;

const CHECK: &str = "client certificate";

/// A certificate that expires sooner causes a warning.
const SOON_DAYS: i64 = 30;

const DAY_SECONDS: i64 = 86_400;

/// The client certificate with its intermediate certificates, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Reads the client certificate and its key, and checks them. `None`: there is none, or it can't be used.
pub(super) fn identity(connection: &Connection, now: i64, report: &mut Report) -> Option<Identity> {
    let options = connection.options();
    let (Some(certificate), Some(key)) = (options.cert(), options.key()) else {
        match options.token_file() {
            Some(_) => report.ok(CHECK, "none: the bearer token is the identity"),
            None => report.warning(
                CHECK,
                "no certificate and no token: the server refuses every call",
                "use --cert and --key, --token-file, or --dev and --as",
            ),
        }
        return None;
    };
    let chain = read(certificate, |pem| sealward_pem::certificates(pem).map_err(|error| error.to_string()));
    let key_read = read(key, |pem| sealward_pem::private_key(pem).map_err(|error| error.to_string()));
    let (chain, private_key) = match (chain, key_read) {
        (Ok(chain), Ok(key)) => (chain, key),
        (Err(problem), _) | (_, Err(problem)) => {
            report.failed(
                CHECK,
                problem,
                "use a readable certificate and its unencrypted key, in PEM: --cert and --key",
            );
            return None;
        }
    };
    let leaf = chain.first()?;
    let described = Described::of(leaf);
    match described.validity_problem(now) {
        Some(Validity::Invalid(problem)) => {
            let remedy = "request a new certificate, and use it with --cert and --key; if its dates are right, correct this machine's clock";
            report.failed(CHECK, format!("{}: {problem}", certificate.display()), remedy);
        }
        Some(Validity::Soon(problem)) => {
            report.warning(CHECK, format!("{described}: {problem}"), "request a new certificate in time");
        }
        None => report.ok(CHECK, described.to_string()),
    }
    key_permissions(key, report);
    Some((chain, private_key))
}

fn read<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T, String> {
    let pem = fs::read(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| format!("can't read {}: {error}", path.display()))?;
    parse(&pem).map_err(|problem| format!("{}: {problem}", path.display()))
}

#[cfg(unix)]
fn key_permissions(key: &Path, report: &mut Report) {
    use std::os::unix::fs::PermissionsExt as _;

    const CHECK: &str = "key file";
    match fs::metadata(key).map(|metadata| metadata.permissions().mode()) {
        Ok(mode) if mode & 0o077 != 0 => report.warning(
            CHECK,
            format!("other users of this machine can open {}", key.display()),
            format!("chmod 600 {}", key.display()),
        ),
        Ok(_) => report.ok(CHECK, format!("only its owner can open {}", key.display())),
        Err(error) => report.not_checked(CHECK, format!("{}: {error}", key.display())),
    }
}

#[cfg(not(unix))]
fn key_permissions(_key: &Path, _report: &mut Report) {}

/// What people compare about a certificate.
pub(super) struct Described {
    names: Vec<String>,
    issuer: String,
    not_before: i64,
    not_after: i64,
    /// The days of its validity, as in `2027-11-23`.
    days: Option<(String, String)>,
}

/// Why a certificate can't be used, or not for long.
pub(super) enum Validity {
    Invalid(String),
    Soon(String),
}

impl Described {
    /// Parses a certificate. Fields that can't be parsed are empty.
    pub(super) fn of(der: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            return Self { names: Vec::new(), issuer: String::new(), not_before: 0, not_after: i64::MAX, days: None };
        };
        let validity = certificate.validity();
        let day = |time: x509_parser::time::ASN1Time| time.to_datetime().date().to_string();
        Self {
            names: names(&certificate),
            issuer: certificate.issuer().to_string(),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            days: Some((day(validity.not_before), day(validity.not_after))),
        }
    }

    /// The problem of its validity at this time, in seconds since 1970.
    pub(super) fn validity_problem(&self, now: i64) -> Option<Validity> {
        let (first, last) = self.days.as_ref()?;
        if now < self.not_before {
            return Some(Validity::Invalid(format!("not valid before {first}")));
        }
        if now > self.not_after {
            return Some(Validity::Invalid(format!("expired on {last}")));
        }
        let days = (self.not_after - now) / DAY_SECONDS;
        (days < SOON_DAYS).then(|| Validity::Soon(format!("expires in {days} days")))
    }
}

impl std::fmt::Display for Described {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some((_, last)) = &self.days else { return formatter.write_str("a certificate that can't be parsed") };
        write!(formatter, "{}, issued by {}, valid until {last}", self.names.join(", "), self.issuer)
    }
}

/// The alternative names, or the subject if there are none.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let shown = |name: &GeneralName<'_>| {
        if let GeneralName::DNSName(name) | GeneralName::URI(name) = name {
            Some((*name).to_owned())
        } else if let GeneralName::IPAddress(bytes) = name {
            ip_address(bytes)
        } else {
            None
        }
    };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> =
        alternative.iter().flat_map(|extension| &extension.value.general_names).filter_map(shown).collect();
    if names.is_empty() { vec![certificate.subject().to_string()] } else { names }
}

fn ip_address(bytes: &[u8]) -> Option<String> {
    let version_4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    version_4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(not_before: i64, not_after: i64) -> Described {
        let days = Some(("2026-01-01".to_owned(), "2026-12-31".to_owned()));
        Described { names: vec!["localhost".to_owned()], issuer: "CN=ca".to_owned(), not_before, not_after, days }
    }

    #[test]
    fn validity_is_compared_with_the_clock() {
        let year = described(0, 365 * DAY_SECONDS);
        assert!(year.validity_problem(10).is_none());
        assert!(
            matches!(year.validity_problem(-1), Some(Validity::Invalid(text)) if text.contains("not valid before"))
        );
        let last = 365 * DAY_SECONDS;
        assert!(matches!(year.validity_problem(last - 1), Some(Validity::Soon(text)) if text == "expires in 0 days"));
        assert!(year.validity_problem(last - 30 * DAY_SECONDS).is_none());
        assert!(matches!(year.validity_problem(last + 1), Some(Validity::Invalid(text)) if text.contains("expired")));
    }

    #[test]
    fn addresses_of_a_certificate_are_shown() {
        assert_eq!(ip_address(&[127, 0, 0, 1]).as_deref(), Some("127.0.0.1"));
        assert_eq!(ip_address(&[0; 16]).as_deref(), Some("::"));
        assert_eq!(ip_address(&[1]), None);
    }
}
