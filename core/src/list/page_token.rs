//! Page tokens: the start of the next page of a list, in a form that only this service can create.
//!
//! A token contains a cursor, which marks the end of the previous page, and a MAC over everything else that determines
//! the content of a page. A token therefore can't be forged, or used with another list, filter, order or caller.
//! Options that change only the presentation of a page (size, fields, total count) aren't covered and may change
//! between pages. The MAC key comes from the root key: a token is valid after a restart, and while an organization is
//! inactive.
//!
//! `token = hex( cursor (n) | MAC (32) )`, in lower case only.
//!
//! This file doesn't know the format of a cursor. A list of records uses the cursors of [`Order`](crate::order::Order),
//! which have at most 2,200 bytes. Their tokens have at most 4,500 characters.

use data_encoding::HEXLOWER;

use crate::{
    crypto::{
        encoding::Encoding,
        root_key::{MacPurpose, RootKey, RootKeyError},
    },
    identity::Identity,
};

/// The parameters that, together with the cursor, determine the content of a page.
pub struct PageContext<'a> {
    /// The rpc.
    pub method: &'a str,
    /// The collection listed: `organizations/contoso/mailboxes`.
    pub parent: &'a str,
    /// The text of the filter; empty without one.
    pub filter: &'a str,
    /// The text of the order; empty without one.
    pub order_by: &'a str,
    /// The caller.
    pub identity: &'a Identity,
}

/// Creates the token of the page that begins after this cursor.
///
/// # Errors
/// If the root key is unavailable.
pub fn token(root_key: &dyn RootKey, context: &PageContext<'_>, cursor: &[u8]) -> Result<String, RootKeyError> {
    let mac = root_key.mac(MacPurpose::PageToken, &encoding(context, cursor))?;
    Ok(HEXLOWER.encode(&[cursor, &mac[..]].concat()))
}

/// Returns the cursor in a token, or `None` if the token was not issued for this list and this caller.
///
/// # Errors
/// If the root key is unavailable.
pub fn cursor(root_key: &dyn RootKey, context: &PageContext<'_>, token: &str) -> Result<Option<Vec<u8>>, RootKeyError> {
    let Ok(mut bytes) = HEXLOWER.decode(token.as_bytes()) else { return Ok(None) };
    let Some((cursor, mac)) = bytes.split_last_chunk::<32>() else { return Ok(None) };
    let length = cursor.len();
    let is_ours = root_key.verify_mac(MacPurpose::PageToken, &encoding(context, cursor), mac)?;
    bytes.truncate(length);
    Ok(is_ours.then_some(bytes))
}

fn encoding(context: &PageContext<'_>, cursor: &[u8]) -> Vec<u8> {
    let identity = context.identity.to_string();
    let texts = [context.method, context.parent, context.filter, context.order_by, &identity];
    let encoding = Encoding::new("sealward page token v1");
    texts.into_iter().fold(encoding, |encoding, text| encoding.part(text.as_bytes())).part(cursor).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{root_key::RootKeySet, secret::RootKeyBytes};

    fn root_key(byte: u8) -> RootKeySet {
        RootKeySet::new(RootKeyBytes::from_slice(&[byte; 32]).unwrap(), Vec::new())
    }

    /// The parts that determine a page: method, parent, filter, order and caller.
    type Parts = [&'static str; 5];

    const PARTS: Parts = ["/List", "organizations/contoso/mailboxes", "a = 1", "a desc", "writer"];

    fn opened(root_key: &RootKeySet, parts: Parts, token: &str) -> Option<Vec<u8>> {
        with(parts, |context| cursor(root_key, context, token)).unwrap()
    }

    fn sealed(root_key: &RootKeySet, parts: Parts, cursor: &[u8]) -> String {
        with(parts, |context| token(root_key, context, cursor)).unwrap()
    }

    fn with<T>([method, parent, filter, order_by, name]: Parts, call: impl FnOnce(&PageContext<'_>) -> T) -> T {
        let identity = Identity::Dns(name.to_owned());
        call(&PageContext { method, parent, filter, order_by, identity: &identity })
    }

    #[test]
    fn page_token_is_valid_for_one_list_filter_order_and_caller() {
        let key = root_key(1);
        let token = sealed(&key, PARTS, b"cursor");
        assert_eq!(opened(&key, PARTS, &token), Some(b"cursor".to_vec()));
        for part in 0..PARTS.len() {
            for other in ["", "other"] {
                let mut parts = PARTS;
                parts[part] = other;
                assert_eq!(opened(&key, parts, &token), None, "{parts:?}");
            }
        }
        // Text moved from one part to the next makes other parts.
        let moved = ["/List", "organizations/contoso/mailboxes", "a = 1a", " desc", "writer"];
        assert_eq!(opened(&key, moved, &token), None);
        assert_eq!(opened(&root_key(2), PARTS, &token), None);
    }

    #[test]
    fn page_token_has_one_spelling_and_forgeries_are_refused() {
        let key = root_key(1);
        let token = sealed(&key, PARTS, &[0xAB; 16]);
        assert_eq!(token.len(), 96);
        for position in 0..token.len() {
            for digit in "0123456789abcdefABCDEFgé ".chars() {
                let mut digits: Vec<char> = token.chars().collect();
                let before = std::mem::replace(&mut digits[position], digit);
                let changed: String = digits.into_iter().collect();
                assert_eq!(opened(&key, PARTS, &changed).is_some(), before == digit, "{position} {digit}");
            }
        }
        let wrong = [&token[1..], &token[2..], &token[..94], &format!("{token}00"), "", "x", &"0".repeat(64)];
        for wrong in wrong {
            assert_eq!(opened(&key, PARTS, wrong), None, "{wrong}");
        }
        // An empty cursor is valid.
        assert_eq!(opened(&key, PARTS, &sealed(&key, PARTS, b"")), Some(Vec::new()));
    }
}
