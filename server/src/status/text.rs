//! Text as it may leave in a status: of a bounded length, and without characters that control what shows it.

use sealward_core::text::is_invisible;

/// The maximum lengths of the parts of a status, in bytes. Our own text is shorter; text from a schema, a caller or a file is truncated.
/// Each byte of the message can take three in its header, and the details contain it too.
pub(super) const MESSAGE_MAX_BYTES: usize = 480;
pub(super) const METADATA_VALUE_MAX_BYTES: usize = 300;
pub(super) const FIELD_MAX_BYTES: usize = 150;
pub(super) const DESCRIPTION_MAX_BYTES: usize = 400;

/// A text as it may be sent: truncated, and without invisible or control characters.
pub(super) fn presentable(text: &str, bytes_max: usize) -> String {
    let mut presentable = String::new();
    for character in text.chars() {
        let is_seen = !(character.is_control() || is_invisible(character));
        let shown = if is_seen { character } else { char::REPLACEMENT_CHARACTER };
        if presentable.len().saturating_add(shown.len_utf8()) > bytes_max {
            presentable.push('…');
            break;
        }
        presentable.push(shown);
    }
    presentable
}

/// The text for one of `total` violations.
pub(super) fn and_more(words: String, total: usize) -> String {
    if total < 2 {
        return words;
    }
    format!("{}, and {} more", presentable(&words, MESSAGE_MAX_BYTES - 40), total.saturating_sub(1))
}
