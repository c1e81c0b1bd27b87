//! Time of filters without a database: parse, compile to a condition, and evaluate for a record.
#![allow(clippy::unwrap_used, reason = "a measurement may stop at the first surprise")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sealward_core::{
    filter::{COMPARISONS_MAX, Field, Filter},
    schema::Value,
};

/// One comparison, a typical filter, and the maximum number of comparisons.
fn filters() -> [(&'static str, String); 3] {
    let longest: Vec<String> = (0..COMPARISONS_MAX).map(|number| format!("username = \"user-{number}*\"")).collect();
    [
        ("one comparison", r#"display_name = "Sales*""#.to_owned()),
        (
            "six comparisons",
            r#"display_name = "Sales*" AND NOT update_time < "2026-01-01T00:00:00Z" AND (is_password_set = true OR username:*)
               AND state_code = STATE_CODE_ACTIVE AND enabled_for_act = true"#
                .to_owned(),
        ),
        ("64 comparisons", longest.join(" OR ")),
    ]
}

fn filter(criterion: &mut Criterion) {
    let served = sealward_server::schema::read(sealward::FILE_DESCRIPTOR_SET).unwrap();
    let entity = served.schema.entities().iter().find(|entity| entity.name == "Mailbox").unwrap();
    let sales = Value::Text("Sales".to_owned());
    let names: Vec<&str> = entity.attributes.iter().map(|attribute| attribute.name.as_str()).collect();
    let value = |field| match field {
        Field::Attribute(index) if names.get(index) == Some(&"display_name") => Some(&sales),
        Field::Attribute(_)
        | Field::Name
        | Field::CreateTime
        | Field::UpdateTime
        | Field::CreatedBy
        | Field::ModifiedBy => None,
    };

    let organization = "default".parse().unwrap();
    let mut group = criterion.benchmark_group("filter");
    for (name, text) in filters() {
        let filter = Filter::parse(&text, entity, Some(&organization)).unwrap();
        group.bench_function(BenchmarkId::new("parse", name), |bencher| {
            bencher.iter(|| Filter::parse(black_box(&text), entity, Some(&organization)).unwrap());
        });
        group.bench_function(BenchmarkId::new("compile", name), |bencher| {
            bencher.iter(|| black_box(&filter).condition());
        });
        group.bench_function(BenchmarkId::new("evaluate", name), |bencher| {
            bencher.iter(|| black_box(&filter).holds(&value));
        });
    }
    group.finish();
}

criterion_group!(benches, filter);
criterion_main!(benches);
