//! A deployment for the tests of this layer: a folder with development certificates, listeners on free ports, and a TLS client.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    config::{Config, Listen},
    development::{Development, Person},
    files::pem,
    transport::{listener::Listener, tls::TlsContext},
};

pub(crate) struct TestDeployment {
    /// Removed when the deployment is dropped.
    pub(crate) folder: TempDir,
    pub(crate) development: Development,
    pub(crate) config: Config,
}

impl TestDeployment {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::prepare(folder.path()).unwrap();
        let config = development.config().unwrap();
        Self { folder, development, config }
    }

    /// The TLS context of its files. Each call creates another trust.
    pub(crate) fn tls_context(&self) -> Arc<TlsContext> {
        Arc::new(TlsContext::load(&self.config.tls, None).unwrap())
    }

    /// Listeners on free ports: one for TLS, one for plaintext.
    pub(crate) async fn listener() -> Listener {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let proxy_protocol_from = Vec::new();
        let listen = Listen { address: any, plaintext_address: Some(any), proxy_protocol_from, metrics_address: None };
        Listener::bind(&listen).await.unwrap()
    }

    /// TLS for HTTP/2 that trusts the development CA, with the certificate of this person.
    pub(crate) fn client(&self, person: Option<Person>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(pem::certificates(&self.development.ca()).unwrap().remove(0)).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match person {
            Some(person) => {
                let certificates = pem::certificates(&self.development.certificate(person)).unwrap();
                let key = pem::private_key(&self.development.key(person)).unwrap();
                builder.with_client_auth_cert(certificates, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// Connects to the TLS listener at this address.
pub(crate) async fn connect(address: SocketAddr, client: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}
