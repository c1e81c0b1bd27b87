//! The configuration file as written: every setting except the limits, each declared once.
//!
//! A declaration generates the field for the value, the text of the commented configuration and of the reference, and the check of names
//! and types. `check` validates the values. Values other than numbers and paths remain text here, so that an invalid value doesn't hide the
//! next.

use std::{borrow::Cow, path::PathBuf};

use serde::Deserialize;

use super::{
    limits::{self, LimitsSection},
    setting::{IfUnset, Kind, Section, Setting, TakesEffect},
};

/// The settings of a section: `name: Kind, valid values, behavior if unset, time when a change takes effect;`
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ident, $range:literal, $if_unset:ident$(($value:literal))?, $takes_effect:ident;)+) => {
        &[$(Setting {
            name: name_in_file(stringify!($name)),
            kind: Kind::$kind,
            range: Cow::Borrowed($range),
            unit: "",
            if_unset: if_unset!($if_unset $($value)?),
            takes_effect: TakesEffect::$takes_effect,
            doc: &[$($doc),+],
        },)+]
    };
}

/// A section: its struct, and its description.
macro_rules! section {
    ($(#[doc = $about:literal])+ $section:ident { $($(#[doc = $doc:literal])+ $name:ident: $kind:ident, $range:literal, $if_unset:ident$(($value:literal))?, $takes_effect:ident;)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $section {
            $(pub(super) $name: field!($kind),)+
        }

        impl $section {
            const ABOUT: &[&str] = &[$($about),+];
            const SETTINGS: &[Setting] = settings! {
                $($(#[doc = $doc])+ $name: $kind, $range, $if_unset$(($value))?, $takes_effect;)+
            };
        }
    };
}

macro_rules! field {
    (Path) => { Option<PathBuf> };
    (Text) => { Option<String> };
    (Texts) => { Vec<String> };
    (Boolean) => { Option<bool> };
    (Integer) => { Option<i64> };
}

macro_rules! if_unset {
    (Required) => {
        IfUnset::Required
    };
    (Optional $value:literal) => {
        IfUnset::Optional($value)
    };
    (Default $value:literal) => {
        IfUnset::Default(Cow::Borrowed($value))
    };
}

/// The name of a field in the file: `type` for the field `r#type`.
const fn name_in_file(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// The settings before all sections.
const BEFORE_SECTIONS: &[Setting] = settings! {
    /// The folder of configuration.db and organizations/. Only the server's user needs access to it.
    data_dir: Path, "a folder of mode 0700; the server creates it if it is missing", Required, AtStart;
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) listen: ListenSection,
    pub(super) tls: TlsSection,
    pub(super) root_key: RootKeyTable,
    pub(super) schema: SchemaSection,
    pub(super) limits: LimitsSection,
    pub(super) audit: AuditSection,
    pub(super) trust_domains: Vec<TrustDomainSection>,
    pub(super) token_issuers: Vec<TokenIssuerSection>,
    pub(super) hops: Vec<HopSection>,
    pub(super) roles: Vec<RoleSection>,
    pub(super) bindings: Vec<BindingSection>,
    pub(super) log: LogSection,
    pub(super) traces: TracesSection,
    pub(super) storage: StorageSection,
}

/// `root_key`, which contains only its sources.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RootKeyTable {
    pub(super) sources: Vec<RootKeySourceSection>,
}

section! {
    /// The addresses that the server listens on.
    ListenSection {
        /// The address for calls, with TLS. Port 0 selects a free port, which the server prints.
        address: Text, "IP:port", Default(r#""127.0.0.1:7443""#), AtStart;

        /// A second listener, without TLS, for probes. It serves grpc.health.v1.Health, GET /livez and GET /readyz, and refuses all other calls
        /// with HTTPS_REQUIRED.
        plaintext_address: Text, "IP:port", Optional(r#""127.0.0.1:7080""#), AtStart;

        /// The addresses of load balancers that begin each connection to `address` with a header of the PROXY protocol, version 2. The peer of
        /// the connection, in logs, audit records and limits by address, is then the client that the header names. A connection from these
        /// addresses without a valid header is closed. From all other addresses, such a header is refused: it isn't TLS.
        proxy_protocol_from: Texts, "addresses or networks: 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32", Optional(r#"["10.0.0.0/8"]"#), AtStart;

        /// The address for metrics, at /metrics, and for probes, at /livez and /readyz. Metrics contain the names of organizations and the state
        /// of their keys: use a loopback address, or metrics_tls with metrics_identities or metrics_token.
        metrics_address: Text, "IP:port", Optional(r#""127.0.0.1:7081""#), AtStart;

        /// Whether the listener for metrics uses TLS, with the certificate, the client CAs and the revocation lists of [tls].
        metrics_tls: Boolean, "true or false", Default("false"), AtStart;

        /// The identities that can read metrics with their client certificate. Requires metrics_tls. If neither this nor metrics_token is set,
        /// every program that reaches the address can read metrics. Probes need neither.
        metrics_identities: Texts, "\"spiffe:…\", \"dns:…\" or \"cn:…\"", Optional(r#"["cn:prometheus"]"#), AtStart;

        /// The file with a token that can read metrics, as `Authorization: Bearer TOKEN`: 32 to 512 letters, digits and `-._~+/=`, for example
        /// from `openssl rand -hex 32`. The file is read for each scrape, so that it can be replaced at any time.
        metrics_token: Path, "a file, or \"credential:NAME\"", Optional(r#""metrics.token""#), AtStart;

        /// The origins of web pages that may call, as browsers send them, each with scheme, host and port. Browsers on these pages may read
        /// the answers (CORS). Requests from pages of other origins are refused. Programs other than browsers send no origin and need no
        /// entry.
        origins: Texts, "origins: https://HOST or https://HOST:PORT", Optional(r#"["https://console.example.org"]"#), AtStart;

        /// The server's own origin, as browsers send it, if pages are served from there. The server never takes it from a request: in DNS
        /// rebinding, the attacker chooses the header Host.
        own_origin: Text, "https://HOST or https://HOST:PORT", Optional(r#""https://sealward.example.org:7443""#), AtStart;

        /// Whether browsers on pages of `origins` may send the user's client certificate and cookies along with a call.
        origins_with_credentials: Boolean, "true or false", Default("false"), AtStart;
    }
}

section! {
    /// TLS, and the CAs whose client certificates are accepted. Files are PEM. "credential:NAME" is a file that systemd loads.
    /// The server's certificate comes from `certificate` and `key`, or from `spiffe_workload_api`.
    TlsSection {
        /// The server's certificate, followed by the intermediate certificates. A reload keeps the current certificate if no client could
        /// accept the new one: expired, not valid yet, without subject alternative names, not for server authentication, a CA certificate,
        /// or without any name of the current one.
        certificate: Path, "a PEM file, or \"credential:NAME\"", Optional(r#""server.pem""#), AtReload;

        /// The certificate's private key, unencrypted. It may be in the same file as the certificate, which is then read in one go: for example
        /// the credential bundle of a Kubernetes pod certificate.
        key: Path, "a PEM file, or \"credential:NAME\"", Optional(r#""server.key""#), AtReload;

        /// The Unix socket of the SPIFFE Workload API, which a SPIRE agent or the SPIFFE CSI driver provides. The server takes its certificate
        /// and key from there, and the bundles of the [[trust_domains]] with `workload_api = true`. It follows the changes without a
        /// reload. Set either this, or `certificate` and `key`. A start waits up to limits.workload_api_wait_ms. The environment
        /// variable SPIFFE_ENDPOINT_SOCKET isn't read. docs/mesh.md has a guide.
        spiffe_workload_api: Text, "\"unix:///PATH\" or \"unix:/PATH\", at most 107 bytes of path", Optional(r#""unix:///run/spire/sockets/agent.sock""#), AtStart;

        /// The SPIFFE id of the certificate that the server uses, if the agent issues several. Any other id is then refused. Default: the
        /// first one, which is the agent's default. Hints aren't supported, because the certificate doesn't prove them.
        spiffe_id: Text, "\"spiffe:TRUST-DOMAIN/PATH\"", Optional(r#""spiffe:example.org/sealward""#), AtStart;

        /// The user id of the agent. The system reports the user of the process that listens on the socket, and the server
        /// takes keys from no other user. Default: root, or the server's own user.
        spiffe_agent_uid: Integer, "0 to 4294967294", Optional("998"), AtStart;

        /// The CAs whose client certificates are accepted, within their period of validity. The path length of each CA is enforced. Required
        /// without [[trust_domains]]. With them, it applies to callers without a SPIFFE id; if it isn't set, such certificates are refused.
        client_ca: Path, "a PEM file, or \"credential:NAME\"", Optional(r#""client-ca.pem""#), AtReload;

        /// Certificate revocation lists of these CAs and of the CAs below them. If it is set, every CA in a client's certificate path needs a
        /// list here, signed with its key; otherwise the client is refused. A CA may have several lists, in any order: a certificate in one
        /// of them is refused. A list with an issuing distribution point applies to the certificates that name that point. Delta and indirect
        /// lists are refused. An expired list is still used. The revocations of a list from the future apply, but it doesn't count as the CA's
        /// list. The log warns of both.
        client_crl: Path, "a PEM file, or \"credential:NAME\"", Optional(r#""crl.pem""#), AtReload;

        /// The oldest version of TLS that the server accepts.
        minimum_version: Text, "\"1.3\" or \"1.2\"", Default(r#""1.3""#), AtReload;
    }
}

section! {
    /// A source of a root key: the deployment's own key, 32 random bytes, which seals the texts of the encryption keys in
    /// configuration.db. The first source has the current root key, which seals. The others have former root keys, which only open.
    /// Keep a copy of each root key elsewhere: if a root key is lost, every encryption key has to be restored from its text.
    RootKeySourceSection {
        /// "file": a file that only its owner can read (mode 0600 or 0400). "credential": a credential that systemd loads for the service
        /// (LoadCredential= or LoadCredentialEncrypted=). "mounted-secret": a file that a container platform mounts, such as Kubernetes
        /// (mode 0400, or 0440 with fsGroup) or Docker (mode 0444); its group, or all users in the container, can read it, so use it only
        /// if no other program runs in the container. Only root and the server's user may be able to change or replace the file: the server
        /// checks the file, every folder above it and every link on the way.
        r#type: Text, "\"file\", \"credential\" or \"mounted-secret\"", Required, AtStart;

        /// The file, for the types "file" and "mounted-secret".
        path: Path, "a file of 32 random bytes", Optional(r#""root.key""#), AtStart;

        /// The credential's name, for the type "credential": the file of this name in $CREDENTIALS_DIRECTORY.
        name: Text, "a name without folders", Optional(r#""root.key""#), AtStart;
    }
}

section! {
    /// The applications that are served in addition to the platform.
    SchemaSection {
        /// Whether the mail application is served: mailboxes, queues, user settings and e-mail server profiles, the package sealward.mail.v1.
        /// Without it, the server doesn't open an organization whose database has mail tables: calls to that organization are refused with
        /// WRITTEN_BY_NEWER_VERSION, and its data isn't changed. Everything else is served.
        mail: Boolean, "true or false", Default("true"), AtStart;
    }
}

section! {
    /// A copy of the audit trails outside the databases: each record as a line of JSON. docs/audit-trail.md describes its guarantees.
    AuditSection {
        /// The target of the copy: a file, or "-" for stdout. The file is created with mode 0600 and may be renamed at any time. A path of
        /// stdout, such as /dev/stdout, means the same as "-".
        file: Path, "a file, or \"-\" for stdout", Optional(r#""audit.jsonl""#), AtStart;

        /// The behavior while the copy can't be written. "report": calls are answered, the log and a metric report the failure, and the
        /// missing records are copied later. "refuse": calls that need an audit record are refused with AUDIT_UNAVAILABLE until the copy can
        /// be written again. limits.audit_copy_answer_max_ms and limits.audit_copy_behind_max_records bound the time until a failure is
        /// noticed. The trails in the databases never wait for the copy.
        on_failure: Text, "\"report\" or \"refuse\"", Default(r#""report""#), AtStart;
    }
}

section! {
    /// Roles in addition to the built-in ones. Bindings name them.
    RoleSection {
        /// The role's name: lower-case letters, digits and hyphens; not the name of a built-in role.
        name: Text, "a name", Required, AtReload;

        /// The privileges of the role. docs/reference/permissions.md lists every privilege and the methods that need it.
        privileges: Texts, "names of privileges, at least one", Required, AtReload;
    }
}

section! {
    /// SPIFFE trust domains, each with its CAs. With any entry, a SPIFFE id is accepted only if a CA of its own trust domain issued the
    /// certificate, and tls.client_ca applies to all other names. Without entries, tls.client_ca applies to every trust domain.
    TrustDomainSection {
        /// The trust domain's name, as in SPIFFE ids.
        name: Text, "\"example.org\"", Required, AtReload;

        /// The trust domain's bundle: its CAs, in PEM. Their revocation lists are in tls.client_crl. Set either this or `workload_api`.
        ca: Path, "a PEM file, or \"credential:NAME\"", Optional(r#""bundle.pem""#), AtReload;

        /// Whether the bundle comes from tls.spiffe_workload_api: that of the server's own trust domain, or of one that the agent federates
        /// with. A trust domain that the agent knows and no entry names is refused. While the agent sends no bundle of this trust domain, its
        /// callers are refused.
        workload_api: Boolean, "true or false", Default("false"), AtReload;
    }
}

section! {
    /// The issuers whose bearer tokens (JWT) are accepted. A call with both a token and a client certificate is accepted only if the token is
    /// bound to that certificate: by its thumbprint (RFC 8705), or with its SPIFFE id as subject.
    TokenIssuerSection {
        /// The issuer, exactly as in the tokens' `iss`.
        issuer: Text, "text without #", Required, AtReload;

        /// The audience that tokens must name in `aud`.
        audience: Text, "text", Required, AtReload;

        /// The allowed signature algorithms. Tokens with any other algorithm are refused.
        algorithms: Texts, "\"ES256\", \"ES384\", \"RS256\", \"RS384\", \"RS512\", \"PS256\", \"PS384\", \"PS512\" or \"EdDSA\"", Required, AtReload;

        /// The issuer's public keys: a JSON Web Key Set (RFC 7517). Set either this or jwks_url. With an empty set, all tokens of the issuer
        /// are refused.
        jwks: Path, "a JSON file, or \"credential:NAME\"", Optional(r#""jwks.json""#), AtReload;

        /// The address of the issuer's public keys. They are fetched at an interval, and when a token names an unknown key. With an empty set,
        /// all tokens of the issuer are refused. While the keys can't be fetched, the last ones are used, up to limits.jwks_age_max_seconds;
        /// they are stored in the data folder. The environment variables HTTPS_PROXY and NO_PROXY apply, with proxies at http://…. Redirects
        /// aren't followed.
        jwks_url: Text, "https://…", Optional(r#""https://idp.example.org/keys""#), AtReload;

        /// The CAs for the certificate of jwks_url. Default: the CAs of the system. If a CA is removed from the file, the keys that were
        /// fetched under it aren't used any more.
        jwks_ca: Path, "a PEM file, or \"credential:NAME\"", Optional(r#""idp-ca.pem""#), AtReload;
    }
}

section! {
    /// Hops: proxies that end the TLS of callers, and name the caller of each call in the header x-forwarded-client-cert. The header is
    /// believed only on a hop's connections, and only within these lists. A hop is never a caller itself: without a valid header or a bearer
    /// token, its calls are refused, except health checks. docs/mesh.md has the rules, and tested configurations of Envoy.
    HopSection {
        /// The hop's name, as in audit records.
        name: Text, "lower-case letters, digits and hyphens", Required, AtStart;

        /// The Unix socket on which the hop connects. The server creates it, and any user may connect to it, but only `peer_uid` is served.
        /// The folder must be writable only by root and the server's user. Set either this with `peer_uid`, or `certificate`.
        unix_socket: Path, "a path of at most 107 bytes", Optional(r#""/run/sealward/ingress.sock""#), AtStart;

        /// The user id of the hop's process, which the system reports for each connection to `unix_socket`.
        peer_uid: Integer, "0 to 4294967294", Optional("1337"), AtStart;

        /// The identity in the client certificate with which the hop connects to `listen.address`. No binding may name it.
        certificate: Text, "\"spiffe:…\", \"dns:…\" or \"cn:…\"", Optional(r#""spiffe:example.org/ns/ingress/sa/envoy""#), AtStart;

        /// The URIs by which `By` in the header names the hop: those in the certificate that it shows to its callers. A header that names
        /// another proxy is refused. Default: the SPIFFE id of `certificate`; then a header without `By` is accepted, too.
        by: Texts, "URIs", Optional(r#"["spiffe://example.org/ns/ingress/sa/envoy"]"#), AtStart;

        /// The kinds of identities that the hop may assert. "spiffe" needs `trust_domains`, and "jwt", for callers with bearer tokens, needs
        /// `issuers`. "dns" and "cn" are read from the caller's certificate, which the hop must forward as Cert or Chain.
        kinds: Texts, "\"spiffe\", \"dns\", \"cn\" or \"jwt\", at least one", Required, AtStart;

        /// The trust domains of the SPIFFE ids that the hop may assert.
        trust_domains: Texts, "names of trust domains", Optional(r#"["example.org"]"#), AtStart;

        /// The issuers of the bearer tokens that callers may send through the hop. Each is one of [[token_issuers]].
        issuers: Texts, "issuers", Optional(r#"["https://idp.example.org/"]"#), AtStart;
    }
}

section! {
    /// Bindings of identities to roles in organizations. An identity without a binding has no permissions.
    BindingSection {
        /// The caller's identity. From a client certificate: its SPIFFE id, otherwise its first DNS name, otherwise its common name. From a
        /// bearer token: its issuer and subject. Identities of different kinds never match.
        identity: Text, "\"spiffe:…\", \"dns:…\", \"cn:…\" or \"jwt:<issuer>#<subject>\"", Required, AtReload;

        /// The role: a built-in role, one of [[roles]], or a single privilege, such as "prvReadEncryptionState".
        role: Text, "\"system-administrator\", \"record-writer\", \"record-reader\", \"secret-reader\", \"auditor\", a name of [[roles]] or a privilege", Required, AtReload;

        /// The organizations in which the role applies: names, or ["*"] for all, including future ones.
        organizations: Texts, "names, or [\"*\"]", Required, AtReload;
    }
}

section! {
    /// The log, on stderr.
    LogSection {
        /// The level of Sealward's own events. "info" logs a line for each call; "debug" also logs a line for each health check. Libraries
        /// never log below "warn", because their details can contain a caller's data.
        level: Text, "\"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"", Default(r#""info""#), AtReload;

        /// "text" for people, or "json" for programs: one object per line.
        format: Text, "\"text\" or \"json\"", Default(r#""text""#), AtStart;
    }
}

section! {
    /// The OpenTelemetry collector that receives traces of calls, over OTLP/gRPC. Without `endpoint`, nothing is traced. The limits that begin
    /// with `trace_` determine which calls are traced, and how many spans wait. docs/traces.md lists the spans and their attributes.
    TracesSection {
        /// The address of the collector. Plaintext is allowed only to a loopback IP address and to a Unix socket. While no collector listens
        /// on a loopback address, any user of the machine can listen there instead: with headers_file, use one of the other two.
        endpoint: Text, "\"https://HOST:PORT\", \"http://127.0.0.1:PORT\", \"http://[::1]:PORT\" or \"unix:/PATH\"", Optional(r#""https://otel.example.org:4317""#), AtStart;

        /// The user id of a collector on a Unix socket. The system reports the user of the process that listens on the socket, and no other
        /// user gets spans and headers. Default: root, or the server's own user.
        collector_uid: Integer, "0 to 4294967294", Optional("998"), AtStart;

        /// The file with headers that are sent to the collector, such as its credentials: a line `name: value` for each. Empty lines, and
        /// lines that begin with `#`, are skipped. The file is read for each request, so that it can be replaced at any time; a
        /// credential of systemd changes only when the service is restarted. Its content is never logged.
        headers_file: Path, "a file, or \"credential:NAME\"", Optional(r#""traces.headers""#), AtStart;

        /// The CAs for the certificate of the collector. Default: the CAs of the system. This and the next two files can be replaced at any
        /// time: the next request after a change has a new connection.
        ca: Path, "a PEM file, or \"credential:NAME\"", Optional(r#""otel-ca.pem""#), AtStart;

        /// The certificate that the server presents to the collector, followed by the intermediate certificates.
        client_certificate: Path, "a PEM file, or \"credential:NAME\"", Optional(r#""otel-client.pem""#), AtStart;

        /// The private key of client_certificate, unencrypted.
        client_key: Path, "a PEM file, or \"credential:NAME\"", Optional(r#""otel-client.key""#), AtStart;
    }
}

section! {
    /// A PostgreSQL database, version 15 or later, for all data of the deployment. Without `url`, the data is in files in data_dir.
    /// docs/postgresql.md describes the roles and what the database must allow.
    StorageSection {
        /// The address: hosts, database, and the role that the server connects as, which must own no table. With several hosts, the first one
        /// that allows writes is used. It contains no password. A network connection always uses TLS, and the certificate must be valid for the
        /// host. For a Unix socket, write the folder as host, with %2F for each slash.
        url: Text, "\"postgres://USER@HOST:PORT,HOST:PORT/DATABASE\"", Optional(r#""postgres://sealward@db.example.org:5432/sealward""#), AtStart;

        /// The file with the password of the role. A role that authenticates with a client certificate or by the socket needs none.
        password_file: Path, "a file, or \"credential:NAME\"", Optional(r#""postgresql.password""#), AtStart;

        /// The CAs for the certificate of PostgreSQL. Default: the CAs of the system.
        ca: Path, "a PEM file, or \"credential:NAME\"", Optional(r#""postgresql-ca.pem""#), AtStart;

        /// The certificate that the server presents to PostgreSQL, followed by the intermediate certificates.
        client_certificate: Path, "a PEM file, or \"credential:NAME\"", Optional(r#""postgresql-client.pem""#), AtStart;

        /// The private key of client_certificate, unencrypted.
        client_key: Path, "a PEM file, or \"credential:NAME\"", Optional(r#""postgresql-client.key""#), AtStart;

        /// The role that owns the tables. The server connects as this role only to create and extend tables. Without it, the server starts only
        /// if all tables of its version exist.
        owner: Text, "a role, other than that in url", Optional(r#""sealward_owner""#), AtStart;

        /// The file with the password of the role that owns the tables.
        owner_password_file: Path, "a file, or \"credential:NAME\"", Optional(r#""postgresql-owner.password""#), AtStart;
    }
}

/// Every section with every setting, in the order of the file.
pub(crate) fn sections() -> Vec<Section> {
    let section = |name, about, settings: &[Setting]| Section { name, about, settings: settings.to_vec(), example: "" };
    let repeated = |name, about, settings, example| Section { example, ..section(name, about, settings) };
    vec![
        section("", &[], BEFORE_SECTIONS),
        section("listen", ListenSection::ABOUT, ListenSection::SETTINGS),
        section("tls", TlsSection::ABOUT, TlsSection::SETTINGS),
        repeated(
            "root_key.sources",
            RootKeySourceSection::ABOUT,
            RootKeySourceSection::SETTINGS,
            "type = \"file\"\npath = \"root.key\"",
        ),
        section("schema", SchemaSection::ABOUT, SchemaSection::SETTINGS),
        section("limits", &[" Limits, each with its unit, range and default."], &limits::settings()),
        section("audit", AuditSection::ABOUT, AuditSection::SETTINGS),
        section("log", LogSection::ABOUT, LogSection::SETTINGS),
        section("traces", TracesSection::ABOUT, TracesSection::SETTINGS),
        section("storage", StorageSection::ABOUT, StorageSection::SETTINGS),
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
            "hops",
            HopSection::ABOUT,
            HopSection::SETTINGS,
            "name = \"ingress\"\ncertificate = \"spiffe:example.org/ns/ingress/sa/envoy\"\nkinds = [\"spiffe\"]\ntrust_domains = [\"example.org\"]",
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
