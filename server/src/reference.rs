//! The files that are generated from the code: each function returns the text of a file in `docs/` or `deploy/monitoring/`, and a test compares
//! the file with it.

use std::fmt::Write;

use sealward_core::policy::{Privilege, Role};

use crate::{
    config::{
        environment, sections,
        setting::{IfUnset, Section, Setting, TakesEffect},
    },
    rpc::permission::rpc_table,
    schema::{self, DescriptorError},
    telemetry::{metrics::documents, traces},
};

/// `docs/reference/configuration.md`: every setting with its type, unit, range, default and meaning.
#[must_use]
pub fn configuration() -> String {
    let mut text = String::from(CONFIGURATION);
    for section in sections() {
        write_section(&mut text, &section);
    }
    text.push_str(ENVIRONMENT);
    for setting in environment::SETTINGS {
        let _infallible = writeln!(text, "| `{}` | `{setting}` |", environment::variable(setting));
    }
    text
}

/// `docs/reference/permissions.md`: the privileges of each role, and those that each method needs.
///
/// # Errors
/// The contract can't be served.
pub fn permissions() -> Result<String, DescriptorError> {
    let mut text = String::from(PERMISSIONS);
    let roles = Role::ALL.map(|role| format!("`{}`", role.name()));
    let by_role =
        |yes: &str, may: &dyn Fn(Role) -> bool| Role::ALL.map(|role| if may(role) { yes } else { "" }.to_owned());
    table_row(&mut text, "privilege", &roles);
    table_row(&mut text, "---", &roles.each_ref().map(|_| "---".to_owned()));
    for privilege in Privilege::ALL {
        table_row(
            &mut text,
            &format!("`{privilege}`"),
            &by_role("yes", &|role| role.privileges().contains(&privilege)),
        );
    }
    text.push_str("\n## Methods\n\n");
    table_row(&mut text, "method | needs", &roles);
    table_row(&mut text, "--- | ---", &roles.each_ref().map(|_| "---".to_owned()));
    let rpcs = rpc_table(&schema::read(sealward::FILE_DESCRIPTOR_SET)?);
    for (path, rpc) in rpcs.in_order() {
        let needs = match rpc.privileges() {
            [] => "an identity".to_owned(),
            privileges => privileges.iter().map(|privilege| format!("`{privilege}`")).collect::<Vec<_>>().join(" or "),
        };
        let may = |role: Role| {
            let holds = |privilege: &Privilege| role.privileges().contains(privilege);
            rpc.is_for_every_identity() || rpc.privileges().iter().any(holds)
        };
        let yes = if rpc.all_organizations { "bound to `*`" } else { "yes" };
        let method = path.trim_start_matches('/').trim_start_matches("sealward.v1.");
        table_row(&mut text, &format!("`{method}` | {needs}"), &by_role(yes, &may));
    }
    Ok(text)
}

/// `docs/metrics.md`: every metric.
#[must_use]
pub fn metrics() -> String {
    documents::reference()
}

/// `docs/traces.md`: every span.
#[must_use]
pub fn traces() -> String {
    traces::documents::reference()
}

/// `deploy/monitoring/sealward-dashboard.json`: the dashboard of Grafana.
#[must_use]
pub fn dashboard() -> String {
    documents::dashboard()
}

/// `deploy/monitoring/sealward-rules.yaml`: the alerts, as rules of Prometheus.
#[must_use]
pub fn rules() -> String {
    documents::rules()
}

/// `deploy/monitoring/sealward-rules-test.yaml`: the tests of the alerts, for promtool.
#[must_use]
pub fn rules_test() -> String {
    documents::rules_test()
}

fn table_row(text: &mut String, first: &str, others: &[String]) {
    let _infallible = writeln!(text, "| {first} | {} |", others.join(" | "));
}

fn write_section(text: &mut String, section: &Section) {
    let heading = match section.name {
        "" => "Before all sections".to_owned(),
        _ => format!("`{}`", section.header()),
    };
    let _infallible = writeln!(text, "\n## {heading}\n");
    if !section.about.is_empty() {
        let _infallible = writeln!(text, "{}\n", prose(section.about));
    }
    text.push_str(
        "| setting | type | unit | range | default | takes effect | meaning |\n|---|---|---|---|---|---|---|\n",
    );
    for setting in &section.settings {
        text.push_str(&row(setting));
    }
}

fn row(setting: &Setting) -> String {
    let default = match &setting.if_unset {
        IfUnset::Required => "required".to_owned(),
        IfUnset::Optional(example) => format!("none; for example `{example}`"),
        IfUnset::Default(value) => format!("`{value}`"),
    };
    let takes_effect = match setting.takes_effect {
        TakesEffect::AtStart => "at start",
        TakesEffect::AtReload => "at reload",
    };
    let cells = [
        format!("`{}`", setting.name),
        setting.kind.name().to_owned(),
        setting.unit.to_owned(),
        setting.range.to_string(),
        default,
        takes_effect.to_owned(),
        prose(setting.doc),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// Lines of documentation, each of which begins with a space, as one paragraph.
fn prose(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

const CONFIGURATION: &str = r#"# Configuration

<!-- Generated by `cargo xtask generate`. Edit the declarations in server/src/config. -->

The configuration is one TOML file. These commands use it:

* `sealward-server init DIR` creates one, with a comment on every setting.
* `sealward-server check-config --config FILE` reports all problems of the configuration and of the files that it names, with the fix for each.
* `sealward-server serve --config FILE` runs the server.

These rules apply to all settings:

* Relative paths start at the folder of the file.
* A path `"credential:NAME"` is the file `$CREDENTIALS_DIRECTORY/NAME`, which systemd loads: put `LoadCredential=NAME:/path/to/file` into the
  unit. A root key that is a credential has `type = "credential"` instead.
* An unknown setting is an error, and so is a value of the wrong type or outside its range.
* The column *takes effect*: a change of a setting marked *at reload* is applied at SIGHUP, or automatically some seconds later. A change of
  any other setting is applied at the next start.
* Paths, addresses and the log can also be in the [environment](#environment), which beats the file.
"#;

const ENVIRONMENT: &str = r#"
## Environment

These variables give a setting to `serve`, `check-config`, `backup` and `restore`, for example in a container. `dev` ignores them.

* A variable beats the file. `check-config` lists each setting that is from the environment, with its variable. All others are from the file, or
  have their default. The server logs the settings from the environment at its start.
* The value is the text without quotes, and the rules above apply to it: a relative path starts at the folder of the file. An empty variable counts
  as unset.
* A reload reads the file again. The environment stays the one of the start.
* A variable that resembles one of these, or that begins with `SEALWARD_` and the name of a section, is an error if it isn't in this list. Variables
  of the [command line](cli.md) are others, and so are those that Kubernetes sets for a Service that is named `sealward`.
* No secret can be in the environment. The configuration has none: it names the files that contain them.

| variable | setting |
|---|---|
"#;

const PERMISSIONS: &str = r#"# Permissions

<!-- Generated by `cargo xtask generate`. Edit core/src/policy.rs and the options of the methods in proto/sealward. -->

Each method needs a privilege in the organization that the call names. Bindings in the configuration grant privileges to identities:

```toml
[[roles]]                      # in addition to the built-in roles
name = "mailbox-writer"
privileges = ["prvReadRecords", "prvWriteRecords"]

[[bindings]]
identity = "spiffe:example.org/ns/crm"      # or cn:…, dns:…, jwt:<issuer>#<subject>
role = "mailbox-writer"                     # or a role below, or a single privilege
organizations = ["contoso"]                 # or ["*"]
```

* An identity without a binding can call only `AccessService/WhoAmI`, which returns the caller's identity, and
  `ServerService/GetServerInfo`, which returns the version of the server. Health needs no identity.
* Identities of different kinds never match: `cn:ada` is not `dns:ada`, and a token is not a certificate.
* Methods that belong to no organization need a binding to `["*"]`: those marked *bound to `*`* below, and the deployment's own audit trail.
* The server checks the privilege before it looks up the organization: a caller without a privilege can't find out whether an organization exists.
* After a reload of the configuration, roles and bindings apply from the next call. A configuration with errors changes nothing.
* A refusal names the privilege, the caller's identity and the organization. `sealward whoami` shows the caller's own roles and privileges.
* `sealward access explain IDENTITY --method METHOD -o ORGANIZATION` shows whether a call is allowed, and by which binding.

Three privileges of the encryption key have the names that Dynamics 365 gave them: `prvReadSqlEncryptionKey` reads the key's text,
`prvChangeSqlEncryptionKey` changes the key, `prvRestoreSqlEncryptionKey` restores it. `prvReadEncryptionState` reads everything about the key
except its text: whether encryption is active, the key's fingerprint and history, the progress of a re-encryption, the census, unreadable
cells and their verification. A grant of `prvReadSqlEncryptionKey` includes it, as in Dynamics 365. Each privilege can be granted alone.

## Roles

"#;

/// The rows of the tables under a heading of `docs/operations.md` that begin with code.
#[cfg(test)]
pub(crate) fn rows_of_operations(heading: &str) -> std::collections::BTreeSet<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, section) = document.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn configuration_reference_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/configuration.md");
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(written == configuration(), "docs/reference/configuration.md is stale: run `cargo xtask generate`");
    }

    #[test]
    fn permissions_reference_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/permissions.md");
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == permissions().unwrap(),
            "docs/reference/permissions.md is stale: run `cargo xtask generate`"
        );
    }

    #[test]
    fn every_setting_is_a_row() {
        let text = configuration();
        for section in sections() {
            assert!(section.name.is_empty() || text.contains(&format!("[{}]", section.name)), "{}", section.name);
            for setting in section.settings {
                assert!(text.contains(&format!("\n| `{}` | ", setting.name)), "{}", setting.name);
            }
        }
        assert!(
            text.contains("| `page_size_max` | integer | records | 1 to 1000 | `1000` | at start | Maximum records")
        );
    }
}
