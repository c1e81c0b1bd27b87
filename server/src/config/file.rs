//! The configuration file as it is written: every setting but the limits, each declared once.
//!
//! From a declaration come the field that the value is read into, what the commented configuration and the reference say, and what
//! names and types are checked by. What a value means, and whether it makes sense, is `check`'s matter: values that aren't plain
//! numbers or paths stay text here, so that one that is wrong doesn't hide the next.

use std::{borrow::Cow, path::PathBuf};

use serde::Deserialize;

use super::{
    limits::{self, LimitsSection},
    setting::{Kind, Otherwise, Section, Setting, TakenUp},
};

/// The settings of a section: `name: Kind, which values, what holds otherwise, when a change is taken up;`
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ident, $range:literal, $otherwise:ident$(($value:literal))?, $taken_up:ident;)+) => {
        &[$(Setting {
            name: stringify!($name),
            kind: Kind::$kind,
            range: Cow::Borrowed($range),
            unit: "",
            otherwise: otherwise!($otherwise $($value)?),
            taken_up: TakenUp::$taken_up,
            doc: &[$($doc),+],
        },)+]
    };
}

/// A section: the struct that it is read into, and what is told about it.
macro_rules! section {
    ($(#[doc = $about:literal])+ $section:ident { $($(#[doc = $doc:literal])+ $name:ident: $kind:ident, $range:literal, $otherwise:ident$(($value:literal))?, $taken_up:ident;)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $section {
            $(pub(super) $name: field!($kind),)+
        }

        impl $section {
            const ABOUT: &[&str] = &[$($about),+];
            const SETTINGS: &[Setting] = settings! {
                $($(#[doc = $doc])+ $name: $kind, $range, $otherwise$(($value))?, $taken_up;)+
            };
        }
    };
}

macro_rules! field {
    (Path) => { Option<PathBuf> };
    (Paths) => { Vec<PathBuf> };
    (Text) => { Option<String> };
    (Texts) => { Vec<String> };
    (Boolean) => { Option<bool> };
}

macro_rules! otherwise {
    (Required) => {
        Otherwise::Required
    };
    (Nothing $value:literal) => {
        Otherwise::Nothing($value)
    };
    (Is $value:literal) => {
        Otherwise::Is(Cow::Borrowed($value))
    };
}

/// What stands before all sections.
const BEFORE_SECTIONS: &[Setting] = settings! {
    /// The folder of configuration.db and organizations/. Only the server's own user needs to get in.
    data_dir: Path, "a folder of mode 0700, made if there is none", Required, AtStart;
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) listen: ListenSection,
    pub(super) tls: TlsSection,
    pub(super) root_key: RootKeySection,
    pub(super) schema: SchemaSection,
    pub(super) limits: LimitsSection,
    pub(super) audit: AuditSection,
    pub(super) trust_domains: Vec<TrustDomainSection>,
    pub(super) token_issuers: Vec<TokenIssuerSection>,
    pub(super) roles: Vec<RoleSection>,
    pub(super) bindings: Vec<BindingSection>,
    pub(super) log: LogSection,
}

section! {
    /// Where calls come in.
    ListenSection {
        /// Where calls are taken, with TLS: IP:port. Port 0 takes a free one and prints it.
        address: Text, "IP:port", Is(r#""127.0.0.1:7443""#), AtStart;

        /// A second listener without TLS, for probes. It answers grpc.health.v1.Health, and everything else with HTTPS_REQUIRED.
        plaintext_address: Text, "IP:port", Nothing(r#""127.0.0.1:7080""#), AtStart;

        /// Where metrics are scraped, at /metrics, without TLS and by anybody: they name organizations and tell when their keys are due.
        metrics_address: Text, "IP:port", Nothing(r#""127.0.0.1:7081""#), AtStart;

        /// Origins of pages that may call, as browsers write them; the server's own is one of them if pages come from it. Requests that pages
        /// of other origins send are refused. Programs that aren't browsers send no origin and need none here.
        origins: Texts, "origins: https://HOST or https://HOST:PORT", Nothing(r#"["https://console.example.org"]"#), AtStart;
    }
}

section! {
    /// How TLS is spoken, and whose client certificates are believed. Files are PEM; "credential:NAME" is one that systemd loaded.
    TlsSection {
        /// The server's certificate, followed by those between it and its CA. A reload keeps the current one if no client could accept the
        /// new one: expired, not valid yet, without alternative names or server authentication, a CA's, or without any name of the current one.
        certificate: Path, "a PEM file, or \"credential:NAME\"", Required, AtReload;

        /// The private key of the certificate, unencrypted.
        key: Path, "a PEM file, or \"credential:NAME\"", Required, AtReload;

        /// The CAs whose client certificates are believed, while they are in their time. The path length of each is enforced.
        client_ca: Path, "a PEM file, or \"credential:NAME\"", Required, AtReload;

        /// Certificate revocation lists of those CAs and of those below them. With them, every CA that issued one of a client's certificates
        /// needs a list here, signed with its key, or the client is refused. A CA may have several lists, in any order: a certificate that one
        /// of them names is refused. A list that is divided by issuing distribution points counts for the certificates that name its part.
        /// Delta and indirect lists are refused. A list past its time continues to be used, one from the future vouches for no certificate;
        /// the log warns of both.
        client_crl: Path, "a PEM file, or \"credential:NAME\"", Nothing(r#""crl.pem""#), AtReload;

        /// The oldest version of TLS spoken: "1.3" or "1.2".
        minimum_version: Text, "\"1.3\" or \"1.2\"", Is(r#""1.3""#), AtReload;
    }
}

section! {
    /// The deployment's own key, which seals the encryption keys' texts in configuration.db.
    RootKeySection {
        /// Files of 32 random bytes that only their owner may read (mode 0600 or 0400), and that nobody but root and the server's user can
        /// change or replace: that is checked for the file, for every folder above it and for every link on the way.
        /// "credential:NAME" is one that systemd loaded. The first seals, all open.
        /// Without them the keys have to be restored by hand: keep a copy elsewhere.
        files: Paths, "at least one file, none twice", Required, AtStart;

        /// Where the files come from. "file": only their owner may read them. "mounted-secret": a container platform mounts them, and
        /// their group or everybody in the container may read them, as Kubernetes (mode 0440 with fsGroup, 0400) and Docker (mode 0444)
        /// set it up. Choose it only where no other program runs in the container. Who may change them is checked alike.
        source: Text, "\"file\" or \"mounted-secret\"", Is(r#""file""#), AtStart;
    }
}

section! {
    /// What is served beside the platform, which works with any schema.
    SchemaSection {
        /// Whether the mail application is served: mailboxes, queues, user settings and e-mail server profiles, the package sealward.mail.v1.
        /// Without it, a server serves all else, and opens no organization whose database has tables of mail: those organizations are
        /// answered with WRITTEN_BY_NEWER_VERSION, and nothing of them is changed.
        mail: Boolean, "true or false", Is("true"), AtStart;
    }
}

section! {
    /// A copy of the audit trails, beside the databases: every record as a line of JSON. docs/audit-trail.md says what is promised of it.
    AuditSection {
        /// Where the copy goes: a file, which is made with mode 0600 and may be renamed at any time, or "-" for stdout. A path that is
        /// stdout, such as /dev/stdout, means the same as "-".
        file: Path, "a file, or \"-\" for stdout", Nothing(r#""audit.jsonl""#), AtStart;

        /// What happens while the copy can't be written. "report": calls are answered, the log and a metric report it, and the copy is caught
        /// up. "refuse": calls that have to be recorded are answered with AUDIT_UNAVAILABLE from when that was noticed, until it can be
        /// written again; limits.audit_copy_answer_max_ms and limits.audit_copy_behind_max_records say when it is noticed at the latest. The
        /// trails in the databases never wait for the copy.
        on_failure: Text, "\"report\" or \"refuse\"", Is(r#""report""#), AtStart;
    }
}

section! {
    /// Roles beside those that every deployment has. Bindings name them.
    RoleSection {
        /// Lower-case letters, digits and hyphens; none that every deployment has.
        name: Text, "a name", Required, AtReload;

        /// What they may do; docs/permissions.md has every privilege, and the rpcs that need it.
        privileges: Texts, "names of privileges, at least one", Required, AtReload;
    }
}

section! {
    /// Trust domains of SPIFFE, each with the CAs that speak for it. With any, a SPIFFE id is believed only if its own trust domain's CAs
    /// vouch for it, and tls.client_ca speaks for other names. With none, tls.client_ca speaks for every trust domain.
    TrustDomainSection {
        /// Its name, as it stands in SPIFFE ids.
        name: Text, "\"example.org\"", Required, AtReload;

        /// Its bundle: CAs, PEM. They have their revocation lists in tls.client_crl.
        ca: Path, "a PEM file, or \"credential:NAME\"", Required, AtReload;
    }
}

section! {
    /// Whose bearer tokens (JWT) are believed. A call with a token and a client certificate is taken only if the token is bound to
    /// that certificate, by its thumbprint (RFC 8705) or by naming its SPIFFE id as subject.
    TokenIssuerSection {
        /// The issuer, exactly as tokens name it in `iss`.
        issuer: Text, "text without #", Required, AtReload;

        /// What tokens must be for: one of their `aud`.
        audience: Text, "text", Required, AtReload;

        /// How tokens may be signed. Nothing else is taken, whatever a token says.
        algorithms: Texts, "\"ES256\", \"ES384\", \"RS256\", \"RS384\", \"RS512\", \"PS256\", \"PS384\", \"PS512\" or \"EdDSA\"", Required, AtReload;

        /// The issuer's public keys: a JSON Web Key Set (RFC 7517). Either this or jwks_url. A set without keys refuses all its tokens.
        jwks: Path, "a JSON file, or \"credential:NAME\"", Nothing(r#""jwks.json""#), AtReload;

        /// Where the issuer's public keys are fetched from, in an interval and when a token names a key that isn't among them. A set without
        /// keys refuses all its tokens. While none can be fetched, the last one is used up to limits.jwks_age_max_seconds; it is kept in the
        /// data folder. HTTPS_PROXY and NO_PROXY of the environment are used, with proxies at http://…. Redirects aren't followed.
        jwks_url: Text, "https://…", Nothing(r#""https://idp.example.org/keys""#), AtReload;

        /// The CAs that the certificate behind jwks_url may come from. Without it, those of the system. Keys that were fetched under a CA
        /// that was removed from the file aren't used.
        jwks_ca: Path, "a PEM file, or \"credential:NAME\"", Nothing(r#""idp-ca.pem""#), AtReload;
    }
}

section! {
    /// Who has which role where. Nobody else may do anything.
    BindingSection {
        /// From a client certificate its SPIFFE id, else its first DNS name, else its common name; from a bearer token its issuer and
        /// subject. One kind is never taken for another.
        identity: Text, "\"spiffe:…\", \"dns:…\", \"cn:…\" or \"jwt:<issuer>#<subject>\"", Required, AtReload;

        /// What they may do: a role, one of [[roles]], or a single privilege, such as "prvReadEncryptionState".
        role: Text, "\"system-administrator\", \"record-writer\", \"record-reader\", \"secret-reader\", \"auditor\", a name of [[roles]] or a privilege", Required, AtReload;

        /// Where: names of organizations, or ["*"] for all, those to come included.
        organizations: Texts, "names, or [\"*\"]", Required, AtReload;
    }
}

section! {
    /// What goes to stderr.
    LogSection {
        /// "off", "error", "warn", "info", "debug" or "trace", for Sealward's own events. "info" has a line for each call, "debug" also
        /// one for each health check. The libraries under it never go below "warn", since in detail they may tell what a caller sent.
        level: Text, "\"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"", Is(r#""info""#), AtReload;

        /// "text" for people, or "json" for programs: an object a line.
        format: Text, "\"text\" or \"json\"", Is(r#""text""#), AtStart;
    }
}

/// Every section with every setting, in the order of the file.
pub fn sections() -> Vec<Section> {
    let section = |name, about, settings: &[Setting]| Section { name, about, settings: settings.to_vec(), example: "" };
    let repeated = |name, about, settings, example| Section { example, ..section(name, about, settings) };
    vec![
        section("", &[], BEFORE_SECTIONS),
        section("listen", ListenSection::ABOUT, ListenSection::SETTINGS),
        section("tls", TlsSection::ABOUT, TlsSection::SETTINGS),
        section("root_key", RootKeySection::ABOUT, RootKeySection::SETTINGS),
        section("schema", SchemaSection::ABOUT, SchemaSection::SETTINGS),
        section("limits", &[" Every bound."], &limits::settings()),
        section("audit", AuditSection::ABOUT, AuditSection::SETTINGS),
        section("log", LogSection::ABOUT, LogSection::SETTINGS),
        repeated(
            "trust_domains",
            TrustDomainSection::ABOUT,
            TrustDomainSection::SETTINGS,
            "name = \"example.org\"\nca = \"bundle.pem\"",
        ),
        repeated(
            "token_issuers",
            TokenIssuerSection::ABOUT,
            TokenIssuerSection::SETTINGS,
            "issuer = \"https://idp.example.org/\"\naudience = \"sealward\"\nalgorithms = [\"ES256\"]\njwks = \"jwks.json\"",
        ),
        repeated(
            "roles",
            RoleSection::ABOUT,
            RoleSection::SETTINGS,
            "name = \"operator\"\nprivileges = [\"prvReadOrganizations\", \"prvReadEncryptionState\"]",
        ),
        repeated(
            "bindings",
            BindingSection::ABOUT,
            BindingSection::SETTINGS,
            "identity = \"cn:admin\"\nrole = \"system-administrator\"\norganizations = [\"*\"]",
        ),
    ]
}
