//! A page of a list in memory: as many items as requested and as fit into a message, at least one.

use prost::Message;
use sealward_core::{
    crypto::root_key::RootKey,
    identity::Identity,
    list::page_token::{self, PageContext},
};
use tonic::Status;

use crate::status;

/// A list of a caller.
pub(crate) struct PagedList<'a> {
    pub(crate) root_key: &'a dyn RootKey,
    /// The rpc.
    pub(crate) method: &'a str,
    /// The parent of the list.
    pub(crate) parent: &'a str,
    pub(crate) identity: &'a Identity,
    /// The maximum size of the items together, except for a single item.
    pub(crate) bytes_max: usize,
}

impl PagedList<'_> {
    /// The messages of at most `size` of these items, after the one that the token names, and the token of the next page. The token is
    /// empty on the last page.
    pub(crate) fn page<T, M: Message>(
        &self,
        items: &[T],
        size: u32,
        token: &str,
        cursor: impl Fn(&T) -> &[u8],
        message: impl Fn(&T) -> M,
    ) -> Result<(Vec<M>, String), Status> {
        let PagedList { root_key, method, parent, identity, bytes_max } = *self;
        let context = PageContext { method, parent, filter: "", order_by: "", identity };
        let start = if token.is_empty() {
            0
        } else {
            let last = page_token::cursor(root_key, &context, token).map_err(status::internal)?;
            let position = last.and_then(|last| items.iter().position(|item| *cursor(item) == last[..]));
            position.ok_or_else(status::page_token_invalid)?.saturating_add(1)
        };
        let rest = items.get(start..).unwrap_or_default();
        let mut bytes = 0_usize;
        let fits = |message: &M| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(message.encoded_len()).saturating_add(FIELD_BYTES);
            is_first || bytes <= bytes_max
        };
        let requested = rest.iter().take(usize::try_from(size).unwrap_or(usize::MAX));
        let shown: Vec<M> = requested.map(message).take_while(fits).collect();
        let last = shown.len().checked_sub(1).and_then(|last| rest.get(last));
        let next = match last {
            Some(last) if shown.len() < rest.len() => {
                page_token::token(root_key, &context, cursor(last)).map_err(status::internal)?
            }
            Some(_) | None => String::new(),
        };
        Ok((shown, next))
    }
}

/// The overhead of a message inside another, in bytes.
const FIELD_BYTES: usize = 6;

#[cfg(test)]
mod tests {
    use sealward_core::crypto::{root_key::RootKeySet, secret::RootKeyBytes};

    use super::*;

    #[test]
    fn pages_have_the_rows_that_fit_and_together_all_rows() {
        let root_key = RootKeySet::new(RootKeyBytes::from_slice(&[1; 32]).unwrap(), Vec::new());
        let identity = Identity::Dns("reader".to_owned());
        let items: Vec<String> = (0..10).map(|number| format!("{number}{}", "x".repeat(99))).collect();
        let pages = |bytes_max, size| {
            let list = PagedList { root_key: &root_key, method: "List", parent: "", identity: &identity, bytes_max };
            let (mut sizes, mut all, mut token) = (Vec::new(), Vec::new(), String::new());
            loop {
                let (shown, next) = list.page(&items, size, &token, |item| item.as_bytes(), String::clone).unwrap();
                sizes.push(shown.len());
                all.extend(shown);
                if next.is_empty() {
                    break;
                }
                token = next;
            }
            assert_eq!(all, items);
            sizes
        };
        assert_eq!(pages(usize::MAX, 1_000), [10]);
        assert_eq!(pages(usize::MAX, 4), [4, 4, 2]);
        // A text of 100 bytes is a message of 102 bytes, and takes 108.
        assert_eq!(pages(324, 1_000), [3, 3, 3, 1]);
        assert_eq!(pages(323, 1_000), [2; 5]);
        assert_eq!(pages(1, 1_000), [1; 10]);
    }
}
