//! Records of an entity that was known when this was compiled, and what all lists have in common: options, pages, and walks over them.
//! The methods are in [`entities`](crate::entities).

use std::{fmt, marker::PhantomData, pin::Pin};

use crate::{client::Client, error::Error};

/// The records of one entity, by its generated type: `Records<'_, mail_v1::Mailbox>`, from [`Client::mailboxes`].
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

/// What a list should have, and how it is shown. The default is every record with all its fields, by id, in pages as large as the server
/// likes.
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
    /// Only records that meet this, in the filter language of the contract. Empty: all.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = filter.into();
        self
    }

    /// In the order of these fields: `display_name, update_time desc`. Empty: by id.
    #[must_use]
    pub fn order_by(mut self, order_by: impl Into<String>) -> Self {
        self.order_by = order_by.into();
        self
    }

    /// Only these fields of each record; `name` always comes. None: all.
    #[must_use]
    pub fn read_mask(mut self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.read_mask = paths.into_iter().map(Into::into).collect();
        self
    }

    /// At most this many records a page. 0: as many as the server likes.
    #[must_use]
    pub fn page_size(mut self, page_size: i32) -> Self {
        self.page_size = page_size;
        self
    }

    /// The page that this token stands for: [`Page::next_page_token`] of the page before, which had the same filter and order.
    #[must_use]
    pub fn page_token(mut self, page_token: impl Into<String>) -> Self {
        self.page_token = page_token.into();
        self
    }

    /// Counts the records of all pages, into [`Page::total_size`].
    #[must_use]
    pub fn with_total_size(mut self) -> Self {
        self.total_size = true;
        self
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<R> {
    /// What is on the page. A page can have fewer than were asked for and not be the last one.
    pub records: Vec<R>,
    /// What gets the next page. Empty: this was the last one.
    pub next_page_token: String,
    /// How many records all pages have, at the time of this one. Only there if it was asked for.
    pub total_size: Option<i64>,
}

/// The pages of a list, one call each.
///
/// They aren't one snapshot: what is created, deleted or written between two calls shows or doesn't, and what stays as it is comes
/// exactly once.
pub struct Pages<'a, R> {
    fetch: Box<dyn Fn(ListOptions) -> Fetching<'a, R> + Send + Sync + 'a>,
    /// What gets the next page; `None` after the last.
    next: Option<ListOptions>,
}

/// A page under way.
type Fetching<'a, R> = Pin<Box<dyn Future<Output = Result<Page<R>, Error>> + Send + 'a>>;

impl<'a, R> Pages<'a, R> {
    pub(crate) fn new(first: ListOptions, fetch: impl Fn(ListOptions) -> Fetching<'a, R> + Send + Sync + 'a) -> Self {
        Self { fetch: Box::new(fetch), next: Some(first) }
    }

    /// The next page. `None`: there are no more.
    ///
    /// # Errors
    /// See the contract. The same page can be asked for again.
    pub async fn next(&mut self) -> Result<Option<Page<R>>, Error> {
        let Some(wanted) = &self.next else { return Ok(None) };
        let page = (self.fetch)(wanted.clone()).await?;
        let next = wanted.clone().page_token(&page.next_page_token);
        self.next = (!page.next_page_token.is_empty()).then_some(next);
        Ok(Some(page))
    }

    /// The records of all pages that are left. They are held in memory together.
    ///
    /// # Errors
    /// See the contract.
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
