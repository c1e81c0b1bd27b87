//! The examples and errors of docs/filter.md are correct.

use sealward_core::{
    filter::{Filter, FilterError},
    schema::Schema,
};

const DOCUMENT: &str = include_str!("../docs/filter.md");

/// The part of the document under this heading.
fn section(heading: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("\n## {heading}\n")).unwrap();
    rest.split_once("\n## ").map_or(rest, |(section, _)| section)
}

fn parse(schema: &Schema, collection: &str, text: &str) -> Result<Filter, FilterError> {
    Filter::parse(text, schema.by_collection(collection).unwrap(), Some(&"contoso".parse().unwrap()))
}

fn built_in() -> std::sync::Arc<Schema> {
    sealward_server::schema::read(sealward::FILE_DESCRIPTOR_SET).unwrap().schema
}

#[test]
fn every_documented_filter_parses() {
    let schema = built_in();
    let mut blocks = section("Examples").split("```");
    let mut count = 0;
    while let (Some(before), Some(example)) = (blocks.next(), blocks.next()) {
        let collection = match before.split_whitespace().next().unwrap() {
            "Mailboxes" => "mailboxes",
            "Profiles" => "emailServerProfiles",
            "Queues" => "queues",
            "Settings" => "userSettings",
            other => panic!("an example of {other}"),
        };
        assert!(parse(&schema, collection, example).is_ok(), "{example}");
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn every_documented_filter_error_has_its_position() {
    let schema = built_in();
    let rows = section("Errors").lines().filter_map(|line| line.strip_prefix("| `"));
    let mut count = 0;
    for row in rows {
        let [filter, position, words] = row.splitn(3, '|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let error = parse(&schema, "mailboxes", filter.strip_suffix('`').unwrap()).unwrap_err();
        assert_eq!(error.position.to_string(), position, "{filter}");
        let words = words.trim_end_matches(['|', ' ']);
        let said = error.problem.to_string();
        assert!(said.starts_with(words) || words.starts_with("it is ") && said.ends_with(&words[6..]), "{said}");
        count += 1;
    }
    assert_eq!(count, 6);
}
