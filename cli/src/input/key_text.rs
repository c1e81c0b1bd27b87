//! Reads the texts of encryption keys: of a new key, and of a key that exists.
//!
//! A new key must have no character that a person can't see, and therefore can't type again. A key that exists may have been
//! set with such characters by another program.

use sealward_client::{ExposeSecret as _, SecretString};
use sealward_core::text::{code_point, is_invisible};

use crate::{
    failure::Failure,
    input::secret::{SecretReader, Source, read_text, read_text_keeping_mark, read_text_with_hint},
};

/// Reads the text of a new key.
///
/// # Errors
/// See [`read_text`]. Also, if it has an invisible character.
pub(crate) fn read_new_key(secrets: &mut dyn SecretReader, source: &Source) -> Result<SecretString, Failure> {
    let text = read_text(secrets, NEW_KEY, source)?;
    check_visible(NEW_KEY, &text, "")?;
    Ok(text)
}

/// Reads the text of a key that exists. `label` names it in prompts and errors. `keeps_mark` accepts a byte order mark.
/// Invisible characters are accepted from a file, whose option is `file_option`, and from stdin.
///
/// # Errors
/// See [`read_text`].
pub(crate) fn read_existing_key(
    secrets: &mut dyn SecretReader,
    label: &str,
    source: &Source,
    keeps_mark: bool,
    file_option: &str,
) -> Result<SecretString, Failure> {
    let key = if keeps_mark {
        read_text_keeping_mark(secrets, label, source)?
    } else {
        let hint = "\n  if the key was set with it, use --keep-byte-order-mark";
        read_text_with_hint(secrets, label, source, hint)?
    };
    if *source == Source::Prompt {
        // Accepted from a file: the key may have been set with it.
        check_visible(label, &key, &format!("\n  if the key was set with it, use {file_option}"))?;
    }
    Ok(key)
}

/// Refuses invisible characters: someone who types the key again would omit them.
/// `hint` is appended to the error.
fn check_visible(label: &str, text: &SecretString, hint: &str) -> Result<(), Failure> {
    let mut characters = text.expose_secret().chars().enumerate();
    match characters.find(|(_, character)| is_invisible(*character)) {
        None => Ok(()),
        Some((index, character)) => Err(Failure::usage(format!(
            "{label} has an invisible character ({} at position {}): remove it{hint}",
            code_point(character),
            index + 1
        ))),
    }
}

/// The label of the key in prompts and errors.
const NEW_KEY: &str = "new encryption key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_character_in_a_key_is_named_without_printing_the_key() {
        assert!(check_visible(NEW_KEY, &"a new key, number 1".into(), "").is_ok());
        for (text, named) in [("canary\u{200b}1!", "U+200B at position 7"), ("\u{feff}canary", "U+FEFF at position 1")]
        {
            let Err(Failure::Usage(refused)) = check_visible(NEW_KEY, &text.into(), "") else { panic!("{named}") };
            assert!(refused.contains(named) && !refused.contains("canary"), "{refused}");
        }
    }
}
