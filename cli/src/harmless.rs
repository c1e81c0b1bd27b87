//! Text from elsewhere, shown so that it can't steer a terminal or hide what it says.
//!
//! The one place that decides which characters a terminal doesn't get as they are: controls, format characters (those that turn the
//! direction of writing among them), separators of lines and paragraphs, and whatever is invisible by default. All that is printed
//! goes through here: tables and words always, JSON where stdout is a terminal. What a program reads is never changed.

use sealward_core::text::is_invisible;

/// The text with every harmful character as `\u{…}`; line breaks stay.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || !is_harmful(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_unicode());
        }
    }
    shown
}

/// The text on one line: line breaks as `\n`.
pub(crate) fn line(given: &str) -> String {
    text(given).replace('\n', "\\n")
}

/// JSON with every harmful character as the escape that JSON has for it. Outside of strings there are none but line breaks, which stay.
pub(crate) fn json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\n' || !is_harmful(character) {
            shown.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    shown
}

/// Whether all of it can be shown as it is.
pub(crate) fn is_text(given: &str) -> bool {
    !given.chars().any(is_harmful)
}

/// Whether a terminal, or a person who reads it, would be misled by this character.
fn is_harmful(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') || is_invisible(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C0, DEL, C1, Arabic letter mark, zero-width characters, line and paragraph separator, bidi controls, byte order mark, a tag.
    const HARMFUL: &str = "\u{1b}\u{7}\u{7f}\u{9b}\u{61c}\u{200b}\u{200c}\u{200d}\u{200e}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}";

    #[test]
    fn harmful_characters_are_shown_as_escapes() {
        assert_eq!(text("a\u{1b}[2Jb\u{202e}c\u{7}\nd"), "a\\u{1b}[2Jb\\u{202e}c\\u{7}\nd");
        assert_eq!(line("two\nlines"), "two\\nlines");
        for character in HARMFUL.chars() {
            let shown = text(&character.to_string());
            assert_eq!(shown, format!("\\u{{{:x}}}", u32::from(character)));
            assert!(!is_text(&character.to_string()), "{shown}");
        }
    }

    #[test]
    fn json_with_harmful_characters_is_the_same_json() {
        let value = serde_json::json!({ "a": HARMFUL, "b": ["営業 Müller", "𝕏"] });
        let shown = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(shown.chars().all(|character| character == '\n' || !is_harmful(character)), "{shown}");
        assert!(shown.contains("\\u009b") && shown.contains("\\u202e") && shown.contains("\\udb40\\udc41"), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn ordinary_writing_stays_as_it_is() {
        for ordinary in ["Sales", "営業", "Zażółć gęślą", "שלום", "नमस्ते", "a b\u{a0}c", "🔑"]
        {
            assert!(is_text(ordinary), "{ordinary}");
            assert_eq!(text(ordinary), ordinary);
        }
    }
}
