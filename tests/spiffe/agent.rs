//! An agent with the Workload API on a Unix socket, and trust domains whose SVIDs it hands out.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, SanType, SerialNumber,
};
use tokio::{
    net::UnixListener,
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tokio_stream::{Stream, StreamExt as _, wrappers::UnixListenerStream, wrappers::WatchStream};
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService, ServerStreamingService},
    transport::Server,
};
use tonic_prost::ProstCodec;

/// The messages of the standard, written for the tests.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SvidRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Svids {
    #[prost(message, repeated, tag = "1")]
    pub(super) svids: Vec<Svid>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) crl: Vec<Vec<u8>>,
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub(super) federated_bundles: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Svid {
    #[prost(string, tag = "1")]
    pub(super) spiffe_id: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) x509_svid: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) x509_svid_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) bundle: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) hint: String,
}

/// What an agent answers.
#[derive(Clone)]
enum Answer {
    NoEntry,
    Svids(Svids),
    /// The agent ends.
    End,
}

/// A running agent. It ends with the test.
pub(super) struct Agent {
    answer: watch::Sender<Answer>,
    end: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Agent {
    /// An agent that sends this.
    pub(super) fn start(path: &Path, svids: Svids) -> Self {
        Self::answering(path, Answer::Svids(svids))
    }

    /// An agent that has no entry for its callers.
    pub(super) fn without_entry(path: &Path) -> Self {
        Self::answering(path, Answer::NoEntry)
    }

    fn answering(path: &Path, answer: Answer) -> Self {
        let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
        let (end, ended) = oneshot::channel::<()>();
        let (answer, answers) = watch::channel(answer);
        let serving =
            Server::builder().add_service(Service { answers }).serve_with_incoming_shutdown(incoming, async {
                let _dropped = ended.await;
            });
        Self { answer, end, serving: tokio::spawn(async { serving.await.unwrap() }) }
    }

    /// Sends this on all streams.
    pub(super) fn send(&self, svids: Svids) {
        self.answer.send_replace(Answer::Svids(svids));
    }

    /// Ends all streams and connections, and removes the socket.
    pub(super) async fn stop(self, path: &Path) {
        self.answer.send_replace(Answer::End);
        self.end.send(()).unwrap();
        self.serving.await.unwrap();
        fs::remove_file(path).unwrap();
    }
}

#[derive(Clone)]
struct Service {
    answers: watch::Receiver<Answer>,
}

impl NamedService for Service {
    const NAME: &'static str = "SpiffeWorkloadAPI";
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        assert_eq!(request.uri().path(), "/SpiffeWorkloadAPI/FetchX509SVID");
        let service = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<Svids, SvidRequest>::default();
            Ok(Grpc::new(codec).server_streaming(service, request).await)
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "what an agent answers")]
impl ServerStreamingService<SvidRequest> for Service {
    type Response = Svids;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Svids, Status>> + Send>>;
    type Future = BoxFuture<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<SvidRequest>) -> Self::Future {
        let answers = self.answers.clone();
        Box::pin(async move {
            if request.metadata().get("workload.spiffe.io").is_none_or(|value| value != "true") {
                return Err(Status::invalid_argument("security header missing from request"));
            }
            if matches!(*answers.borrow(), Answer::NoEntry) {
                return Err(Status::permission_denied("no identity issued"));
            }
            let stream = WatchStream::new(answers).map_while(|answer| match answer {
                Answer::Svids(svids) => Some(Ok(svids)),
                Answer::NoEntry => Some(Err(Status::permission_denied("no identity issued"))),
                Answer::End => None,
            });
            Ok(Response::new(Box::pin(stream) as Self::ResponseStream))
        })
    }
}

/// A trust domain: its CA.
pub(super) struct TrustDomain {
    pub(super) name: &'static str,
    issuer: Issuer<'static, KeyPair>,
    /// The CA's certificate.
    pub(super) der: Vec<u8>,
    pub(super) pem: String,
}

/// A certificate with its key, in PEM and DER.
pub(super) struct Issued {
    id: String,
    pub(super) pem: String,
    pub(super) key_pem: String,
    pub(super) der: Vec<u8>,
    pub(super) key_der: Vec<u8>,
}

impl TrustDomain {
    pub(super) fn new(name: &'static str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("CA of {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        // Two CAs of a trust domain have different names, as in SPIRE.
        let serial: Vec<u8> = key.der_bytes().iter().rev().take(8).copied().collect();
        params.distinguished_name.push(DnType::OrganizationName, data_encoding::HEXLOWER.encode(&serial));
        let certificate = params.self_signed(&key).unwrap();
        let (der, pem) = (certificate.der().to_vec(), certificate.pem());
        Self { name, issuer: Issuer::new(params, key), der, pem }
    }

    /// A certificate of a workload with this path, which is valid for servers and clients.
    pub(super) fn issue(&self, path: &str) -> Issued {
        self.issue_with(path, |_| {})
    }

    pub(super) fn issue_with(&self, path: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let id = format!("spiffe://{}/{path}", self.name);
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, "SPIRE");
        params.subject_alt_names = vec![
            SanType::URI(id.as_str().try_into().unwrap()),
            SanType::DnsName("localhost".try_into().unwrap()),
            SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from(1));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            id,
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
        }
    }

    /// The message with an SVID of the server.
    pub(super) fn svids(&self) -> Svids {
        message([self.issue("sealward").svid(&[self])])
    }
}

impl Issued {
    /// As an SVID with this bundle.
    pub(super) fn svid(&self, bundle: &[&TrustDomain]) -> Svid {
        Svid {
            spiffe_id: self.id.clone(),
            x509_svid: self.der.clone(),
            x509_svid_key: self.key_der.clone(),
            bundle: bundle.iter().flat_map(|ca| ca.der.clone()).collect(),
            hint: String::new(),
        }
    }
}

pub(super) fn message(svids: impl IntoIterator<Item = Svid>) -> Svids {
    Svids { svids: svids.into_iter().collect(), ..Svids::default() }
}

/// The path of the socket in this folder.
pub(super) fn socket(folder: &Path) -> PathBuf {
    folder.join("agent.sock")
}
