//! The resources of Kubernetes and of the Gateway API in `deploy/mesh`, checked with their schemas. Those of Istio and Linkerd are checked
//! elsewhere.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::process::{tool, tools};

/// The release of the Gateway API that Istio is built with.
const GATEWAY_API: &str = "sigs.k8s.io/gateway-api@v1.6.0";

/// Checks a resource with the schema of its definition. A field that the schema doesn't have is an error.
const VALIDATE: &str = r#"
import jsonschema, sys, yaml
def closed(schema):
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for part in schema.values():
            closed(part)
    elif isinstance(schema, list):
        for part in schema:
            closed(part)
definition, resource = (yaml.safe_load(open(name)) for name in sys.argv[1:])
group, version = resource["apiVersion"].split("/")
assert (definition["spec"]["group"], definition["spec"]["names"]["kind"]) == (group, resource["kind"])
[served] = [served for served in definition["spec"]["versions"] if served["name"] == version]
schema = served["schema"]["openAPIV3Schema"]
closed(schema["properties"]["spec"])
jsonschema.validate(resource, schema)
"#;

/// The resources in the files that begin with this kind of API, and the names of their files.
fn resources(api_version: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/mesh");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let resources = text.split("\n---\n").filter(|text| text.contains(&format!("apiVersion: {api_version}\n")));
        found.extend(resources.map(|resource| (path.clone(), resource.to_owned())));
    }
    found
}

/// Runs a check of a resource, and of the same resource with an unknown field.
fn check(resource: &str, field: &str, validate: impl Fn(&Path) -> Output) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("resource.yaml");
    fs::write(&file, resource).unwrap();
    let output = validate(&file);
    assert!(output.status.success(), "{resource}: {output:?}");
    let changed = resource.replacen(&format!("{field}:"), &format!("{field}s:"), 1);
    assert_ne!(changed, resource);
    fs::write(&file, changed).unwrap();
    let output = validate(&file);
    assert!(!output.status.success(), "{resource}: {output:?}");
}

#[test]
#[ignore = "needs kubernetes-validate: cargo xtask test --all kubernetes"]
fn services_fit_the_schemas_of_kubernetes() {
    let services = resources("v1");
    for (_, service) in &services {
        check(service, "selector", |file| {
            let mut validate = Command::new(tool("kubernetes-validate"));
            validate.args(["--strict", "--kubernetes-version", "1.37"]).arg(file).output().unwrap()
        });
    }
    assert_eq!(services.len(), 4);
}

#[test]
#[ignore = "needs kubernetes-validate: cargo xtask test --all kubernetes"]
fn gateway_and_route_fit_the_definitions_of_the_gateway_api() {
    let downloaded = Command::new(tool("go")).args(["mod", "download", "-json", GATEWAY_API]).output().unwrap();
    let downloaded: Value = serde_json::from_slice(&downloaded.stdout).unwrap();
    let definitions = Path::new(downloaded["Dir"].as_str().unwrap()).join("config/crd/standard");
    let resources = resources("gateway.networking.k8s.io/v1");
    for (_, resource) in &resources {
        let (name, field) = if resource.contains("\nkind: Gateway\n") {
            ("gateways", "protocol")
        } else {
            ("httproutes", "requestHeaderModifier")
        };
        let definition = definitions.join(format!("gateway.networking.k8s.io_{name}.yaml"));
        check(resource, field, |file| {
            let python = tools().join("../python/bin/python");
            Command::new(python).args(["-c", VALIDATE]).arg(&definition).arg(file).output().unwrap()
        });
    }
    assert_eq!(resources.len(), 2);
}
