//! Page tokens: where the next page of a list begins, in words that only this service writes.
//!
//! A token carries a cursor, which says after what the page begins, and is sealed with a MAC over everything else that decides what a
//! page holds. So it can be neither forged nor moved to another list, filter, order or caller. What only says how a page is shown (its
//! size, its fields, the count) isn't among that and may change from page to page. The key comes from the root key: a token works on
//! every replica, and while an organization is inactive.
//!
//! `token = hex( cursor (n) | MAC (32) )`, in lower case: one spelling only.
//!
//! Nothing here knows what a cursor says. A list of records has [`Order`](crate::order::Order)'s, of at most 2,200 bytes: a token of
//! theirs has at most 4,500 characters.

use std::fmt::Write;

use crate::{
    crypto::root_key::{MacPurpose, RootKey, RootKeyError},
    identity::Identity,
};

/// What a page holds depends on this, and on where it begins.
pub struct PageContext<'a> {
    /// The rpc.
    pub method: &'a str,
    /// The collection listed: `organizations/contoso/mailboxes`.
    pub parent: &'a str,
    /// The text of the filter; empty without one.
    pub filter: &'a str,
    /// The text of the order; empty without one.
    pub order_by: &'a str,
    /// Who lists.
    pub identity: &'a Identity,
}

/// The token of the page that begins where this cursor says.
///
/// # Errors
/// If the root key is unavailable.
pub fn token(root_key: &dyn RootKey, context: &PageContext<'_>, cursor: &[u8]) -> Result<String, RootKeyError> {
    let mac = root_key.mac(MacPurpose::PageToken, &encoding(context, cursor))?;
    let mut text = String::with_capacity(cursor.len().saturating_add(mac.len()).saturating_mul(2));
    for byte in cursor.iter().chain(&mac) {
        // Writing to a string doesn't fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// The cursor in a token. `None` for a token that wasn't made for this list and this caller.
///
/// # Errors
/// If the root key is unavailable.
pub fn cursor(root_key: &dyn RootKey, context: &PageContext<'_>, token: &str) -> Result<Option<Vec<u8>>, RootKeyError> {
    let Some(mut bytes) = unhex(token) else { return Ok(None) };
    let Some((cursor, mac)) = bytes.split_last_chunk::<32>() else { return Ok(None) };
    let length = cursor.len();
    let is_ours = root_key.verify_mac(MacPurpose::PageToken, &encoding(context, cursor), mac)?;
    bytes.truncate(length);
    Ok(is_ours.then_some(bytes))
}

/// Injective: each part goes after its length.
fn encoding(context: &PageContext<'_>, cursor: &[u8]) -> Vec<u8> {
    let identity = context.identity.to_string();
    let texts = [context.method, context.parent, context.filter, context.order_by, &identity];
    let mut bytes = Vec::new();
    for part in texts.map(str::as_bytes).into_iter().chain([cursor]) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
