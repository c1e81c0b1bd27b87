//! docs/grpcurl.md and docs/curl.md: every rpc has a recipe, and every recipe prints what the page shows.

use tempfile::TempDir;

use crate::harness::{
    pages::{ADDRESS, Block, blocks, check_blocks},
    process::Process,
    raw,
};

const GRPCURL: &str = include_str!("../docs/grpcurl.md");
const CURL: &str = include_str!("../docs/curl.md");

/// The heading of the function that calls without server reflection.
const WITHOUT_REFLECTION: &str = "Without server reflection\n";

/// The sections of a page, without the one that has this heading.
fn sections(page: &'static str, left_out: &str) -> Vec<&'static str> {
    let sections: Vec<_> = page.split("\n## ").collect();
    let kept: Vec<_> = sections.iter().copied().filter(|section| !section.starts_with(left_out)).collect();
    assert_eq!(kept.len() + 1, sections.len(), "the page has no heading {left_out}");
    kept
}

/// Runs these sections in a new folder, against a new server.
fn check(sections: &[&'static str], variables: &[(&str, &str)]) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&folder.path().join("sealward-dev"));
    let blocks: Vec<Block> = sections.iter().flat_map(|section| blocks(section)).collect();
    assert!(blocks.len() > 10);
    check_blocks(&blocks, folder.path(), &server, variables);
}

/// The rpcs without a recipe: one names the address, then the method as in `recipe`.
fn without_recipe(page: &'static str, recipe: impl Fn(&str) -> String) -> Vec<String> {
    let blocks = blocks(page);
    let words: Vec<&str> = blocks.iter().flat_map(|block| block.commands.split_whitespace()).collect();
    let has_recipe = |method: &String| words.contains(&recipe(method).as_str());
    let methods: Vec<String> =
        raw::rpcs().iter().map(|rpc| raw::path(rpc).trim_start_matches('/').to_owned()).collect();
    assert!(methods.len() > 40);
    methods.into_iter().filter(|method| !has_recipe(method)).collect()
}

#[test]
fn every_rpc_has_a_recipe_with_grpcurl() {
    assert!(GRPCURL.contains(ADDRESS));
    assert_eq!(without_recipe(GRPCURL, str::to_owned), Vec::<String>::new());
}

#[test]
fn every_recipe_with_grpcurl_prints_what_the_page_shows() {
    check(&sections(GRPCURL, WITHOUT_REFLECTION), &[]);
}

#[test]
fn every_recipe_with_grpcurl_works_without_server_reflection() {
    check(&sections(GRPCURL, "Prepare\n"), &[]);
}

#[test]
fn every_rpc_has_a_recipe_with_curl() {
    assert_eq!(without_recipe(CURL, |method| format!("https://{ADDRESS}/{method}")), Vec::<String>::new());
}

/// Runs the recipes with curl, which reads options from a file.
fn check_curl(options: &str) {
    let home = TempDir::new().unwrap();
    std::fs::write(home.path().join(".curlrc"), options).unwrap();
    check(&CURL.split("\n## ").collect::<Vec<_>>(), &[("CURL_HOME", home.path().to_str().unwrap())]);
}

#[test]
fn every_recipe_with_curl_prints_what_the_page_shows_over_http_2() {
    check_curl("http2\n");
}

#[test]
fn every_recipe_with_curl_prints_what_the_page_shows_over_http_1_1() {
    check_curl("http1.1\n");
}
