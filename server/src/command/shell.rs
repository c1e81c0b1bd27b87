//! Paths and words that can be pasted into a shell.

use std::path::{Path, PathBuf};

/// The absolute form of a path.
pub(super) fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

pub(super) fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// Quotes a text as one word of a POSIX shell.
pub(super) fn quoted(text: &str) -> String {
    let needs_no_quotes = |character: char| character.is_ascii_alphanumeric() || "/._-:@".contains(character);
    if !text.is_empty() && text.chars().all(needs_no_quotes) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_word_is_quoted_only_if_needed() {
        assert_eq!(quoted("/srv/field-seal.d/ca.pem"), "/srv/field-seal.d/ca.pem");
        assert_eq!(quoted("/home/ada lovelace"), "'/home/ada lovelace'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
