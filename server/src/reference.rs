//! What documentation is made of the code: each function gives the text of a file under `docs/`, and a test holds the file to it.

use std::fmt::Write;

use sealward_core::policy::{Privilege, Role};

use crate::{
    config::{
        sections,
        setting::{Otherwise, Section, Setting, TakenUp},
    },
    rpc::permission::rpc_table,
    schema::{self, DescriptorError},
};

/// `docs/configuration.md`: every setting with its type, unit, range, default and meaning.
#[must_use]
pub fn configuration() -> String {
    let mut text = String::from(CONFIGURATION);
    for section in sections() {
        write_section(&mut text, &section);
    }
    text
}

/// `docs/permissions.md`: which privileges each role holds, and which method needs which.
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

fn table_row(text: &mut String, first: &str, others: &[String]) {
    let _infallible = writeln!(text, "| {first} | {} |", others.join(" | "));
}

fn write_section(text: &mut String, section: &Section) {
    let heading = match (section.name, section.is_repeated()) {
        ("", _) => "Before all sections".to_owned(),
        (name, false) => format!("`[{name}]`"),
        (name, true) => format!("`[[{name}]]`"),
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
    let default = match &setting.otherwise {
        Otherwise::Required => "required".to_owned(),
        Otherwise::Nothing(example) => format!("none; for example `{example}`"),
        Otherwise::Is(value) => format!("`{value}`"),
    };
    let taken_up = match setting.taken_up {
        TakenUp::AtStart => "at a start",
        TakenUp::AtReload => "at a reload",
    };
    let cells = [
        format!("`{}`", setting.name),
        setting.kind.name().to_owned(),
        setting.unit.to_owned(),
        setting.range.to_string(),
        default,
        taken_up.to_owned(),
        prose(setting.doc),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// Lines of documentation, each of which begins with a space, as one paragraph.
fn prose(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

const CONFIGURATION: &str = r#"# Configuration

<!-- Made from the code by `cargo run -p sealward-server -- reference configuration`. Edit the declarations in server/src/config. -->

One TOML file. `sealward-server init DIR` writes one in which every setting is explained; `sealward-server check-config --config FILE`
tells all that is wrong with it and with the files that it names, each with what to do; `sealward-server serve --config FILE` serves.

* Relative paths start at the file's folder.
* A path `"credential:NAME"` is `$CREDENTIALS_DIRECTORY/NAME`: a file that systemd loaded, with `LoadCredential=NAME:/path/to/file` in the
  unit. A root key that comes this way may have mode 0400, 0440 or 0600 and be root's; one from elsewhere must be readable by its owner
  alone, unless `root_key.source` is `"mounted-secret"`.
* A setting that there isn't is an error, and so is a value of the wrong type or out of its range.
* *At a reload*: a running server takes the change up at SIGHUP, or by itself some seconds later. All else waits for the next start.
"#;

const PERMISSIONS: &str = r#"# Permissions

<!-- Made from the code by `cargo run -p sealward-server -- reference permissions`. Edit core/src/policy.rs and the options of the methods in proto/sealward. -->

A call needs a privilege in the organization that it is about. Identities hold privileges by bindings, in the configuration:

```toml
[[roles]]                      # beside the five that every deployment has
name = "mailbox-writer"
privileges = ["prvReadRecords", "prvWriteRecords"]

[[bindings]]
identity = "spiffe:example.org/ns/crm"      # or cn:…, dns:…, jwt:<issuer>#<subject>
role = "mailbox-writer"                     # or a role below, or a privilege by itself
organizations = ["contoso"]                 # or ["*"]
```

* An identity without a binding may call only `AccessService/WhoAmI`, which answers whom the server takes it for. Health needs no identity.
* Identities of different kinds are different, whatever they are called: `cn:ada` isn't `dns:ada`, and no token is a certificate.
* What belongs to no organization needs a binding to `["*"]`: the methods marked *bound to `*`* below, and the deployment's own audit trail.
* Whether a caller may is decided before it is looked up what is there: who may not see an organization can't tell whether it exists.
* Roles and bindings count from the next call on when the configuration is reloaded. One that can't be read changes nothing.
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
    fn the_reference_of_the_configuration_is_what_the_code_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(written == configuration(), "docs/configuration.md is stale: cargo xtask generate makes it anew");
    }

    #[test]
    fn the_reference_of_permissions_is_what_the_code_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/permissions.md");
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(written == permissions().unwrap(), "docs/permissions.md is stale: cargo xtask generate makes it anew");
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
            text.contains("| `page_size_max` | integer | records | 1 to 1000 | `1000` | at a start | The most records")
        );
    }
}
