//! Bytes as hexadecimal digits, two for each, in lower case: one spelling only.

use std::fmt::Write;

/// The digits of these bytes.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing to a string doesn't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes of these digits; `None` if it is another text.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_hex_spelling() {
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
        assert_eq!(unhex("000aff"), Some(vec![0, 0x0a, 0xff]));
        assert_eq!(unhex(""), Some(Vec::new()));
        for other in ["0", "0A", "+1", "0x", "zz", "é"] {
            assert_eq!(unhex(other), None, "{other}");
        }
    }
}
