//! Filters: a store finds the same records as an evaluation in memory.

use sealward_core::{
    filter::{Field, Filter},
    id::RecordId,
    schema::{Attribute, Choice, Entity, Kind, OnDelete, Value},
};

use super::*;

/// Things as an entity.
fn entity() -> Entity {
    let attribute = |name: &str, storage_name: &str, kind, encrypted| Attribute {
        storage_name: storage_name.to_owned().into(),
        encrypted,
        ..Attribute::new(name, kind)
    };
    let choice = |number, name: &str| Choice::new(number, name);
    let link = Kind::Reference { collection: "things".to_owned(), on_delete: OnDelete::Clear };
    let is_set = Kind::ReportsSet { attribute: "secret".to_owned() };
    Entity::new(
        THING,
        "things",
        "thing",
        vec![
            attribute("flag", "flag", Kind::Boolean, false),
            attribute("color", "number", Kind::Choice(vec![choice(1, "RED"), choice(2, "BLUE")]), false),
            attribute("text", "name", Kind::Text, false),
            attribute("secret", "data", Kind::Bytes, true),
            attribute("link", "link", link, false),
            attribute("seen", "time", Kind::Time, false),
            attribute("is_secret_set", "is_secret_set", is_set, false),
        ],
    )
}

/// The values of each attribute, null first, in the order of the entity.
fn possible(attribute: &str) -> Vec<Option<Value>> {
    let texts = ["", "a", "A", "a*", "ab", "é", "\u{10FFFF}", "\u{10FFFF}\u{10FFFF}"];
    let values: Vec<Value> = match attribute {
        "flag" | "is_secret_set" => [false, true].map(Value::Boolean).to_vec(),
        "color" => [1, 2].map(Value::Integer).to_vec(),
        "text" => texts.map(|text| Value::Text(text.to_owned())).to_vec(),
        "link" => [1, 2].map(|number| Value::Reference(RecordId::from_uuid(Uuid::from_u128(number)))).to_vec(),
        "seen" => [0, 1].map(|micros| Value::Time(Timestamp::from_unix_micros(micros))).to_vec(),
        _ => Vec::new(),
    };
    std::iter::once(None).chain(values.into_iter().map(Some)).collect()
}

fn datum(value: &Value) -> Datum {
    match value {
        Value::Boolean(value) => Datum::Boolean(*value),
        Value::Integer(number) => Datum::Integer(*number),
        Value::Text(text) => Datum::Text(text.clone()),
        Value::Bytes(bytes) => Datum::Bytes(bytes.clone()),
        Value::Time(time) => Datum::Time(*time),
        Value::Reference(id) => Datum::Uuid(id.uuid()),
    }
}

/// Records in which every value of an attribute meets several of each other one.
fn records(entity: &Entity) -> Vec<Vec<Option<Value>>> {
    let record = |number: usize| -> Vec<Option<Value>> {
        let values = entity.attributes.iter().enumerate().map(|(index, attribute)| {
            let mut possible = possible(&attribute.name);
            if !attribute.stored() {
                // Whether a secret is set is always known.
                possible.remove(0);
            }
            // Prime steps, so that no two attributes have the same pattern.
            let step = [1, 7, 5, 3, 11, 13, 17][index];
            possible.swap_remove(number * step / 3 % possible.len())
        });
        values.collect()
    };
    (0..120).map(record).collect()
}

fn row(entity: &Entity, number: usize, record: &[Option<Value>]) -> Step {
    let mut row: Vec<(Name, Datum)> = vec![("id".into(), id(number as u128))];
    for (attribute, value) in entity.attributes.iter().zip(record) {
        match (attribute.stored(), value) {
            (true, Some(value)) => row.push((attribute.storage_name.clone(), datum(value))),
            (false, Some(Value::Boolean(true))) => row.push(("data".into(), Datum::Bytes(vec![1]))),
            _ => {}
        }
    }
    Step::Insert { table: THING.into(), row }
}

/// Every comparison of every attribute, alone, negated and with others.
fn filters() -> Vec<String> {
    let link = Uuid::from_u128(1).to_string();
    let mut terms: Vec<String> = Vec::new();
    for (name, operators, values) in [
        ("flag", &["=", "!="][..], &["true", "false"][..]),
        ("is_secret_set", &["=", "!="], &["true", "false"]),
        ("color", &["=", "!="], &["RED", "BLUE"]),
        ("link", &["=", "!="], &[&link]),
        ("text", &["=", "!="], &["*", "a*", "\"a\\**\"", "\"A*\"", "\u{10FFFF}*", "b*"]),
        ("text", &["=", "!=", "<", "<=", ">", ">="], &["\"\"", "a", "B", "é", "\u{10FFFF}"]),
        (
            "seen",
            &["=", "!=", "<", "<=", ">", ">="],
            &["\"1970-01-01T00:00:00Z\"", "\"1970-01-01T01:00:00.000001+01:00\""],
        ),
    ] {
        terms.push(format!("{name}:*"));
        for operator in operators {
            terms.extend(values.iter().map(|value| format!("{name} {operator} {value}")));
        }
    }
    let mut filters = vec![String::new()];
    for (index, term) in terms.iter().enumerate() {
        let (second, third) = (&terms[(index * 7 + 1) % terms.len()], &terms[(index * 11 + 2) % terms.len()]);
        filters.push(term.clone());
        filters.push(format!("NOT {term}"));
        filters.push(format!("{term} AND NOT {second} OR {third}"));
        filters.push(format!("NOT ({term} OR {second} AND -{third})"));
    }
    filters
}

pub(crate) async fn filter_finds_the_same_rows_as_in_memory(subject: &dyn Subject) {
    let store = opened(subject).await;
    let entity = entity();
    let records = records(&entity);
    let rows = records.iter().enumerate().map(|(number, record)| row(&entity, number, record));
    apply(&*store, rows.collect()).await;
    let (mut found_some, mut left_some) = (0, 0);
    for text in filters() {
        let filter = Filter::parse(&text, &entity, Some(&"contoso".parse().unwrap())).expect(&text);
        let holds = |record: &Vec<Option<Value>>| {
            filter.holds(&|field| match field {
                Field::Attribute(index) => record[index].as_ref(),
                Field::Name | Field::CreateTime | Field::UpdateTime | Field::CreatedBy | Field::ModifiedBy => None,
            })
        };
        let wanted: Vec<u128> = (0..).zip(&records).filter(|(_, record)| holds(record)).map(|(id, _)| id).collect();
        assert_eq!(ids(&*store, filter.condition()).await, wanted, "{text}");
        found_some += usize::from(!wanted.is_empty());
        left_some += usize::from(wanted.len() < records.len());
    }
    // The records distinguish the filters.
    assert!(found_some > 200 && left_some > 200, "{found_some} {left_some}");
}
