//! Arguments that several commands of an entity have, and their values.

use clap::ArgMatches;

pub(super) const CHECK: &str = "check";
pub(super) const REQUEST_ID: &str = "request-id";

pub(super) fn value<'a>(matches: &'a ArgMatches, id: &str) -> Option<&'a str> {
    matches.get_one::<String>(id).map(String::as_str)
}

pub(super) fn values<'a>(matches: &'a ArgMatches, id: &str) -> Vec<&'a str> {
    matches.get_many::<String>(id).unwrap_or_default().map(String::as_str).collect()
}
