//! What can't be seen in a text: blanks at its ends, invisible characters, and characters in a form that looks like another.
//!
//! Two texts that look the same can differ in these, and then nothing that compares texts explains why they don't match. Which of these
//! are refused, and which only give a warning, is for the caller to decide. Nothing here changes a text.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};

/// The byte order mark, which some editors write at the start of a file.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// Whether a character has no visible form of its own: a format character (general category Cf: zero-width spaces and joiners,
/// bidirectional controls, tags, the byte order mark) or one that Unicode says to ignore by default (variation selectors, fillers).
///
/// Control characters (general category Cc) and whitespace aren't among them: see [`char::is_control`] and [`char::is_whitespace`].
#[must_use]
pub fn is_invisible(character: char) -> bool {
    // Nothing below U+00AD, the soft hyphen, is either of them.
    character >= '\u{ad}'
        && (CodePointMapData::<GeneralCategory>::new().get(character) == GeneralCategory::Format
            || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character))
}

/// Whether a text is in Unicode's normalization form C, as keyboards and most programs produce it.
#[must_use]
pub fn is_nfc(text: &str) -> bool {
    text.is_ascii() || ComposingNormalizerBorrowed::new_nfc().is_normalized(text)
}

/// Something in a text that can't be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// The text begins with U+FEFF.
    ByteOrderMark,
    /// The text begins with whitespace.
    BlankAtStart,
    /// The text ends with whitespace.
    BlankAtEnd,
    /// A control character, the first in the text.
    Control(char),
    /// An invisible character, the first in the text after a byte order mark at its start; see [`is_invisible`].
    Invisible(char),
    /// The text isn't in normalization form C.
    NotNfc,
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByteOrderMark => write!(f, "begins with a byte order mark (U+FEFF)"),
            Self::BlankAtStart => write!(f, "begins with whitespace"),
            Self::BlankAtEnd => write!(f, "ends with whitespace"),
            Self::Control(character) => write!(f, "has the control character {}", code_point(*character)),
            Self::Invisible(character) => write!(f, "has the invisible character {}", code_point(*character)),
            Self::NotNfc => write!(f, "isn't in Unicode normalization form C"),
        }
    }
}

/// Everything in a text that can't be seen, each kind once.
#[must_use]
pub fn hidden(text: &str) -> Vec<Hidden> {
    let rest = text.strip_prefix(BYTE_ORDER_MARK);
    let (begins_with_mark, text) = (rest.is_some(), rest.unwrap_or(text));
    let mut found = Vec::new();
    if begins_with_mark {
        found.push(Hidden::ByteOrderMark);
    }
    if text.starts_with(char::is_whitespace) {
        found.push(Hidden::BlankAtStart);
    }
    if text.ends_with(char::is_whitespace) {
        found.push(Hidden::BlankAtEnd);
    }
    found.extend(text.chars().find(|character| character.is_control()).map(Hidden::Control));
    found.extend(text.chars().find(|&character| is_invisible(character)).map(Hidden::Invisible));
    if !is_nfc(text) {
        found.push(Hidden::NotNfc);
    }
    found
}

/// A character as Unicode writes its number: `U+200B`.
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
        // The Angstrom sign is a compatibility double of a letter.
        assert!(!is_nfc("\u{212b}"));
        assert!(is_nfc(""));
    }

    #[test]
    fn all_hidden_characters_of_a_text_are_reported() {
        assert_eq!(hidden("cn:J\u{f6}rg"), []);
        assert_eq!(hidden("two words"), []);
        assert_eq!(hidden("cn:J\u{f6}rg "), [Hidden::BlankAtEnd]);
        assert_eq!(hidden("\u{a0}cn:ada"), [Hidden::BlankAtStart]);
        assert_eq!(hidden("cn:a\u{200b}da\u{200d}"), [Hidden::Invisible('\u{200b}')]);
        assert_eq!(hidden("cn:Jo\u{308}rg"), [Hidden::NotNfc]);
        assert_eq!(hidden("\u{feff}key\r\n"), [Hidden::ByteOrderMark, Hidden::BlankAtEnd, Hidden::Control('\r')]);
        assert_eq!(hidden(""), []);
    }

    #[test]
    fn a_description_names_the_character() {
        assert_eq!(Hidden::Invisible('\u{e0041}').to_string(), "has the invisible character U+E0041");
        assert_eq!(Hidden::Control('\t').to_string(), "has the control character U+0009");
    }
}
