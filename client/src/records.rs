//! Records of an entity that was known when this was compiled. The methods are in [`entities`](crate::entities).

use std::{fmt, marker::PhantomData};

use crate::client::Client;

/// The records of one entity, by its generated type: `Records<'_, v1::Mailbox>`, from [`Client::mailboxes`].
pub struct Records<'a, E> {
    pub(crate) client: &'a Client,
    entity: PhantomData<fn() -> E>,
}

impl<'a, E> Records<'a, E> {
    pub(crate) fn new(client: &'a Client) -> Self {
        Self { client, entity: PhantomData }
    }
}

impl<E> fmt::Debug for Records<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("client", &self.client).finish()
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<R> {
    /// What is on the page. A page can have fewer than were asked for and not be the last one.
    pub records: Vec<R>,
    /// What gets the next page. Empty: this was the last one.
    pub next_page_token: String,
}
