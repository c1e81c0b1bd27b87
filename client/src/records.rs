//! Records of entities with generated types, and the options and pages of all lists. The methods are in [`entities`](crate::entities).

use std::{fmt, marker::PhantomData, pin::Pin};

use crate::{client::Client, error::Error};

/// The methods for records of one entity, by its generated type: `Records<'_, mail_v1::Mailbox>` from [`Client::mailboxes`].
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

/// Filter, order, fields and page of a list. The default is all records with all fields, ordered by id, with the server's default page size.
///
/// ```
/// use sealward_client::ListOptions;
///
/// let latest = ListOptions::default()
///     .filter("state_code = STATE_CODE_ACTIVE AND is_password_set = true")
///     .order_by("update_time desc, display_name")
///     .read_mask(["display_name", "update_time"])
///     .page_size(20);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    pub(crate) filter: String,
    pub(crate) order_by: String,
    pub(crate) read_mask: Vec<String>,
    pub(crate) page_size: i32,
    pub(crate) page_token: String,
    pub(crate) total_size: bool,
}

impl ListOptions {
    /// Sets a filter expression in the language of the contract. Empty matches all records.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = filter.into();
        self
    }

    /// Sets the order, such as `display_name, update_time desc`. Empty orders by id.
    #[must_use]
    pub fn order_by(mut self, order_by: impl Into<String>) -> Self {
        self.order_by = order_by.into();
        self
    }

    /// Sets the fields to return, in addition to `name`. Empty returns all fields.
    #[must_use]
    pub fn read_mask(mut self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.read_mask = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the maximum number of records in a page. 0 is the server's default.
    #[must_use]
    pub fn page_size(mut self, page_size: i32) -> Self {
        self.page_size = page_size;
        self
    }

    /// Sets the page: [`Page::next_page_token`] of the previous page, with the same filter and order. Empty is the first page.
    #[must_use]
    pub fn page_token(mut self, page_token: impl Into<String>) -> Self {
        self.page_token = page_token.into();
        self
    }

    /// Requests the number of records of all pages, in [`Page::total_size`].
    #[must_use]
    pub fn with_total_size(mut self) -> Self {
        self.total_size = true;
        self
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<R> {
    /// The records of the page. A page can have fewer records than requested, and not be the last page.
    pub records: Vec<R>,
    /// The token of the next page. Empty on the last page.
    pub next_page_token: String,
    /// The number of records of all pages at the time of this page. `None` unless requested.
    pub total_size: Option<i64>,
}

/// An iterator over the pages of a list, with one call per page.
///
/// The pages aren't a snapshot: a record that is created, changed or deleted between two calls may be missing. An unchanged record appears
/// exactly once.
pub struct Pages<'a, R> {
    fetch: Box<dyn Fn(ListOptions) -> FetchFuture<'a, R> + Send + Sync + 'a>,
    /// The options for the next page; `None` after the last page.
    next: Option<ListOptions>,
}

/// The call for a page.
type FetchFuture<'a, R> = Pin<Box<dyn Future<Output = Result<Page<R>, Error>> + Send + 'a>>;

impl<'a, R> Pages<'a, R> {
    pub(crate) fn new(
        first: ListOptions,
        fetch: impl Fn(ListOptions) -> FetchFuture<'a, R> + Send + Sync + 'a,
    ) -> Self {
        Self { fetch: Box::new(fetch), next: Some(first) }
    }

    /// Fetches the next page. `None` after the last page.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract. A later call fetches the same page again.
    pub async fn next(&mut self) -> Result<Option<Page<R>>, Error> {
        let Some(options) = &self.next else { return Ok(None) };
        let page = (self.fetch)(options.clone()).await?;
        let next = options.clone().page_token(&page.next_page_token);
        self.next = (!page.next_page_token.is_empty()).then_some(next);
        Ok(Some(page))
    }

    /// Fetches the remaining pages, and returns all their records in memory.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn all(mut self) -> Result<Vec<R>, Error> {
        let mut records = Vec::new();
        while let Some(page) = self.next().await? {
            records.extend(page.records);
        }
        Ok(records)
    }
}

impl<R> fmt::Debug for Pages<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("next", &self.next).finish_non_exhaustive()
    }
}
