//! How TLS is spoken here: versions, cipher provider, certificates, whom to believe.
//!
//! Client certificates are verified when they are shown and may be left out: who must show one is the identity layer's question.
//! Nothing here knows sockets or names, and nothing here decides when files are read.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fieldseal_core::{hex::hex, id::Timestamp, identity::Identity};
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
    handshake::Remembering,
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
    #[error("tls.client_ca or a trust domain's bundle has a certificate that can't be a trust anchor")]
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
            .with_client_cert_verifier(Arc::new(Remembering(Arc::clone(&trust.verifier))))
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
        hex(&self.certified.cert.first().map(Sha256::digest).unwrap_or_default())
    }
}

/// Whose client certificates are believed, and the sessions that were begun with such certificates.
pub(crate) struct Trust {
    files: TrustFiles,
    /// By any of the CAs: for handshakes, which don't know yet whom a certificate names.
    verifier: Arc<dyn ClientCertVerifier>,
    /// By those that speak for some names only; none where there are no trust domains.
    narrower: Option<Narrower>,
    sessions: Arc<dyn StoresServerSessions>,
}

/// Who speaks for which names.
struct Narrower {
    /// SPIFFE ids, by their trust domain.
    trust_domains: BTreeMap<String, Arc<dyn ClientCertVerifier>>,
    /// All other names.
    others: Arc<dyn ClientCertVerifier>,
}

/// What the files say.
#[derive(PartialEq)]
struct TrustFiles {
    client_cas: Vec<CertificateDer<'static>>,
    trust_domains: BTreeMap<String, Vec<CertificateDer<'static>>>,
    revocation_lists: Vec<CertificateRevocationListDer<'static>>,
}

/// Of the same CAs and lists.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust")
            .field("client_cas", &self.client_cas())
            .field("revocation_lists", &self.revocation_lists())
            .finish_non_exhaustive()
    }
}

impl Trust {
    /// Reads the files of `tls.client_ca`, `tls.client_crl` and `[[trust_domains]]`.
    ///
    /// With lists, every CA that issued a certificate of a client's chain needs one: a certificate of which nobody can say whether it was
    /// revoked is refused. A list past its time goes on being used, since what it names stays revoked and a late list must not keep
    /// everybody out; [`Trust::late_lists`] tells of it.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn load(tls: &Tls) -> Result<Self, TlsError> {
        Self::new(TrustFiles::read(tls)?)
    }

    /// As [`load`](Self::load), but gives back what there is if the files say the same.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn load_unless_same(tls: &Tls, before: &Arc<Self>) -> Result<Arc<Self>, TlsError> {
        let files = TrustFiles::read(tls)?;
        if files == before.files {
            return Ok(Arc::clone(before));
        }
        Self::new(files).map(Arc::new)
    }

    fn new(files: TrustFiles) -> Result<Self, TlsError> {
        let by = |cas: &mut dyn Iterator<Item = &CertificateDer<'static>>| verifier(cas, &files.revocation_lists);
        let narrower = if files.trust_domains.is_empty() {
            None
        } else {
            let domains = files.trust_domains.iter();
            let trust_domains = domains.map(|(name, cas)| Ok((name.clone(), by(&mut cas.iter())?)));
            Some(Narrower {
                trust_domains: trust_domains.collect::<Result<_, TlsError>>()?,
                others: by(&mut files.client_cas.iter())?,
            })
        };
        let verifier = by(&mut files.all_cas())?;
        Ok(Self { verifier, narrower, files, sessions: ServerSessionMemoryCache::new(SESSIONS_MAX) })
    }

    /// Whether a handshake at this time would accept this chain: the client's certificate, then those between it and its CA; and whether
    /// that CA speaks for the name in it.
    ///
    /// # Errors
    /// Why it wouldn't.
    pub(crate) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(), rustls::Error> {
        let (certificate, intermediates) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let now = UnixTime::since_unix_epoch(Duration::from_micros(now.unix_micros().max(0).unsigned_abs()));
        let nobody = || rustls::Error::General("the trust domain isn't known".to_owned());
        let verifier = match (&self.narrower, identity) {
            (None, _) => &self.verifier,
            (Some(narrower), Identity::Spiffe(id)) => {
                narrower.trust_domains.get(id.trust_domain()).ok_or_else(nobody)?
            }
            (Some(narrower), Identity::Dns(_) | Identity::CommonName(_) | Identity::Jwt { .. }) => &narrower.others,
        };
        verifier.verify_client_cert(certificate, intermediates, now).map(|_| ())
    }

    /// As [`verify`](Self::verify), right after the handshake: only what that didn't look at.
    ///
    /// # Errors
    /// Why the CA doesn't speak for the name.
    pub(crate) fn verify_name(
        &self,
        chain: &[CertificateDer<'_>],
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(), rustls::Error> {
        if self.narrower.is_some() { self.verify(chain, identity, now) } else { Ok(()) }
    }

    /// How many CAs there are.
    pub(crate) fn client_cas(&self) -> usize {
        self.files.all_cas().count()
    }

    /// How many revocation lists there are.
    pub(crate) fn revocation_lists(&self) -> usize {
        self.files.revocation_lists.len()
    }

    /// The subjects of client CAs that have no list, where there are lists: nobody with their certificates gets in.
    pub(crate) fn cas_without_list(&self) -> Vec<String> {
        if self.files.revocation_lists.is_empty() {
            return Vec::new();
        }
        let listed: Vec<_> = self.parsed_lists().map(|list| list.tbs_cert_list.issuer.as_raw().to_vec()).collect();
        self.files
            .all_cas()
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
        self.files
            .revocation_lists
            .iter()
            .filter_map(|list| CertificateRevocationList::from_der(list).ok())
            .map(|(_, list)| list)
    }
}

impl TrustFiles {
    fn read(tls: &Tls) -> Result<Self, PemError> {
        let bundle = |(name, path): (&String, &std::path::PathBuf)| Ok((name.clone(), pem::certificates(path)?));
        Ok(Self {
            client_cas: pem::certificates(&tls.client_ca)?,
            trust_domains: tls.trust_domains.iter().map(bundle).collect::<Result<_, PemError>>()?,
            revocation_lists: tls.client_crl.as_deref().map(pem::revocation_lists).transpose()?.unwrap_or_default(),
        })
    }

    fn all_cas(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.client_cas.iter().chain(self.trust_domains.values().flatten())
    }
}

/// Verifies by these CAs and lists.
fn verifier(
    cas: &mut dyn Iterator<Item = &CertificateDer<'static>>,
    revocation_lists: &[CertificateRevocationListDer<'static>],
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut anchors = RootCertStore::empty();
    for certificate in cas {
        anchors.add(certificate.clone()).map_err(TlsError::ClientCa)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), provider)
        .with_crls(revocation_lists.iter().cloned())
        .allow_unauthenticated()
        .build()?)
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

    fn ada() -> Identity {
        Identity::CommonName("ada".to_owned())
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
        let revoked = trust.verify(&[ca.certificate(7)], &ada(), IN_2030).unwrap_err();
        assert!(matches!(revoked, rustls::Error::InvalidCertificate(rustls::CertificateError::Revoked)), "{revoked}");
        trust.verify(&[ca.certificate(8)], &ada(), IN_2030).unwrap();
    }

    #[test]
    fn with_lists_a_ca_without_one_is_named_and_nobody_of_it_gets_in() {
        let (listed, unlisted) = (Ca::new("listed"), Ca::new("unlisted"));
        let both = trust(&[&listed, &unlisted], &listed.list(7)).unwrap();
        assert_eq!(both.cas_without_list().len(), 1);
        assert!(both.cas_without_list()[0].contains("CN=unlisted"), "{:?}", both.cas_without_list());
        let unknown = both.verify(&[unlisted.certificate(8)], &ada(), IN_2030).unwrap_err();
        let expected = rustls::CertificateError::UnknownRevocationStatus;
        assert_eq!(unknown, rustls::Error::InvalidCertificate(expected));

        let without_lists = trust(&[&listed, &unlisted], "").unwrap();
        assert_eq!(without_lists.cas_without_list(), [""; 0]);
        without_lists.verify(&[unlisted.certificate(8)], &ada(), IN_2030).unwrap();
    }

    #[test]
    fn a_late_list_is_named_and_still_used() {
        let ca = Ca::new("one");
        let trust = trust(&[&ca], &ca.list(7)).unwrap();
        assert_eq!(trust.late_lists(IN_2030), [""; 0]);
        assert_eq!(trust.late_lists(IN_2033).len(), 1);
        assert!(trust.verify(&[ca.certificate(7)], &ada(), IN_2033).is_err());
        trust.verify(&[ca.certificate(8)], &ada(), IN_2033).unwrap();
    }

    #[test]
    fn a_list_by_somebody_else_revokes_nothing_and_lets_nobody_in() {
        let (ca, impostor) = (Ca::new("one"), Ca::new("one"));
        let trust = trust(&[&ca], &impostor.list(7)).unwrap();
        assert!(trust.verify(&[ca.certificate(8)], &ada(), IN_2030).is_err());
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

    #[test]
    fn a_trust_domain_is_spoken_for_by_its_own_cas_only() {
        let (folder, mut tls) = settings();
        let [domain_ca, other_ca, names_ca] = ["domain", "other", "names"].map(|name| {
            let ca = Ca::new(name);
            std::fs::write(folder.path().join(name), &ca.pem).unwrap();
            ca
        });
        tls.client_ca = folder.path().join("names");
        tls.trust_domains =
            ["domain", "other"].map(|name| (format!("{name}.example"), folder.path().join(name))).into();
        let trust = Trust::load(&tls).unwrap();
        assert_eq!(trust.client_cas(), 3);
        let workload: Identity = "spiffe:domain.example/a".parse().unwrap();
        let unknown: Identity = "spiffe:unknown.example/a".parse().unwrap();
        for (ca, identity, is_believed) in [
            (&domain_ca, &workload, true),
            (&other_ca, &workload, false),
            (&names_ca, &workload, false),
            (&domain_ca, &unknown, false),
            (&names_ca, &unknown, false),
            (&domain_ca, &ada(), false),
            (&names_ca, &ada(), true),
        ] {
            let chain = [ca.certificate(1)];
            assert_eq!(trust.verify(&chain, identity, IN_2030).is_ok(), is_believed, "{identity}");
            assert_eq!(trust.verify_name(&chain, identity, IN_2030).is_ok(), is_believed, "{identity}");
        }
    }
}
