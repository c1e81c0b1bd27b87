//! Checks the way to the server: its address, its port, and its certificate.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use http::Uri;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    certificate::{Described, Identity, Validity},
    report::Report,
};
use crate::{connection::Connection, failure::tls_advice};

const ADDRESS: &str = "address";
const CERTIFICATE: &str = "server certificate";

/// The maximum time of each step: the name, the connection, the handshake.
const STEP_MAX: Duration = Duration::from_secs(5);

/// The time, in seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the check compares this machine's clock with certificates and the server"
)]
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Checks the way to the server. Returns whether a call can reach it.
pub(super) async fn check(connection: &Connection, identity: Option<Identity>, now: i64, report: &mut Report) -> bool {
    let Some((host, port)) = host_and_port(connection.options().endpoint()) else {
        let remedy = "use --endpoint with a URL such as https://sealward.example.org:7443";
        report.failed(ADDRESS, format!("{} isn't a URL with a host", connection.options().endpoint()), remedy);
        report.not_checked(CERTIFICATE, "there is no connection");
        return false;
    };
    let stream = match connect(&host, port).await {
        Ok(stream) => stream,
        Err((problem, remedy)) => {
            report.failed(ADDRESS, problem, remedy);
            report.not_checked(CERTIFICATE, "there is no connection");
            return false;
        }
    };
    let peer = stream.peer_addr().map_or_else(|_| format!("{host}:{port}"), |peer| peer.to_string());
    report.ok(ADDRESS, format!("{peer} accepts connections"));
    if connection.options().is_plaintext() {
        report.warning(CERTIFICATE, "the connection has no TLS", "use an https:// endpoint without --plaintext");
        return true;
    }
    handshake(connection, &host, identity, stream, now, report).await
}

fn host_and_port(endpoint: &str) -> Option<(String, u16)> {
    let uri: Uri = endpoint.parse().ok()?;
    let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((host, uri.port_u16().unwrap_or(default)))
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, (String, &'static str)> {
    let name_remedy = "check the host in --endpoint, and this machine's name resolution";
    let addresses: Vec<_> = match timeout(STEP_MAX, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err((format!("{host} has no address: {error}"), name_remedy)),
        Err(_) => return Err((format!("no answer to the look-up of {host}"), name_remedy)),
    };
    let mut problem = format!("{host} has no address");
    for address in addresses {
        match timeout(STEP_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => problem = format!("{address}: {error}"),
            Err(_) => problem = format!("{address}: no answer in {} s", STEP_MAX.as_secs()),
        }
    }
    Err((problem, "check that the server is running, the port in --endpoint, and the firewall"))
}

async fn handshake(
    connection: &Connection,
    host: &str,
    identity: Option<Identity>,
    stream: TcpStream,
    now: i64,
    report: &mut Report,
) -> bool {
    let (config, seen) = match config(connection, identity) {
        Ok(configured) => configured,
        Err((problem, remedy)) => {
            report.failed(CERTIFICATE, problem, remedy);
            return false;
        }
    };
    let name = connection.options().domain_name().unwrap_or(host);
    let Ok(server_name) = ServerName::try_from(name.to_owned()) else {
        let remedy = "use the name in the server's certificate in --endpoint or --domain-name";
        report.failed(CERTIFICATE, format!("`{name}` is no name of a server"), remedy);
        return false;
    };
    let connected = timeout(STEP_MAX, TlsConnector::from(Arc::new(config)).connect(server_name, stream)).await;
    let chain = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let leaf = chain.first().map(Described::of);
    let shown = leaf.as_ref().map_or_else(String::new, |leaf| format!(" ({leaf})"));
    match connected {
        Ok(Ok(stream)) => {
            let (_, session) = stream.get_ref();
            let protocol = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
            trusted(leaf.as_ref(), chain.len(), &protocol.replace("TLSv1_", "TLS 1."), now, report);
            true
        }
        Ok(Err(error)) => {
            report.failed(CERTIFICATE, format!("{error}{shown}"), tls_advice(&error.to_string()));
            false
        }
        Err(_) => {
            let remedy = "check that the port is the server's TLS port";
            report.failed(CERTIFICATE, format!("no TLS handshake in {} s", STEP_MAX.as_secs()), remedy);
            false
        }
    }
}

/// Reports a certificate that the client trusts.
fn trusted(leaf: Option<&Described>, length: usize, protocol: &str, now: i64, report: &mut Report) {
    let Some(leaf) = leaf else { return report.ok(CERTIFICATE, format!("trusted, over {protocol}")) };
    match leaf.validity_problem(now) {
        Some(Validity::Soon(problem) | Validity::Invalid(problem)) => {
            report.warning(CERTIFICATE, format!("{leaf}: {problem}"), "ask the server's operator to renew it");
        }
        None => report.ok(CERTIFICATE, format!("{leaf}; {length} in the chain, over {protocol}")),
    }
}

/// The certificates that the server sent.
type Seen = Arc<Mutex<Vec<CertificateDer<'static>>>>;

/// The TLS of the client library, with a verifier that keeps the server's certificates.
fn config(connection: &Connection, identity: Option<Identity>) -> Result<(ClientConfig, Seen), (String, &'static str)> {
    const CA: &str = "use --ca with the CA certificates of the server, in PEM";
    let options = connection.options();
    let Some(ca) = options.ca() else { return Err(("there is no CA certificate".to_owned(), CA)) };
    let pem = std::fs::read(ca).map_err(|error| (format!("can't read {}: {error}", ca.display()), CA))?;
    let certificates = sealward_pem::certificates(&pem).map_err(|error| (format!("{}: {error}", ca.display()), CA))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| (format!("{}: {error}", ca.display()), CA))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| (format!("{}: {error}", ca.display()), CA))?;
    let seen = Seen::default();
    let recording = Recording { verifier, seen: Arc::clone(&seen) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| (error.to_string(), "use a build of this client with TLS 1.3"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(recording));
    let mut config = match identity {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| (format!("client certificate: {error}"), "check that --cert and --key belong together"))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok((config, seen))
}

/// Verifies as rustls does, and keeps the certificates, so that a refused one can be shown.
#[derive(Debug)]
struct Recording {
    verifier: Arc<WebPkiServerVerifier>,
    seen: Seen,
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = [end_entity].into_iter().chain(intermediates).map(|der| der.clone().into_owned()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_come_from_the_endpoint() {
        assert_eq!(host_and_port("https://a.example:7443"), Some(("a.example".to_owned(), 7443)));
        assert_eq!(host_and_port("https://[::1]"), Some(("::1".to_owned(), 443)));
        assert_eq!(host_and_port("a path"), None);
    }
}
