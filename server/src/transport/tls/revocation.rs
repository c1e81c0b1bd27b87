//! Certificate revocation lists (RFC 5280, section 5): the certificates that they revoke, and those that they cover.
//!
//! webpki uses the first list with the issuer's name, even if another key signed it. This module uses every list that the key of the
//! certificate's issuer signed, in any order: a certificate in one of them is revoked. A certificate passes only if one of them is
//! authoritative for it. A list that another key of the same name signed is ignored, so a CA may be renewed with a new key.
//!
//! Nothing here knows files, connections or identities.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateRevocationListDer, SubjectPublicKeyInfoDer},
};
use sealward_core::id::Timestamp;
use sha2::{Digest, Sha256};
use webpki::{CertRevocationList, OwnedCertRevocationList, RawPublicKeyEntity};
use x509_parser::{
    asn1_rs::{Any, Oid},
    certificate::X509Certificate,
    extensions::{DistributionPointName, GeneralName, ParsedExtension},
    oid_registry::{OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT},
    prelude::FromDer,
    revocation_list::CertificateRevocationList,
    time::ASN1Time,
};

use super::validity::{day, seconds};
use crate::foreign_text::{SHOWN_NAME_MAX_BYTES, presentable};

/// The maximum by which the clock of a CA may be ahead of this one, so that a new list can be used immediately.
const CLOCK_SKEW_SECONDS: i64 = 300;

/// The maximum number of remembered signature checks. Only keys of client CAs and of CAs below them are checked.
const REMEMBERED_MAX: usize = 256;

/// Why a list can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ListProblem {
    /// It contains only the changes since another list.
    #[error("it is a delta list, which contains only changes: use the CA's complete list")]
    Delta,
    /// It contains certificates of other CAs.
    #[error("it is an indirect list, which contains certificates of other CAs: use a list of each CA")]
    Indirect,
    /// It contains revocations for some reasons only.
    #[error("it contains revocations for some reasons only: use the CA's complete list")]
    Reasons,
    /// It names its certificates in an unsupported way.
    #[error("its issuing distribution point has no full name: use the CA's complete list")]
    DistributionPoint,
    /// It has an unsupported format.
    #[error("it isn't a version 2 revocation list with nextUpdate and extensions")]
    Malformed(#[source] Option<webpki::Error>),
}

/// The lists of a deployment.
pub(crate) struct RevocationLists {
    lists: Vec<List>,
    /// Whether a key signed a list, by the list's number and the SHA-256 of the key.
    verified: Mutex<BTreeMap<(usize, [u8; 32]), bool>>,
}

struct List {
    entries: CertRevocationList<'static>,
    scope: Option<Scope>,
    facts: ListFacts,
    signed: Signed,
}

/// The signed content, the algorithm and the signature.
struct Signed {
    content: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

/// The certificates that a list covers (RFC 5280, section 5.2.5).
struct Scope {
    addresses: Vec<String>,
    is_for_users_only: bool,
    is_for_cas_only: bool,
}

/// The facts that identify a list for users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListFacts {
    /// Its issuer, as it may be printed.
    pub(crate) issuer: String,
    /// Its CRL number, if it has one.
    pub(crate) number: Option<String>,
    /// The number of revoked certificates.
    pub(crate) revoked: usize,
    /// The time of its issue.
    pub(crate) this_update: ASN1Time,
    /// The time when the next list is due.
    pub(crate) next_update: Option<ASN1Time>,
    /// Its distribution points, if it covers only their certificates.
    pub(crate) addresses: Vec<String>,
}

/// The issuer of a certificate, as needed to find its lists.
pub(crate) struct ListIssuer<'a> {
    /// The subject in DER, without its header.
    pub(crate) name: &'a [u8],
    pub(crate) key: &'a SubjectPublicKeyInfoDer<'a>,
    /// Without a key usage, a key may sign anything.
    pub(crate) may_sign_lists: bool,
}

/// The relation of a list to the configured CAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListSigner {
    /// A client CA signed it.
    ClientCa,
    /// Another key signed it than that of the client CA with the issuer's name.
    OtherKey,
    /// A client CA signed it with a key that may not sign lists.
    WithoutCrlSign,
    /// No client CA has the issuer's name: it may be the list of an intermediate CA.
    OtherCa,
}

impl RevocationLists {
    /// Reads lists. An error has the number of the list, from 1.
    ///
    /// # Errors
    /// [`ListProblem`]
    pub(crate) fn parse(lists: &[CertificateRevocationListDer<'static>]) -> Result<Self, (usize, ListProblem)> {
        let parse = |(number, der): (usize, &CertificateRevocationListDer<'_>)| {
            List::parse(der).map_err(|problem| (number, problem))
        };
        let lists = (1..).zip(lists).map(parse).collect::<Result<_, _>>()?;
        Ok(Self { lists, verified: Mutex::default() })
    }

    /// Whether a list takes the place of another one: it isn't older, and the same key issued it for the same certificates, as far as the
    /// lists tell. A CA may have a list for each of its keys, or divide its list.
    pub(super) fn replaces(newer: &CertificateRevocationListDer<'_>, older: &CertificateRevocationListDer<'_>) -> bool {
        let [Ok((_, newer)), Ok((_, older))] = [newer, older].map(|list| CertificateRevocationList::from_der(list))
        else {
            return false;
        };
        let extension = |list: &CertificateRevocationList<'_>, wanted: &Oid<'_>| {
            let mut extensions = list.extensions().iter();
            extensions.find(|extension| extension.oid == *wanted).map(|extension| extension.value.to_vec())
        };
        let is_same = |wanted: &Oid<'_>| extension(&newer, wanted) == extension(&older, wanted);
        newer.issuer().as_raw() == older.issuer().as_raw()
            && is_same(&OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER)
            && is_same(&OID_X509_EXT_ISSUER_DISTRIBUTION_POINT)
            && newer.crl_number() >= older.crl_number()
            && newer.last_update() >= older.last_update()
    }

    /// Why a list can't be used, if so.
    pub(super) fn problem(list: &CertificateRevocationListDer<'_>) -> Option<ListProblem> {
        List::parse(list).err()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// The lists, in the order of the file.
    pub(crate) fn facts(&self) -> impl Iterator<Item = &ListFacts> {
        self.lists.iter().map(|list| &list.facts)
    }

    /// Checks whether a certificate may be accepted. Without any lists, all may.
    ///
    /// # Errors
    /// The certificate was revoked, or no list is authoritative for it.
    pub(crate) fn check(
        &self,
        certificate: &webpki::Cert<'_>,
        is_ca: bool,
        issuer: &ListIssuer<'_>,
        now: Timestamp,
    ) -> Result<(), webpki::Error> {
        if self.is_empty() {
            return Ok(());
        }
        let addresses = Addresses::of(&certificate.der()).ok_or(webpki::Error::MalformedExtensions)?;
        let mut is_covered = false;
        for list in self.lists_of(issuer) {
            // A list from the future revokes certificates too, but doesn't prove that a certificate isn't revoked now.
            if list.entries.find_serial(certificate.serial())?.is_some() {
                return Err(webpki::Error::CertRevoked);
            }
            is_covered |= !list.is_from_the_future(now) && list.is_for(&addresses, is_ca);
        }
        if is_covered { Ok(()) } else { Err(webpki::Error::UnknownRevocationStatus) }
    }

    /// Whether an issuer has a usable list at this time.
    pub(crate) fn has_list_of(&self, issuer: &ListIssuer<'_>, now: Timestamp) -> bool {
        self.lists_of(issuer).any(|list| !list.is_from_the_future(now))
    }

    /// The lists, in the order of the file, with their relation to these CAs.
    pub(crate) fn signers<'a>(
        &'a self,
        cas: &'a [ListIssuer<'a>],
    ) -> impl Iterator<Item = (&'a ListFacts, ListSigner)> + 'a {
        self.lists.iter().enumerate().map(move |(number, list)| (&list.facts, self.signer(number, list, cas)))
    }

    fn signer(&self, number: usize, list: &List, cas: &[ListIssuer<'_>]) -> ListSigner {
        let mut named = cas.iter().filter(|ca| ca.name == list.entries.issuer()).peekable();
        if named.peek().is_none() {
            return ListSigner::OtherCa;
        }
        let mut signers = named.filter(|ca| self.is_signed_by(number, list, ca.key)).peekable();
        if signers.peek().is_none() {
            return ListSigner::OtherKey;
        }
        if signers.any(|ca| ca.may_sign_lists) { ListSigner::ClientCa } else { ListSigner::WithoutCrlSign }
    }

    fn lists_of<'a>(&'a self, issuer: &'a ListIssuer<'a>) -> impl Iterator<Item = &'a List> + 'a {
        self.lists
            .iter()
            .enumerate()
            .filter(move |(_, list)| issuer.may_sign_lists && list.entries.issuer() == issuer.name)
            .filter(move |(number, list)| self.is_signed_by(*number, list, issuer.key))
            .map(|(_, list)| list)
    }

    /// Whether this key signed the list. A list may be long, so its signature is verified only once for each key.
    fn is_signed_by(&self, number: usize, list: &List, key: &SubjectPublicKeyInfoDer<'_>) -> bool {
        let key_id = (number, Sha256::digest(key).into());
        let remembered = || self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(is_signed) = remembered().get(&key_id) {
            return *is_signed;
        }
        let is_signed = list.signed.is_by(key);
        let mut remembered = remembered();
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(key_id, is_signed);
        }
        is_signed
    }
}

impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lists.iter().map(|list| &list.facts)).finish()
    }
}

impl List {
    fn parse(der: &[u8]) -> Result<Self, ListProblem> {
        let entries = OwnedCertRevocationList::from_der(der)?;
        let (_, list) = CertificateRevocationList::from_der(der).map_err(|_| ListProblem::Malformed(None))?;
        let scope = Scope::of(&list)?;
        let facts = ListFacts {
            issuer: presentable(&list.issuer().to_string(), SHOWN_NAME_MAX_BYTES),
            number: list.crl_number().map(ToString::to_string),
            revoked: list.iter_revoked_certificates().count(),
            this_update: list.last_update(),
            next_update: list.next_update(),
            addresses: scope.as_ref().map(|scope| scope.addresses.clone()).unwrap_or_default(),
        };
        let signed = Signed {
            content: list.tbs_cert_list.as_ref().to_vec(),
            algorithm: signature_algorithm(der).ok_or(ListProblem::Malformed(None))?.to_vec(),
            signature: list.signature_value.data.to_vec(),
        };
        Ok(Self { entries: entries.into(), scope, facts, signed })
    }

    fn is_from_the_future(&self, now: Timestamp) -> bool {
        self.facts.is_from_the_future(now)
    }

    fn is_for(&self, addresses: &Addresses, is_ca: bool) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.covers(addresses, is_ca))
    }
}

impl ListFacts {
    /// Whether it was issued later than now, with a tolerance for clocks.
    pub(crate) fn is_from_the_future(&self, now: Timestamp) -> bool {
        self.this_update.timestamp() > seconds(now).saturating_add(CLOCK_SKEW_SECONDS)
    }

    /// Whether the next list is overdue.
    pub(crate) fn is_late(&self, now: Timestamp) -> bool {
        self.next_update.is_some_and(|due| due.timestamp() < seconds(now))
    }
}

/// `list 7 of CN=clients, issued on 2026-01-02, next due on 2026-02-02, revokes 3`
impl fmt::Display for ListFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.number {
            Some(number) => write!(f, "list {number}")?,
            None => f.write_str("list without a number")?,
        }
        write!(f, " of {}, issued on {}", self.issuer, day(self.this_update))?;
        if let Some(due) = self.next_update {
            write!(f, ", next due on {}", day(due))?;
        }
        write!(f, ", revokes {}", self.revoked)?;
        if !self.addresses.is_empty() {
            let addresses = presentable(&self.addresses.join(" and "), SHOWN_NAME_MAX_BYTES);
            write!(f, ", for certificates of {addresses} only")?;
        }
        Ok(())
    }
}

impl Signed {
    fn is_by(&self, key: &SubjectPublicKeyInfoDer<'_>) -> bool {
        let Ok(key) = RawPublicKeyEntity::try_from(key) else { return false };
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
        algorithms
            .iter()
            .filter(|algorithm| algorithm.signature_alg_id().as_ref() == self.algorithm.as_slice())
            .any(|algorithm| key.verify_signature(*algorithm, &self.content, &self.signature).is_ok())
    }
}

/// The content of the list's second part, an AlgorithmIdentifier. webpki has compared it with the signed one.
fn signature_algorithm(der: &[u8]) -> Option<&[u8]> {
    let (_, list) = Any::from_der(der).ok()?;
    let (rest, _content) = Any::from_der(list.data).ok()?;
    let (_, algorithm) = Any::from_der(rest).ok()?;
    Some(algorithm.data)
}

impl Scope {
    fn of(list: &CertificateRevocationList<'_>) -> Result<Option<Self>, ListProblem> {
        let points: Vec<_> = list
            .extensions()
            .iter()
            .filter_map(|extension| {
                let ParsedExtension::IssuingDistributionPoint(point) = extension.parsed_extension() else {
                    return None;
                };
                Some(point)
            })
            .collect();
        let [point] = points[..] else {
            return if points.is_empty() { Ok(None) } else { Err(ListProblem::Malformed(None)) };
        };
        let Some(DistributionPointName::FullName(names)) = &point.distribution_point else {
            return Err(ListProblem::DistributionPoint);
        };
        Ok(Some(Self {
            addresses: addresses(names),
            is_for_users_only: point.only_contains_user_certs,
            is_for_cas_only: point.only_contains_ca_certs,
        }))
    }

    /// Whether it covers a certificate. A certificate without a distribution point may be in any part of a divided list, so no part covers
    /// it (RFC 5280, section 6.3.3, step b 2 i).
    fn covers(&self, certificate: &Addresses, is_ca: bool) -> bool {
        let is_kind = if is_ca { !self.is_for_users_only } else { !self.is_for_cas_only };
        is_kind && certificate.0.iter().any(|address| self.addresses.contains(address))
    }
}

/// The addresses in a certificate of complete revocation lists of its issuer.
struct Addresses(Vec<String>);

impl Addresses {
    /// `None` if the certificate can't be read.
    fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut found = Vec::new();
        for extension in certificate.extensions() {
            let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() else { continue };
            for point in points.iter().filter(|point| point.reasons.is_none() && point.crl_issuer.is_none()) {
                if let Some(DistributionPointName::FullName(names)) = &point.distribution_point {
                    found.extend(addresses(names));
                }
            }
        }
        Some(Self(found))
    }
}

fn addresses(names: &[GeneralName<'_>]) -> Vec<String> {
    names
        .iter()
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some((*uri).to_owned()) } else { None })
        .collect()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only some errors of webpki have their own variants, and webpki may add more"
)]
impl From<webpki::Error> for ListProblem {
    fn from(error: webpki::Error) -> Self {
        match error {
            webpki::Error::UnsupportedDeltaCrl => Self::Delta,
            webpki::Error::UnsupportedIndirectCrl => Self::Indirect,
            webpki::Error::UnsupportedRevocationReasonsPartitioning => Self::Reasons,
            webpki::Error::UnsupportedCrlIssuingDistributionPoint => Self::DistributionPoint,
            other => Self::Malformed(Some(other)),
        }
    }
}
