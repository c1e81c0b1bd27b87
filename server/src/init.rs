//! Creates the files that a production server needs before its first start: a configuration, a root key and a data folder.
//!
//! Existing files are never overwritten or changed: a new root key could not open data that the old one sealed. The operator provides the
//! certificates, at the paths in the configuration.

use std::{
    fs::{self, DirBuilder},
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use sealward_core::{identity::Identity, policy::Role};
use toml::Value;

use crate::{
    config::template::{Template, binding, root_key_credential, root_key_file},
    files::private_file::{self, PUBLIC},
    ports::random::SystemRandom,
    root_key::{self, RootKeySourceError},
};

/// The options of a new deployment. [`Plan`] has the defaults.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The address to listen on.
    pub listen: Option<SocketAddr>,
    /// The data folder.
    pub data_dir: Option<PathBuf>,
    /// The server's certificate.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The CAs whose client certificates are accepted.
    pub client_ca: Option<PathBuf>,
    /// The first administrator.
    pub admin: Option<Identity>,
    /// Whether `deploy/sealward.service` runs the server. Files are then credentials, and systemd creates the data folder.
    pub systemd: bool,
}

/// The planned files of a deployment, before any is written.
#[derive(Clone, Debug)]
pub struct Plan {
    folder: PathBuf,
    wishes: Wishes,
}

/// A file that the operator provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provided {
    /// A description.
    pub what: &'static str,
    /// The expected path.
    pub path: PathBuf,
}

/// Why no files were created.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A configuration exists already.
    #[error("{path} exists and is not overwritten: edit it, or select another folder")]
    ConfigurationExists {
        /// The file.
        path: PathBuf,
    },
    /// A root key exists already.
    #[error(
        "{path} exists and is not overwritten, because data sealed under it would be lost: keep it and get the \
         configuration from `init --print`, or select another folder"
    )]
    RootKeyExists {
        /// The file.
        path: PathBuf,
    },
    /// The data folder contains data that another root key sealed.
    #[error(
        "{path} exists and a new root key can't open it: get the configuration from `init --print` and enter \
         the root key of that deployment, or select another data folder with --data-dir"
    )]
    Sealed {
        /// The configuration database.
        path: PathBuf,
    },
    /// Other users can access the data folder.
    #[error(
        "{path} is accessible to other users (mode {mode:04o}): select a folder of the server's own, with mode 0700"
    )]
    OpenToOthers {
        /// The data folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The root key can't be created.
    #[error(transparent)]
    RootKey(#[from] RootKeySourceError),
    /// A file or folder can't be created.
    #[error("{path} can't be created: allow this user to write to the folder, or select another one")]
    File {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The time that most balancers need to notice that a server is about to stop.
const DRAIN_DELAY_SECONDS: i64 = 5;

impl Plan {
    /// A deployment with its configuration and root key in `folder`.
    #[must_use]
    pub fn new(folder: &Path, wishes: Wishes) -> Self {
        Self { folder: folder.to_owned(), wishes }
    }

    /// `sealward.toml`
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("sealward.toml")
    }

    /// `root.key`
    #[must_use]
    pub fn root_key(&self) -> PathBuf {
        self.folder.join(ROOT_KEY)
    }

    /// The data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join(self.written_data_dir())
    }

    /// The files that the operator provides, by the setting that names each.
    #[must_use]
    pub fn provided(&self) -> [Provided; 3] {
        let Wishes { certificate, key, client_ca, .. } = &self.wishes;
        let place = |wish: &Option<PathBuf>, name: &str| {
            self.folder.join(wish.clone().unwrap_or_else(|| self.tls_folder().join(name)))
        };
        [
            Provided {
                what: "the server's certificate, with its intermediate certificates",
                path: place(certificate, SERVER),
            },
            Provided { what: "its private key (chmod 600)", path: place(key, SERVER_KEY) },
            Provided { what: "the CAs of the client certificates", path: place(client_ca, CLIENT_CA) },
        ]
    }

    /// The text of the configuration.
    #[must_use]
    pub fn configuration(&self) -> String {
        let Wishes { listen, certificate, key, client_ca, admin, .. } = &self.wishes;
        let mut given = vec![
            ("data_dir", text(&self.written_data_dir())),
            ("tls.certificate", self.written(certificate.as_deref(), SERVER)),
            ("tls.key", self.written(key.as_deref(), SERVER_KEY)),
            ("tls.client_ca", self.written(client_ca.as_deref(), CLIENT_CA)),
            ("limits.drain_delay_seconds", DRAIN_DELAY_SECONDS.into()),
        ];
        given.extend(listen.map(|address| ("listen.address", address.to_string().into())));
        let root_key = if self.wishes.systemd { root_key_credential(ROOT_KEY) } else { root_key_file(ROOT_KEY) };
        let admin = admin.as_ref().map(|identity| binding(&identity.to_string(), Role::SystemAdministrator.name()));
        let tables: Vec<_> = [root_key].into_iter().chain(admin).collect();
        let title = "The configuration of a Sealward server, written by `sealward-server init`.";
        Template { title, given: &given, tables: &tables }.render()
    }

    /// Creates the folders, the root key and the configuration. Files appear complete, and the configuration last.
    ///
    /// # Errors
    /// [`InitError`]; then no file was created.
    pub fn carry_out(&self) -> Result<(), InitError> {
        self.refuse_what_exists()?;
        let folder_mode = if self.wishes.systemd { OPEN_FOLDER } else { PRIVATE_FOLDER };
        create_folder(&self.folder, folder_mode)?;
        if !self.wishes.systemd {
            create_folder(&self.folder.join(self.tls_folder()), PRIVATE_FOLDER)?;
            create_folder(&self.data_dir(), PRIVATE_FOLDER)?;
        }
        if !root_key::create(&self.root_key(), &SystemRandom)? {
            return Err(InitError::RootKeyExists { path: self.root_key() });
        }
        self.write_configuration().inspect_err(|_| {
            // It is new and has sealed nothing, so the next attempt can start from scratch.
            let _stays = fs::remove_file(self.root_key());
        })
    }

    fn write_configuration(&self) -> Result<(), InitError> {
        let path = self.config_file();
        match private_file::create(&path, self.configuration().as_bytes(), PUBLIC) {
            Ok(true) => Ok(()),
            Ok(false) => Err(InitError::ConfigurationExists { path }),
            Err(source) => Err(InitError::File { path, source }),
        }
    }

    fn refuse_what_exists(&self) -> Result<(), InitError> {
        let exists = |path: &Path| path.symlink_metadata().is_ok();
        if exists(&self.config_file()) {
            return Err(InitError::ConfigurationExists { path: self.config_file() });
        }
        if exists(&self.root_key()) {
            return Err(InitError::RootKeyExists { path: self.root_key() });
        }
        let sealed = self.data_dir().join("configuration.db");
        if exists(&sealed) {
            return Err(InitError::Sealed { path: sealed });
        }
        match fs::metadata(self.data_dir()).map(|found| found.permissions().mode() & 0o7777) {
            Ok(mode) if mode & 0o077 != 0 => Err(InitError::OpenToOthers { path: self.data_dir(), mode }),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn written_data_dir(&self) -> PathBuf {
        let usual = if self.wishes.systemd { STATE_DIRECTORY } else { "data" };
        self.wishes.data_dir.clone().unwrap_or_else(|| usual.into())
    }

    /// The folder of the operator's files, relative to the plan's folder. With systemd, they are beside the root key, from where the unit
    /// loads them.
    fn tls_folder(&self) -> &'static Path {
        Path::new(if self.wishes.systemd { "" } else { "tls" })
    }

    fn written(&self, wish: Option<&Path>, name: &str) -> Value {
        match wish {
            Some(path) => text(path),
            None if self.wishes.systemd => credential(name),
            None => text(&self.tls_folder().join(name)),
        }
    }
}

fn text(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}

fn credential(name: &str) -> Value {
    format!("{}{name}", crate::config::CREDENTIAL).into()
}

fn create_folder(path: &Path, mode: u32) -> Result<(), InitError> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|source| InitError::File { path: path.to_owned(), source })
}

const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server.key";
const CLIENT_CA: &str = "client-ca.pem";
const ROOT_KEY: &str = "root.key";

/// `StateDirectory=sealward` of the unit.
const STATE_DIRECTORY: &str = "/var/lib/sealward";

const PRIVATE_FOLDER: u32 = 0o700;
/// The service's user reads the configuration there. The other files are protected by their own modes.
const OPEN_FOLDER: u32 = 0o755;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CertificateSource, Config, RootKeySource};

    fn wishes(folder: &Path) -> Wishes {
        Wishes { data_dir: Some(folder.join("state")), ..Wishes::default() }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn created_files_are_private_and_the_configuration_loads() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan::new(&folder.path().join("etc"), Wishes::default());
        plan.carry_out().unwrap();
        assert_eq!(mode(&plan.root_key()), 0o600);
        for private in [folder.path().join("etc"), folder.path().join("etc/tls"), plan.data_dir()] {
            assert_eq!(mode(&private), 0o700, "{}", private.display());
        }
        let config = Config::load(&plan.config_file()).unwrap();
        assert_eq!(config.data_dir, plan.data_dir());
        assert_eq!(config.root_key_sources, [RootKeySource::File(plan.root_key())]);
        let [certificate, key, client_ca] = plan.provided().map(|provided| provided.path);
        assert_eq!(config.tls.certificate, CertificateSource::Files { certificate, key });
        assert_eq!(config.tls.client_ca, Some(client_ca));
        assert!(config.bindings.is_empty());
        root_key::load(&config.root_key_sources[0]).await.unwrap();
    }

    #[test]
    fn given_options_are_in_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let wishes = Wishes {
            listen: Some("192.0.2.1:443".parse().unwrap()),
            certificate: Some("/etc/ssl/server.pem".into()),
            admin: Some("cn:Ada \"the admin\"".parse().unwrap()),
            ..wishes(folder.path())
        };
        let plan = Plan::new(folder.path(), wishes);
        let config = Config::parse(&plan.configuration(), &plan.config_file()).unwrap();
        assert_eq!(config.listen.address.to_string(), "192.0.2.1:443");
        let CertificateSource::Files { certificate, .. } = config.tls.certificate else { panic!() };
        assert_eq!(certificate, Path::new("/etc/ssl/server.pem"));
        assert_eq!(config.data_dir, folder.path().join("state"));
        assert_eq!(config.bindings[0].identity.to_string(), "cn:Ada \"the admin\"");
        assert_eq!(config.bindings[0].role, Role::SystemAdministrator.into());
    }

    #[test]
    fn existing_files_are_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan::new(folder.path(), wishes(folder.path()));
        plan.carry_out().unwrap();
        let (config, key) = (fs::read(plan.config_file()).unwrap(), fs::read(plan.root_key()).unwrap());
        assert!(matches!(plan.carry_out(), Err(InitError::ConfigurationExists { .. })));
        fs::remove_file(plan.config_file()).unwrap();
        assert!(matches!(plan.carry_out(), Err(InitError::RootKeyExists { .. })));
        assert!(!plan.config_file().exists());
        assert_eq!(fs::read(plan.root_key()).unwrap(), key);

        fs::remove_file(plan.root_key()).unwrap();
        fs::write(plan.data_dir().join("configuration.db"), config).unwrap();
        assert!(matches!(plan.carry_out(), Err(InitError::Sealed { .. })));
        fs::remove_file(plan.data_dir().join("configuration.db")).unwrap();
        fs::set_permissions(plan.data_dir(), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(plan.carry_out(), Err(InitError::OpenToOthers { mode: 0o750, .. })));
        assert!(!plan.root_key().exists());
    }

    #[test]
    fn systemd_configuration_uses_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan::new(&folder.path().join("etc"), Wishes { systemd: true, ..wishes(folder.path()) });
        plan.carry_out().unwrap();
        assert_eq!(mode(&folder.path().join("etc")), 0o755);
        assert_eq!(mode(&plan.root_key()), 0o600);
        assert!(!plan.data_dir().exists());
        let text = fs::read_to_string(plan.config_file()).unwrap();
        for name in ["server.pem", "server.key", "client-ca.pem"] {
            assert!(text.contains(&format!("\"credential:{name}\"")), "{text}");
        }
        assert!(text.contains("\n[[root_key.sources]]\ntype = \"credential\"\nname = \"root.key\"\n"), "{text}");
    }
}
