//! The server's certificate, from files or from the Workload API: whether it matches its key, and whether clients can accept it.
//!
//! Whether clients trust its CA can't be checked here. Nothing here knows connections, or when files are read.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use data_encoding::HEXLOWER;
use rustls::{crypto::aws_lc_rs, pki_types::CertificateDer, sign::CertifiedKey};
use sealward_core::{id::Timestamp, identity::spiffe::SpiffeId};
use sha2::{Digest, Sha256};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, time::ASN1Time};

use super::{
    error::TlsError,
    validity::{day, seconds},
};
use crate::{
    certificates::{Certificate, Renewal, Usage},
    config::{CertificateSource, Tls},
    files::pem,
    finding::Finding,
    foreign_text::{SHOWN_NAME_MAX_BYTES, presentable},
    workload_api::Update,
};

/// The setting of the Workload API.
pub(crate) const WORKLOAD_API: &str = "tls.spiffe_workload_api";

const CERTIFICATE: &str = "tls.certificate";

/// The maximum length of a name: that of a SPIFFE id. DNS names are shorter.
const NAME_MAX_BYTES: usize = 2_048;

/// The server's certificate, with the intermediate certificates and the matching key.
#[derive(Clone, Debug)]
pub(crate) struct ServerCertificate {
    pub(super) certified: Arc<CertifiedKey>,
    /// Its SPIFFE id, if the Workload API provides it, which then also renews it.
    spiffe_id: Option<SpiffeId>,
}

/// Compares the chains: the key matches the certificate.
impl PartialEq for ServerCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }
}

/// Why no client accepts a certificate, even if it trusts the CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Expired(ASN1Time),
    NotYetValid(ASN1Time),
    /// Its extended key usage lacks server authentication.
    NotForServers,
    Nameless,
    Ca,
    /// It has no name in common with the current certificate.
    OtherNames {
        before: String,
        now: String,
    },
    Unreadable,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Expired(end) => write!(f, "it expired on {}", day(*end)),
            Fault::NotYetValid(begin) => write!(f, "it isn't valid before {}", day(*begin)),
            Fault::NotForServers => f.write_str("it isn't for servers: its extended key usage lacks serverAuth"),
            Fault::Nameless => f.write_str("it has no subject alternative names, which clients require"),
            Fault::Ca => f.write_str("it is the certificate of a CA"),
            Fault::OtherNames { before, now } => {
                write!(
                    f,
                    "it is for {now}, but the current certificate is for {before}: no name that clients connect to is in both"
                )
            }
            Fault::Unreadable => f.write_str("it can't be read"),
        }
    }
}

impl Fault {
    /// The fix.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Fault::Expired(_) => "renew it and send SIGHUP",
            Fault::NotYetValid(_) => "set this machine's clock, or wait",
            Fault::NotForServers => "use a certificate for server authentication",
            Fault::Nameless => "use a certificate with the DNS names or IP addresses that clients connect to",
            Fault::Ca => "put the server's own certificate first, then its issuer, and so on",
            Fault::OtherNames { .. } => {
                "check which certificate is in the file; restart the server if the names are right"
            }
            Fault::Unreadable => "replace it",
        }
    }
}

impl ServerCertificate {
    /// Reads the files of `tls.certificate` and `tls.key`, or takes the certificate of the Workload API's update.
    ///
    /// # Errors
    /// [`TlsError`]: for example, the key belongs to another certificate.
    pub(crate) fn load(tls: &Tls, update: Option<&Update>) -> Result<Self, TlsError> {
        match &tls.certificate {
            CertificateSource::Files { certificate, key } => {
                let (chain, key) = pem::chain_and_key(certificate, key)?;
                let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
                Ok(Self { certified: Arc::new(certified.map_err(TlsError::Certificate)?), spiffe_id: None })
            }
            CertificateSource::WorkloadApi(_) => {
                let update = update.ok_or(TlsError::NoWorkloadApi)?;
                Ok(Self { certified: Arc::clone(&update.certified), spiffe_id: Some(update.id.clone()) })
            }
        }
    }

    /// Like [`load`](Self::load), as a replacement of the current certificate: clients that accept the current one must be able to accept
    /// the new one.
    ///
    /// # Errors
    /// [`TlsError`]: for example, clients that accept the current certificate can't accept the new one.
    pub(crate) fn load_in_place_of(
        current: &Self,
        tls: &Tls,
        update: Option<&Update>,
        now: Timestamp,
    ) -> Result<Self, TlsError> {
        let next = Self::load(tls, update)?;
        if next == *current {
            return Ok(next);
        }
        let (before, names) = (current.names(), next.names());
        // A fault that the current certificate already has changes nothing for its clients.
        let known = current.faults(now);
        let mut faults: Vec<_> = next.faults(now).into_iter().filter(|fault| !known.contains(fault)).collect();
        if have_no_clients_in_common(&before, &names) {
            faults.push(Fault::OtherNames { before: before.join(", "), now: names.join(", ") });
        }
        match faults.first() {
            None => Ok(next),
            Some(first) => Err(TlsError::Unusable {
                origin: match &tls.certificate {
                    CertificateSource::Files { certificate, .. } => certificate.clone(),
                    CertificateSource::WorkloadApi(api) => api.socket.clone(),
                },
                faults: faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
                remedy: next.remedy(first),
            }),
        }
    }

    /// Why no client accepts it at this time.
    pub(crate) fn faults(&self, now: Timestamp) -> Vec<Fault> {
        self.parsed().map_or_else(|| vec![Fault::Unreadable], |certificate| faults(&certificate, now))
    }

    /// The problems for which no client accepts it.
    pub(crate) fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let of_fault = |fault: Fault| {
            let problem = format!("no client can accept the server's certificate: {fault}");
            Finding::error(self.setting(), problem, self.remedy(&fault))
        };
        self.faults(now).into_iter().map(of_fault).collect()
    }

    fn remedy(&self, fault: &Fault) -> &'static str {
        match (&self.spiffe_id, fault) {
            (None, _) => fault.remedy(),
            (Some(_), Fault::OtherNames { .. }) => {
                "add the names to the registration entry of the server (-dns), or restart the server if the new names are right"
            }
            (Some(_), _) => "check the agent, and the registration entry of the server",
        }
    }

    /// It and the certificates of the CAs in its chain, for reports.
    pub(crate) fn certificates(&self) -> Vec<Certificate> {
        of_chain(&self.certified.cert, self.spiffe_id.as_ref())
    }

    /// The setting that it comes from.
    fn setting(&self) -> &'static str {
        if self.spiffe_id.is_some() { WORKLOAD_API } else { CERTIFICATE }
    }

    /// Its SPIFFE id, if it comes from the Workload API, which may give the same subject to all certificates. Otherwise its subject.
    pub(crate) fn subject(&self) -> String {
        if let Some(id) = &self.spiffe_id {
            return id.to_string();
        }
        let subject = self.parsed().map(|certificate| certificate.subject().to_string()).unwrap_or_default();
        presentable(&subject, SHOWN_NAME_MAX_BYTES)
    }

    /// The end of its validity.
    pub(crate) fn not_after(&self) -> Option<ASN1Time> {
        Some(self.parsed()?.validity().not_after)
    }

    /// The names that clients compare with the server's address, in lower case.
    pub(crate) fn names(&self) -> Vec<String> {
        self.parsed().map(|certificate| names(&certificate)).unwrap_or_default()
    }

    /// SHA-256 of the certificate, in hex, as `openssl x509 -fingerprint -sha256` prints it without colons.
    pub(crate) fn fingerprint(&self) -> String {
        HEXLOWER.encode(&self.certified.cert.first().map(Sha256::digest).unwrap_or_default())
    }

    fn parsed(&self) -> Option<X509Certificate<'_>> {
        let der: &CertificateDer<'_> = self.certified.cert.first()?;
        Some(X509Certificate::from_der(der).ok()?.1)
    }
}

/// The certificates of a chain, for reports: the server's, which has this SPIFFE id if it comes from the Workload API, and those of CAs.
pub(crate) fn of_chain(chain: &[CertificateDer<'_>], spiffe_id: Option<&SpiffeId>) -> Vec<Certificate> {
    let (setting, renewal) = match spiffe_id {
        Some(_) => (WORKLOAD_API, Renewal::ByWorkloadApi),
        None => (CERTIFICATE, Renewal::ByHand),
    };
    let Some((own, cas)) = chain.split_first() else { return Vec::new() };
    let parsed = X509Certificate::from_der(own).ok().map(|(_, certificate)| certificate);
    let names = parsed.map(|certificate| names(&certificate)).unwrap_or_default();
    let hosts = names.into_iter().filter(|name| is_host(name)).collect();
    let mut own = Certificate::read(setting, Usage::Server { hosts }, renewal, own);
    if let Some(id) = spiffe_id {
        own.subject = id.to_string();
    }
    let cas = cas.iter().map(|ca| Certificate::read(setting, Usage::ServerChain, renewal, ca));
    std::iter::once(own).chain(cas).collect()
}

/// Why no client accepts this server certificate at this time.
pub(crate) fn faults(certificate: &X509Certificate<'_>, now: Timestamp) -> Vec<Fault> {
    let (begin, end) = (certificate.validity().not_before, certificate.validity().not_after);
    let is_for_servers = !matches!(
        certificate.extended_key_usage(),
        Ok(Some(purposes)) if !(purposes.value.server_auth || purposes.value.any)
    );
    [
        (seconds(now) > end.timestamp()).then_some(Fault::Expired(end)),
        (seconds(now) < begin.timestamp()).then_some(Fault::NotYetValid(begin)),
        certificate.is_ca().then_some(Fault::Ca),
        (!is_for_servers).then_some(Fault::NotForServers),
        names(certificate).is_empty().then_some(Fault::Nameless),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The names in a certificate that clients compare with the server's address: DNS names in lower case, URIs and IP addresses, as they may be
/// printed.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(presentable(&name.to_ascii_lowercase(), NAME_MAX_BYTES)),
        GeneralName::URI(name) => Some(presentable(name, NAME_MAX_BYTES)),
        GeneralName::IPAddress(bytes) => Some(address(bytes)),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

/// Whether no client that accepts a certificate with the first names accepts one with the second ones. DNS names and IP addresses count by
/// themselves: an ordinary client doesn't look at the SPIFFE id, which is the same in all certificates of a workload.
fn have_no_clients_in_common(before: &[String], now: &[String]) -> bool {
    // A certificate without any name has a fault of its own.
    if now.is_empty() {
        return false;
    }
    let (mut hosts, mut all) = (before.iter().filter(|name| is_host(name)).peekable(), before.iter());
    if hosts.peek().is_some() {
        !hosts.any(|name| now.contains(name))
    } else {
        !before.is_empty() && !all.any(|name| now.contains(name))
    }
}

/// Whether a name is a DNS name or an IP address. A URI always has a colon, and a DNS name never has one.
fn is_host(name: &str) -> bool {
    !name.contains(':') || name.parse::<IpAddr>().is_ok()
}

fn address(bytes: &[u8]) -> String {
    match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(v4), _) => Ipv4Addr::from(v4).to_string(),
        (_, Ok(v6)) => Ipv6Addr::from(v6).to_string(),
        (Err(_), Err(_)) => "a malformed address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacement_needs_a_dns_name_or_address_of_the_current_certificate() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let id = "spiffe://example.org/sealward";
        for (before, now, is_refused) in [
            (&["a.example", id][..], &["a.example", "b.example", id][..], false),
            (&["a.example", "10.0.0.1", id], &["10.0.0.1"], false),
            (&["a.example", id], &["b.example", id], true),
            (&["a.example", id], &[id], true),
            (&["10.0.0.1", id], &["10.0.0.2", id], true),
            (&[id], &["a.example", id], false),
            (&[id], &["spiffe://example.org/other"], true),
            (&["2001:db8::1", id], &["2001:db8::2", id], true),
            (&["urn:sealward"], &["urn:sealward", "a.example"], false),
            (&[], &["a.example"], false),
            (&["a.example"], &[], false),
        ] {
            assert_eq!(have_no_clients_in_common(&names(before), &names(now)), is_refused, "{before:?} {now:?}");
        }
    }
}
