//! Rendered manifests, as values.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// The manifests that users without Helm apply.
pub(super) const PLAIN: &str = "deploy/kubernetes/sealward.yaml";
/// The manifests of several servers over PostgreSQL.
pub(super) const POSTGRESQL: &str = "deploy/helm/rendered/postgresql.yaml";
pub(super) const POD_CERTIFICATE: &str = "deploy/helm/rendered/pod-certificate.yaml";

/// The manifests of a file.
pub(super) struct Manifests {
    /// The file's name.
    pub(super) name: String,
    pub(super) text: String,
    documents: Vec<Value>,
}

pub(super) fn repository_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Manifests {
    /// Those of every case of the chart.
    pub(super) fn all() -> Vec<Self> {
        let files = fs::read_dir(repository_file("deploy/helm/rendered")).unwrap();
        let files = files.map(|entry| format!("deploy/helm/rendered/{}", entry.unwrap().file_name().to_str().unwrap()));
        let all: Vec<_> = files.chain([PLAIN.to_owned()]).map(|path| Self::read(&path)).collect();
        assert!(all.len() >= 8);
        all
    }

    pub(super) fn read(path: &str) -> Self {
        let text = fs::read_to_string(repository_file(path)).unwrap();
        // As Kubernetes reads YAML: 0440 is octal.
        let options = serde_saphyr::options! { legacy_octal_numbers: true };
        let documents = serde_saphyr::from_multiple_with_options(&text, options).unwrap();
        Manifests { name: path.to_owned(), text, documents }
    }

    pub(super) fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.documents.iter().filter(|document| document["kind"] == kind).collect()
    }

    /// The only one of a kind.
    #[track_caller]
    pub(super) fn one(&self, kind: &str) -> &Value {
        let [one] = self.of_kind(kind)[..] else { panic!("{}: {kind}", self.name) };
        one
    }

    /// The resource that creates the pods, if its kind is this one: a StatefulSet for data in files, a Deployment for data in PostgreSQL.
    pub(super) fn workload(&self, kind: &str) -> Option<&Value> {
        let all = ["StatefulSet", "Deployment"].map(|kind| self.of_kind(kind)).concat();
        let [workload] = all[..] else { panic!("{}: {}", self.name, all.len()) };
        (workload["kind"] == kind).then_some(workload)
    }

    /// The specification of the pod.
    pub(super) fn pod(&self) -> &Value {
        let workload = self.workload("StatefulSet").or_else(|| self.workload("Deployment")).unwrap();
        &workload["spec"]["template"]["spec"]
    }

    /// The only container of the pod.
    pub(super) fn container(&self) -> &Value {
        let containers = self.pod()["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1);
        &containers[0]
    }

    /// The environment of the container.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let variables = self.container()["env"].as_array().unwrap().iter();
        variables.map(|variable| (text(&variable["name"]), text(&variable["value"]))).collect()
    }

    /// The names of the volumes, by the places where the container has them.
    pub(super) fn mounts(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mounts = self.container()["volumeMounts"].as_array().unwrap().iter();
        mounts.map(|mount| (text(&mount["mountPath"]), text(&mount["name"]))).collect()
    }

    /// The volume of the pod with this name; `None` for that of the claim template.
    pub(super) fn volume(&self, name: &str) -> Option<&Value> {
        self.pod()["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == name)
    }

    /// The files in a volume, if the manifests say which.
    pub(super) fn files_of(&self, volume: &str) -> Option<Vec<String>> {
        let volume = self.volume(volume)?;
        if volume["configMap"]["name"] == self.own_map()["metadata"]["name"] {
            return Some(self.own_map()["data"].as_object().unwrap().keys().cloned().collect());
        }
        if let Some(bundle) = volume["projected"]["sources"][0]["podCertificate"]["credentialBundlePath"].as_str() {
            return Some(vec![bundle.to_owned()]);
        }
        let items = ["secret", "configMap"].iter().find_map(|source| volume[source]["items"].as_array())?;
        Some(items.iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect())
    }

    /// The ConfigMap with the configuration.
    pub(super) fn own_map(&self) -> &Value {
        let maps = self.of_kind("ConfigMap");
        maps.into_iter().find(|map| map["data"].get("sealward.toml").is_some()).unwrap()
    }

    /// The text of the configuration.
    pub(super) fn configuration(&self) -> &str {
        self.own_map()["data"]["sealward.toml"].as_str().unwrap()
    }

    /// A limit of the configuration.
    pub(super) fn limit(&self, limit: &str) -> u64 {
        let line = self.configuration().lines().find_map(|line| line.strip_prefix(&format!("{limit} = ")));
        line.unwrap_or_else(|| panic!("{}: {limit}", self.name)).parse().unwrap()
    }
}
