//! Paths of a field mask: lowerCamelCase in JSON, lower_snake_case on the wire.

use super::error::JsonProblem;

/// Calls `path` with each path of the mask, in lowerCamelCase.
pub(super) fn paths(text: &str, mut path: impl FnMut(&str)) -> Result<(), JsonProblem> {
    if text.is_empty() {
        return Ok(());
    }
    for written in text.split(',') {
        if written.is_empty() || written.contains('_') {
            return Err(JsonProblem::InvalidFieldMask);
        }
        path(written);
    }
    Ok(())
}

/// The length in bytes of a path in lower_snake_case.
pub(super) fn snake_case_length(camel_case: &str) -> usize {
    camel_case.len() + camel_case.bytes().filter(u8::is_ascii_uppercase).count()
}

/// The bytes of a path in lower_snake_case.
pub(super) fn snake_case(camel_case: &str) -> impl Iterator<Item = u8> {
    camel_case
        .bytes()
        .flat_map(|byte| byte.is_ascii_uppercase().then_some(b'_').into_iter().chain([byte.to_ascii_lowercase()]))
}

/// Returns a path in lowerCamelCase. `None`: it can't be converted back.
pub(super) fn camel_case(path: &str) -> Option<String> {
    let mut written = String::with_capacity(path.len());
    let mut is_after_underscore = false;
    for character in path.chars() {
        match (is_after_underscore, character) {
            (true, 'a'..='z') => written.push(character.to_ascii_uppercase()),
            (true, _) | (false, 'A'..='Z') => return None,
            (false, '_') => {}
            (false, _) => written.push(character),
        }
        is_after_underscore = !is_after_underscore && character == '_';
    }
    if is_after_underscore || path.contains(',') || path.is_empty() { None } else { Some(written) }
}
