//! The resources of Kubernetes and of the Gateway API in `deploy/mesh`, checked by kubeconform with their schemas, as `cargo xtask chart` checks the
//! chart. Those of Istio and Linkerd are checked elsewhere.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::process::{tool, tools};

/// The release of the Gateway API that Istio is built with. `cargo xtask tools` downloads it.
const GATEWAY_API: &str = "sigs.k8s.io/gateway-api@v1.6.0";

/// Where `cargo xtask tools` puts the schemas of Kubernetes, and the version that is checked.
const SCHEMAS: &str = "../kubernetes-1.29.0-1.37.0/v1.37.0-strict/{{.ResourceKind}}{{.KindSuffix}}.json";

/// The resources of this version of an API.
fn resources(api_version: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/mesh");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let resources = text.split("\n---\n").filter(|text| text.contains(&format!("apiVersion: {api_version}\n")));
        found.extend(resources.map(str::to_owned));
    }
    found
}

/// Checks a resource with a folder of schemas, and the same resource with an unknown field.
fn check(resource: &str, field: &str, schemas: &str) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("resource.yaml");
    let mut validate = Command::new(tool("kubeconform"));
    validate.args(["-strict", "-schema-location", schemas]).arg(&file);
    fs::write(&file, resource).unwrap();
    let output = validate.output().unwrap();
    assert!(output.status.success(), "{resource}: {output:?}");
    let changed = resource.replacen(&format!("{field}:"), &format!("{field}s:"), 1);
    assert_ne!(changed, resource);
    fs::write(&file, changed).unwrap();
    let output = validate.output().unwrap();
    assert!(!output.status.success(), "{resource}: {output:?}");
    // A schema that isn't found is another error.
    assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("{field}s")), "{output:?}");
}

#[test]
fn services_fit_the_schemas_of_kubernetes() {
    let services = resources("v1");
    for service in &services {
        check(service, "selector", &tools().join(SCHEMAS).to_string_lossy());
    }
    assert_eq!(services.len(), 4);
}

#[test]
fn gateway_and_route_fit_the_definitions_of_the_gateway_api() {
    let downloaded = Command::new(tool("go")).args(["mod", "download", "-json", GATEWAY_API]).output().unwrap();
    let downloaded: Value = serde_json::from_slice(&downloaded.stdout).unwrap();
    let definitions = Path::new(downloaded["Dir"].as_str().unwrap()).join("config/crd/standard");
    let schemas = TempDir::new().unwrap();
    for name in ["gateways", "httproutes"] {
        let definition = definitions.join(format!("gateway.networking.k8s.io_{name}.yaml"));
        let definition: Value = serde_saphyr::from_str(&fs::read_to_string(definition).unwrap()).unwrap();
        let kind = definition["spec"]["names"]["singular"].as_str().unwrap();
        let versions = definition["spec"]["versions"].as_array().unwrap();
        let served = versions.iter().find(|version| version["name"] == "v1").unwrap();
        let mut schema = served["schema"]["openAPIV3Schema"].clone();
        close(&mut schema["properties"]["spec"]);
        fs::write(schemas.path().join(format!("{kind}.json")), schema.to_string()).unwrap();
    }
    let schemas = schemas.path().join("{{.ResourceKind}}.json");
    let resources = resources("gateway.networking.k8s.io/v1");
    for resource in &resources {
        let field = if resource.contains("\nkind: Gateway\n") { "protocol" } else { "requestHeaderModifier" };
        check(resource, field, &schemas.to_string_lossy());
    }
    assert_eq!(resources.len(), 2);
}

/// Makes a field that the schema doesn't have an error, as an API server with strict validation does.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(parts) => {
            if parts.contains_key("properties") {
                parts.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            parts.values_mut().for_each(close);
        }
        Value::Array(parts) => parts.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
