//! A page of a list that is in memory whole.

use fieldseal_core::{
    crypto::root_key::RootKey,
    identity::Identity,
    page::{self, PageContext},
};
use tonic::Status;

use crate::status;

/// Which list, of whom.
pub(crate) struct PagedList<'a> {
    pub(crate) root_key: &'a dyn RootKey,
    /// The rpc.
    pub(crate) method: &'a str,
    /// What the list belongs to.
    pub(crate) parent: &'a str,
    pub(crate) identity: &'a Identity,
}

impl PagedList<'_> {
    /// At most `size` of these items, after the one that the token names, and the token of the page after them; empty if there is none.
    pub(crate) fn page<'t, T>(
        &self,
        items: &'t [T],
        size: u32,
        token: &str,
        cursor: impl Fn(&T) -> &[u8],
    ) -> Result<(&'t [T], String), Status> {
        let PagedList { root_key, method, parent, identity } = *self;
        let context = PageContext { method, parent, filter: "", order_by: "", identity };
        let start = if token.is_empty() {
            0
        } else {
            let last = page::cursor(root_key, &context, token).map_err(status::internal)?;
            let position = last.and_then(|last| items.iter().position(|item| *cursor(item) == last[..]));
            position.ok_or_else(status::page_token_invalid)?.saturating_add(1)
        };
        let rest = items.get(start..).unwrap_or_default();
        let shown = rest.get(..usize::try_from(size).unwrap_or(usize::MAX)).unwrap_or(rest);
        let next = match shown.last() {
            Some(last) if shown.len() < rest.len() => {
                page::token(root_key, &context, cursor(last)).map_err(status::internal)?
            }
            Some(_) | None => String::new(),
        };
        Ok((shown, next))
    }
}
