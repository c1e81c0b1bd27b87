//! Checks the files of `[tls]` and `[[trust_domains]]`: whether each can be read, whether the server's certificate and its key belong
//! together, the order of the chain, the names in the certificate, and the revocation lists. Dates are checked with all other certificates.
//!
//! This can't be checked here, because it isn't in the configuration: whether clients trust the CA of the server's certificate, and whether
//! its names are those that clients connect to. A running server refuses a certificate without a name of its current one; a check doesn't
//! know the current one.

use std::path::Path;

use rustls::{
    Error, InconsistentKeys,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};
use sealward_core::id::Timestamp;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{
    files::{self as paths, is_set},
    report::Report,
};
use crate::{
    certificates::Certificate,
    config::{Bundle, CertificateSource, Tls},
    error_chain,
    files::pem,
    finding::Severity,
    transport::tls::{TlsContext, TlsError, Trust, WORKLOAD_API, faults, of_chain},
    workload_api::Update,
};

const CERTIFICATE: &str = "tls.certificate";
const KEY: &str = "tls.key";
const CLIENT_CA: &str = "tls.client_ca";
const CLIENT_CRL: &str = "tls.client_crl";

/// Checks the settings at this time. `update` is that of the Workload API. Returns the certificates that could be read: those of the server,
/// and the CAs of callers.
pub(super) fn check(
    settings: &Tls,
    update: Option<&Update>,
    now: Timestamp,
    report: &mut Report,
) -> (Vec<Certificate>, Vec<Certificate>) {
    let server = match &settings.certificate {
        CertificateSource::Files { certificate, key } => files(certificate, key, now, report),
        CertificateSource::WorkloadApi(_) => match update {
            Some(update) => svid(update, now, report),
            // It is reported already, and without an update nothing below can be checked.
            None => return (Vec::new(), Vec::new()),
        },
    };
    let client_cas = client_trust(settings, update, now, report);
    // Every other problem of a start: last, and only if no error was reported above.
    let is_reported =
        report.findings.iter().any(|finding| finding.severity == Severity::Error && finding.subject.starts_with("tls"));
    if !is_reported && let Err(error) = TlsContext::load(settings, update) {
        report.error("tls", error_chain::text(&error), "correct the file or the setting that the problem names");
    }
    (server, client_cas)
}

/// The server's certificate and its key in files.
fn files(certificate: &Path, key: &Path, now: Timestamp, report: &mut Report) -> Vec<Certificate> {
    let chain = certificates(CERTIFICATE, certificate, report);
    let key = private_key(key, report);
    let chain_der = chain.as_deref().unwrap_or_default();
    let found = of_chain(chain_der, None);
    server_chain(&parsed(chain_der, report), now, report);
    if let (Some(chain), Some(key)) = (chain, key) {
        fits(chain, key, report);
    }
    found
}

/// The server's certificate from the Workload API. Its key, id, chain and dates were checked with the update.
fn svid(update: &Update, now: Timestamp, report: &mut Report) -> Vec<Certificate> {
    let found = of_chain(&update.certified.cert, Some(&update.id));
    for own in parsed(update.certified.cert.get(..1).unwrap_or_default(), report) {
        for fault in faults(&own, now) {
            let problem = format!("no client can accept the certificate of {}: {fault}", update.id);
            report.error(WORKLOAD_API, problem, "correct the registration entry of the server");
        }
    }
    if found.first().is_some_and(|own| !own.has_hosts()) {
        let problem = format!(
            "the certificate of {} has no DNS name: clients refuse it, except those that compare its SPIFFE id instead",
            update.id
        );
        let remedy = "add each DNS name that clients connect to to the registration entry of the server: \
                      spire-server entry update -dns NAME, with all other options of the entry";
        report.warning(WORKLOAD_API, problem, remedy);
    }
    found
}

/// The CAs whose client certificates are accepted, and the revocation lists. Returns the CAs, if all sources can be used.
fn client_trust(settings: &Tls, update: Option<&Update>, now: Timestamp, report: &mut Report) -> Vec<Certificate> {
    let cas_are_read = settings.client_ca.as_deref().is_none_or(|path| certificates(CLIENT_CA, path, report).is_some());
    let is_unread = |(name, bundle): &(&String, &Bundle)| match bundle {
        Bundle::File(path) => is_set(path) && certificates(&format!("trust_domains of {name}"), path, report).is_none(),
        Bundle::WorkloadApi => false,
    };
    // Every bundle is read, so that each unreadable one is reported.
    let bundles_are_read = settings.trust_domains.iter().filter(is_unread).count() == 0;
    let lists_are_read = settings.client_crl.as_deref().filter(|path| is_set(path)).is_none_or(|path| {
        let remedy = "put the CAs' certificate revocation lists into the file, in PEM";
        pem::revocation_lists(path).map_err(|error| report.error(CLIENT_CRL, error_chain::text(&error), remedy)).is_ok()
    });
    if !(cas_are_read && bundles_are_read && lists_are_read) {
        return Vec::new();
    }
    match Trust::load(settings, update) {
        Ok(trust) => {
            for list in trust.revocation_lists() {
                report.fact(CLIENT_CRL, list.to_string());
            }
            report.findings.extend(trust.findings(now));
            trust.client_cas().cloned().collect()
        }
        Err(error) => {
            report.error(subject(&error), error_chain::text(&error), remedy(&error));
            Vec::new()
        }
    }
}

/// The setting that an error is about.
fn subject(error: &TlsError) -> String {
    match error {
        TlsError::ClientCa { setting, .. } => setting.clone(),
        TlsError::RevocationList { .. } => CLIENT_CRL.to_owned(),
        TlsError::Bundle { trust_domain, .. } => format!("{WORKLOAD_API} of {trust_domain}"),
        TlsError::Pem(_)
        | TlsError::Certificate(_)
        | TlsError::Unusable { .. }
        | TlsError::NoWorkloadApi
        | TlsError::Versions(_) => "tls".to_owned(),
    }
}

/// The fix of an error of trust.
fn remedy(error: &TlsError) -> &'static str {
    match error {
        TlsError::ClientCa { .. } => "put only the certificates of CAs that issue client certificates into the file",
        TlsError::RevocationList { .. } => "replace the list, or remove it from the file together with its CA",
        TlsError::Bundle { .. } => "correct the bundle in the trust domain's SPIRE server or its federation",
        TlsError::NoWorkloadApi => "set tls.spiffe_workload_api, or a file for the trust domain: ca = \"FILE\"",
        TlsError::Pem(_) | TlsError::Certificate(_) | TlsError::Unusable { .. } | TlsError::Versions(_) => {
            "correct the file or the setting that the problem names"
        }
    }
}

fn certificates(setting: &str, path: &Path, report: &mut Report) -> Option<Vec<CertificateDer<'static>>> {
    if !is_set(path) {
        return None;
    }
    pem::certificates(path)
        .map_err(|error| report.error(setting, error_chain::text(&error), "put certificates into the file, in PEM"))
        .ok()
}

fn private_key(path: &Path, report: &mut Report) -> Option<PrivateKeyDer<'static>> {
    if !is_set(path) {
        return None;
    }
    paths::private(KEY, path, report);
    pem::private_key(path)
        .map_err(|error| {
            report.error(
                KEY,
                error_chain::text(&error),
                "put the certificate's private key into the file, unencrypted and in PEM",
            );
        })
        .ok()
}

fn parsed<'a>(chain: &'a [CertificateDer<'_>], report: &mut Report) -> Vec<X509Certificate<'a>> {
    let mut parsed = Vec::new();
    for (number, der) in (1..).zip(chain) {
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => parsed.push(certificate),
            Err(error) => {
                let problem = format!("certificate {number} of the file isn't a valid X.509 certificate: {error}");
                report.error(CERTIFICATE, problem, "replace it with the certificate that the CA issued");
            }
        }
    }
    parsed
}

fn server_chain(chain: &[X509Certificate<'_>], now: Timestamp, report: &mut Report) {
    let Some(own) = chain.first() else { return };
    for fault in faults(own, now) {
        let problem = format!("no client can accept the server's certificate, {}: {fault}", own.subject());
        report.error(CERTIFICATE, problem, fault.remedy());
    }
    for (number, pair) in (1..).zip(chain.windows(2)) {
        if let [issued, issuer] = pair
            && issued.issuer().as_raw() != issuer.subject().as_raw()
        {
            let problem = format!(
                "certificate {} of the file is {}, but certificate {number} was issued by {}",
                number + 1,
                issuer.subject(),
                issued.issuer()
            );
            report.error(CERTIFICATE, problem, "put each certificate after the one that it issued");
        }
    }
}

fn fits(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>, report: &mut Report) {
    let signing = match aws_lc_rs::default_provider().key_provider.load_private_key(key) {
        Ok(signing) => signing,
        Err(error) => {
            let problem = format!("TLS can't use the private key: {error}");
            return report.error(KEY, problem, "use an RSA, ECDSA or Ed25519 key, and a certificate for it");
        }
    };
    match CertifiedKey::new(chain, signing).keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => report.error(
            KEY,
            "the key does not belong to the first certificate in tls.certificate",
            "use the private key of the server's certificate, and put that certificate first",
        ),
        Err(error) => report.error(
            CERTIFICATE,
            format!("TLS can't use the server's certificate: {error}"),
            "replace it with the certificate that the CA issued for the key",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use rcgen::{
        BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType,
        ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, SerialNumber, date_time_ymd,
    };
    use tempfile::TempDir;

    use super::*;
    use crate::{certificates::Certificates, config::TlsVersion};

    /// 2026-01-01
    const NOW: Timestamp = Timestamp::from_unix_micros(1_767_225_600_000_000);

    /// The certificates of a test deployment. A test can change their parameters before they are issued.
    struct Made {
        folder: TempDir,
        ca_key: KeyPair,
        server_key: KeyPair,
    }

    fn ca_params() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2035, 1, 1));
        params
    }

    fn server_params() -> CertificateParams {
        let mut params = CertificateParams::new(vec!["sealward.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = (date_time_ymd(2025, 6, 1), date_time_ymd(2026, 6, 1));
        params
    }

    impl Made {
        fn new() -> Self {
            let pair = || KeyPair::generate().unwrap();
            let made = Made { folder: TempDir::new().unwrap(), ca_key: pair(), server_key: pair() };
            let ca = ca_params().self_signed(&made.ca_key).unwrap();
            made.write("client-ca.pem", &ca.pem());
            made.write("server.key", &made.server_key.serialize_pem());
            made.write("server.pem", &made.server(server_params()).pem());
            made
        }

        fn server(&self, params: CertificateParams) -> Certificate {
            params.signed_by(&self.server_key, &Issuer::new(ca_params(), &self.ca_key)).unwrap()
        }

        fn ca(&self, params: CertificateParams) -> String {
            params.self_signed(&self.ca_key).unwrap().pem()
        }

        /// An empty list of this CA. The next list is due in this year.
        fn list(&self, ca: CertificateParams, due: i32) -> String {
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(2024, 1, 1),
                next_update: date_time_ymd(due, 1, 1),
                crl_number: SerialNumber::from(1),
                issuing_distribution_point: None,
                revoked_certs: Vec::new(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(&Issuer::new(ca, &self.ca_key)).unwrap().pem().unwrap()
        }

        fn write(&self, name: &str, content: &str) {
            use std::os::unix::fs::PermissionsExt;
            fs::write(self.path(name), content).unwrap();
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn report(&self) -> Report {
            let lists = self.path("client-crl.pem");
            let settings = Tls {
                client_crl: lists.exists().then_some(lists),
                certificate: CertificateSource::Files {
                    certificate: self.path("server.pem"),
                    key: self.path("server.key"),
                },
                client_ca: Some(self.path("client-ca.pem")),
                minimum_version: TlsVersion::V1_3,
                trust_domains: std::collections::BTreeMap::new(),
            };
            let mut report = Report::default();
            let (server, client_cas) = check(&settings, None, NOW, &mut report);
            report.certificates(&Certificates { server, client_cas, ..Certificates::default() }, NOW);
            report
        }

        /// The only finding.
        #[track_caller]
        fn finding(&self) -> (Severity, String) {
            let mut report = self.report();
            assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
            let finding = report.findings.remove(0);
            (finding.severity, format!("{}: {}", finding.subject, finding.problem))
        }
    }

    #[track_caller]
    fn assert_says((severity, text): (Severity, String), wanted: Severity, part: &str) {
        assert_eq!(severity, wanted, "{text}");
        assert!(text.contains(part), "{text}");
    }

    #[test]
    fn valid_settings_are_reported_as_facts() {
        let report = Made::new().report();
        assert_eq!(report.findings, []);
        let facts: Vec<_> = report.facts.iter().map(|fact| fact.text.as_str()).collect();
        assert_eq!(
            facts,
            ["CN=server, for sealward.example, valid until 2026-06-01", "CN=Test CA, valid until 2035-01-01"]
        );
    }

    #[test]
    fn expired_certificate_is_an_error_and_expiring_one_a_warning() {
        let made = Made::new();
        let with = |begin, end| {
            let mut params = server_params();
            (params.not_before, params.not_after) = (begin, end);
            made.write("server.pem", &made.server(params).pem());
            made.finding()
        };
        let expired = with(date_time_ymd(2025, 1, 1), date_time_ymd(2025, 12, 31));
        assert_says(expired, Severity::Error, "expired on 2025-12-31");
        let early = with(date_time_ymd(2026, 2, 1), date_time_ymd(2027, 1, 1));
        assert_says(early, Severity::Error, "isn't valid before 2026-02-01");
        let soon = with(date_time_ymd(2025, 1, 1), date_time_ymd(2026, 1, 11));
        assert_says(soon, Severity::Warning, "expires on 2026-01-11, in 10 days");

        let made = Made::new();
        let mut params = ca_params();
        params.not_after = date_time_ymd(2025, 12, 31);
        let expired = made.ca(params);
        made.write("client-ca.pem", &expired);
        assert_says(made.finding(), Severity::Error, "tls.client_ca: the client CA");

        // In the chain of a certificate that is valid itself.
        let made = Made::new();
        made.write("server.pem", &(made.server(server_params()).pem() + &expired));
        let (severity, text) = made.finding();
        assert_says(
            (severity, text),
            Severity::Error,
            "in the chain of the server's certificate, expired on 2025-12-31",
        );
    }

    #[test]
    fn a_key_of_another_certificate_is_an_error() {
        let made = Made::new();
        made.write("server.key", &made.ca_key.serialize_pem());
        assert_says(made.finding(), Severity::Error, "tls.key: the key does not belong to the first certificate");
    }

    #[test]
    fn order_of_a_chain_is_checked() {
        let made = Made::new();
        let (server, ca) = (made.server(server_params()).pem(), made.ca(ca_params()));
        made.write("server.pem", &format!("{server}{ca}"));
        assert_eq!(made.report().findings, []);
        made.write("server.pem", &format!("{server}{server}"));
        assert_says(made.finding(), Severity::Error, "certificate 2 of the file is CN=");
        made.write("server.pem", &format!("{ca}{server}"));
        let problems: Vec<_> = made.report().findings.into_iter().map(|finding| finding.problem).collect();
        assert!(problems.iter().any(|problem| problem.contains("it is the certificate of a CA")), "{problems:?}");
        assert!(
            problems.iter().any(|problem| problem.contains("does not belong to the first certificate")),
            "{problems:?}"
        );
    }

    #[test]
    fn certificate_that_clients_refuse_is_reported() {
        let made = Made::new();
        let mut params = server_params();
        params.subject_alt_names.clear();
        made.write("server.pem", &made.server(params).pem());
        assert_says(made.finding(), Severity::Error, "no subject alternative names");
        let mut params = server_params();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        made.write("server.pem", &made.server(params).pem());
        assert_says(made.finding(), Severity::Error, "it isn't for servers");
    }

    #[test]
    fn client_ca_must_be_a_ca() {
        let made = Made::new();
        made.write("client-ca.pem", &made.server(server_params()).pem());
        assert_says(
            made.finding(),
            Severity::Error,
            "tls.client_ca: certificate 1 of tls.client_ca can't be a client CA",
        );
    }

    #[test]
    fn all_missing_or_wrong_files_are_named() {
        let made = Made::new();
        fs::remove_file(made.path("server.pem")).unwrap();
        made.write("server.key", "no key");
        made.write("client-ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let subjects: Vec<_> = made.report().findings.into_iter().map(|finding| finding.subject).collect();
        assert_eq!(subjects, ["tls.certificate", "tls.key", "tls.client_ca"]);
    }

    #[test]
    fn world_readable_key_is_a_warning() {
        use std::os::unix::fs::PermissionsExt;
        let made = Made::new();
        fs::set_permissions(made.path("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_says(made.finding(), Severity::Warning, "readable by all users");
    }

    #[test]
    fn missing_late_or_malformed_revocation_lists_are_reported() {
        let made = Made::new();
        made.write("client-crl.pem", &made.list(ca_params(), 2030));
        let report = made.report();
        assert_eq!(report.findings, []);
        assert_eq!(
            report.facts.first().unwrap().text,
            "list 1 of CN=Test CA, issued on 2024-01-01, next due on 2030-01-01, revokes 0"
        );
        made.write("client-crl.pem", &made.list(server_params(), 2030));
        assert_says(
            made.finding(),
            Severity::Warning,
            "tls.client_crl: the client CA CN=Test CA has no usable revocation list",
        );
        made.write("client-crl.pem", &made.list(ca_params(), 2025));
        assert_says(
            made.finding(),
            Severity::Warning,
            "of CN=Test CA, issued on 2024-01-01, next due on 2025-01-01, revokes 0: it has expired",
        );
        made.write("client-crl.pem", "no lists");
        assert_says(made.finding(), Severity::Error, "tls.client_crl: ");
    }
}
