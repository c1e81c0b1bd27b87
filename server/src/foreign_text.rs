//! Text from a caller, a certificate or another process, as it may be printed or sent: of a bounded length, and without characters that
//! control what shows it.

use sealward_core::text::is_invisible;

/// The maximum length of a name from a certificate, a list or an agent in a finding or in the log.
pub(crate) const SHOWN_NAME_MAX_BYTES: usize = 200;

/// The text, truncated, with a replacement for each control character, invisible character and line separator.
pub(crate) fn presentable(text: &str, bytes_max: usize) -> String {
    let mut presentable = String::new();
    for character in text.chars() {
        let is_hidden =
            character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') || is_invisible(character);
        let shown = if is_hidden { char::REPLACEMENT_CHARACTER } else { character };
        if presentable.len().saturating_add(shown.len_utf8()) > bytes_max {
            presentable.push('…');
            break;
        }
        presentable.push(shown);
    }
    presentable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_replaced_and_long_text_is_truncated() {
        assert_eq!(
            presentable("a\u{202e}b\u{200b}\u{2028}\u{1b}[1m\nç", 100),
            "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}[1m\u{fffd}ç"
        );
        assert_eq!(presentable("abçd", 3), "ab…");
        assert_eq!(presentable("abç", 4), "abç");
    }
}
