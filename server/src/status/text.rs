//! Text as it may leave in a status: of a bounded length, and without characters that control what shows it.

use crate::foreign_text::presentable;

/// The maximum lengths of the parts of a status, in bytes. Our own text is shorter; text from a schema, a caller or a file is truncated.
/// Each byte of the message can take three in its header, and the details contain it too.
pub(super) const MESSAGE_MAX_BYTES: usize = 480;
pub(super) const METADATA_VALUE_MAX_BYTES: usize = 300;
pub(super) const FIELD_MAX_BYTES: usize = 150;
pub(super) const DESCRIPTION_MAX_BYTES: usize = 400;

/// The text for one of `total` violations.
pub(super) fn and_more(words: String, total: usize) -> String {
    if total < 2 {
        return words;
    }
    format!("{}, and {} more", presentable(&words, MESSAGE_MAX_BYTES - 40), total.saturating_sub(1))
}
