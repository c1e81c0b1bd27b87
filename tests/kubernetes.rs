//! The manifests that the Helm chart renders, in deploy/kubernetes and deploy/helm/rendered: what they promise, and a server that runs as they
//! say. `cargo xtask chart` checks that the chart renders them.

mod manifests;
mod pod;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::{Value, json};

use self::manifests::{Manifests, POSTGRESQL, repository_file};

/// The types of volumes that the profile "restricted" of the Pod Security Standards allows, without those that aren't used.
const VOLUME_TYPES: [&str; 6] = ["configMap", "csi", "emptyDir", "persistentVolumeClaim", "projected", "secret"];

#[test]
fn pods_meet_the_restricted_profile_and_have_no_token() {
    for manifests in Manifests::all() {
        let (name, pod) = (&manifests.name, manifests.pod());
        for host in ["hostNetwork", "hostPID", "hostIPC", "hostUsers", "initContainers", "ephemeralContainers"] {
            assert!(pod.get(host).is_none(), "{name}: {host}");
        }
        let context = &pod["securityContext"];
        assert_eq!(context["runAsNonRoot"], true, "{name}");
        assert!(context["runAsUser"].as_u64().unwrap() > 0, "{name}");
        assert_eq!(context["seccompProfile"], json!({"type": "RuntimeDefault"}), "{name}");
        let expected = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        });
        assert_eq!(manifests.container()["securityContext"], expected, "{name}");
        for port in manifests.container()["ports"].as_array().unwrap() {
            assert!(port.get("hostPort").is_none(), "{name}");
        }
        for volume in pod["volumes"].as_array().unwrap() {
            let volume_type = volume.as_object().unwrap().keys().find(|key| *key != "name").unwrap();
            assert!(VOLUME_TYPES.contains(&volume_type.as_str()), "{name}: {volume_type}");
        }
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(manifests.one("ServiceAccount")["automountServiceAccountToken"], false, "{name}");
    }
}

#[test]
fn manifests_contain_no_secret_value() {
    let reference = fs::read_to_string(repository_file("docs/reference/configuration.md")).unwrap();
    let (_, variables) = reference.split_once("\n## Environment\n").unwrap();
    for manifests in Manifests::all() {
        let name = &manifests.name;
        assert!(manifests.of_kind("Secret").is_empty(), "{name}");
        for part in ["PRIVATE KEY", "BEGIN CERTIFICATE", "stringData", "secretKeyRef", "secretRef"] {
            assert!(!manifests.text.contains(part), "{name}: {part}");
        }
        let container = manifests.container();
        assert_eq!(container["command"], json!(["/usr/bin/sealward-server", "serve"]), "{name}");
        assert!(container.get("args").is_none() && container.get("envFrom").is_none(), "{name}");
        // Each variable is a setting that can't be a secret, or the path of the configuration.
        for variable in container["env"].as_array().unwrap() {
            let keys: Vec<_> = variable.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["name", "value"], "{name}");
            let variable = variable["name"].as_str().unwrap();
            let is_setting = variables.contains(&format!("| `{variable}` | "));
            assert!(is_setting || variable == "SEALWARD_CONFIG", "{name}: {variable}");
        }
    }
}

/// Every file of a setting is one that a volume has.
#[test]
fn every_path_of_a_setting_is_mounted() {
    for manifests in Manifests::all() {
        let name = &manifests.name;
        let mounts = manifests.mounts();
        let mounted = |path: &str| {
            let found = mounts.iter().filter(|(place, _)| Path::new(path).starts_with(place));
            let (place, volume) = found.max_by_key(|(place, _)| place.len())?;
            let rest = Path::new(path).strip_prefix(place).unwrap().to_str().unwrap().to_owned();
            Some((rest, volume.clone()))
        };
        let variables = manifests.environment();
        let paths = variables.iter().filter(|(_, value)| value.starts_with('/')).map(|(_, value)| value.clone());
        let toml = manifests.configuration();
        let in_file = toml.lines().filter_map(|line| line.strip_prefix("path = "));
        let in_file = in_file.map(|path| path.trim_matches('"').to_owned());
        let sockets = toml.lines().filter_map(|line| line.strip_prefix("spiffe_workload_api = \"unix://"));
        let sockets = sockets.map(|path| path.trim_matches('"').to_owned());
        for path in paths.chain(in_file).chain(sockets) {
            let (rest, volume) = mounted(&path).unwrap_or_else(|| panic!("{name}: {path} is not mounted"));
            let files = manifests.files_of(&volume);
            assert!(files.is_none_or(|files| files.contains(&rest)), "{name}: {path} in {volume}");
        }
    }
}

#[test]
fn one_pod_owns_a_volume_that_outlives_it() {
    let mut found = 0;
    for manifests in Manifests::all() {
        let Some(workload) = manifests.workload("StatefulSet") else { continue };
        found += 1;
        let (name, spec) = (&manifests.name, &workload["spec"]);
        assert_eq!(spec["replicas"], 1, "{name}");
        assert!(manifests.of_kind("HorizontalPodAutoscaler").is_empty(), "{name}");
        assert_eq!(
            spec["persistentVolumeClaimRetentionPolicy"],
            json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
        );
        // Helm deletes what it created; a claim of a StatefulSet isn't among it.
        assert!(manifests.of_kind("PersistentVolumeClaim").is_empty(), "{name}");
        let claim = &spec["volumeClaimTemplates"][0];
        let labels: BTreeSet<_> = claim["metadata"]["labels"].as_object().unwrap().keys().collect();
        let constant: BTreeSet<_> = spec["selector"]["matchLabels"].as_object().unwrap().keys().collect();
        assert_eq!(labels, constant, "{name}: a claim template can't be changed");
        // A kubelet that changes modes at every start would open the databases to the group.
        assert_eq!(manifests.pod()["securityContext"]["fsGroupChangePolicy"], "OnRootMismatch", "{name}");
        assert_eq!(manifests.environment()["SEALWARD_DATA_DIR"], "/var/lib/sealward/data", "{name}");
        assert_eq!(manifests.mounts()["/var/lib/sealward"], "data", "{name}");
        assert!(!manifests.environment().contains_key("SEALWARD_STORAGE_URL"), "{name}");
    }
    assert!(found >= 6, "{found}");
}

/// The time that a server still serves after it was asked to stop covers the time until balancers send calls elsewhere.
#[test]
fn pods_over_postgresql_are_replaced_without_a_gap() {
    let (mut fixed, mut scaled) = (0, 0);
    for manifests in Manifests::all() {
        let Some(workload) = manifests.workload("Deployment") else { continue };
        let (name, spec) = (&manifests.name, &workload["spec"]);
        let expected = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
        assert_eq!(spec["strategy"], expected, "{name}");
        let delay = manifests.limit("drain_delay_seconds");
        let probe = &manifests.container()["readinessProbe"];
        let noticed = probe["periodSeconds"].as_u64().unwrap() * probe["failureThreshold"].as_u64().unwrap();
        assert!(delay >= noticed, "{name}: {delay} s, {noticed} s");
        let selector = &spec["selector"]["matchLabels"];
        let spread = manifests.pod()["topologySpreadConstraints"].as_array().unwrap();
        assert_eq!(spread[0]["topologyKey"], "kubernetes.io/hostname", "{name}");
        assert!(spread.iter().all(|constraint| constraint["labelSelector"]["matchLabels"] == *selector), "{name}");
        let budget = &manifests.one("PodDisruptionBudget")["spec"];
        assert_eq!((&budget["maxUnavailable"], &budget["selector"]["matchLabels"]), (&json!(1), selector), "{name}");
        match manifests.of_kind("HorizontalPodAutoscaler")[..] {
            // An autoscaler and a number of replicas would overrule each other at each `helm upgrade`.
            [scaler] => {
                assert!(spec.get("replicas").is_none(), "{name}");
                assert_eq!(scaler["spec"]["scaleTargetRef"]["kind"], "Deployment", "{name}");
                assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], workload["metadata"]["name"], "{name}");
                assert!(manifests.container()["resources"]["requests"].get("cpu").is_some(), "{name}");
                scaled += 1;
            }
            [] => {
                assert_eq!(spec["replicas"], 2, "{name}");
                fixed += 1;
            }
            _ => panic!("{name}"),
        }
    }
    assert!(fixed >= 1 && scaled >= 1, "{fixed} {scaled}");
}

/// The pods have nothing that would have to outlive them, and reach PostgreSQL.
#[test]
fn pods_over_postgresql_have_no_data_of_their_own() {
    let mut ports = Vec::new();
    for manifests in Manifests::all() {
        if manifests.workload("Deployment").is_none() {
            continue;
        }
        let name = &manifests.name;
        assert!(!manifests.text.contains("PersistentVolumeClaim"), "{name}");
        let data = manifests.volume(&manifests.mounts()["/var/lib/sealward"]).unwrap();
        assert!(data.get("emptyDir").is_some(), "{name}");
        let environment = manifests.environment();
        // The server refuses a folder that its group can enter, so it creates one in the volume.
        assert_eq!(environment["SEALWARD_DATA_DIR"], "/var/lib/sealward/data", "{name}");
        assert!(!environment["SEALWARD_STORAGE_URL"].is_empty(), "{name}");
        let identities = ["SEALWARD_STORAGE_PASSWORD_FILE", "SEALWARD_STORAGE_CLIENT_KEY"];
        assert!(identities.iter().any(|setting| environment.contains_key(*setting)), "{name}");
        let rules = manifests.one("NetworkPolicy")["spec"]["egress"].as_array().unwrap();
        let opened = |rule: &Value| {
            let ports = rule["ports"].as_array().unwrap().iter();
            ports.map(|port| (port["protocol"].as_str().unwrap().to_owned(), port["port"].as_u64().unwrap())).collect()
        };
        let opened: Vec<Vec<_>> = rules.iter().map(opened).collect();
        let [database, names, ..] = &opened[..] else { panic!("{name}: {opened:?}") };
        ports.extend(database.iter().map(|(protocol, port)| (name.clone(), protocol.clone(), *port)));
        assert_eq!(names[..], [("UDP".to_owned(), 53), ("TCP".to_owned(), 53)], "{name}");
    }
    ports.sort();
    let scaled = "deploy/helm/rendered/postgresql-autoscaling.yaml";
    let expected = [(scaled, 5432), (scaled, 6432), (POSTGRESQL, 5432)];
    assert_eq!(ports, expected.map(|(name, port)| (name.to_owned(), "TCP".to_owned(), port)));
}

#[test]
fn pod_is_killed_after_the_bounds_of_the_drain() {
    for manifests in Manifests::all() {
        let drain = manifests.limit("drain_delay_seconds") + manifests.limit("drain_timeout_seconds");
        assert_eq!(manifests.pod()["terminationGracePeriodSeconds"].as_u64(), Some(drain + 10), "{}", manifests.name);
    }
}

#[test]
fn network_policy_opens_the_metrics_to_the_monitoring_namespace_only() {
    let mut found = 0;
    for manifests in Manifests::all() {
        let Some(policy) = manifests.of_kind("NetworkPolicy").into_iter().next() else { continue };
        assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
        let mut by_port: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
        for rule in policy["spec"]["ingress"].as_array().unwrap() {
            let callers = rule["from"].as_array().unwrap();
            // An empty list is every caller.
            assert!(!callers.is_empty(), "{}", manifests.name);
            for port in rule["ports"].as_array().unwrap() {
                by_port.entry(port["port"].as_u64().unwrap()).or_default().extend(callers);
            }
        }
        if let Some(scrapers) = by_port.remove(&7081) {
            let [scraper] = scrapers[..] else { panic!("{scrapers:?}") };
            let labels = scraper["namespaceSelector"]["matchLabels"].as_object().unwrap();
            assert_eq!(labels.keys().collect::<Vec<_>>(), ["kubernetes.io/metadata.name"]);
            found += 1;
        }
        assert_eq!(by_port.into_keys().collect::<Vec<_>>(), [7443], "{}", manifests.name);
    }
    assert!(found >= 3, "{found}");
}

#[test]
fn alerts_and_dashboard_of_the_chart_are_those_of_deploy_monitoring() {
    for file in ["sealward-rules.yaml", "sealward-dashboard.json"] {
        let [source, copy] = ["deploy/monitoring", "deploy/helm/sealward/files"]
            .map(|folder| fs::read_to_string(repository_file(folder).join(file)).unwrap());
        assert!(source == copy, "{file} differs: run `cargo xtask generate documents`");
    }
    let manifests = Manifests::read("deploy/helm/rendered/cert-manager.yaml");
    let rules = fs::read_to_string(repository_file("deploy/monitoring/sealward-rules.yaml")).unwrap();
    let rules: Value = serde_saphyr::from_str(&rules).unwrap();
    assert_eq!(manifests.one("PrometheusRule")["spec"]["groups"], rules["groups"]);
    let maps = manifests.of_kind("ConfigMap");
    let dashboard = maps.iter().find_map(|map| map["data"]["sealward.json"].as_str()).unwrap();
    let source = fs::read_to_string(repository_file("deploy/monitoring/sealward-dashboard.json")).unwrap();
    assert_eq!(dashboard.trim_end(), source.trim_end());
    // The alerts select job="sealward", which the monitor takes from this label.
    assert_eq!(manifests.one("ServiceMonitor")["spec"]["jobLabel"], "app.kubernetes.io/name");
    for service in manifests.of_kind("Service") {
        assert_eq!(service["metadata"]["labels"]["app.kubernetes.io/name"], "sealward");
    }
}

#[test]
fn values_in_the_document_are_those_of_the_rendered_manifests() {
    let document = fs::read_to_string(repository_file("docs/kubernetes.md")).unwrap();
    let examples = document.split("```yaml\n# values.yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let cases = ["base", "postgresql"].map(|case| repository_file(&format!("deploy/helm/cases/{case}.yaml")));
    let values = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
    let cases = cases.map(|path| values(&fs::read_to_string(path).unwrap()));
    let examples: Vec<_> = examples.map(values).collect();
    assert_eq!(examples, cases);
}

#[test]
fn version_of_the_chart_is_the_version_of_sealward() {
    let chart = fs::read_to_string(repository_file("deploy/helm/sealward/Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&chart).unwrap();
    assert_eq!(
        (&chart["version"], &chart["appVersion"]),
        (&env!("CARGO_PKG_VERSION").into(), &env!("CARGO_PKG_VERSION").into())
    );
}
