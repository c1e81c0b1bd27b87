//! `cargo xtask chart`: checks the chart in deploy/helm with Helm and the schemas of Kubernetes.
//!
//! Each file in deploy/helm/cases has values. What the chart renders from them is checked in, so that a review shows what a change means in a
//! cluster; `cargo xtask generate` writes it. The tests of the workspace check the meaning of these manifests, and run the server as they say.

use std::{collections::BTreeSet, fs, process::ExitCode};

use crate::tools::{KUBERNETES_NEWEST as NEWEST, KUBERNETES_OLDEST as OLDEST, Missing, Output, Tools, shown};

pub(crate) const SUMMARY: &str = "checks the Helm chart and the manifests that are rendered from it";

const CHART: &str = "deploy/helm/sealward";
const CASES: &str = "deploy/helm/cases";

/// The name and the namespace of the release in rendered manifests.
const RELEASE: &str = "sealward";

/// The cases, each with the file of its manifests. Those of the first are for users without Helm.
pub(crate) const RENDERED: &[(&str, &str)] = &[
    (BASE, "deploy/kubernetes/sealward.yaml"),
    ("cert-manager", "deploy/helm/rendered/cert-manager.yaml"),
    ("everything", "deploy/helm/rendered/everything.yaml"),
    ("pod-certificate", POD_CERTIFICATE),
    (POSTGRESQL, "deploy/helm/rendered/postgresql.yaml"),
    (AUTOSCALING, "deploy/helm/rendered/postgresql-autoscaling.yaml"),
    ("spiffe", "deploy/helm/rendered/spiffe.yaml"),
    ("without-optional", "deploy/helm/rendered/without-optional.yaml"),
];

/// The case with the fewest values, whose data is in files.
const BASE: &str = "base";

/// The cases whose data is in PostgreSQL. In the second, an autoscaler sets the number of servers.
const POSTGRESQL: &str = "postgresql";
const AUTOSCALING: &str = "postgresql-autoscaling";

/// The manifests that only the newest version of Kubernetes knows.
const POD_CERTIFICATE: &str = "deploy/helm/rendered/pod-certificate.yaml";

/// The manifest that isn't rendered.
const NAMESPACE: &str = "deploy/kubernetes/namespace.yaml";

/// The kinds of cert-manager and of the Prometheus operator, whose schemas no package registry has. Any other kind without a schema fails.
const WITHOUT_SCHEMA: &str = "Certificate,ServiceMonitor,PrometheusRule";

/// Values that the chart refuses, added to those of a case, and a part of the message.
const REFUSED: &[(&str, &[(&str, &str)])] =
    &[(BASE, REFUSED_WITH_FILES), (POSTGRESQL, REFUSED_WITH_POSTGRESQL), (AUTOSCALING, REFUSED_WITH_AUTOSCALING)];

const REFUSED_WITH_FILES: &[(&str, &str)] = &[
    ("replicas=2", "only one server can run on a data folder: set postgresql.enabled"),
    ("replicas=0", "at '/replicas'"),
    ("autoscaling.enabled=true", "only one server can run on a data folder: set postgresql.enabled"),
    (r#"postgresql.url="postgres://sealward@db/sealward""#, "postgresql.url applies to data in PostgreSQL only"),
    (r#"postgresql.owner.role="sealward_owner""#, "postgresql.owner.role applies to data in PostgreSQL only"),
    (r#"networkPolicy.dns=[{"podSelector":{}}]"#, "networkPolicy.dns applies to data in PostgreSQL only"),
    (r#"config="[storage]\nurl = \"postgres://sealward@db/sealward\"""#, "use the value postgresql"),
    ("postgresql.enabled=true", "set postgresql.url"),
    (r#"image.repository="""#, "at '/image/repository'"),
    (r#"rootKey.secretName="""#, "at '/rootKey/secretName'"),
    (r#"rootKey.value="a secret""#, "additional properties 'value' not allowed"),
    (r#"tls.source="acme""#, "at '/tls/source'"),
    (r#"tls.source="certManager""#, "set tls.certManager.issuer.name"),
    (r#"tls.source="podCertificate""#, "set tls.podCertificate.signerName"),
    (r#"tls.secret.name="""#, "set tls.secret.name"),
    (r#"tls.clientCa.configMapName="""#, "tls.clientCa: set secretName or configMapName"),
    (r#"tls.clientCa.secretName="other""#, "not both"),
    (r#"config="[limits]\nconnections_max = 1""#, "use the values tls, limits and rootKey"),
    (r#"limits.connections_max="many""#, "at '/limits/connections_max'"),
    ("limits.drain_timeout_seconds=601", "at '/limits/drain_timeout_seconds'"),
    // In Kubernetes, an empty list allows every caller.
    ("networkPolicy.callers=[]", "at '/networkPolicy/callers'"),
    ("podDisruptionBudget.maxUnavailable=2", "at '/podDisruptionBudget/maxUnavailable'"),
    ("userId=0", "at '/userId'"),
];

const REFUSED_WITH_POSTGRESQL: &[(&str, &str)] = &[
    ("replicas=101", "at '/replicas'"),
    ("postgresql.enabled=false", "applies to data in PostgreSQL only: set postgresql.enabled"),
    (r#"persistence.size="200Gi""#, "persistence.size applies to data in files only"),
    (r#"persistence.storageClassName="fast""#, "persistence.storageClassName applies to data in files only"),
    (r#"persistence.accessMode="ReadWriteOnce""#, "persistence.accessMode applies to data in files only"),
    (r#"backup.existingClaim="sealward-backup""#, "backup.existingClaim applies to data in files only"),
    (r#"config="[storage]\nowner = \"sealward_owner\"""#, "use the value postgresql"),
    (r#"postgresql.url="""#, "set postgresql.url"),
    (r#"postgresql.url="sealward@db/sealward""#, "not an address of the form"),
    (r#"postgresql.url="postgres://db/sealward""#, "not an address of the form"),
    (r#"postgresql.url="postgres://sealward@db""#, "not an address of the form"),
    (r#"postgresql.url="postgres://sealward:hunter2@db/sealward""#, CONTAINS_PASSWORD),
    (r#"postgresql.url="postgres://sealward@db/sealward?connect_timeout=5&password=hunter2""#, CONTAINS_PASSWORD),
    (r#"postgresql.password.secretName="""#, "set password.secretName or clientCertificate.secretName"),
    (r#"postgresql.password.value="a secret""#, "additional properties 'value' not allowed"),
    (r#"postgresql.ca.secretName="other""#, "postgresql.ca: set secretName or configMapName, not both"),
    (r#"postgresql.owner.role="""#, "postgresql.owner: set role"),
    (r#"postgresql.owner.password.secretName="""#, "postgresql.owner: set password.secretName"),
];

const REFUSED_WITH_AUTOSCALING: &[(&str, &str)] = &[
    ("replicas=3", "remove replicas, and set autoscaling.minReplicas"),
    ("autoscaling.minReplicas=11", "exceeds autoscaling.maxReplicas"),
    ("autoscaling.maxReplicas=101", "at '/autoscaling/maxReplicas'"),
    ("resources.requests.cpu=null", "set resources.requests.cpu"),
];

const CONTAINS_PASSWORD: &str = "contains a password: remove it, and set postgresql.password.secretName";

/// The password in refused values, which no message repeats.
const PASSWORD: &str = "hunter2";

/// Why the check didn't pass.
pub(crate) enum ChartError {
    Missing(Missing),
    Failed(String),
}

impl From<Missing> for ChartError {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if !arguments.is_empty() {
        println!(
            "Usage: cargo xtask chart\n\nChecks the Helm chart in deploy/helm. To write the manifests: cargo xtask generate documents"
        );
        return ExitCode::FAILURE;
    }
    match check(&Tools::new(), &mut Output::Terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ChartError::Missing(missing)) => failed(&missing.to_string()),
        Err(ChartError::Failed(why)) => failed(&why),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

/// Lints the chart with each case, compares what it renders with the files, checks these with the schemas, and tries refused values.
pub(crate) fn check(tools: &Tools, output: &mut Output) -> Result<(), ChartError> {
    tools.helm(output)?;
    let schemas = tools.kubeconform(output)?;
    let mut problems = unlisted(tools)?;
    for (case, path) in RENDERED {
        problems.extend(run_helm(tools, &["lint", "--strict", "--quiet", CHART, "--values", &values(case)]).err());
        match rendered(tools, case) {
            Err(problem) => problems.push(problem),
            Ok(manifests) if fs::read(tools.root().join(path)).is_ok_and(|written| written == manifests) => {}
            Ok(_) => problems.push(format!("{path} is stale: run `cargo xtask generate documents`")),
        }
    }
    let files = || RENDERED.iter().map(|(_, path)| *path).chain([NAMESPACE]);
    for version in [OLDEST, NEWEST] {
        let mut kubeconform = tools.command("kubeconform");
        kubeconform.args(["-strict", "-summary", "-kubernetes-version", version, "-skip", WITHOUT_SCHEMA]);
        kubeconform.arg("-schema-location").arg(format!(
            "{}/{{{{.NormalizedKubernetesVersion}}}}{{{{.StrictSuffix}}}}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
            schemas.display()
        ));
        kubeconform.args(files().filter(|path| version == NEWEST || *path != POD_CERTIFICATE));
        let is_valid = output.run(&mut kubeconform).is_ok_and(|status| status.success());
        if !is_valid {
            problems.push(format!("`{}` found errors", shown(&kubeconform)));
        }
    }
    for (case, refused) in REFUSED {
        problems.extend(refused.iter().filter_map(|(set, expected)| accepted(tools, case, set, expected)));
    }
    if problems.is_empty() { Ok(()) } else { Err(ChartError::Failed(problems.join("\n"))) }
}

/// The manifests of a case, in the order that Helm applies them.
pub(crate) fn rendered(tools: &Tools, case: &str) -> Result<Vec<u8>, String> {
    tools.helm(&mut Output::Terminal).map_err(|missing| missing.to_string())?;
    run_helm(tools, &template(&values(case)))
}

fn template(values: &str) -> Vec<&str> {
    vec!["template", RELEASE, CHART, "--namespace", RELEASE, "--kube-version", NEWEST, "--values", values]
}

fn values(case: &str) -> String {
    format!("{CASES}/{case}.yaml")
}

/// Cases without an entry in [`RENDERED`].
fn unlisted(tools: &Tools) -> Result<Vec<String>, ChartError> {
    let unreadable = |error| ChartError::Failed(format!("can't read {CASES}: {error}"));
    let entries = fs::read_dir(tools.root().join(CASES)).map_err(unreadable)?;
    let found: BTreeSet<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    let is_unlisted = |case: &&String| !RENDERED.iter().any(|(listed, _)| listed == case);
    Ok(found
        .iter()
        .filter(is_unlisted)
        .map(|case| format!("{} is not listed in xtask/src/chart.rs", values(case)))
        .collect())
}

/// The problem that values are accepted, or refused with another message.
fn accepted(tools: &Tools, case: &str, set: &str, expected: &str) -> Option<String> {
    let values = values(case);
    let mut arguments = template(&values);
    arguments.extend(["--set-json", set]);
    match run_helm(tools, &arguments) {
        Ok(_) => Some(format!("the chart accepts {set}")),
        // The command is in the first line, with the values.
        Err(message) if message.lines().skip(1).any(|line| line.contains(PASSWORD)) => {
            Some(format!("the message for {set} repeats the password: {message}"))
        }
        Err(message) if message.contains(expected) => None,
        Err(message) => Some(format!("the message for {set} lacks `{expected}`: {message}")),
    }
}

fn run_helm(tools: &Tools, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let mut helm = tools.command("helm");
    helm.args(arguments);
    let ended = helm.output().map_err(|error| format!("can't start `{}`: {error}", shown(&helm)))?;
    if ended.status.success() {
        return Ok(ended.stdout);
    }
    let text = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Err(format!("`{}`: {}\n{text}", shown(&helm), ended.status))
}
