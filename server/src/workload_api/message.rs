//! The messages of `FetchX509SVID`, by the field numbers of the standard (SPIFFE Workload API, section 5).

use std::collections::BTreeMap;

use zeroize::Zeroize as _;

/// The request, which has no parameters.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct X509SvidRequest {}

/// All that the workload is entitled to.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct X509SvidResponse {
    /// At least one. The first is the default.
    #[prost(message, repeated, tag = "1")]
    pub(super) svids: Vec<X509Svid>,
    /// Revocation lists, in DER.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) crl: Vec<Vec<u8>>,
    /// The bundles of other trust domains, by the SPIFFE id of the trust domain.
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub(super) federated_bundles: BTreeMap<String, Vec<u8>>,
}

/// A certificate with its key. The key is wiped when this is dropped.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct X509Svid {
    #[prost(string, tag = "1")]
    pub(super) spiffe_id: String,
    /// The certificate, followed by the intermediate ones: concatenated DER.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) x509_svid: Vec<u8>,
    /// The key: PKCS #8, unencrypted.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) x509_svid_key: Vec<u8>,
    /// The CAs of its trust domain: concatenated DER.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) bundle: Vec<u8>,
}

impl Drop for X509Svid {
    fn drop(&mut self) {
        self.x509_svid_key.zeroize();
    }
}
