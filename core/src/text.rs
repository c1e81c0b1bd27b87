//! Properties of a text that can't be seen: whitespace at its ends, invisible characters, and unnormalized characters.
//!
//! Two texts that look equal can differ in these properties, and then a failed comparison is hard to explain. The
//! caller decides which of them to refuse and which to warn about. This file never changes a text.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};

/// The byte order mark, which some editors write at the start of a file.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// Returns whether a character has no visible form: a format character (general category Cf: zero-width spaces and
/// joiners, bidirectional controls, tags, the byte order mark) or a default-ignorable character (variation selectors,
/// fillers).
///
/// Control characters (general category Cc) and whitespace are not included: see [`char::is_control`] and
/// [`char::is_whitespace`].
#[must_use]
pub fn is_invisible(character: char) -> bool {
    // No character below U+00AD, the soft hyphen, belongs to these categories.
    character >= '\u{ad}'
        && (CodePointMapData::<GeneralCategory>::new().get(character) == GeneralCategory::Format
            || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character))
}

/// Returns whether a text is in Unicode normalization form C, as keyboards and most programs produce it.
#[must_use]
pub(crate) fn is_nfc(text: &str) -> bool {
    text.is_ascii() || ComposingNormalizerBorrowed::new_nfc().is_normalized(text)
}

/// An invisible property of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiddenProperty {
    /// The text begins with U+FEFF.
    ByteOrderMark,
    /// The text begins with whitespace.
    BlankAtStart,
    /// The text ends with whitespace.
    BlankAtEnd,
    /// The text contains control characters. This is the first one.
    Control(char),
    /// The text contains invisible characters. This is the first one, not counting a byte order mark at the start. See
    /// [`is_invisible`].
    Invisible(char),
    /// The text isn't in normalization form C.
    NotNfc,
}

impl fmt::Display for HiddenProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByteOrderMark => write!(f, "begins with a byte order mark (U+FEFF)"),
            Self::BlankAtStart => write!(f, "begins with whitespace"),
            Self::BlankAtEnd => write!(f, "ends with whitespace"),
            Self::Control(character) => write!(f, "contains the control character {}", code_point(*character)),
            Self::Invisible(character) => write!(f, "contains the invisible character {}", code_point(*character)),
            Self::NotNfc => write!(f, "isn't in Unicode normalization form C"),
        }
    }
}

/// Returns all invisible properties of a text, each kind once.
#[must_use]
pub(crate) fn hidden_properties(text: &str) -> Vec<HiddenProperty> {
    let rest = text.strip_prefix(BYTE_ORDER_MARK);
    let (begins_with_mark, text) = (rest.is_some(), rest.unwrap_or(text));
    let mut found = Vec::new();
    if begins_with_mark {
        found.push(HiddenProperty::ByteOrderMark);
    }
    if text.starts_with(char::is_whitespace) {
        found.push(HiddenProperty::BlankAtStart);
    }
    if text.ends_with(char::is_whitespace) {
        found.push(HiddenProperty::BlankAtEnd);
    }
    found.extend(text.chars().find(|character| character.is_control()).map(HiddenProperty::Control));
    found.extend(text.chars().find(|&character| is_invisible(character)).map(HiddenProperty::Invisible));
    if !is_nfc(text) {
        found.push(HiddenProperty::NotNfc);
    }
    found
}

/// Formats a character as a Unicode code point, such as `U+200B`.
#[must_use]
pub fn code_point(character: char) -> String {
    format!("U+{:04X}", u32::from(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_and_default_ignorable_characters_are_invisible() {
        for character in [
            '\u{ad}',    // soft hyphen
            '\u{34f}',   // combining grapheme joiner: ignorable, but a mark
            '\u{61c}',   // Arabic letter mark
            '\u{115f}',  // Hangul filler: ignorable, but a letter
            '\u{200b}',  // zero-width space
            '\u{200d}',  // zero-width joiner
            '\u{202e}',  // right-to-left override
            '\u{2060}',  // word joiner
            '\u{2066}',  // left-to-right isolate
            '\u{feff}',  // byte order mark
            '\u{fe0f}',  // variation selector 16
            '\u{e0041}', // tag letter A
            '\u{e0100}', // variation selector 17
        ] {
            assert!(is_invisible(character), "{}", code_point(character));
        }
        for character in ['a', ' ', '\n', '\u{85}', '\u{a0}', '\u{e9}', '\u{301}', '\u{2028}', '\u{5bc6}', '\u{1f511}']
        {
            assert!(!is_invisible(character), "{}", code_point(character));
        }
    }

    #[test]
    fn composed_text_is_in_form_c_and_decomposed_text_is_not() {
        assert!(is_nfc("J\u{f6}rg"));
        assert!(!is_nfc("Jo\u{308}rg"));
        // The Angstrom sign is a compatibility character for a letter.
        assert!(!is_nfc("\u{212b}"));
        assert!(is_nfc(""));
    }

    #[test]
    fn all_hidden_characters_of_a_text_are_reported() {
        assert_eq!(hidden_properties("cn:J\u{f6}rg"), []);
        assert_eq!(hidden_properties("two words"), []);
        assert_eq!(hidden_properties("cn:J\u{f6}rg "), [HiddenProperty::BlankAtEnd]);
        assert_eq!(hidden_properties("\u{a0}cn:ada"), [HiddenProperty::BlankAtStart]);
        assert_eq!(hidden_properties("cn:a\u{200b}da\u{200d}"), [HiddenProperty::Invisible('\u{200b}')]);
        assert_eq!(hidden_properties("cn:Jo\u{308}rg"), [HiddenProperty::NotNfc]);
        assert_eq!(
            hidden_properties("\u{feff}key\r\n"),
            [HiddenProperty::ByteOrderMark, HiddenProperty::BlankAtEnd, HiddenProperty::Control('\r')]
        );
        assert_eq!(hidden_properties(""), []);
    }

    #[test]
    fn a_description_names_the_character() {
        assert_eq!(HiddenProperty::Invisible('\u{e0041}').to_string(), "contains the invisible character U+E0041");
        assert_eq!(HiddenProperty::Control('\t').to_string(), "contains the control character U+0009");
    }
}
