//! Paging of lists: the options, the pages to fetch, and the output.

use clap::{Args, value_parser};
use serde_json::{Map, Value};

use crate::{
    failure::Failure,
    output::{Column, Format, Output, RecordList, stderr},
};

/// The options of every command that lists.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PageOptions {
    /// Number of items per page [default: the server's].
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    page_size: i32,
    /// Token of the page: nextPageToken of the previous page.
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true, conflicts_with = "all")]
    page_token: String,
    /// Fetch all pages.
    #[arg(long)]
    all: bool,
    /// Maximum number of items, over several pages if needed.
    #[arg(long, value_name = "NUMBER", conflicts_with = "all", value_parser = value_parser!(i32).range(1..))]
    limit: Option<i32>,
}

/// The records that were fetched, and the position of the next page.
pub(crate) struct Pages {
    options: PageOptions,
    records: Vec<Value>,
    token: String,
    total: Option<i64>,
    is_started: bool,
}

/// A page to request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NextPage {
    pub(crate) size: i32,
    pub(crate) token: String,
}

impl PageOptions {
    pub(crate) fn start(self) -> Pages {
        Pages { token: self.page_token.clone(), options: self, records: Vec::new(), total: None, is_started: false }
    }
}

impl Pages {
    /// The next page to request; `None` if all requested records were fetched. An empty page may be followed by others, when the server
    /// searched for a long time. A list of one page therefore ends with the first page that has records.
    pub(crate) fn next(&self) -> Option<NextPage> {
        let fetched = i32::try_from(self.records.len()).unwrap_or(i32::MAX);
        let missing = self.options.limit.map(|limit| limit.saturating_sub(fetched));
        let is_incomplete = self.options.all || missing > Some(0) || self.records.is_empty();
        let is_needed = !self.is_started || (!self.token.is_empty() && is_incomplete);
        let size = match (self.options.page_size, missing) {
            (size, None) => size,
            (0, Some(missing)) => missing,
            (size, Some(missing)) => size.min(missing),
        };
        is_needed.then(|| NextPage { size, token: self.token.clone() })
    }

    /// Whether a page had the total number of records.
    pub(crate) fn has_total(&self) -> bool {
        self.total.is_some()
    }

    /// Adds a page: its records as JSON, the token of the next page, and the total number of records if the page has it.
    pub(crate) fn add(&mut self, records: Vec<Value>, next_page_token: String, total: Option<i64>) {
        self.is_started = true;
        self.total = self.total.or(total);
        self.records.extend(records);
        self.token = next_page_token;
    }

    /// Shows the records, and how to get further pages.
    pub(crate) fn show(self, collection: &str, columns: Vec<Column>, output: &Output) -> Result<(), Failure> {
        self.show_with(collection, columns, 1, output)
    }

    /// As [`show`](Self::show), with the number of columns that are never truncated.
    pub(crate) fn show_with(
        self,
        collection: &str,
        columns: Vec<Column>,
        full_columns: usize,
        output: &Output,
    ) -> Result<(), Failure> {
        let Self { records, token, total, .. } = self;
        let mut extra_fields = Map::new();
        if !token.is_empty() {
            extra_fields.insert("next_page_token".to_owned(), Value::String(token.clone()));
        }
        if let Some(total) = total {
            // The JSON mapping of proto3 has 64-bit integers as strings.
            extra_fields.insert("total_size".to_owned(), Value::String(total.to_string()));
        }
        output.list(RecordList { collection, records, columns, full_columns, extra_fields })?;
        if output.format() == Format::Json {
            return Ok(());
        }
        if let Some(total) = total {
            stderr::notice(&format!("Total: {total}."));
        }
        if !token.is_empty() {
            stderr::notice("More pages are available: use --all, or --page-token with the token in --output json.");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(size: i32, token: &str) -> Option<NextPage> {
        Some(NextPage { size, token: token.to_owned() })
    }

    fn records(count: usize) -> Vec<Value> {
        vec![Value::Null; count]
    }

    #[test]
    fn one_page_is_fetched_by_default() {
        let mut pages = PageOptions { page_token: "t".to_owned(), ..PageOptions::default() }.start();
        assert_eq!(pages.next(), page(0, "t"));
        pages.add(records(50), "u".to_owned(), None);
        assert_eq!(pages.next(), None);
    }

    #[test]
    fn empty_pages_before_the_first_records_are_skipped() {
        let mut pages = PageOptions::default().start();
        for (token, next) in [("", "t"), ("t", "u")] {
            assert_eq!(pages.next(), page(0, token));
            pages.add(records(0), next.to_owned(), None);
        }
        assert_eq!(pages.next(), page(0, "u"));
        pages.add(records(1), "v".to_owned(), None);
        assert_eq!(pages.next(), None);
        let mut pages = PageOptions::default().start();
        pages.add(records(0), String::new(), None);
        assert_eq!(pages.next(), None);
    }

    #[test]
    fn all_pages_are_fetched_across_empty_ones() {
        let mut pages = PageOptions { all: true, page_size: 2, ..PageOptions::default() }.start();
        assert_eq!(pages.next(), page(2, ""));
        pages.add(records(2), "t".to_owned(), None);
        assert_eq!(pages.next(), page(2, "t"));
        pages.add(records(0), "u".to_owned(), None);
        assert_eq!(pages.next(), page(2, "u"));
        pages.add(records(1), String::new(), None);
        assert_eq!(pages.next(), None);
    }

    #[test]
    fn limit_never_requests_more_than_the_missing_records() {
        let mut pages = PageOptions { limit: Some(5), page_size: 3, ..PageOptions::default() }.start();
        assert_eq!(pages.next(), page(3, ""));
        pages.add(records(3), "t".to_owned(), None);
        assert_eq!(pages.next(), page(2, "t"));
        pages.add(records(2), "u".to_owned(), None);
        assert_eq!(pages.next(), None);
        assert_eq!(PageOptions { limit: Some(5), ..PageOptions::default() }.start().next(), page(5, ""));
    }
}
