//! Comparison of answers and errors with what a step expects: a subset, in the protobuf JSON mapping.

use serde_json::Value;

/// Matches any value in an expectation.
pub(super) const ANY: &str = "$any";

/// Compares a value with the expected one.
///
/// # Errors
/// The place and both values of the first difference.
pub(super) fn compare(expected: &Value, actual: &Value, path: &str) -> Result<(), String> {
    let differs = || Err(format!("{path}: expected {expected}, got {actual}"));
    match (expected, actual) {
        (Value::String(any), actual) if any == ANY => {
            if is_default(actual) {
                differs()
            } else {
                Ok(())
            }
        }
        (expected, Value::Null) => {
            if is_default(expected) {
                Ok(())
            } else {
                differs()
            }
        }
        (Value::Object(expected), Value::Object(actual)) => expected.iter().try_for_each(|(name, expected)| {
            compare(expected, actual.get(name).unwrap_or(&Value::Null), &format!("{path}.{name}"))
        }),
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let pairs = expected.iter().zip(actual).enumerate();
            pairs
                .into_iter()
                .try_for_each(|(index, (expected, actual))| compare(expected, actual, &format!("{path}.{index}")))
        }
        // The mapping writes 64-bit integers as text.
        (Value::Number(expected), Value::String(actual)) if expected.to_string() == *actual => Ok(()),
        (expected, actual) if expected == actual => Ok(()),
        _ => differs(),
    }
}

/// Whether the mapping omits the value.
fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// The value at a path, or null.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, name| match value {
        Value::Array(values) => values.get(name.parse::<usize>().unwrap()).unwrap_or(&Value::Null),
        other => other.get(name).unwrap_or(&Value::Null),
    })
}

#[test]
fn comparison_finds_every_kind_of_difference() {
    use serde_json::json;
    let actual = json!({"a": "x", "n": "5", "list": [{"b": true, "c": 1}], "zero": "0", "nothing": null});
    for same in [
        json!({}),
        json!({"a": "x", "n": 5, "list": [{"b": true}]}),
        json!({"a": "$any", "absent": null, "also": "", "list": [{"none": []}]}),
        json!({"nothing": false}),
    ] {
        assert_eq!(compare(&same, &actual, ""), Ok(()), "{same}");
    }
    for different in [
        json!({"a": null}),
        json!({"a": "y"}),
        json!({"n": 6}),
        json!({"list": []}),
        json!({"list": [{"b": false}]}),
        json!({"zero": "$any"}),
        json!({"absent": "$any"}),
        json!({"absent": "x"}),
    ] {
        assert!(compare(&different, &actual, "").is_err(), "{different}");
    }
    assert_eq!(at(&actual, "list.0.c"), &json!(1));
    assert_eq!(at(&actual, "list.1.c"), &Value::Null);
}
