//! Escapes untrusted text, so that it can't control a terminal or hide its content.
//!
//! Escaped are control characters, format characters (bidirectional controls among them), line and paragraph separators, and
//! default-ignorable characters. Tables and messages are always escaped, JSON only if stdout is a terminal: output for programs is unchanged.

use sealward_core::text::is_invisible;

/// Escapes unsafe characters as `\u{…}`; keeps line breaks.
pub(crate) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || !is_unsafe(character) {
            escaped.push(character);
        } else {
            escaped.extend(character.escape_unicode());
        }
    }
    escaped
}

/// Escapes unsafe characters as `\u{…}`, and line breaks as `\n`.
pub(crate) fn line(line: &str) -> String {
    text(line).replace('\n', "\\n")
}

/// Escapes unsafe characters in JSON as JSON escapes. Keeps line breaks: JSON has them only outside of strings.
pub(crate) fn json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\n' || !is_unsafe(character) {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

/// Whether the text has no unsafe character.
pub(crate) fn is_safe(text: &str) -> bool {
    !text.chars().any(is_unsafe)
}

/// Whether the character could control a terminal or mislead the reader.
fn is_unsafe(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') || is_invisible(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C0, DEL, C1, Arabic letter mark, zero-width characters, line and paragraph separator, bidi controls, byte order mark, a tag.
    const UNSAFE: &str = "\u{1b}\u{7}\u{7f}\u{9b}\u{61c}\u{200b}\u{200c}\u{200d}\u{200e}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}";

    #[test]
    fn unsafe_characters_are_escaped() {
        assert_eq!(text("a\u{1b}[2Jb\u{202e}c\u{7}\nd"), "a\\u{1b}[2Jb\\u{202e}c\\u{7}\nd");
        assert_eq!(line("two\nlines"), "two\\nlines");
        for character in UNSAFE.chars() {
            let shown = text(&character.to_string());
            assert_eq!(shown, format!("\\u{{{:x}}}", u32::from(character)));
            assert!(!is_safe(&character.to_string()), "{shown}");
        }
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let value = serde_json::json!({ "a": UNSAFE, "b": ["営業 Müller", "𝕏"] });
        let shown = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(shown.chars().all(|character| character == '\n' || !is_unsafe(character)), "{shown}");
        assert!(shown.contains("\\u009b") && shown.contains("\\u202e") && shown.contains("\\udb40\\udc41"), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn ordinary_text_is_unchanged() {
        for ordinary in ["Sales", "営業", "Zażółć gęślą", "שלום", "नमस्ते", "a b\u{a0}c", "🔑"]
        {
            assert!(is_safe(ordinary), "{ordinary}");
            assert_eq!(text(ordinary), ordinary);
        }
    }
}
