//! The folder of a development server: a CA, certificates for each role, a root key and a configuration.
//!
//! Only missing files are written, so a second run keeps data, keys and edits. This module starts no server. Its files are not for
//! production: the CA's key is beside the certificates.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use sealward_core::{
    policy::Role,
    port::Clock,
    random::{self, Random},
};

use crate::{
    config::{
        Config, ConfigError,
        template::{Template, binding, root_key_file},
    },
    files::{
        private_file::{self, PRIVATE, PUBLIC},
        trusted_file::{self, Kind},
    },
    ports::{clock::SystemClock, random::SystemRandom},
    root_key::{self, RootKeySourceError},
};

/// The organization that a development server creates at its first start.
pub const ORGANIZATION: &str = "default";

/// A unique name: OpenSSL confuses CAs with the same name.
const CA_NAME: &str = "Sealward development CA";
const CA_DAYS: u64 = 3_650;
/// The longest lifetime of a server certificate that clients of all vendors accept.
const CERTIFICATE_DAYS: u64 = 825;

/// A user of a development server. Each has a certificate with its name as common name, and a role in all organizations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Person {
    /// The system administrator.
    Admin,
    /// Writes records.
    Writer,
    /// Reads records.
    Reader,
    /// The mail connector. Encrypted attributes are revealed to it.
    Connector,
    /// The auditor.
    Auditor,
}

impl Person {
    /// All users.
    pub const ALL: [Person; 5] = [Person::Admin, Person::Writer, Person::Reader, Person::Connector, Person::Auditor];

    /// The common name, and the name of the files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Person::Admin => "admin",
            Person::Writer => "writer",
            Person::Reader => "reader",
            Person::Connector => "connector",
            Person::Auditor => "auditor",
        }
    }

    /// The role.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Person::Admin => Role::SystemAdministrator,
            Person::Writer => Role::RecordWriter,
            Person::Reader => Role::RecordReader,
            Person::Connector => Role::SecretReader,
            Person::Auditor => Role::Auditor,
        }
    }
}

/// A prepared folder, and the paths in it.
#[derive(Clone, Debug)]
pub struct Development {
    folder: PathBuf,
}

/// Why the folder can't be prepared.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// A file or folder can't be read or written.
    #[error("{path} can't be read or written")]
    File {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The root key is missing, but a database that it sealed exists.
    #[error(
        "{root_key} is missing, and {sealed} was sealed with it: put the key back, or remove {sealed} and restore the encryption keys"
    )]
    RootKeyMissing {
        /// The root key.
        root_key: PathBuf,
        /// The database that it sealed.
        sealed: PathBuf,
    },
    /// The root key can't be created.
    #[error(transparent)]
    RootKey(#[from] RootKeySourceError),
    /// A certificate can't be created.
    #[error("{path} can't be created: if the CA's files were changed, remove the folder tls and start again")]
    Certificate {
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: rcgen::Error,
    },
    /// A certificate exists without its key.
    #[error("{certificate} exists, but {key} is missing: remove the certificate and start again")]
    KeyMissing {
        /// The certificate.
        certificate: PathBuf,
        /// The missing key.
        key: PathBuf,
    },
}

impl Development {
    /// Prepares a folder: writes missing files, and leaves existing ones.
    ///
    /// # Errors
    /// [`DevelopmentError`]
    pub fn prepare(folder: &Path) -> Result<Self, DevelopmentError> {
        let development = Self { folder: folder.to_owned() };
        let tls = development.tls();
        private_file::create_folder(&tls).map_err(|source| file_error(&tls, source))?;

        let ca = Authority::prepare(&development.ca(), &development.tls().join("ca.key"))?;
        ca.provide(&development.tls(), "server", server_params())?;
        for person in Person::ALL {
            ca.provide(&development.tls(), person.name(), client_params(person))?;
        }
        // A new root key could not open the key texts in the configuration database.
        let sealed = development.folder.join("configuration.db");
        if sealed.exists() && !development.root_key().exists() {
            return Err(DevelopmentError::RootKeyMissing { root_key: development.root_key(), sealed });
        }
        root_key::create(&development.root_key(), &SystemRandom)?;
        create(&development.config_file(), &configuration(), PUBLIC)?;
        Ok(development)
    }

    /// The configuration in the folder, edits included. The environment changes nothing: a variable that is meant for another server must not
    /// send this one to that server's data.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn config(&self) -> Result<Config, ConfigError> {
        Config::load_alone(&self.config_file())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `sealward.toml`
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("sealward.toml")
    }

    /// Writes the server's address to a file, for `sealward --dev`.
    ///
    /// # Errors
    /// [`DevelopmentError`]
    pub fn write_endpoint(&self, endpoint: &str) -> Result<(), DevelopmentError> {
        let path = self.endpoint();
        let content = format!("{endpoint}\n");
        private_file::replace(&path, content.as_bytes(), PUBLIC).map_err(|source| file_error(&path, source))
    }

    /// Removes the file of [`write_endpoint`](Self::write_endpoint), since the server no longer listens.
    pub fn remove_endpoint(&self) {
        // The next server writes it again.
        let _removed = fs::remove_file(self.endpoint());
    }

    fn endpoint(&self) -> PathBuf {
        self.folder.join("endpoint")
    }

    /// `root.key`
    #[must_use]
    pub fn root_key(&self) -> PathBuf {
        self.folder.join("root.key")
    }

    /// The CA's certificate, with which server and clients verify each other.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.tls().join("ca.pem")
    }

    /// A person's certificate.
    #[must_use]
    pub fn certificate(&self, person: Person) -> PathBuf {
        self.tls().join(format!("{}.pem", person.name()))
    }

    /// The key of a person's certificate.
    #[must_use]
    pub fn key(&self, person: Person) -> PathBuf {
        self.tls().join(format!("{}.key", person.name()))
    }

    fn tls(&self) -> PathBuf {
        self.folder.join("tls")
    }
}

fn configuration() -> String {
    let bindings = Person::ALL.map(|person| binding(&format!("cn:{}", person.name()), person.role().name()));
    let tables: Vec<_> = [root_key_file("root.key")].into_iter().chain(bindings).collect();
    Template {
        title: "The configuration of a Sealward development server, written by `sealward-server dev`.",
        given: &[
            ("data_dir", ".".into()),
            ("tls.certificate", "tls/server.pem".into()),
            ("tls.key", "tls/server.key".into()),
            ("tls.client_ca", "tls/ca.pem".into()),
        ],
        tables: &tables,
    }
    .render()
}

/// The development CA.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Reads the CA, or creates one.
    fn prepare(certificate: &Path, key: &Path) -> Result<Self, DevelopmentError> {
        let key_pair = provide_pair(certificate, key, |key_pair| ca_params().self_signed(key_pair))?;
        Ok(Self { issuer: Issuer::new(ca_params(), key_pair) })
    }

    /// Creates `NAME.pem` and `NAME.key`, unless they exist.
    fn provide(&self, folder: &Path, name: &str, params: CertificateParams) -> Result<(), DevelopmentError> {
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        provide_pair(&certificate, &key, |key_pair| params.signed_by(key_pair, &self.issuer)).map(|_| ())
    }
}

fn ca_params() -> CertificateParams {
    let mut params = params(CA_NAME, CA_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_params() -> CertificateParams {
    let mut params = params("sealward-server", CERTIFICATE_DAYS);
    params.subject_alt_names =
        vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)), SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST))];
    params.subject_alt_names.extend("localhost".try_into().map(SanType::DnsName));
    for_authentication(params, ExtendedKeyUsagePurpose::ServerAuth)
}

fn client_params(person: Person) -> CertificateParams {
    for_authentication(params(person.name(), CERTIFICATE_DAYS), ExtendedKeyUsagePurpose::ClientAuth)
}

fn for_authentication(mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> CertificateParams {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    params
}

fn params(common_name: &str, days: u64) -> CertificateParams {
    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY_SECONDS: u64 = 86_400;

    let now = Duration::from_micros(SystemClock.now().unix_micros().max(0).unsigned_abs());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    // One hour earlier, since the clock of a container or another machine may be behind.
    params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(HOUR);
    params.not_after = date_time_ymd(1970, 1, 1) + now + Duration::from_secs(days * DAY_SECONDS);
    params.serial_number = Some(SerialNumber::from_slice(&random::bytes::<16>(&SystemRandom as &dyn Random)));
    params
}

/// Reads the key from the file, or creates one, and creates its certificate unless it exists. A key without a certificate is kept: a former
/// run was interrupted, or a user removed the certificate to renew it.
fn provide_pair(
    certificate: &Path,
    key: &Path,
    make: impl FnOnce(&KeyPair) -> Result<rcgen::Certificate, rcgen::Error>,
) -> Result<KeyPair, DevelopmentError> {
    let failed = |source| DevelopmentError::Certificate { path: certificate.to_owned(), source };
    let exists = |path: &Path| path.try_exists().map_err(|source| file_error(path, source));
    if exists(certificate)? && !exists(key)? {
        return Err(DevelopmentError::KeyMissing { certificate: certificate.to_owned(), key: key.to_owned() });
    }
    if !exists(key)? {
        create(key, &KeyPair::generate().map_err(failed)?.serialize_pem(), PRIVATE)?;
    }
    // Read back, since another process may have created it first.
    let pem =
        trusted_file::read_text(key, Kind::PrivateKey).map_err(|error| file_error(key, io::Error::other(error)))?;
    let key_pair = KeyPair::from_pem(&pem).map_err(failed)?;
    if !exists(certificate)? {
        create(certificate, &make(&key_pair).map_err(failed)?.pem(), PUBLIC)?;
    }
    Ok(key_pair)
}

fn create(path: &Path, content: &str, mode: u32) -> Result<(), DevelopmentError> {
    private_file::create(path, content.as_bytes(), mode).map(|_| ()).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> DevelopmentError {
    DevelopmentError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::{files::pem, identity::ClientCertificate, transport::tls};

    /// Every file below a folder, with mode and content.
    fn files(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files.append(&mut super::tests::files(&path));
            } else {
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                files.insert(path.clone(), (mode, fs::read(&path).unwrap()));
            }
        }
        files
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        Development::prepare(folder.path()).unwrap();
        let first = files(folder.path());
        assert_eq!(first.len(), 2 * (2 + Person::ALL.len()) + 2);
        Development::prepare(folder.path()).unwrap();
        assert_eq!(files(folder.path()), first);
    }

    #[test]
    fn endpoint_file_is_replaced_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::prepare(folder.path()).unwrap();
        let path = folder.path().join("endpoint");
        for endpoint in ["https://127.0.0.1:4711", "https://127.0.0.1:4712"] {
            development.write_endpoint(endpoint).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{endpoint}\n"));
        }
        development.remove_endpoint();
        assert!(!path.exists());
    }

    #[test]
    fn keys_and_folder_are_private() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("sealward-dev");
        let development = Development::prepare(&folder).unwrap();
        for private in [&folder, &development.tls()] {
            assert_eq!(fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o700);
        }
        for (path, (mode, _)) in files(&folder) {
            let wanted = if path.extension().is_some_and(|extension| extension == "key") { 0o600 } else { 0o644 };
            assert_eq!(mode, wanted, "{}", path.display());
        }
    }

    #[test]
    fn removed_certificates_are_created_again_under_the_same_ca() {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::prepare(folder.path()).unwrap();
        let before = files(folder.path());
        fs::remove_file(development.certificate(Person::Reader)).unwrap();
        fs::remove_file(development.key(Person::Reader)).unwrap();
        Development::prepare(folder.path()).unwrap();
        let changed: Vec<_> =
            files(folder.path()).into_iter().filter(|(path, file)| before.get(path) != Some(file)).collect();
        assert_eq!(changed.len(), 2);
        assert!(is_believed(&development, Person::Reader));

        fs::remove_file(development.key(Person::Reader)).unwrap();
        assert!(matches!(Development::prepare(folder.path()), Err(DevelopmentError::KeyMissing { .. })));
    }

    #[test]
    fn server_trusts_every_role_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::prepare(folder.path()).unwrap();
        let config = development.config().unwrap();
        tls::TlsContext::load(&config.tls, None).unwrap();
        for person in Person::ALL {
            assert!(is_believed(&development, person));
            let certificate = pem::certificates(&development.certificate(person)).unwrap().remove(0);
            let identity = ClientCertificate::from_der(&certificate).unwrap().identity;
            assert_eq!(identity.to_string(), format!("cn:{}", person.name()));
            assert!(
                config
                    .bindings
                    .iter()
                    .any(|binding| binding.identity == *identity && binding.role == person.role().into())
            );
        }
    }

    fn is_believed(development: &Development, person: Person) -> bool {
        use std::sync::Arc;

        use rustls::{RootCertStore, pki_types::UnixTime, server::WebPkiClientVerifier};

        let mut roots = RootCertStore::empty();
        roots.add(pem::certificates(&development.ca()).unwrap().remove(0)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let certificate = pem::certificates(&development.certificate(person)).unwrap().remove(0);
        verifier.verify_client_cert(&certificate, &[], UnixTime::now()).is_ok()
    }
}
