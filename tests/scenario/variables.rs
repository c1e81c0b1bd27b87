//! The variables of a scenario, and texts that never show a secret.

use std::collections::BTreeMap;

use serde_json::Value;

use super::expectation::ANY;

/// The variables of one run of a file.
#[derive(Default)]
pub(super) struct Variables {
    values: BTreeMap<String, Value>,
}

impl Variables {
    pub(super) fn save(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    /// Replaces the variables in a value.
    pub(super) fn resolve(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.resolve_text(text),
            Value::Array(values) => values.iter().map(|value| self.resolve(value)).collect(),
            Value::Object(fields) => {
                let resolved = fields.iter().map(|(name, value)| (name.clone(), self.resolve(value)));
                Value::Object(resolved.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn resolve_text(&mut self, text: &str) -> Value {
        if text == ANY {
            return Value::from(text);
        }
        match text.strip_prefix('$') {
            Some(name) if !name.starts_with('{') => self.value(name),
            _ => Value::from(self.with_inner(text)),
        }
    }

    /// Replaces each `${NAME}`.
    fn with_inner(&mut self, text: &str) -> String {
        let mut parts = text.split("${");
        let mut resolved = parts.next().unwrap().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap();
            resolved.push_str(self.value(name).as_str().unwrap());
            resolved.push_str(rest);
        }
        resolved
    }

    fn value(&mut self, name: &str) -> Value {
        if let Some(length) = name.strip_prefix("text.") {
            return Value::from("x".repeat(length.parse().unwrap()));
        }
        if let Some(value) = self.values.get(name) {
            return value.clone();
        }
        let value = match name.split_once('.') {
            // A key text needs a letter, a numeral and a symbol. The prefix has them.
            Some(("secret", _)) => format!("Aa1!{}", uuid::Uuid::from_bytes(random()).simple()),
            Some(("uuid", _)) => uuid::Builder::from_random_bytes(random()).into_uuid().to_string(),
            _ => panic!("the variable {name} isn't set"),
        };
        self.save(name, Value::from(value.clone()));
        Value::from(value)
    }

    /// The text without the secrets.
    pub(super) fn masked(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for (name, value) in self.values.iter().filter(|(name, _)| name.starts_with("secret.")) {
            masked = masked.replace(value.as_str().unwrap(), &format!("${name}"));
        }
        masked
    }
}

#[expect(clippy::disallowed_methods, reason = "each run of a scenario has other secrets")]
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

#[test]
fn variables_are_replaced_and_secrets_masked() {
    let mut variables = Variables::default();
    variables.save("list", serde_json::json!([{"name": "a"}]));
    let request =
        serde_json::json!({"a": "$list", "b": "x/${uuid.one}", "c": ["$text.3"], "d": "$any", "e": "$secret.key"});
    let resolved = variables.resolve(&request);
    assert_eq!(resolved["a"], serde_json::json!([{"name": "a"}]));
    assert_eq!((&resolved["c"][0], &resolved["d"]), (&Value::from("xxx"), &Value::from("$any")));
    assert_eq!(resolved["b"].as_str().unwrap().len(), "x/".len() + 36);
    assert_eq!(variables.resolve(&request), resolved);
    let key = resolved["e"].as_str().unwrap();
    assert!(key.len() >= 20);
    assert_eq!(variables.masked(&format!("has {key}!")), "has $secret.key!");
}
