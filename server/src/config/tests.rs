//! Tests of the configuration from valid and invalid files.

use std::path::Path;

use jsonwebtoken::Algorithm;
use sealward_core::{
    identity::Identity,
    policy::{Binding, Grant, Privilege, Role, Scope},
};
use tracing::level_filters::LevelFilter;

use super::{limits::Limits, model::DEFAULT_ADDRESS, *};

const SMALLEST: &str = r#"
    data_dir = "data"
    [tls]
    certificate = "tls/server.pem"
    key = "tls/server.key"
    client_ca = "/etc/ca.pem"
    [[root_key.sources]]
    type = "file"
    path = "root.key"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/srv/sealward.toml"))
}

fn faults(text: &str) -> Vec<String> {
    match parse(text) {
        Err(ConfigError::Invalid { faults, .. }) => faults.0.into_iter().map(|fault| fault.setting).collect(),
        other => panic!("{other:?}"),
    }
}

/// The files of the server's certificate and key.
fn files(config: &Config) -> (&Path, &Path) {
    match &config.tls.certificate {
        CertificateSource::Files { certificate, key } => (certificate, key),
        CertificateSource::WorkloadApi(api) => panic!("{api:?}"),
    }
}

#[test]
fn omitted_settings_have_their_defaults() {
    let config = parse(SMALLEST).unwrap();
    assert_eq!(
        config.listen,
        Listen {
            address: DEFAULT_ADDRESS,
            plaintext_address: None,
            proxy_protocol_from: Vec::new(),
            metrics_address: None
        }
    );
    assert_eq!(config.tls.minimum_version, TlsVersion::V1_3);
    assert_eq!(config.schema, Schema { mail: true });
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.limits.key_changes_per_hour, 5);
    assert_eq!(config.audit, None);
    assert!(config.bindings.is_empty());
    assert_eq!(config.log, Log { level: LevelFilter::INFO, format: LogFormat::Text });
}

#[test]
fn credentials_are_read_from_the_folder_of_systemd() {
    let text = SMALLEST.replace("tls/server.key", "credential:server.key")
        + "\n[[root_key.sources]]\ntype = \"credential\"\nname = \"old.key\"";
    let parse = |text: &str, folder| {
        Config::parse_beside(text, Path::new("/srv/sealward.toml"), folder, Environment::default())
    };
    let (config, faults) = parse(&text, Some(Path::new("/run/credentials/sealward.service"))).unwrap();
    assert_eq!(faults, Faults::default());
    assert_eq!(files(&config).1, Path::new("/run/credentials/sealward.service/server.key"));
    let path = "/run/credentials/sealward.service/old.key".into();
    assert_eq!(config.root_key_sources[1], RootKeySource::Credential { name: "old.key".to_owned(), path });
    assert_eq!(files(&config).0, Path::new("/srv/tls/server.pem"));

    let faults = |text: &str, folder| parse(text, folder).unwrap().1.to_string();
    let without = faults(&text, None);
    for setting in ["tls.key", "root_key.sources[1].name"] {
        assert!(without.contains(&format!("{setting}: systemd loaded no credentials")), "{without}");
    }
    assert!(without.contains("LoadCredential=server.key:"), "{without}");
    for name in ["", "..", "a/b", "/etc/passwd"] {
        let text = SMALLEST.replace("tls/server.key", &format!("credential:{name}"));
        let text = faults(&text, Some(Path::new("/run/credentials/x")));
        assert!(text.contains(&format!("tls.key: `{name}` is not the name of a credential")), "{name}: {text}");
    }
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let config = parse(SMALLEST).unwrap();
    assert_eq!(config.data_dir, Path::new("/srv/data"));
    assert_eq!(files(&config).1, Path::new("/srv/tls/server.key"));
    assert_eq!(config.tls.client_ca.as_deref(), Some(Path::new("/etc/ca.pem")));
    assert_eq!(config.root_key_sources, [RootKeySource::File("/srv/root.key".into())]);
}

#[test]
fn root_key_source_has_a_known_type_and_its_settings() {
    let sources = |settings: &str| format!("{SMALLEST}[[root_key.sources]]\n{settings}");
    let mounted = parse(&sources("type = \"mounted-secret\"\npath = \"/run/secrets/former.key\"")).unwrap();
    let [file, secret] = &mounted.root_key_sources[..] else { panic!("{:?}", mounted.root_key_sources) };
    assert_eq!(*file, RootKeySource::File("/srv/root.key".into()));
    assert_eq!(*secret, RootKeySource::MountedSecret("/run/secrets/former.key".into()));

    for (settings, setting) in [
        ("path = \"a\"", "[1].type"),
        ("type = \"kms\"", "[1].type"),
        ("type = \"file\"", "[1].path"),
        ("type = \"file\"\npath = \"\"", "[1].path"),
        ("type = \"file\"\npath = \"credential:root.key\"", "[1].path"),
        ("type = \"file\"\npath = \"a\"\nname = \"a\"", "[1].name"),
        ("type = \"mounted-secret\"\nname = \"a\"", "[1].name"),
        ("type = \"credential\"", "[1].name"),
        ("type = \"file\"\npath = \"./root.key\"", "[1]"),
    ] {
        let found = faults(&sources(settings));
        assert!(found.contains(&format!("root_key.sources{setting}")), "{settings}: {found:?}");
    }
    let (without, _) = SMALLEST.split_once("[[root_key.sources]]").unwrap();
    assert_eq!(faults(without), ["root_key.sources"]);
}

#[test]
fn audit_copy_is_a_file_or_stdout_and_refuse_needs_one() {
    let audit = |text: &str| parse(&format!("{SMALLEST}[audit]\n{text}")).unwrap().audit;
    let copy = |to, on_failure| Some(AuditCopy { to, on_failure });
    let file = || CopyTo::File("/srv/log/audit.jsonl".into());
    assert_eq!(audit(r#"file = "log/audit.jsonl""#), copy(file(), OnFailure::Report));
    assert_eq!(audit("file = \"log/audit.jsonl\"\non_failure = \"refuse\""), copy(file(), OnFailure::Refuse));
    assert_eq!(audit(r#"file = "-""#), copy(CopyTo::Stdout, OnFailure::Report));
    assert_eq!(audit(r#"on_failure = "report""#), None);
    assert_eq!(faults(&format!("{SMALLEST}[audit]\non_failure = \"refuse\"")), ["audit.on_failure"]);
}

#[test]
fn bindings_become_a_policy() {
    let text = format!(
        "{SMALLEST}
        [[bindings]]
        identity = \"dns:Mail.Example\"
        role = \"secret-reader\"
        organizations = [\"contoso\", \"fabrikam\"]
        [[bindings]]
        identity = \"cn:admin\"
        role = \"system-administrator\"
        organizations = [\"*\"]"
    );
    let bindings = parse(&text).unwrap().bindings;
    assert_eq!(
        bindings,
        [
            Binding {
                identity: Identity::Dns("mail.example".to_owned()),
                role: Role::SecretReader.into(),
                scope: Scope::Organizations(["contoso", "fabrikam"].map(|name| name.parse().unwrap()).into()),
            },
            Binding {
                identity: Identity::CommonName("admin".to_owned()),
                role: Role::SystemAdministrator.into(),
                scope: Scope::All
            },
        ]
    );
}

#[test]
fn a_binding_names_a_role_one_of_the_deployment_or_a_privilege() {
    let binding = |role| format!("\n[[bindings]]\nidentity = \"cn:a\"\nrole = \"{role}\"\norganizations = [\"*\"]");
    let roles = "\n[[roles]]\nname = \"operator\"\nprivileges = [\"prvReadOrganizations\", \"prvReadEncryptionState\"]";
    let text = [SMALLEST, roles, &binding("operator"), &binding("prvWriteRecords"), &binding("auditor")].concat();
    let granted: Vec<_> = parse(&text).unwrap().bindings.into_iter().map(|binding| binding.role).collect();
    let operator = Grant::of_privileges("operator", [Privilege::ReadOrganizations, Privilege::ReadEncryptionState]);
    assert_eq!(granted, [operator, Privilege::WriteRecords.into(), Role::Auditor.into()]);

    let role = |name: &str, privileges: &str| {
        faults(&format!("{SMALLEST}\n[[roles]]\nname = \"{name}\"\nprivileges = [{privileges}]"))
    };
    assert_eq!(role("auditor", "\"prvReadRecords\""), ["roles[0].name"]);
    assert_eq!(role("Operator", "\"prvReadRecords\""), ["roles[0].name"]);
    assert_eq!(role("operator", ""), ["roles[0].privileges"]);
    assert_eq!(role("operator", "\"prvReadRecord\""), ["roles[0].privileges"]);
    assert_eq!(faults(&[SMALLEST, roles, roles].concat()), ["roles[1].name"]);
}

#[test]
fn issuer_needs_audience_algorithms_and_keys() {
    let issuer = |change: fn(String) -> String| {
        let text = "\n[[token_issuers]]\nissuer = \"https://idp/\"\naudience = \"sealward\"\nalgorithms = [\"ES256\"]\njwks = \"keys.json\"";
        format!("{SMALLEST}{}", change(text.to_owned()))
    };
    let parsed = parse(&issuer(|text| text)).unwrap().token_issuers;
    assert_eq!(parsed[0].keys, TokenKeys::File("/srv/keys.json".into()));
    assert_eq!(parsed[0].algorithms, [Algorithm::ES256]);
    let url = parse(&issuer(|text| text.replace("jwks = \"keys.json\"", "jwks_url = \"https://idp/keys\""))).unwrap();
    assert!(matches!(url.token_issuers[0].keys, TokenKeys::Url { ca: None, .. }));
    type Change = fn(String) -> String;
    let wrong: [(Change, &str); 8] = [
        (|text| text.replace("https://idp/", "a#b"), "issuer"),
        (|text| text.replace("sealward", ""), "audience"),
        (|text| text.replace("ES256", "HS256"), "algorithms"),
        (|text| text.replace("\"ES256\"", ""), "algorithms"),
        (|text| text.replace("jwks = \"keys.json\"", ""), "jwks"),
        (|text| text + "\njwks_url = \"https://idp/keys\"", "jwks"),
        (|text| text.replace("jwks = \"keys.json\"", "jwks_url = \"http://idp/keys\""), "jwks_url"),
        (|text| text + "\njwks_ca = \"ca.pem\"", "jwks_ca"),
    ];
    for (change, setting) in wrong {
        assert_eq!(faults(&issuer(change)), [format!("token_issuers[0].{setting}")]);
    }
    let twice = |text: String| text.clone() + &text;
    assert_eq!(faults(&issuer(twice)), ["token_issuers[1].issuer"]);
}

#[test]
fn a_trust_domain_has_a_name_and_a_bundle() {
    let domain = |name: &str| format!("{SMALLEST}\n[[trust_domains]]\nname = \"{name}\"\nca = \"bundle.pem\"");
    let parsed = parse(&domain("example.org")).unwrap().tls.trust_domains;
    assert_eq!(parsed, [("example.org".to_owned(), Bundle::File("/srv/bundle.pem".into()))].into());
    assert_eq!(faults(&domain("spiffe://example.org")), ["trust_domains[0].name"]);
    assert_eq!(
        faults(&(domain("a") + "\n[[trust_domains]]\nname = \"a\"")),
        ["trust_domains[1].name", "trust_domains[1].ca"]
    );
}

const WORKLOAD_API: &str = r#"
    data_dir = "data"
    root_key.sources = [{ type = "file", path = "root.key" }]
    [[trust_domains]]
    name = "example.org"
    workload_api = true
    [tls]
    spiffe_workload_api = "unix:///run/agent.sock"
"#;

#[test]
fn certificate_and_bundles_come_from_the_workload_api() {
    let socket = |text: &str| match parse(text).unwrap().tls.certificate {
        CertificateSource::WorkloadApi(api) => api,
        CertificateSource::Files { .. } => panic!("{text}"),
    };
    let tls = parse(WORKLOAD_API).unwrap().tls;
    assert_eq!((tls.client_ca, tls.trust_domains), (None, [("example.org".to_owned(), Bundle::WorkloadApi)].into()));
    let api = WorkloadApi { socket: "/run/agent.sock".into(), spiffe_id: None, agent_uid: None };
    assert_eq!(socket(WORKLOAD_API), api);
    assert_eq!(socket(&WORKLOAD_API.replace("unix:///", "unix:/")), api);
    let chosen = socket(&format!("{WORKLOAD_API}spiffe_id = \"spiffe:example.org/a\"\nspiffe_agent_uid = 998"));
    assert_eq!(chosen.spiffe_id.unwrap().without_scheme(), "example.org/a");
    assert_eq!(chosen.agent_uid, Some(998));
}

#[test]
fn contradictions_about_the_workload_api_are_faults() {
    let with = |text: &str| faults(&format!("{WORKLOAD_API}{text}\n"));
    assert_eq!(with("certificate = \"a\"\nkey = \"b\""), ["tls.certificate", "tls.key"]);
    assert_eq!(with("spiffe_id = \"cn:a\""), ["tls.spiffe_id"]);
    assert_eq!(with("spiffe_id = \"spiffe:example.org\""), ["tls.spiffe_id"]);
    assert_eq!(with("spiffe_agent_uid = -1"), ["tls.spiffe_agent_uid"]);
    for endpoint in [
        "tcp://127.0.0.1:8081",
        "/run/agent.sock",
        "unix:run/agent.sock",
        "unix://run/agent.sock",
        "unix:///",
        "unix:///run/a?b",
        "unix:///run/a%20b",
        &format!("unix:///{}", "a".repeat(107)),
    ] {
        let text = WORKLOAD_API.replace("unix:///run/agent.sock", endpoint);
        assert_eq!(faults(&text), ["tls.spiffe_workload_api"], "{endpoint}");
    }
    let both = WORKLOAD_API.replace("workload_api = true", "workload_api = true\nca = \"a\"");
    assert_eq!(faults(&both), ["trust_domains[0].ca"]);
    let without = |text: &str| faults(&format!("{SMALLEST}{text}"));
    assert_eq!(without("[[trust_domains]]\nname = \"a\"\nworkload_api = true"), ["trust_domains[0].workload_api"]);
    let id = SMALLEST.replace("key =", "spiffe_id = \"spiffe:a/b\"\nspiffe_agent_uid = 1\nkey =");
    assert_eq!(faults(&id), ["tls.spiffe_id", "tls.spiffe_agent_uid"]);
    assert_eq!(faults(&SMALLEST.replace("client_ca = \"/etc/ca.pem\"", "")), ["tls.client_ca"]);
}

const HOP: &str = "\n[[hops]]\nname = \"ingress\"\ncertificate = \"spiffe:example.org/envoy\"\nkinds = [\"spiffe\", \"cn\"]\ntrust_domains = [\"example.org\"]";

#[test]
fn a_hop_has_one_entrance_and_lists_what_it_may_assert() {
    let with = |text: &str| format!("{SMALLEST}{text}");
    let hops = parse(&with(HOP)).unwrap().hops;
    assert_eq!(&*hops[0].name, "ingress");
    assert_eq!(hops[0].entrance, HopEntrance::Certificate("spiffe:example.org/envoy".parse().unwrap()));
    assert_eq!(hops[0].by, ["spiffe://example.org/envoy".to_owned()].into());
    assert!(!hops[0].must_be_named);
    let asserts = &hops[0].asserts;
    assert_eq!(*asserts.hops, ["spiffe:example.org/envoy".parse().unwrap()].into());
    assert!(asserts.common_names && !asserts.dns_names && asserts.issuers.is_empty());

    let socket = HOP.replace("certificate = \"spiffe:example.org/envoy\"", "unix_socket = \"hop.sock\"\npeer_uid = 7");
    let hops = parse(&with(&(socket.clone() + "\nby = [\"spiffe://a/b\"]"))).unwrap().hops;
    assert_eq!(hops[0].entrance, HopEntrance::UnixSocket { path: "/srv/hop.sock".into(), peer_uid: 7 });
    assert!(hops[0].must_be_named);

    let binding =
        "\n[[bindings]]\nidentity = \"spiffe:example.org/envoy\"\nrole = \"auditor\"\norganizations = [\"*\"]";
    let issuers = "[\"spiffe\", \"jwt\"]\nissuers = [\"https://idp/\"]";
    for (text, setting) in [
        (HOP.replace("ingress", "In gress"), "hops[0].name"),
        (HOP.replace("spiffe:example.org/envoy", "jwt:a#b"), "hops[0].certificate"),
        (HOP.replace("spiffe:example.org/envoy", "envoy"), "hops[0].certificate"),
        (HOP.replace("certificate = \"spiffe:example.org/envoy\"", ""), "hops[0].certificate"),
        (HOP.to_owned() + "\nunix_socket = \"a\"\npeer_uid = 7", "hops[0].unix_socket"),
        (HOP.to_owned() + "\npeer_uid = 7", "hops[0].peer_uid"),
        (socket.replace("\npeer_uid = 7", ""), "hops[0].peer_uid"),
        (socket.replace("peer_uid = 7", "peer_uid = -1"), "hops[0].peer_uid"),
        (socket.replace("peer_uid = 7", "peer_uid = 4294967295"), "hops[0].peer_uid"),
        (socket.replace("hop.sock", &"x".repeat(108)), "hops[0].unix_socket"),
        (HOP.replace("[\"spiffe\", \"cn\"]", "[]").replace("trust_domains = [\"example.org\"]", ""), "hops[0].kinds"),
        (HOP.replace("\"cn\"", "\"ip\""), "hops[0].kinds"),
        (HOP.replace("[\"example.org\"]", "[]"), "hops[0].trust_domains"),
        (HOP.replace("[\"example.org\"]", "[\"spiffe://example.org\"]"), "hops[0].trust_domains"),
        (HOP.replace("\"spiffe\", ", ""), "hops[0].trust_domains"),
        (HOP.replace("[\"spiffe\", \"cn\"]", "[\"spiffe\", \"jwt\"]"), "hops[0].issuers"),
        (HOP.replace("[\"spiffe\", \"cn\"]", issuers), "hops[0].issuers"),
        (HOP.to_owned() + binding, "hops[0].certificate"),
        (HOP.to_owned() + &HOP.replace("org/envoy", "org/other"), "hops[1].name"),
        (HOP.to_owned() + &HOP.replace("ingress", "other"), "hops[1].certificate"),
        (socket.clone() + &socket.replace("ingress", "other"), "hops[1].unix_socket"),
    ] {
        assert_eq!(faults(&with(&text)), [setting], "{text}");
    }
}

#[test]
fn all_faults_of_a_configuration_are_reported_together() {
    let text = r#"
        [listen]
        address = "localhost"
        plaintext_address = "127.0.0.1"
        proxy_protocol_from = ["10.0.0.0/33", "10.0.0.1/8", "::/0"]
        origins = ["https://console.example.org/"]
        own_origin = "null"
        [tls]
        key = "server.key"
        client_ca = ""
        minimum_version = "1.1"
        [[root_key.sources]]
        type = "vault"
        [limits]
        connections_max = 0
        page_size_max = 1001
        deadline_default_ms = 99999999999
        [[bindings]]
        identity = "admin"
        role = "root"
        organizations = []
        [[bindings]]
        identity = "cn:admin"
        role = "auditor"
        organizations = ["*", "contoso"]
        [audit]
        file = ""
        on_failure = "wait"
        [log]
        level = "loud"
        format = "xml"
        colour = true
    "#;
    assert_eq!(
        faults(text),
        [
            "log.colour",
            "data_dir",
            "listen.address",
            "listen.plaintext_address",
            "listen.proxy_protocol_from",
            "listen.proxy_protocol_from",
            "listen.proxy_protocol_from",
            "listen.origins[0]",
            "listen.own_origin",
            "tls.certificate",
            "tls.client_ca",
            "tls.minimum_version",
            "root_key.sources[0].type",
            "limits.connections_max",
            "limits.deadline_default_ms",
            "limits.page_size_max",
            "audit.file",
            "audit.on_failure",
            "bindings[0].identity",
            "bindings[0].role",
            "bindings[0].organizations",
            "bindings[1].organizations",
            "log.level",
            "log.format",
        ]
    );
}

#[test]
fn fault_names_the_valid_values() {
    let error = parse(&format!(
        "{SMALLEST}[limits]\nconnections_max = 0\n[[bindings]]\nidentity = \"cn:a\"\nrole = \"root\"\norganizations = [\"*\"]"
    ));
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("/srv/sealward.toml has 2 invalid settings:"), "{text}");
    assert!(text.contains("limits.connections_max: 0 is out of range: use 1 to 100000 connections"), "{text}");
    assert!(text.contains("bindings[0].role: unknown role `root`: use system-administrator, "), "{text}");
}

#[test]
fn unknown_setting_is_refused_with_its_line() {
    for text in ["[limits]\nkey_changes = 3", "[tsl]", "[listen]\nspeed = 9"] {
        let error = parse(&format!("{}{text}", SMALLEST.trim_start())).unwrap_err();
        assert!(matches!(error, ConfigError::Invalid { .. }), "{error:?}");
        assert!(error.to_string().contains(": line "), "{error}");
    }
    let error = parse("data_dir = ").unwrap_err();
    let ConfigError::Malformed { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("line 1"), "{source}");
}

#[test]
fn settings_applied_at_start_and_at_reload_are_distinguished() {
    let mut before = parse(SMALLEST).unwrap();
    let exchanged = SMALLEST.replace("server.pem", "other.pem") + "[log]\nlevel = \"debug\"";
    assert_eq!(parse(&exchanged).unwrap().settings_that_need_a_restart(&before), [""; 0]);

    let mut after = parse(SMALLEST).unwrap();
    after.data_dir = "elsewhere".into();
    after.listen = Listen {
        address: ([127, 0, 0, 1], 1).into(),
        plaintext_address: Some(DEFAULT_ADDRESS),
        proxy_protocol_from: vec!["10.0.0.0/8".parse().unwrap()],
        metrics_address: Some(([127, 0, 0, 1], 2).into()),
    };
    after.metrics =
        MetricsAccess { tls: true, identities: vec![Identity::CommonName("ada".into())], token: Some("token".into()) };
    let origin: Origin = "https://console.example.org".parse().unwrap();
    after.pages = Pages { origins: vec![origin.clone()], own_origin: Some(origin), with_credentials: true };
    after.root_key_sources = vec![RootKeySource::MountedSecret("root.key".into())];
    after.schema = Schema { mail: false };
    after.tls = parse(WORKLOAD_API).unwrap().tls;
    after.log.format = LogFormat::Json;
    after.limits.page_size_max = 7;
    after.hops = parse(&(SMALLEST.to_owned() + HOP)).unwrap().hops;
    after.audit = Some(AuditCopy { to: CopyTo::Stdout, on_failure: OnFailure::Refuse });
    let socket = "[traces]\nendpoint = \"unix:/otel\"\ncollector_uid = 1";
    before.traces = parse(&format!("{SMALLEST}{socket}")).unwrap().traces;
    let traces = "[traces]\nendpoint = \"https://otel\"\nheaders_file = \"h\"\nca = \"a\"\nclient_certificate = \"b\"\nclient_key = \"c\"";
    after.traces = parse(&format!("{SMALLEST}{traces}")).unwrap().traces;
    let storage = "[storage]\nurl = \"postgres://a@b/c\"\npassword_file = \"p\"\nca = \"a\"\nclient_certificate = \"b\"\nclient_key = \"c\"\n\
                   owner = \"o\"\nowner_password_file = \"q\"";
    after.storage = parse(&format!("{SMALLEST}{storage}")).unwrap().storage;
    let settings = after.settings_that_need_a_restart(&before);
    assert!(settings.iter().any(|name| name == "limits.page_size_max"));
    let is_at_start = |setting: &&setting::Setting| setting.takes_effect == setting::TakesEffect::AtStart;
    for section in sections().into_iter().filter(|section| section.name != "limits") {
        for setting in section.settings.iter().filter(is_at_start) {
            let name =
                if section.is_repeated() { section.name.to_owned() } else { [section.name, setting.name].join(".") };
            assert!(settings.iter().any(|setting| setting == name.trim_start_matches('.')), "{name}");
        }
    }
}

#[test]
fn settings_of_the_metrics_listener_match_each_other() {
    let listen = |settings: &str| format!("{SMALLEST}[listen]\n{settings}");
    let served = "metrics_address = \"127.0.0.1:7081\"\n";
    let identities = "metrics_identities = [\"cn:prometheus\", \"dns:Scraper.example.org\"]\n";
    let config = parse(&listen(&format!("{served}{identities}metrics_tls = true\nmetrics_token = \"t\""))).unwrap();
    let named = [Identity::CommonName("prometheus".into()), Identity::Dns("scraper.example.org".into())];
    assert_eq!(config.metrics.identities, named);
    assert!(config.metrics.tls && config.metrics.token.is_some());
    for (settings, fault) in [
        ("metrics_tls = true", "listen.metrics_tls"),
        ("metrics_token = \"t\"", "listen.metrics_token"),
        (&format!("{served}{identities}"), "listen.metrics_identities"),
        (&format!("{served}metrics_tls = true\nmetrics_identities = [\"ada\"]"), "listen.metrics_identities[0]"),
        (&format!("{served}metrics_tls = true\nmetrics_identities = [\"jwt:a#b\"]"), "listen.metrics_identities[0]"),
    ] {
        assert_eq!(faults(&listen(settings)), [fault], "{settings}");
    }
}

#[test]
fn the_mail_application_can_be_left_out() {
    let config = parse(&format!("{SMALLEST}[schema]\nmail = false")).unwrap();
    assert_eq!(config.schema.descriptors(), sealward::PLATFORM_DESCRIPTOR_SET);
    assert_eq!(parse(SMALLEST).unwrap().schema.descriptors(), sealward::FILE_DESCRIPTOR_SET);
    assert_eq!(faults(&format!("{SMALLEST}[schema]\nmail = 0")), ["schema.mail"]);
}

#[test]
fn both_ends_of_a_range_are_within_it() {
    for limit in limits::LIMITS.iter().filter(|limit| !limit.name.starts_with("deadline")) {
        // Keys must be usable at least until the next fetch.
        let beside = match limit.name {
            "jwks_age_max_seconds" => "jwks_fetch_interval_seconds = 10\n",
            _ => "",
        };
        for value in [limit.minimum, limit.maximum] {
            assert!(
                parse(&format!("{SMALLEST}[limits]\n{beside}{} = {value}", limit.name)).is_ok(),
                "{} = {value}",
                limit.name
            );
        }
        for value in [i64::from(limit.minimum) - 1, i64::from(limit.maximum) + 1] {
            assert_eq!(
                faults(&format!("{SMALLEST}[limits]\n{beside}{} = {value}", limit.name)),
                [format!("limits.{}", limit.name)]
            );
        }
    }
}
