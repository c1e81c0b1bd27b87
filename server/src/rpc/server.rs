//! ServerService: the build of the server, and its state.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Instant};

use data_encoding::HEXLOWER;
use prost_types::Timestamp as ProtoTimestamp;
use rustls::crypto::aws_lc_rs;
use sealward::v1::{
    AuditCopyStatus, CertificateStatus, CryptographicModule, GetServerInfoRequest, GetServerStatusRequest,
    RevocationListStatus, RootKeySourceStatus, ServerFinding, ServerInfo, ServerStatus, StorageFormats, StoreStatus,
    TokenIssuerStatus, server_finding, server_service_server::ServerService,
};
use sealward_core::{
    deployment::{Deployment, NotServed},
    formats,
    id::Timestamp,
    name::OrganizationName,
    policy::ReadServerStatus,
};
use sealward_store::OnDemand;
use sha2::{Digest as _, Sha256};
use tokio::{sync::watch, task::spawn_blocking};
use tonic::{Request, Response, Status};
use x509_parser::time::ASN1Time;

use super::{dispatcher::Dispatcher, export_format};
use crate::{
    audit::copy::CopyFacts,
    certificates::Certificate,
    config::Config,
    facts::{CurrentTrust, ServedOrganization, TokenIssuerFacts},
    files::disk,
    finding::{Finding, Severity},
    schema::{ServedSchema, timestamp_to_proto},
    telemetry::{metrics::access, traces::SpanOutcomes},
    transport::file_descriptors,
    version::{COMMIT, VERSION, VERSION_OF_AES_GCM, VERSION_OF_AWS_LC_RS, VERSION_OF_XAES_256_GCM},
};

/// The number of organizations that a finding names.
const NAMED_MAX: usize = 10;

/// The state that reports read, in addition to that of the dispatcher.
pub(crate) struct ServerFacts {
    start_time: Timestamp,
    data_dir: PathBuf,
    /// The PostgreSQL database; `None` if the databases are in the data folder.
    database: Option<String>,
    root_key_sources: Vec<RootKeySourceStatus>,
    /// Findings about the settings and the process, which don't change.
    of_start: Vec<Finding>,
    databases: Arc<dyn OnDemand>,
    trust: CurrentTrust,
    /// The findings of the reloader.
    of_files: watch::Receiver<Arc<[Finding]>>,
    spans: SpanOutcomes,
}

pub(crate) struct Server {
    dispatcher: Arc<Dispatcher>,
    info: ServerInfo,
    facts: ServerFacts,
}

impl ServerFacts {
    /// The facts of a server that starts now.
    pub(crate) fn new(
        config: &Config,
        start_time: Timestamp,
        databases: Arc<dyn OnDemand>,
        trust: CurrentTrust,
        of_files: watch::Receiver<Arc<[Finding]>>,
        spans: SpanOutcomes,
    ) -> Self {
        let source = |(index, source): (usize, _)| RootKeySourceStatus {
            setting: format!("root_key.sources[{index}]"),
            source: format!("{source}"),
            current: index == 0,
        };
        Self {
            start_time,
            data_dir: config.data_dir.clone(),
            database: config.storage.as_ref().map(|storage| storage.address.to_string()),
            root_key_sources: config.root_key_sources.iter().enumerate().map(source).collect(),
            of_start: file_descriptors::finding(config).into_iter().chain(access::finding(config)).collect(),
            databases,
            trust,
            of_files,
            spans,
        }
    }
}

impl Server {
    /// Reflection serves these `descriptors`.
    pub(crate) fn new(
        dispatcher: Arc<Dispatcher>,
        served: &ServedSchema,
        descriptors: &[u8],
        facts: ServerFacts,
    ) -> Self {
        Self { dispatcher, info: info(served, descriptors), facts }
    }

    async fn status(&self) -> ServerStatus {
        let Self { dispatcher, facts, .. } = self;
        let deployment = &*dispatcher.deployment;
        let now = deployment.now();
        let folder = facts.data_dir.clone();
        // A file system over a network may not answer.
        let available_bytes = match &facts.database {
            None => spawn_blocking(move || disk::available_bytes(&folder)).await.ok().flatten(),
            Some(_) => None,
        };
        let audit_copy = dispatcher.audit_copy.facts();
        let organizations = ServedOrganization::all(deployment);
        let mut findings = [facts.of_start.as_slice(), &facts.of_files.borrow()].concat();
        findings.extend(available_bytes.and_then(|bytes| disk::finding(&facts.data_dir, bytes)));
        findings.extend(of_organizations(deployment, &organizations, now));
        findings.extend(audit_copy.as_ref().and_then(of_audit_copy));
        findings.extend(facts.spans.finding(Instant::now()));
        findings.sort_by_key(|finding| finding.severity);
        let trust = facts.trust.facts(now);
        let revocation_lists = trust.revocation_lists.into_iter().map(|list| RevocationListStatus {
            issuer: list.issuer,
            number: list.number,
            next_update_time: list.next_update.and_then(time_of),
        });
        ServerStatus {
            version: VERSION.to_owned(),
            commit: COMMIT.to_owned(),
            start_time: Some(timestamp_to_proto(facts.start_time)),
            server_time: Some(timestamp_to_proto(now)),
            certificates: trust.certificates.all().map(certificate).collect(),
            revocation_lists: revocation_lists.collect(),
            token_issuers: trust.token_issuers.into_iter().map(token_issuer).collect(),
            stores: vec![store(deployment, &organizations, facts, available_bytes)],
            root_key_sources: facts.root_key_sources.clone(),
            audit_copy: audit_copy.map(|facts| AuditCopyStatus {
                target: facts.target,
                failing: facts.failure.is_some(),
                records_behind: facts.records_behind.try_into().unwrap_or(i64::MAX),
                required: facts.is_required,
            }),
            findings: findings.into_iter().map(message).collect(),
        }
    }
}

#[tonic::async_trait]
impl ServerService for Server {
    async fn get_server_info(&self, request: Request<GetServerInfoRequest>) -> Result<Response<ServerInfo>, Status> {
        self.dispatcher.enter_as_identity(request.extensions())?;
        Ok(Response::new(self.info.clone()))
    }

    async fn get_server_status(
        &self,
        request: Request<GetServerStatusRequest>,
    ) -> Result<Response<ServerStatus>, Status> {
        let _permit = self.dispatcher.enter_deployment::<ReadServerStatus>(request.extensions())?;
        Ok(Response::new(self.status().await))
    }
}

fn info(served: &ServedSchema, descriptors: &[u8]) -> ServerInfo {
    // `/sealward.v1.AccessService/WhoAmI`
    let package = |path: &str| Some(path.split('/').nth(1)?.rsplit_once('.')?.0.to_owned());
    let packages: BTreeSet<String> = served.needs.iter().filter_map(|method| package(&method.path)).collect();
    let fips_mode = aws_lc_rs::default_provider().fips();
    let module = |name: &str, version: &str, uses: &[&str], fips_mode| CryptographicModule {
        name: name.to_owned(),
        version: version.to_owned(),
        uses: uses.iter().map(|&used| used.to_owned()).collect(),
        fips_mode,
    };
    ServerInfo {
        version: VERSION.to_owned(),
        packages: packages.into_iter().collect(),
        schema_sha256: HEXLOWER.encode(&Sha256::digest(descriptors)),
        entities: served.schema.entities().iter().map(|entity| entity.name.clone()).collect(),
        formats: Some(StorageFormats {
            database: sealward_store::FORMAT,
            cell: formats::CELL.into(),
            key_ring: formats::KEY_RING.into(),
            sealed_key: formats::SEALED_KEY.into(),
            audit_record: formats::AUDIT_RECORD.try_into().unwrap_or(i32::MAX),
            export: export_format::FORMAT_VERSION.try_into().unwrap_or(i32::MAX),
        }),
        cryptographic_modules: vec![
            module("aws-lc-rs", VERSION_OF_AWS_LC_RS, &["TLS", "bearer tokens"], fips_mode),
            module("aes-gcm", VERSION_OF_AES_GCM, &["field encryption", "key encryption"], false),
            module("xaes-256-gcm", VERSION_OF_XAES_256_GCM, &["field encryption", "key encryption"], false),
        ],
    }
}

fn certificate(certificate: &Certificate) -> CertificateStatus {
    CertificateStatus {
        setting: certificate.setting.clone(),
        subject: certificate.subject.clone(),
        expire_time: certificate.not_after().and_then(time_of),
    }
}

fn token_issuer(facts: TokenIssuerFacts) -> TokenIssuerStatus {
    let TokenIssuerFacts { issuer, keys, fetch_time } = facts;
    let keys = keys.try_into().unwrap_or(i32::MAX);
    TokenIssuerStatus { issuer, keys, fetch_time: fetch_time.map(timestamp_to_proto) }
}

fn store(
    deployment: &Deployment,
    organizations: &[ServedOrganization],
    facts: &ServerFacts,
    available_bytes: Option<u64>,
) -> StoreStatus {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    StoreStatus {
        engine: facts.databases.engine(),
        location: facts.database.clone().unwrap_or_else(|| facts.data_dir.display().to_string()),
        organizations: count(organizations.len()),
        organizations_not_served: count(deployment.not_served_count()),
        open_databases: count(facts.databases.open_count()),
        available_bytes: available_bytes.map(|bytes| bytes.try_into().unwrap_or(i64::MAX)),
    }
}

/// The findings about organizations, one for each problem.
fn of_organizations(deployment: &Deployment, organizations: &[ServedOrganization], now: Timestamp) -> Vec<Finding> {
    let all_not_served = deployment.all_not_served();
    let not_served = |wanted: NotServed| -> Vec<&OrganizationName> {
        all_not_served.iter().filter(|(_, why)| *why == wanted).map(|(name, _)| name).collect()
    };
    let misnamed = deployment.not_served_count().saturating_sub(all_not_served.len());
    let (mut inactive, mut due) = (Vec::new(), Vec::new());
    for served in organizations {
        if served.is_active == Some(false) {
            inactive.push(&served.organization.name);
        } else if served.is_due(now) {
            due.push(&served.organization.name);
        }
    }
    let errors = [
        (
            not_served(NotServed::Unavailable),
            "the database can't be opened",
            "see `organization not served` in the log for the cause; the server tries again",
        ),
        (
            not_served(NotServed::Mismatch),
            "the database belongs to another organization, or its row in the configuration database isn't authentic",
            "restore both databases from one backup",
        ),
        (
            not_served(NotServed::NewerVersion),
            "the database was written by a newer version of the server, or with another schema",
            "run the server with that version and schema",
        ),
    ];
    let of_inactive = (!inactive.is_empty()).then(|| {
        let remedy = format!("restore it: {}", key_command("restore", &inactive));
        Finding::error(ORGANIZATIONS, listed("the encryption key is missing", &inactive), remedy)
    });
    let errors = errors.into_iter().filter(|(names, ..)| !names.is_empty());
    let errors = errors.map(|(names, problem, remedy)| Finding::error(ORGANIZATIONS, listed(problem, &names), remedy));
    let of_misnamed = (misnamed > 0).then(|| {
        let problem = format!("{misnamed} organizations in the configuration database have an invalid name");
        Finding::error(ORGANIZATIONS, problem, "restore the configuration database from a backup")
    });
    let of_due = (!due.is_empty()).then(|| {
        let problem = listed("a change of the encryption key is due", &due);
        Finding::warning(ORGANIZATIONS, problem, format!("change it: {}", key_command("change", &due)))
    });
    errors.chain(of_inactive).chain(of_misnamed).chain(of_due).collect()
}

const ORGANIZATIONS: &str = "organizations";

/// A command about the key of these organizations. Without `-o`, it would be that of `default`.
fn key_command(command: &str, names: &[&OrganizationName]) -> String {
    match names {
        [name] => format!("sealward -o {name} key {command}"),
        _ => format!("sealward -o NAME key {command}, for each NAME"),
    }
}

/// The problem, with the organizations that have it.
fn listed(problem: &str, names: &[&OrganizationName]) -> String {
    let named: Vec<&str> = names.iter().take(NAMED_MAX).map(|name| name.as_str()).collect();
    let named = named.join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => format!("{problem}: {named}"),
        more => format!("{problem}: {named} and {more} more"),
    }
}

fn of_audit_copy(facts: &CopyFacts) -> Option<Finding> {
    const SUBJECT: &str = "audit";
    const REMEDY: &str = "make the target writable; missing records are copied then";
    let failure = facts.failure.as_ref()?;
    let problem = format!("audit records can't be copied to {}: {failure}", facts.target);
    Some(if facts.is_required {
        Finding::error(SUBJECT, format!("{problem}; calls that must be recorded are refused"), REMEDY)
    } else {
        Finding::warning(SUBJECT, problem, REMEDY)
    })
}

fn message(finding: Finding) -> ServerFinding {
    let severity = match finding.severity {
        Severity::Error => server_finding::Severity::Error,
        Severity::Warning => server_finding::Severity::Warning,
    };
    ServerFinding {
        severity: severity.into(),
        subject: finding.subject,
        problem: finding.problem,
        remedy: finding.remedy,
    }
}

/// The time of a certificate. `None` if it is out of the range of messages.
fn time_of(time: ASN1Time) -> Option<ProtoTimestamp> {
    let micros = time.timestamp().checked_mul(1_000_000)?;
    Some(timestamp_to_proto(Timestamp::from_unix_micros(micros)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_at_most_ten_organizations() {
        let names: Vec<OrganizationName> = (0..12).map(|number| format!("o{number}").parse().unwrap()).collect();
        let names: Vec<_> = names.iter().collect();
        assert_eq!(listed("the key is missing", &names[..1]), "the key is missing: o0");
        let ten = "the key is missing: o0, o1, o2, o3, o4, o5, o6, o7, o8, o9";
        assert_eq!(listed("the key is missing", &names[..10]), ten);
        assert_eq!(listed("the key is missing", &names), format!("{ten} and 2 more"));
    }
}
