//! `whoami`: whom the server takes this client for, what proved it, and what it may do where.

use sealward_client::v1::WhoAmIResponse;
use serde_json::Value;

use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Format, Listed, Output},
    stderr,
};

pub(super) const EXAMPLES: &str = "\
Every caller with an identity is answered, bound to a role or not. Nothing is recorded in the audit trail.

Examples:
  sealward whoami
  sealward --as connector whoami --output json";

pub(super) async fn run(connection: &Connection, output: &Output) -> Result<(), Failure> {
    let answer = connection.connect().await?.who_am_i().await?;
    let json = output::message(&answer);
    if output.format() != Format::Table {
        return output.answer(&json);
    }
    output.answer(&proof(&json))?;
    if answer.roles.is_empty() {
        stderr::notice(&unbound(&answer));
        return Ok(());
    }
    output.list(Listed {
        collection: "roles",
        records: json.get("roles").and_then(Value::as_array).cloned().unwrap_or_default(),
        columns: vec![output::Column::of("role"), joined("organizations", ", "), joined("privileges", " ")],
        whole: 1,
        more: serde_json::Map::new(),
    })
}

/// The identity and what proved it, without the roles.
fn proof(answer: &Value) -> Value {
    let mut proof = answer.clone();
    if let Some(fields) = proof.as_object_mut() {
        fields.shift_remove("roles");
    }
    proof
}

fn unbound(answer: &WhoAmIResponse) -> String {
    format!(
        "{} isn't bound to any role: ask an administrator for a binding of this identity in the server's configuration.",
        answer.identity
    )
}

/// A list as one value of a row.
fn joined(name: &'static str, separator: &'static str) -> output::Column {
    let value = move |record: &Value| {
        let items = record.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).collect::<Vec<_>>().join(separator)
    };
    output::Column { heading: name.to_owned(), value: Box::new(value) }
}

#[cfg(test)]
mod tests {
    use sealward_client::v1::{CallerCertificate, HeldRole};

    use super::*;

    #[test]
    fn the_proof_has_the_certificate_and_no_roles() {
        let answer = WhoAmIResponse {
            identity: "cn:ada".to_owned(),
            certificate: Some(CallerCertificate { sha256: "00ff".to_owned(), expire_time: None }),
            token: None,
            roles: vec![HeldRole { role: "auditor".to_owned(), ..HeldRole::default() }],
        };
        let shown = proof(&output::message(&answer));
        assert_eq!((&shown["identity"], &shown["certificate"]["sha256"]), (&"cn:ada".into(), &"00ff".into()));
        assert_eq!(shown.get("roles"), None);
        assert!(unbound(&answer).starts_with("cn:ada isn't bound"));
    }

    #[test]
    fn lists_are_one_value_of_a_row() {
        let role = serde_json::json!({ "organizations": ["contoso", "fabrikam"] });
        assert_eq!((joined("organizations", ", ").value)(&role), "contoso, fabrikam");
        assert_eq!((joined("privileges", " ").value)(&role), "");
    }
}
