//! Base64 (RFC 4648) of a string that may contain escapes, decoded without a copy.
//!
//! Both alphabets are accepted, with or without padding. Other text that isn't canonical is refused.

use data_encoding::BASE64;

use super::{error::JsonProblem, text::Text};

/// Decodes the text, calls `write` with each group of bytes, and returns the number of bytes.
pub(super) fn decode(text: Text<'_>, mut write: impl FnMut(&[u8])) -> Result<usize, JsonProblem> {
    let (mut bits, mut digits, mut padding, mut length) = (0_u32, 0, 0, 0);
    let (mut is_standard, mut is_url_safe) = (false, false);
    for character in text.chars() {
        if character == '=' {
            padding += 1;
            continue;
        }
        let digit = digit(character).filter(|_| padding == 0).ok_or(JsonProblem::InvalidBase64)?;
        is_standard |= matches!(character, '+' | '/');
        is_url_safe |= matches!(character, '-' | '_');
        (bits, digits) = ((bits << 6) | digit, digits + 1);
        if digits == 4 {
            let [_, group @ ..] = bits.to_be_bytes();
            write(&group);
            length += group.len();
            (bits, digits) = (0, 0);
        }
    }
    let is_padded = padding == 0 || (digits > 0 && digits + padding == 4);
    if (is_standard && is_url_safe) || !is_padded {
        return Err(JsonProblem::InvalidBase64);
    }
    // The bits of the last digit that belong to no byte are zero.
    match digits {
        0 => Ok(length),
        2 if bits & 0xF == 0 => {
            let [_, _, _, byte] = (bits >> 4).to_be_bytes();
            write(&[byte]);
            Ok(length + 1)
        }
        3 if bits & 0x3 == 0 => {
            let [_, _, group @ ..] = (bits >> 2).to_be_bytes();
            write(&group);
            Ok(length + 2)
        }
        _ => Err(JsonProblem::InvalidBase64),
    }
}

/// Encodes bytes in the standard alphabet with padding, and calls `write` with each group of digits.
pub(super) fn encode(bytes: &[u8], mut write: impl FnMut(&[u8])) {
    let mut group = [0; 4];
    for part in bytes.chunks(3) {
        BASE64.encode_mut(part, &mut group);
        write(&group);
    }
}

fn digit(character: char) -> Option<u32> {
    let code = u32::from(character);
    match character {
        'A'..='Z' => Some(code - u32::from('A')),
        'a'..='z' => Some(code - u32::from('a') + 26),
        '0'..='9' => Some(code - u32::from('0') + 52),
        '+' | '-' => Some(62),
        '/' | '_' => Some(63),
        _ => None,
    }
}
