//! Pages of a list: how many records, and after which one.
//!
//! A page token names the last record seen and is sealed with a MAC over everything that decides what a page holds, so that it can be
//! neither forged nor moved to another list or another caller. The key comes from the root key: a token works on every replica, and
//! while an organization is inactive.
//!
//! `token = hex( record id (16) | MAC (32) )`

use std::fmt::Write;

use crate::{
    crypto::root_key::{MacPurpose, RootKey, RootKeyError},
    id::RecordId,
    identity::Identity,
};

/// What a page holds depends on this, and on where it begins.
pub struct PageContext<'a> {
    /// The rpc.
    pub method: &'a str,
    /// The collection listed: `organizations/contoso/mailboxes`.
    pub parent: &'a str,
    /// Who lists.
    pub identity: &'a Identity,
}

/// The token of the page after `last`.
///
/// # Errors
/// If the root key is unavailable.
pub fn token(root_key: &dyn RootKey, context: &PageContext<'_>, last: RecordId) -> Result<String, RootKeyError> {
    let mac = root_key.mac(MacPurpose::PageToken, &encoding(context, last))?;
    let mut text = String::with_capacity(96);
    for byte in last.as_bytes().iter().chain(&mac) {
        // Writing to a string doesn't fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// Where the page of this token begins: after the record it names. `None` for a token that wasn't made for this list and this caller.
///
/// # Errors
/// If the root key is unavailable.
pub fn after(root_key: &dyn RootKey, context: &PageContext<'_>, token: &str) -> Result<Option<RecordId>, RootKeyError> {
    let Some(bytes) = unhex(token) else { return Ok(None) };
    let Some((id, mac)) = bytes.split_first_chunk::<16>() else { return Ok(None) };
    let id = RecordId::from_bytes(*id);
    Ok(root_key.verify_mac(MacPurpose::PageToken, &encoding(context, id), mac)?.then_some(id))
}

fn encoding(context: &PageContext<'_>, last: RecordId) -> Vec<u8> {
    let identity = context.identity.to_string();
    let mut bytes = Vec::new();
    for part in [context.method.as_bytes(), context.parent.as_bytes(), identity.as_bytes(), last.as_bytes()] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() != 96 {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let pair =
                std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}
