//! Bindings that probably match no caller, because their identities contain something invisible. They apply as they are written.

use sealward_core::text::{code_point, is_invisible};

use super::model::Config;

/// A binding that probably matches no caller.
pub(crate) struct DoubtfulBinding {
    /// Where it is.
    pub(crate) setting: String,
    /// Which characters make it doubtful.
    pub(crate) problem: String,
}

impl Config {
    /// Bindings that probably match no caller, because their identities contain something invisible. They apply as they are written.
    pub(crate) fn doubtful_bindings(&self) -> impl Iterator<Item = DoubtfulBinding> {
        self.bindings.iter().enumerate().filter_map(|(index, binding)| {
            let hidden = binding.identity.hidden_properties();
            let identity = visible(&binding.identity.to_string());
            let what = hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            (!hidden.is_empty()).then(|| DoubtfulBinding {
                setting: format!("bindings[{index}].identity"),
                problem: format!(
                    "`{identity}` {what}: it matches only callers whose certificate or token has exactly the same text"
                ),
            })
        })
    }

    /// Logs bindings that probably match no caller.
    pub(crate) fn log_doubtful_bindings(&self) {
        for DoubtfulBinding { setting, problem } in self.doubtful_bindings() {
            tracing::warn!(setting, problem, "role binding probably wrong");
        }
    }
}

/// A text with the numbers of characters that can't be seen in place of them.
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
