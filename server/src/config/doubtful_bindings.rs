//! Bindings that probably match no caller, because their identities contain invisible characters. They apply as written.

use sealward_core::text::{code_point, is_invisible};

use super::model::Config;
use crate::finding::Finding;

impl Config {
    /// Bindings that probably match no caller, because their identities contain invisible characters. They apply as written.
    pub(crate) fn doubtful_bindings(&self) -> impl Iterator<Item = Finding> {
        self.bindings.iter().enumerate().filter_map(|(index, binding)| {
            let hidden = binding.identity.hidden_properties();
            let identity = visible(&binding.identity.to_string());
            let what = hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            (!hidden.is_empty()).then(|| {
                let problem = format!(
                    "`{identity}` {what}: it matches only callers whose certificate or token has exactly the same text"
                );
                let remedy = "type the name again, exactly as in the certificate or token";
                Finding::warning(format!("bindings[{index}].identity"), problem, remedy)
            })
        })
    }

    /// Logs bindings that probably match no caller.
    pub(crate) fn log_doubtful_bindings(&self) {
        for Finding { subject: setting, problem, .. } in self.doubtful_bindings() {
            tracing::warn!(setting, problem, "role binding probably wrong");
        }
    }
}

/// The text, with the code point of each invisible character in its place.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            shown.push_str(&format!("<{}>", code_point(character)));
        } else {
            shown.push(character);
        }
    }
    shown
}
