//! How TLS is spoken here: versions, cipher provider, certificates, whom to believe.
//!
//! Client certificates are verified when they are shown and may be left out: who must show one is the identity layer's question.
//! Nothing here knows sockets or names, and nothing here decides when files are read.

use std::{sync::Arc, time::Duration};

use fieldseal_core::id::Timestamp;
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime},
    server::{
        ServerSessionMemoryCache, StoresServerSessions, VerifierBuilderError, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::X509Certificate, prelude::FromDer, revocation_list::CertificateRevocationList, time::ASN1Time,
};

use crate::{
    config::{Tls, TlsVersion},
    pem::{self, PemError},
};

/// Sessions that can be resumed. Each costs about 4 KB; whoever finds its own gone makes a whole handshake.
const SESSIONS_MAX: usize = 256;

/// Why TLS can't be spoken as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file doesn't give what it should.
    #[error("a file of [tls] can't be used")]
    Pem(#[from] PemError),
    /// A client CA isn't one.
    #[error("tls.client_ca has a certificate that can't be a trust anchor")]
    ClientCa(#[source] rustls::Error),
    /// The client CAs and revocation lists make no verifier.
    #[error("client certificates can't be verified with tls.client_ca and tls.client_crl")]
    Verifier(#[from] VerifierBuilderError),
    /// The certificate and the key don't fit, or can't be used.
    #[error("tls.certificate and tls.key make no server certificate")]
    Certificate(#[source] rustls::Error),
    /// The provider has no cipher suite for the versions.
    #[error("the cipher provider doesn't speak the TLS versions asked for")]
    Versions(#[source] rustls::Error),
}

/// The terms on which connections are made: what the server shows, and whom it believes. Exchanged as a whole.
#[derive(Debug)]
pub(crate) struct Terms {
    /// For handshakes.
    pub(crate) server_config: Arc<ServerConfig>,
    /// What client certificates are verified by in these handshakes.
    pub(crate) trust: Arc<Trust>,
}

impl Terms {
    /// Reads the files and makes the terms that a start would make.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn load(tls: &Tls) -> Result<Self, TlsError> {
        Self::new(tls.minimum_version, &ServerCertificate::load(tls)?, &Arc::new(Trust::load(tls)?))
    }

    /// Terms of these parts. Sessions belong to the trust: they outlive another server certificate and end with another trust.
    ///
    /// # Errors
    /// [`TlsError::Versions`]
    pub(crate) fn new(
        minimum_version: TlsVersion,
        certificate: &ServerCertificate,
        trust: &Arc<Trust>,
    ) -> Result<Self, TlsError> {
        let resolver = SingleCertAndKey::from(Arc::clone(&certificate.certified));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&versions(minimum_version))
            .map_err(TlsError::Versions)?
            .with_client_cert_verifier(Arc::clone(&trust.verifier))
            .with_cert_resolver(Arc::new(resolver));
        // gRPC is HTTP/2; a client that offers only something else is told so in the handshake.
        config.alpn_protocols = vec![b"h2".to_vec()];
        // No 0-RTT: what it carries can be replayed.
        config.max_early_data_size = 0;
        config.session_storage = Arc::clone(&trust.sessions);
        Ok(Self { server_config: Arc::new(config), trust: Arc::clone(trust) })
    }
}

/// The server's certificate, with those between it and its CA, and its key, which fits.
#[derive(Debug)]
pub(crate) struct ServerCertificate {
    certified: Arc<CertifiedKey>,
}

/// Of one chain, since the key fits the certificate.
impl PartialEq for ServerCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }
}

impl ServerCertificate {
    /// Reads the files of `tls.certificate` and `tls.key`.
    ///
    /// # Errors
    /// [`TlsError`]: among others, that the key is another certificate's.
    pub(crate) fn load(tls: &Tls) -> Result<Self, TlsError> {
        let chain = pem::certificates(&tls.certificate)?;
        let key = pem::private_key(&tls.key)?;
        let certified =
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(TlsError::Certificate)?;
        Ok(Self { certified: Arc::new(certified) })
    }

    /// What people know it by: subject, and the end of its time.
    pub(crate) fn describe(&self) -> Option<(String, ASN1Time)> {
        let (_, certificate) = X509Certificate::from_der(self.certified.cert.first()?).ok()?;
        Some((certificate.subject().to_string(), certificate.validity().not_after))
    }

    /// SHA-256 of the certificate, in hex, as `openssl x509 -fingerprint -sha256` shows it without colons.
    pub(crate) fn fingerprint(&self) -> String {
        let digest = self.certified.cert.first().map(Sha256::digest).unwrap_or_default();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Whose client certificates are believed, and the sessions that were begun with such certificates.
pub(crate) struct Trust {
    client_cas: Vec<CertificateDer<'static>>,
    revocation_lists: Vec<CertificateRevocationListDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
    sessions: Arc<dyn StoresServerSessions>,
}

/// Of the same CAs and lists.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.client_cas == other.client_cas && self.revocation_lists == other.revocation_lists
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust")
            .field("client_cas", &self.client_cas.len())
            .field("revocation_lists", &self.revocation_lists.len())
            .finish_non_exhaustive()
    }
}

impl Trust {
    /// Reads the files of `tls.client_ca` and `tls.client_crl`.
    ///
    /// With lists, every CA that issued a certificate of a client's chain needs one: a certificate of which nobody can say whether it was
    /// revoked is refused. A list past its time goes on being used, since what it names stays revoked and a late list must not keep
    /// everybody out; [`Trust::late_lists`] tells of it.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn load(tls: &Tls) -> Result<Self, TlsError> {
        let (client_cas, revocation_lists) = read_trust(tls)?;
        Self::new(client_cas, revocation_lists)
    }

    /// As [`load`](Self::load), but gives back what there is if the files say the same.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn load_unless_same(tls: &Tls, before: &Arc<Self>) -> Result<Arc<Self>, TlsError> {
        let (client_cas, revocation_lists) = read_trust(tls)?;
        if client_cas == before.client_cas && revocation_lists == before.revocation_lists {
            return Ok(Arc::clone(before));
        }
        Self::new(client_cas, revocation_lists).map(Arc::new)
    }

    fn new(
        client_cas: Vec<CertificateDer<'static>>,
        revocation_lists: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Self, TlsError> {
        let mut anchors = RootCertStore::empty();
        for certificate in &client_cas {
            anchors.add(certificate.clone()).map_err(TlsError::ClientCa)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), provider)
            .with_crls(revocation_lists.iter().cloned())
            .allow_unauthenticated()
            .build()?;
        Ok(Self { client_cas, revocation_lists, verifier, sessions: ServerSessionMemoryCache::new(SESSIONS_MAX) })
    }

    /// Whether a handshake at this time would accept this chain: the client's certificate, then those between it and its CA.
    ///
    /// # Errors
    /// Why it wouldn't.
    pub(crate) fn verify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), rustls::Error> {
        let (certificate, intermediates) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let now = UnixTime::since_unix_epoch(Duration::from_micros(now.unix_micros().max(0).unsigned_abs()));
        self.verifier.verify_client_cert(certificate, intermediates, now).map(|_| ())
    }

    /// How many CAs there are.
    pub(crate) fn client_cas(&self) -> usize {
        self.client_cas.len()
    }

    /// How many revocation lists there are.
    pub(crate) fn revocation_lists(&self) -> usize {
        self.revocation_lists.len()
    }

    /// The subjects of client CAs that have no list, where there are lists: nobody with their certificates gets in.
    pub(crate) fn cas_without_list(&self) -> Vec<String> {
        if self.revocation_lists.is_empty() {
            return Vec::new();
        }
        let listed: Vec<_> = self.parsed_lists().map(|list| list.tbs_cert_list.issuer.as_raw().to_vec()).collect();
        self.client_cas
            .iter()
            .filter_map(|certificate| X509Certificate::from_der(certificate).ok())
            .map(|(_, certificate)| certificate.tbs_certificate.subject)
            .filter(|subject| !listed.iter().any(|issuer| issuer == subject.as_raw()))
            .map(|subject| subject.to_string())
            .collect()
    }

    /// The issuers of lists whose next one was due before this time.
    pub(crate) fn late_lists(&self, now: Timestamp) -> Vec<String> {
        let now_seconds = now.unix_millis().div_euclid(1_000);
        self.parsed_lists()
            .filter(|list| list.next_update().is_some_and(|due| due.timestamp() < now_seconds))
            .map(|list| list.issuer().to_string())
            .collect()
    }

    fn parsed_lists(&self) -> impl Iterator<Item = CertificateRevocationList<'_>> {
        self.revocation_lists
            .iter()
            .filter_map(|list| CertificateRevocationList::from_der(list).ok())
            .map(|(_, list)| list)
    }
}

type TrustFiles = (Vec<CertificateDer<'static>>, Vec<CertificateRevocationListDer<'static>>);

fn read_trust(tls: &Tls) -> Result<TrustFiles, PemError> {
    let client_cas = pem::certificates(&tls.client_ca)?;
    let revocation_lists = tls.client_crl.as_deref().map(pem::revocation_lists).transpose()?.unwrap_or_default();
    Ok((client_cas, revocation_lists))
}

fn versions(minimum: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match minimum {
        TlsVersion::V1_2 => vec![&TLS13, &TLS12],
        TlsVersion::V1_3 => vec![&TLS13],
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
        KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
    };

    use super::*;
    use crate::development::Development;

    /// The terms of a development server, whose folder isn't needed any more.
    pub(crate) fn terms() -> Arc<Terms> {
        let (_folder, tls) = settings();
        Arc::new(Terms::load(&tls).unwrap())
    }

    fn settings() -> (tempfile::TempDir, Tls) {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::prepare(folder.path()).unwrap();
        let tls = development.config().unwrap().tls;
        (folder, tls)
    }

    /// A CA of this name that can issue certificates and lists.
    struct Ca {
        pem: String,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Ca {
        fn new(name: &str) -> Self {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let key = KeyPair::generate().unwrap();
            let pem = params.self_signed(&key).unwrap().pem();
            Self { pem, issuer: Issuer::new(params, key) }
        }

        fn certificate(&self, serial: u64) -> CertificateDer<'static> {
            let mut params = CertificateParams::default();
            params.serial_number = Some(SerialNumber::from(serial));
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()
        }

        /// A list due in 2031 that revokes this one.
        fn list(&self, serial: u64) -> String {
            let revoked = RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            };
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(2020, 1, 1),
                next_update: date_time_ymd(2031, 1, 1),
                crl_number: SerialNumber::from(1),
                issuing_distribution_point: None,
                revoked_certs: vec![revoked],
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(&self.issuer).unwrap().pem().unwrap()
        }
    }

    fn trust(cas: &[&Ca], lists: &str) -> Result<Trust, TlsError> {
        let (folder, mut tls) = settings();
        std::fs::write(&tls.client_ca, cas.iter().map(|ca| ca.pem.as_str()).collect::<String>()).unwrap();
        if !lists.is_empty() {
            let file = folder.path().join("crl.pem");
            std::fs::write(&file, lists).unwrap();
            tls.client_crl = Some(file);
        }
        Trust::load(&tls)
    }

    const IN_2030: Timestamp = Timestamp::from_unix_micros(1_900_000_000_000_000);
    const IN_2033: Timestamp = Timestamp::from_unix_micros(2_000_000_000_000_000);

    #[test]
    fn h2_is_the_only_protocol_and_nothing_comes_early() {
        let terms = terms();
        assert_eq!(terms.server_config.alpn_protocols, [b"h2"]);
        assert_eq!(terms.server_config.max_early_data_size, 0);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (folder, mut tls) = settings();
        tls.key = folder.path().join("tls/admin.key");
        assert!(matches!(Terms::load(&tls), Err(TlsError::Certificate(_))));
    }

    #[test]
    fn a_certificate_on_a_list_is_refused_and_others_of_its_ca_are_not() {
        let ca = Ca::new("one");
        let trust = trust(&[&ca], &ca.list(7)).unwrap();
        let revoked = trust.verify(&[ca.certificate(7)], IN_2030).unwrap_err();
        assert!(matches!(revoked, rustls::Error::InvalidCertificate(rustls::CertificateError::Revoked)), "{revoked}");
        trust.verify(&[ca.certificate(8)], IN_2030).unwrap();
    }

    #[test]
    fn with_lists_a_ca_without_one_is_named_and_nobody_of_it_gets_in() {
        let (listed, unlisted) = (Ca::new("listed"), Ca::new("unlisted"));
        let both = trust(&[&listed, &unlisted], &listed.list(7)).unwrap();
        assert_eq!(both.cas_without_list().len(), 1);
        assert!(both.cas_without_list()[0].contains("CN=unlisted"), "{:?}", both.cas_without_list());
        let unknown = both.verify(&[unlisted.certificate(8)], IN_2030).unwrap_err();
        let expected = rustls::CertificateError::UnknownRevocationStatus;
        assert_eq!(unknown, rustls::Error::InvalidCertificate(expected));

        let without_lists = trust(&[&listed, &unlisted], "").unwrap();
        assert_eq!(without_lists.cas_without_list(), [""; 0]);
        without_lists.verify(&[unlisted.certificate(8)], IN_2030).unwrap();
    }

    #[test]
    fn a_late_list_is_named_and_still_used() {
        let ca = Ca::new("one");
        let trust = trust(&[&ca], &ca.list(7)).unwrap();
        assert_eq!(trust.late_lists(IN_2030), [""; 0]);
        assert_eq!(trust.late_lists(IN_2033).len(), 1);
        assert!(trust.verify(&[ca.certificate(7)], IN_2033).is_err());
        trust.verify(&[ca.certificate(8)], IN_2033).unwrap();
    }

    #[test]
    fn a_list_by_somebody_else_revokes_nothing_and_lets_nobody_in() {
        let (ca, impostor) = (Ca::new("one"), Ca::new("one"));
        let trust = trust(&[&ca], &impostor.list(7)).unwrap();
        assert!(trust.verify(&[ca.certificate(8)], IN_2030).is_err());
    }

    #[test]
    fn a_broken_list_is_refused() {
        let ca = Ca::new("one");
        let not_der = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
        assert!(matches!(trust(&[&ca], not_der), Err(TlsError::Verifier(_))));
        assert!(matches!(trust(&[&ca], "text\n"), Err(TlsError::Pem(PemError::Missing { .. }))));
    }

    #[test]
    fn sessions_outlive_another_server_certificate_and_end_with_another_trust() {
        let (_folder, tls) = settings();
        let (certificate, trust) = (ServerCertificate::load(&tls).unwrap(), Arc::new(Trust::load(&tls).unwrap()));
        let made = |trust| Terms::new(tls.minimum_version, &certificate, trust).unwrap().server_config;
        let first = made(&trust);
        assert!(Arc::ptr_eq(&first.session_storage, &made(&trust).session_storage));
        let again = Arc::new(Trust::load(&tls).unwrap());
        assert!(!Arc::ptr_eq(&first.session_storage, &made(&again).session_storage));
    }
}
