//! `whoami`: shows the caller's identity, how it was authenticated, and its roles and privileges.

use sealward_client::v1::WhoAmIResponse;
use serde_json::Value;

use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Column, Format, Output, RecordList, stderr},
};

pub(super) const EXAMPLES: &str = "\
This needs an identity, but no role. The audit trail doesn't record it.

Examples:
  sealward whoami
  sealward --as connector whoami --output json";

pub(super) async fn run(connection: &Connection, output: &Output) -> Result<(), Failure> {
    let answer = connection.connect().await?.who_am_i().await?;
    let json = output::message(&answer);
    if output.format() != Format::Table {
        return output.answer(&json);
    }
    output.answer(&without_roles(&json))?;
    if answer.roles.is_empty() {
        stderr::notice(&unbound_notice(&answer));
        return Ok(());
    }
    output.list(RecordList {
        collection: "roles",
        records: json.get("roles").and_then(Value::as_array).cloned().unwrap_or_default(),
        columns: vec![Column::of("role"), Column::joined("organizations", ", "), Column::joined("privileges", " ")],
        full_columns: 1,
        extra_fields: serde_json::Map::new(),
    })
}

/// The identity and its credentials, without the roles.
fn without_roles(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(fields) = answer.as_object_mut() {
        fields.shift_remove("roles");
    }
    answer
}

fn unbound_notice(answer: &WhoAmIResponse) -> String {
    format!(
        "{} isn't bound to any role: ask an administrator to bind this identity to a role in the server's configuration.",
        answer.identity
    )
}

#[cfg(test)]
mod tests {
    use sealward_client::v1::{CallerCertificate, HeldRole};

    use super::*;

    #[test]
    fn identity_is_shown_with_its_certificate() {
        let answer = WhoAmIResponse {
            identity: "cn:ada".to_owned(),
            certificate: Some(CallerCertificate { sha256: "00ff".to_owned(), expire_time: None }),
            token: None,
            roles: vec![HeldRole { role: "auditor".to_owned(), ..HeldRole::default() }],
            server_time: None,
        };
        let shown = without_roles(&output::message(&answer));
        assert_eq!((&shown["identity"], &shown["certificate"]["sha256"]), (&"cn:ada".into(), &"00ff".into()));
        assert_eq!(shown.get("roles"), None);
        assert!(unbound_notice(&answer).starts_with("cn:ada isn't bound"));
    }

    #[test]
    fn list_is_joined_in_one_cell() {
        let role = serde_json::json!({ "organizations": ["contoso", "fabrikam"] });
        assert_eq!((Column::joined("organizations", ", ").value)(&role), "contoso, fabrikam");
        assert_eq!((Column::joined("privileges", " ").value)(&role), "");
    }
}
