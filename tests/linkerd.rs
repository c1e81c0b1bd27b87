//! The file of Linkerd in `deploy/mesh`: its kinds have the fields in the reference of Linkerd's policies, and what refers to each other agrees.

use std::collections::BTreeMap;

use serde::Deserialize;

const SETTINGS: &str = include_str!("../deploy/mesh/linkerd-opaque.yaml");

/// A resource. Fields that Linkerd doesn't know are errors, because a cluster would drop them.
#[derive(Deserialize)]
#[serde(tag = "kind", deny_unknown_fields)]
enum Resource {
    #[serde(rename_all = "camelCase")]
    Service { api_version: String, metadata: Metadata, spec: ServiceSpec },
    #[serde(rename_all = "camelCase")]
    Server { api_version: String, metadata: Metadata, spec: ServerSpec },
    #[serde(rename = "MeshTLSAuthentication", rename_all = "camelCase")]
    MeshTlsAuthentication { api_version: String, metadata: Metadata, spec: AuthenticationSpec },
    #[serde(rename_all = "camelCase")]
    AuthorizationPolicy { api_version: String, metadata: Metadata, spec: AuthorizationSpec },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    namespace: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceSpec {
    selector: BTreeMap<String, String>,
    ports: Vec<ServicePort>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServicePort {
    #[serde(rename = "name")]
    _name: String,
    port: u16,
    app_protocol: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServerSpec {
    pod_selector: Selector,
    port: u16,
    proxy_protocol: ProxyProtocol,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
enum ProxyProtocol {
    #[serde(rename = "opaque")]
    Opaque,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthenticationSpec {
    identities: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AuthorizationSpec {
    target_ref: Reference,
    required_authentication_refs: Vec<Reference>,
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
struct Reference {
    group: String,
    kind: String,
    name: String,
}

fn policy(kind: &str, name: &str) -> Reference {
    Reference { group: "policy.linkerd.io".to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

#[test]
fn port_is_opaque_for_linkerd_everywhere_and_references_exist() {
    let [service, server, authentication, authorization] = SETTINGS
        .split("\n---\n")
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .unwrap();
    let Resource::Service { api_version, metadata, spec: service } = service else { panic!("not a Service") };
    assert_eq!((&*api_version, &*metadata.namespace), ("v1", "sealward"));
    assert_eq!(metadata.annotations["config.linkerd.io/opaque-ports"], service.ports[0].port.to_string());
    assert_eq!(service.ports[0].app_protocol, "linkerd.io/opaque");

    let Resource::Server { api_version, metadata: server, spec } = server else { panic!("not a Server") };
    assert_eq!(
        (&*api_version, server.namespace, server.annotations.len()),
        ("policy.linkerd.io/v1beta3", metadata.namespace, 0)
    );
    assert_eq!((spec.port, spec.proxy_protocol), (service.ports[0].port, ProxyProtocol::Opaque));
    assert_eq!(spec.pod_selector.match_labels, service.selector);

    let Resource::MeshTlsAuthentication { api_version, metadata: mesh, spec } = authentication else {
        panic!("not a MeshTLSAuthentication")
    };
    assert_eq!((&*api_version, &*spec.identities), ("policy.linkerd.io/v1alpha1", &["*".to_owned()][..]));
    let Resource::AuthorizationPolicy { api_version, metadata, spec } = authorization else {
        panic!("not an AuthorizationPolicy")
    };
    assert_eq!((&*api_version, &*metadata.name), ("policy.linkerd.io/v1alpha1", "sealward"));
    assert_eq!(spec.target_ref, policy("Server", &server.name));
    assert_eq!(spec.required_authentication_refs, [policy("MeshTLSAuthentication", &mesh.name)]);
}
