//! Checks `[[hops]]`, the proxies that may name callers.

use std::{collections::BTreeSet, os::unix::ffi::OsStrExt as _, path::PathBuf, sync::Arc};

use sealward_core::{
    identity::{Identity, spiffe::is_trust_domain},
    policy::Binding,
};

use super::{
    faults::Faults,
    file::HopSection,
    identity::lower_case_dns,
    model::{Assertable, Hop, HopEntrance, TokenIssuer},
};

/// The maximum length of the path of a Unix socket, in bytes (unix(7)).
pub(super) const SOCKET_PATH_MAX_BYTES: usize = 107;

/// The id that means "no user" to the system.
const NO_USER: u32 = u32::MAX;

pub(super) const NOT_A_USER: &str = "is not a user id: use 0 to 4294967294";

/// The user id, if it is one.
pub(super) fn user(uid: i64) -> Option<u32> {
    u32::try_from(uid).ok().filter(|uid| *uid != NO_USER)
}

/// The paths of sockets are already resolved.
pub(super) fn check(
    sections: Vec<HopSection>,
    issuers: &[TokenIssuer],
    bindings: &[Binding],
    faults: &mut Faults,
) -> Vec<Arc<Hop>> {
    let mut hops: Vec<Hop> = Vec::new();
    for (index, section) in sections.into_iter().enumerate() {
        let mut check = Check { index, faults };
        let name = check.name(section.name, &hops);
        let certificate = section.certificate.map(|text| check.certificate(&text, bindings));
        if let Some(not_a_uri) = section.by.iter().find(|name| !name.contains("://")) {
            let problem =
                format!("`{not_a_uri}` is not a URI: write it as in the header, such as spiffe://example.org/ingress");
            check.add("by", problem);
        }
        let (by, must_be_named) = named_by(section.by, certificate.as_ref().and_then(Option::as_ref));
        let asserts = check.asserts(&section.kinds, section.trust_domains, section.issuers, issuers);
        let entrance = check.entrance(section.unix_socket, section.peer_uid, certificate);
        let Some(entrance) = entrance else { continue };
        if let Some(other) = hops.iter().find(|other| is_same(&other.entrance, &entrance)) {
            let setting = match entrance {
                HopEntrance::UnixSocket { .. } => "unix_socket",
                HopEntrance::Certificate(_) => "certificate",
            };
            check.add(setting, format!("already used by the hop `{}`: use another one", other.name));
        }
        hops.push(Hop { name, entrance, by, must_be_named, asserts });
    }
    let own: Arc<BTreeSet<Identity>> = Arc::new(hops.iter().filter_map(|hop| hop.identity().cloned()).collect());
    let with_own = |hop: Hop| Hop { asserts: Assertable { hops: Arc::clone(&own), ..hop.asserts }, ..hop };
    hops.into_iter().map(with_own).map(Arc::new).collect()
}

/// The names of a hop in headers. Without names in the configuration, those of its certificate are accepted, but not required.
fn named_by(by: Vec<String>, certificate: Option<&Identity>) -> (BTreeSet<String>, bool) {
    if !by.is_empty() {
        return (by.into_iter().collect(), true);
    }
    let own = match certificate {
        Some(Identity::Spiffe(id)) => Some(id.to_string()),
        Some(Identity::Dns(_) | Identity::CommonName(_) | Identity::Jwt { .. }) | None => None,
    };
    (own.into_iter().collect(), false)
}

fn is_same(one: &HopEntrance, other: &HopEntrance) -> bool {
    match (one, other) {
        (HopEntrance::UnixSocket { path, .. }, HopEntrance::UnixSocket { path: other, .. }) => path == other,
        (HopEntrance::Certificate(identity), HopEntrance::Certificate(other)) => identity == other,
        (HopEntrance::UnixSocket { .. }, HopEntrance::Certificate(_))
        | (HopEntrance::Certificate(_), HopEntrance::UnixSocket { .. }) => false,
    }
}

struct Check<'a> {
    index: usize,
    faults: &'a mut Faults,
}

impl Check<'_> {
    fn add(&mut self, setting: &str, problem: impl Into<String>) {
        self.faults.add(format!("hops[{}].{setting}", self.index), problem.into());
    }

    fn name(&mut self, name: Option<String>, others: &[Hop]) -> Arc<str> {
        let name = name.unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() {
            self.add("name", "missing");
        } else if !name.bytes().all(is_plain) {
            self.add("name", format!("`{name}` is not a hop name: use lower-case letters, digits and hyphens"));
        } else if others.iter().any(|other| *other.name == *name) {
            self.add("name", format!("the hop `{name}` already exists: choose another name"));
        }
        name.into()
    }

    fn certificate(&mut self, text: &str, bindings: &[Binding]) -> Option<Identity> {
        let identity = match text.parse::<Identity>() {
            Ok(Identity::Jwt { .. }) => {
                self.add("certificate", "a bearer token doesn't prove a hop: use the identity of a certificate");
                return None;
            }
            Ok(identity) => lower_case_dns(identity),
            Err(error) => {
                self.add("certificate", error.to_string());
                return None;
            }
        };
        if bindings.iter().any(|binding| binding.identity == identity) {
            let problem =
                format!("`{identity}` is bound in [[bindings]], but a hop is never a caller: remove the binding");
            self.add("certificate", problem);
        }
        Some(identity)
    }

    /// The entrance that is set. A certificate that is set may have a fault, and then no identity.
    fn entrance(
        &mut self,
        socket: Option<PathBuf>,
        peer_uid: Option<i64>,
        certificate: Option<Option<Identity>>,
    ) -> Option<HopEntrance> {
        match (socket, peer_uid, certificate) {
            (Some(path), Some(uid), None) => {
                if path.as_os_str().as_bytes().len() > SOCKET_PATH_MAX_BYTES {
                    self.add("unix_socket", format!("longer than {SOCKET_PATH_MAX_BYTES} bytes: use a shorter path"));
                }
                let uid = user(uid);
                if uid.is_none() {
                    self.add("peer_uid", NOT_A_USER);
                }
                Some(HopEntrance::UnixSocket { path, peer_uid: uid.unwrap_or(NO_USER) })
            }
            (None, None, Some(identity)) => identity.map(HopEntrance::Certificate),
            (Some(_), None, None) => {
                self.add("peer_uid", "missing: set it to the user id of the hop's process");
                None
            }
            (None, Some(_), _) => {
                self.add("peer_uid", "applies to unix_socket only: set unix_socket, or remove it");
                None
            }
            (Some(_), _, Some(_)) => {
                self.add("unix_socket", "is set together with certificate: remove one of the two");
                None
            }
            (None, None, None) => {
                self.add("certificate", "missing: set certificate, or unix_socket with peer_uid");
                None
            }
        }
    }

    fn asserts(
        &mut self,
        kinds: &[String],
        trust_domains: Vec<String>,
        issuers: Vec<String>,
        known: &[TokenIssuer],
    ) -> Assertable {
        const KINDS: [&str; 4] = ["spiffe", "dns", "cn", "jwt"];
        let has = |kind: &str| kinds.iter().any(|one| one == kind);
        if kinds.is_empty() {
            self.add("kinds", "missing or empty: list \"spiffe\", \"dns\", \"cn\" or \"jwt\"");
        }
        if let Some(other) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
            self.add(
                "kinds",
                format!("`{other}` is not a kind of identity: use \"spiffe\", \"dns\", \"cn\" or \"jwt\""),
            );
        }
        for (kind, setting, is_empty) in
            [("spiffe", "trust_domains", trust_domains.is_empty()), ("jwt", "issuers", issuers.is_empty())]
        {
            if has(kind) && is_empty {
                self.add(setting, format!("missing or empty, but kinds contains \"{kind}\": list the allowed ones"));
            } else if !has(kind) && !is_empty {
                self.add(setting, format!("applies to \"{kind}\" only: add it to kinds, or remove this list"));
            }
        }
        if let Some(name) = trust_domains.iter().find(|name| !is_trust_domain(name)) {
            self.add(
                "trust_domains",
                format!("`{name}` is not a trust domain: write example.org, not spiffe://example.org"),
            );
        }
        if let Some(issuer) = issuers.iter().find(|issuer| known.iter().all(|known| known.issuer != **issuer)) {
            self.add("issuers", format!("`{issuer}` is not an issuer in [[token_issuers]]: add it there"));
        }
        Assertable {
            trust_domains: trust_domains.into_iter().collect(),
            dns_names: has("dns"),
            common_names: has("cn"),
            issuers: issuers.into_iter().collect(),
            hops: Arc::default(),
        }
    }
}
