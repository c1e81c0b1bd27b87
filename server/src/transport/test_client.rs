//! The TLS client of this layer's tests.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use crate::{
    development::{Development, Person},
    files::pem,
};

/// TLS for HTTP/2 that trusts the development CA, with the certificate of this person.
pub(crate) fn client_config(development: &Development, person: Option<Person>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(pem::certificates(&development.ca()).unwrap().remove(0)).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match person {
        Some(person) => {
            let certificates = pem::certificates(&development.certificate(person)).unwrap();
            let key = pem::private_key(&development.key(person)).unwrap();
            builder.with_client_auth_cert(certificates, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
