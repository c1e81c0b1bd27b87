//! Lists come in pages: which of them to get, and how to show what was got.

use clap::{Args, value_parser};
use serde_json::{Map, Value};

use crate::{
    failure::Failure,
    output::{Column, Format, Listed, Output},
    stderr,
};

/// The options of every command that lists.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PageOptions {
    /// How many to ask for at once; the server decides if it isn't said.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    page_size: i32,
    /// The next_page_token of the page before.
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true, conflicts_with = "all")]
    page_token: String,
    /// All pages.
    #[arg(long)]
    all: bool,
    /// As many pages as it takes to show this many.
    #[arg(long, value_name = "NUMBER", conflicts_with = "all", value_parser = value_parser!(i32).range(1..))]
    limit: Option<i32>,
}

/// What was got so far, and what to get next.
pub(crate) struct Pages {
    options: PageOptions,
    records: Vec<Value>,
    token: String,
    total: Option<i64>,
    is_begun: bool,
}

/// The page to ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NextPage {
    pub(crate) size: i32,
    pub(crate) token: String,
}

impl PageOptions {
    pub(crate) fn begin(self) -> Pages {
        Pages { token: self.page_token.clone(), options: self, records: Vec::new(), total: None, is_begun: false }
    }
}

impl Pages {
    /// The page to ask for, until everything wanted is there.
    pub(crate) fn next(&self) -> Option<NextPage> {
        let got = i32::try_from(self.records.len()).unwrap_or(i32::MAX);
        let missing = self.options.limit.map(|limit| limit.saturating_sub(got));
        let is_wanted = !self.is_begun || (!self.token.is_empty() && (self.options.all || missing > Some(0)));
        let size = match (self.options.page_size, missing) {
            (size, None) => size,
            (0, Some(missing)) => missing,
            (size, Some(missing)) => size.min(missing),
        };
        is_wanted.then(|| NextPage { size, token: self.token.clone() })
    }

    /// Whether it is known how many records there are.
    pub(crate) fn has_total(&self) -> bool {
        self.total.is_some()
    }

    /// Takes what came, in JSON, where it goes on, and how many records there are if that came too.
    pub(crate) fn take(&mut self, records: Vec<Value>, next_page_token: String, total: Option<i64>) {
        self.is_begun = true;
        self.total = self.total.or(total);
        self.records.extend(records);
        self.token = next_page_token;
    }

    /// Shows all of it, and how to get more if there is more.
    pub(crate) fn show(self, collection: &str, columns: Vec<Column>, output: &Output) -> Result<(), Failure> {
        self.show_whole(collection, columns, 1, output)
    }

    /// The same, with so many columns that are never cut.
    pub(crate) fn show_whole(
        self,
        collection: &str,
        columns: Vec<Column>,
        whole: usize,
        output: &Output,
    ) -> Result<(), Failure> {
        let Self { records, token, total, .. } = self;
        let mut more = Map::new();
        if !token.is_empty() {
            more.insert("next_page_token".to_owned(), Value::String(token.clone()));
        }
        if let Some(total) = total {
            // The JSON of proto3 has 64-bit numbers as strings.
            more.insert("total_size".to_owned(), Value::String(total.to_string()));
        }
        output.list(Listed { collection, records, columns, whole, more })?;
        if output.format() == Format::Json {
            return Ok(());
        }
        if let Some(total) = total {
            stderr::notice(&format!("In all there are {total}."));
        }
        if !token.is_empty() {
            stderr::notice("There are more: --all shows all. --output json has the token of the next page.");
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
    fn one_page_is_got_unless_more_are_asked_for() {
        let mut pages = PageOptions { page_token: "t".to_owned(), ..PageOptions::default() }.begin();
        assert_eq!(pages.next(), page(0, "t"));
        pages.take(records(50), "u".to_owned(), None);
        assert_eq!(pages.next(), None);
    }

    #[test]
    fn all_goes_on_to_the_last_page_even_over_empty_ones() {
        let mut pages = PageOptions { all: true, page_size: 2, ..PageOptions::default() }.begin();
        assert_eq!(pages.next(), page(2, ""));
        pages.take(records(2), "t".to_owned(), None);
        assert_eq!(pages.next(), page(2, "t"));
        pages.take(records(0), "u".to_owned(), None);
        assert_eq!(pages.next(), page(2, "u"));
        pages.take(records(1), String::new(), None);
        assert_eq!(pages.next(), None);
    }

    #[test]
    fn a_limit_never_asks_for_more_than_is_missing() {
        let mut pages = PageOptions { limit: Some(5), page_size: 3, ..PageOptions::default() }.begin();
        assert_eq!(pages.next(), page(3, ""));
        pages.take(records(3), "t".to_owned(), None);
        assert_eq!(pages.next(), page(2, "t"));
        pages.take(records(2), "u".to_owned(), None);
        assert_eq!(pages.next(), None);
        assert_eq!(PageOptions { limit: Some(5), ..PageOptions::default() }.begin().next(), page(5, ""));
    }
}
