//! Servers to test against. Each has its own folder and port, so that all tests run concurrently.

pub(crate) mod collector;
pub(crate) mod dovecot;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod inside;
pub(crate) mod mesh;
pub(crate) mod pages;
#[macro_use]
pub(crate) mod postgresql;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod reverse_proxy;
pub(crate) mod tokens;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sealward_client::{Client, ClientBuilder, Error, ErrorReason, RetryPolicy, mail_v1, v1};
use sealward_server::{
    app::{App, Running},
    config::Config,
    development::{Development, Person},
    drain::Drained,
    reload::Reloaded,
};
use tempfile::TempDir;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// The organization that a new server has.
pub(crate) const DEFAULT: &str = "organizations/default";

/// How long a test waits for an event before it fails: far longer than any event takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server in this process.
pub(crate) struct Server {
    folder: Folder,
    running: Option<Running>,
    address: String,
    pub plaintext_address: Option<String>,
    metrics_address: Option<String>,
}

/// A data folder with certificates, as `dev` creates it. It is removed after the test.
pub(crate) struct Folder {
    path: PathBuf,
    _root: Option<TempDir>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        let folder = Folder { path: root.path().join("dev"), _root: Some(root) };
        folder.prepare();
        folder
    }

    /// A folder whose data is in PostgreSQL, in every run of the tests.
    pub(crate) fn over_postgresql() -> Self {
        let folder = Self::new();
        postgresql::configure(&folder.path(), &folder.development().config_file());
        folder
    }

    /// A folder for another server over the same PostgreSQL database, with the same certificates and root key.
    pub(crate) fn beside(&self) -> Self {
        let root = TempDir::new().unwrap();
        let path = root.path().join("dev");
        let copied = std::process::Command::new("cp").arg("-a").args([&self.path(), &path]).status().unwrap();
        assert!(copied.success());
        Folder { path, _root: Some(root) }
    }

    /// A folder at a path that the caller manages.
    pub(crate) fn at(path: &Path) -> Self {
        let folder = Folder { path: path.to_owned(), _root: None };
        folder.prepare();
        folder
    }

    fn prepare(&self) {
        let development = self.development();
        if postgresql::is_selected() {
            postgresql::configure(&self.path, &development.config_file());
        }
    }

    /// The path of the folder.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    pub(crate) fn development(&self) -> Development {
        Development::prepare(&self.path()).unwrap()
    }

    /// The one organization database.
    pub(crate) fn organization_database(&self) -> PathBuf {
        let mut found =
            std::fs::read_dir(self.path().join("organizations")).unwrap().map(|entry| entry.unwrap().path());
        found.find(|path| path.extension().is_some_and(|extension| extension == "db")).unwrap()
    }

    /// A client with the certificate of this person, for a server at this address.
    pub(crate) fn client(&self, address: &str, person: Person) -> Client {
        self.client_builder(address)
            .identity_files(self.development().certificate(person), self.development().key(person))
            .connect_lazy()
            .unwrap()
    }

    /// A client without a certificate that never repeats a call automatically.
    pub(crate) fn client_builder(&self, address: &str) -> ClientBuilder {
        Client::builder(format!("https://{address}"))
            .ca_file(self.development().ca())
            .retry(RetryPolicy::never())
            .timeout(PATIENCE)
    }
}

impl Server {
    /// A server as `dev` runs it, without quotas, and with a plaintext listener.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server with a changed configuration.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(Folder::new(), change).await
    }

    /// A server on a folder, which may have been used before.
    pub(crate) async fn start_in(folder: Folder, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = folder.development().config().unwrap();
        config.listen.address = "127.0.0.1:0".parse().unwrap();
        config.listen.plaintext_address = Some("127.0.0.1:0".parse().unwrap());
        config.limits.key_changes_per_hour = 0;
        config.limits.wrong_key_restores_per_15_minutes = 0;
        change(&mut config);
        let running = App::start(config).await.unwrap();
        running.ensure_organization(&"default".parse().unwrap()).await.unwrap();
        let address = running.address().to_string();
        let plaintext_address = running.plaintext_address().map(|address| address.to_string());
        let metrics_address = running.metrics_address().map(|address| address.to_string());
        Server { folder, running: Some(running), address, plaintext_address, metrics_address }
    }

    /// Drains the server and returns its folder.
    pub(crate) async fn stop(mut self) -> Folder {
        let running = self.running.take().unwrap();
        running.drain().begin();
        assert_eq!(running.wait().await, Drained::Whole);
        self.folder
    }

    /// Stops without waiting, and returns the folder.
    pub(crate) async fn stop_at_once(mut self) -> (Folder, Drained) {
        let running = self.running.take().unwrap();
        running.drain().cut_short();
        let drained = running.wait().await;
        (self.folder, drained)
    }

    /// Drains, changes the folder, and starts again.
    pub(crate) async fn restart(self, between: impl FnOnce(&Path), change: impl FnOnce(&mut Config)) -> Self {
        let folder = self.stop().await;
        between(&folder.path());
        Self::start_in(folder, change).await
    }

    /// The app, for tests in the server's process.
    pub(crate) fn deployment(&self) -> &std::sync::Arc<sealward_core::deployment::Deployment> {
        self.running.as_ref().unwrap().deployment()
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Another server over the same PostgreSQL database.
    pub(crate) async fn beside(&self, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(self.folder.beside(), change).await
    }

    /// Makes the server reload its files, and returns the outcome.
    pub(crate) async fn reload(&self) -> Reloaded {
        self.running.as_ref().unwrap().reloader().reload().await.unwrap()
    }

    /// `IP:PORT`
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The address of the metrics, if the server was started with one.
    pub(crate) fn metrics_address(&self) -> &str {
        self.metrics_address.as_ref().unwrap()
    }

    pub(crate) fn client(&self, person: Person) -> Client {
        self.folder.client(&self.address, person)
    }
}

/// A mailbox with this password and the required attributes.
pub(crate) fn mailbox(password: &str) -> mail_v1::Mailbox {
    mail_v1::Mailbox {
        display_name: Some("Sales".to_owned()),
        password: Some(password.to_owned()),
        ..mail_v1::Mailbox::default()
    }
}

/// The password of a mailbox, revealed by the connector; `None` if it is null.
pub(crate) async fn reveal(connector: &Client, name: &str) -> Result<Option<String>, Error> {
    let values = connector.reveal_attributes(name, ["password"], "a test").await?;
    Ok(values.get("password").map(|value| value.expose_text().unwrap().to_owned()))
}

/// Waits until no re-encryption runs, and returns its last state.
pub(crate) async fn settled(admin: &Client) -> v1::Reencryption {
    let watching = async {
        let mut watch = admin.watch_reencryption(DEFAULT).await.unwrap();
        let mut last = None;
        while let Some(state) = watch.next().await.unwrap() {
            last = Some(state);
        }
        last.unwrap()
    };
    tokio::time::timeout(PATIENCE, watching).await.unwrap()
}

/// Waits until the health of this name has this status.
pub(crate) async fn health_of(server: &Server, service: &str, wanted: ServingStatus) {
    let mut health = HealthClient::new(server.client(Person::Reader).channel());
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    let found = async { while watch.message().await.unwrap().unwrap().status() != wanted {} };
    tokio::time::timeout(PATIENCE, found).await.expect("health doesn't change");
}

/// The reason of an answer that must be an error.
#[track_caller]
pub(crate) fn reason<T>(outcome: Result<T, Error>) -> ErrorReason {
    match outcome {
        Ok(_) => panic!("the call should have been refused"),
        Err(error) => error.reason(),
    }
}

/// The error of an answer that must be one, with a call id, this code and reason, and this metadata and no other but the numbers of Dynamics
/// 365 that its violations have.
#[track_caller]
pub(crate) fn refused<T>(
    outcome: Result<T, Error>,
    code: Code,
    reason: ErrorReason,
    metadata: &[(&str, &str)],
) -> Error {
    let Err(error) = outcome else { panic!("the call should have been refused with {reason:?}") };
    assert_eq!((error.code(), error.reason()), (code, reason), "{error:?}");
    let given = error.call().unwrap().metadata();
    let given = given.iter().filter(|(key, _)| *key != "dynamics_codes");
    let given: Vec<_> = given.map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut wanted = metadata.to_vec();
    wanted.sort_unstable();
    assert_eq!(given, wanted, "{error:?}");
    assert!(!error.call_id().unwrap().is_empty());
    error
}
