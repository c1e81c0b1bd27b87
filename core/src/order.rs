//! Orders of a list: parses `order_by`, and defines where the next page starts.
//!
//! The syntax is `field [asc|desc], …` (AIP-132). The id is the last key of every order, so every order is total: no
//! two records are equal in all keys. *After this record* therefore has one meaning, even if records are added or
//! deleted between two pages. Null sorts before every value.
//!
//! A cursor contains the keys of a record, in the sequence and types of the order:
//!
//! `key = 0 | 1 value`,
//! `value = boolean (1) | integer, time (8, big endian) | uuid (16) | length (4, big endian) UTF-8`
//!
//! Parsing a cursor is total. [`page_token`](crate::list::page_token) authenticates cursors.

pub(crate) mod fault;

use uuid::Uuid;

use crate::{
    id::Timestamp,
    order::fault::OrderFault,
    schema::{
        column::column_type,
        entity::{Attribute, Entity, Kind},
    },
    store::{ColumnType, Comparison, Condition, Datum, DatumRef, Direction, Name},
    table::{declare::TableColumn, record::RecordColumns},
    violation::{Problem, Violation},
};

/// The maximum number of fields in an order.
pub(crate) const FIELDS_MAX: usize = 8;

/// The maximum length of `order_by` in bytes: far more than eight names, directions and spaces need.
pub(crate) const TEXT_MAX_BYTES: u32 = 1_024;

/// The maximum total length of the ordered texts of one record, in Unicode scalar values, computed from the limits of
/// the attributes. The page token contains these texts. With this limit, a cursor has at most 2,200 bytes.
pub(crate) const KEYS_MAX_CHARS: u32 = 500;

/// The assumed length of an identity in Unicode scalar values. Both identities of a record can be ordered by. A longer
/// one, for example of a bearer token, only makes the page token longer.
const IDENTITY_CHARS: u32 = 250;

/// The order of an entity's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The last key is the id.
    keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    column: Name,
    kind: ColumnType,
    nullable: bool,
    direction: Direction,
}

impl Order {
    /// Parses an order. An empty text orders by id.
    ///
    /// # Errors
    /// All problems of the text.
    pub fn parse(text: &str, entity: &Entity) -> Result<Order, Vec<Violation>> {
        let refused = |problem| Err(vec![Violation::new(FIELD, problem)]);
        if u32::try_from(text.len()).map_or(true, |length| length > TEXT_MAX_BYTES) {
            return refused(Problem::TooLong { given: text.len(), limit: TEXT_MAX_BYTES });
        }
        if text.trim_ascii().is_empty() {
            return Ok(Order { keys: vec![Key::of_id(Direction::Ascending)] });
        }
        if text.split(',').count() > FIELDS_MAX {
            return refused(Problem::TooMany { limit: FIELDS_MAX });
        }
        let mut problems = Vec::new();
        let mut keys: Vec<Key> = Vec::new();
        let mut length = 0_u32;
        for (position, term) in (1..).zip(text.split(',')) {
            match read_term(term, entity) {
                Ok((key, _)) if keys.iter().any(|other| other.column == key.column) => {
                    problems.push(Problem::Order { position, fault: OrderFault::Repeated });
                }
                Ok((key, chars)) => {
                    length = length.saturating_add(chars);
                    keys.push(key);
                }
                Err(TermError::Encrypted(attribute)) => problems.push(Problem::encrypted(entity, attribute)),
                Err(TermError::Unknown(name)) => {
                    let attributes = entity.attributes.iter().map(|attribute| attribute.name.as_str());
                    problems.push(Problem::no_such_field(name, SYSTEM_FIELDS.into_iter().chain(attributes)));
                }
                Err(TermError::Fault(fault)) => problems.push(Problem::Order { position, fault }),
            }
        }
        if length > KEYS_MAX_CHARS {
            problems.push(Problem::OrderTooLong { limit: KEYS_MAX_CHARS });
        }
        if !problems.is_empty() {
            return Err(problems.into_iter().map(|problem| Violation::new(FIELD, problem)).collect());
        }
        // Keys after the id have no effect.
        match keys.iter().position(|key| key.column == ID) {
            Some(position) => keys.truncate(position.saturating_add(1)),
            None => keys.push(Key::of_id(Direction::Ascending)),
        }
        Ok(Order { keys })
    }

    /// Returns the descending order of these columns, none of which is nullable. For tables that don't belong to an
    /// entity. The last column must make the order total.
    pub(crate) fn descending<const N: usize>(columns: [(&'static str, ColumnType); N]) -> Order {
        let key = |(column, kind)| Key {
            column: Name::Borrowed(column),
            kind,
            nullable: false,
            direction: Direction::Descending,
        };
        Order { keys: columns.map(key).into() }
    }

    /// Returns whether this is the order by id, which the table's key has.
    pub(crate) fn is_by_id(&self) -> bool {
        matches!(&self.keys[..], [only] if only.column == ID)
    }

    /// Returns the columns that a cursor contains.
    pub(crate) fn columns(&self) -> impl ExactSizeIterator<Item = Name> {
        self.keys.iter().map(|key| key.column.clone())
    }

    /// Returns the order as a store needs it.
    pub(crate) fn to_store(&self) -> Vec<(Name, Direction)> {
        self.keys.iter().map(|key| (key.column.clone(), key.direction)).collect()
    }

    /// Writes the cursor of a record with these values in these [columns](Order::columns), for [`Order::after`].
    pub(crate) fn write_cursor<'a>(values: impl IntoIterator<Item = DatumRef<'a>>, bytes: &mut Vec<u8>) {
        for value in values {
            if value == DatumRef::Null {
                bytes.push(NULL);
                continue;
            }
            bytes.push(VALUE);
            match value {
                DatumRef::Null => {}
                DatumRef::Boolean(value) => bytes.push(u8::from(value)),
                DatumRef::Integer(value) => bytes.extend_from_slice(&value.to_be_bytes()),
                DatumRef::Time(value) => bytes.extend_from_slice(&value.unix_micros().to_be_bytes()),
                DatumRef::Uuid(value) => bytes.extend_from_slice(value.as_bytes()),
                DatumRef::Text(value) => put(bytes, value.as_bytes()),
                DatumRef::Bytes(value) => put(bytes, value),
            }
        }
    }

    /// Returns the condition for the records after the cursor's record, or `None` if the bytes aren't a cursor of this
    /// order.
    ///
    /// With the keys `a, b`, these are the records that are after it in `a`, and those that are equal in `a` and after
    /// it in `b`.
    pub(crate) fn after(&self, cursor: &[u8]) -> Option<Condition> {
        let mut rest = cursor;
        let values = self.keys.iter().map(|key| key.read(&mut rest)).collect::<Option<Vec<_>>>()?;
        if !rest.is_empty() {
            return None;
        }
        let first = self.keys.first().zip(values.first().cloned());
        let mut after = None;
        for (key, value) in self.keys.iter().zip(values).rev() {
            let mut alternatives = key.after_value(&value);
            alternatives.extend(after.map(|after| key.equal(value).and(after)));
            // A single alternative needs no OR. A plain order is then one comparison, which the index of its key
            // answers.
            after = Some(if alternatives.len() == 1 { alternatives.pop()? } else { Condition::Any(alternatives) });
        }
        // With the alternatives alone, a database would scan the index from its start.
        let (first, value) = first?;
        match (first.range_from(&value), after) {
            (Some(bound), Some(after @ Condition::Any(_))) => Some(bound.and(after)),
            (_, after) => after,
        }
    }
}

impl Key {
    fn of_id(direction: Direction) -> Key {
        Key { column: ID.into(), kind: ColumnType::Uuid, nullable: false, direction }
    }

    /// Reads this key's value from a cursor.
    fn read(&self, rest: &mut &[u8]) -> Option<Datum> {
        match take::<1>(rest)? {
            [NULL] if self.nullable => return Some(Datum::Null),
            [VALUE] => {}
            _ => return None,
        }
        Some(match self.kind {
            ColumnType::Boolean => Datum::Boolean(match take(rest)? {
                [0] => false,
                [1] => true,
                _ => return None,
            }),
            ColumnType::Integer => Datum::Integer(i64::from_be_bytes(take(rest)?)),
            ColumnType::Time => Datum::Time(Timestamp::from_unix_micros(i64::from_be_bytes(take(rest)?))),
            ColumnType::Uuid => Datum::Uuid(Uuid::from_bytes(take(rest)?)),
            ColumnType::Text => {
                let length = usize::try_from(u32::from_be_bytes(take(rest)?)).ok()?;
                let (text, after) = rest.split_at_checked(length)?;
                *rest = after;
                Datum::Text(str::from_utf8(text).ok()?.to_owned())
            }
            ColumnType::Bytes => return None,
        })
    }

    fn equal(&self, value: Datum) -> Condition {
        if value == Datum::Null {
            return Condition::IsNull(self.column.clone());
        }
        Condition::equal(self.column.clone(), value)
    }

    /// Returns the range of values at or after this value in this key. `None` if one range isn't enough.
    fn range_from(&self, value: &Datum) -> Option<Condition> {
        let comparison = match self.direction {
            Direction::Ascending => Comparison::GreaterOrEqual,
            Direction::Descending if self.nullable => return None,
            Direction::Descending => Comparison::LessOrEqual,
        };
        (*value != Datum::Null).then(|| Condition::Compare {
            column: self.column.clone(),
            comparison,
            value: value.clone(),
        })
    }

    /// Returns the alternative conditions for values after this value in this key.
    fn after_value(&self, value: &Datum) -> Vec<Condition> {
        let is_null = Condition::IsNull(self.column.clone());
        let compare = |comparison| Condition::Compare { column: self.column.clone(), comparison, value: value.clone() };
        match (self.direction, value) {
            (Direction::Ascending, Datum::Null) => vec![is_null.negated()],
            (Direction::Ascending, _) => vec![compare(Comparison::Greater)],
            (Direction::Descending, Datum::Null) => Vec::new(),
            (Direction::Descending, _) if self.nullable => vec![compare(Comparison::Less), is_null],
            (Direction::Descending, _) => vec![compare(Comparison::Less)],
        }
    }
}

enum TermError<'a> {
    Encrypted(&'a Attribute),
    Unknown(&'a str),
    Fault(OrderFault),
}

/// Parses a field and its direction. Also returns the maximum length of its values in characters, 0 unless they are
/// texts.
fn read_term<'a>(term: &'a str, entity: &'a Entity) -> Result<(Key, u32), TermError<'a>> {
    let mut words = term.split_ascii_whitespace();
    let (field, direction) = match (words.next(), words.next(), words.next()) {
        (Some(field), None | Some("asc"), None) => (field, Direction::Ascending),
        (Some(field), Some("desc"), None) => (field, Direction::Descending),
        _ => return Err(TermError::Fault(OrderFault::InvalidTerm)),
    };
    let of_time = |column: TableColumn<RecordColumns, Timestamp>| {
        Ok((Key { column: column.name(), kind: ColumnType::Time, nullable: false, direction }, 0))
    };
    let of_identity = |column: TableColumn<RecordColumns, Option<String>>| {
        Ok((Key { column: column.name(), kind: ColumnType::Text, nullable: true, direction }, IDENTITY_CHARS))
    };
    match field {
        "name" => return Ok((Key::of_id(direction), 0)),
        "create_time" => return of_time(RecordColumns::create_time()),
        "update_time" => return of_time(RecordColumns::update_time()),
        "created_by" => return of_identity(RecordColumns::created_by()),
        "modified_by" => return of_identity(RecordColumns::modified_by()),
        _ => {}
    }
    let attribute = entity.attribute(field).ok_or(TermError::Unknown(field))?;
    if attribute.encrypted {
        return Err(TermError::Encrypted(attribute));
    }
    let chars = match &attribute.kind {
        Kind::Bytes => return Err(TermError::Fault(OrderFault::Bytes)),
        Kind::ReportsSet { .. } => return Err(TermError::Fault(OrderFault::Derived)),
        Kind::Text => attribute.length_stored().unwrap_or(u32::MAX),
        Kind::Boolean | Kind::Integer32 | Kind::Integer64 | Kind::Choice(_) | Kind::Time | Kind::Reference { .. } => 0,
    };
    let column = attribute.storage_name.clone();
    Ok((Key { column, kind: column_type(&attribute.kind), nullable: true, direction }, chars))
}

fn put(bytes: &mut Vec<u8>, value: &[u8]) {
    // No store accepts a value of 4 GiB.
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(value);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}

/// The name of the id column.
const ID: &str = RecordColumns::id().as_str();

const NULL: u8 = 0;
const VALUE: u8 = 1;

const FIELD: &str = "order_by";

/// The fields other than attributes that every record can be ordered by.
const SYSTEM_FIELDS: [&str; 5] = ["name", "create_time", "update_time", "created_by", "modified_by"];

#[cfg(test)]
mod tests {
    use Direction::{Ascending, Descending};
    use proptest::prelude::*;

    use super::*;
    use crate::schema::testing::thing;

    fn keys(text: &str) -> Vec<(String, Direction)> {
        let order = Order::parse(text, &thing()).expect(text);
        order.to_store().into_iter().map(|(column, direction)| (column.into_owned(), direction)).collect()
    }

    fn cursor_of(values: &[Datum]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Order::write_cursor(values.iter().map(DatumRef::from), &mut bytes);
        bytes
    }

    fn problems(text: &str) -> Vec<Problem> {
        let violations = Order::parse(text, &thing()).expect_err(text);
        assert!(violations.iter().all(|violation| violation.field == "order_by"));
        violations.into_iter().map(|violation| violation.problem).collect()
    }

    fn expected<const N: usize>(keys: [(&str, Direction); N]) -> Vec<(String, Direction)> {
        keys.map(|(column, direction)| (column.to_owned(), direction)).into()
    }

    #[test]
    fn an_order_ends_with_the_id() {
        assert_eq!(keys(""), expected([("id", Ascending)]));
        assert_eq!(keys(" \t"), expected([("id", Ascending)]));
        assert_eq!(keys("big"), expected([("stored_big", Ascending), ("id", Ascending)]));
        assert_eq!(
            keys("  name_1   desc ,update_time asc,link,color desc  "),
            expected([
                ("stored_name_1", Descending),
                ("update_time", Ascending),
                ("stored_link", Ascending),
                ("stored_color", Descending),
                ("id", Ascending),
            ])
        );
        // No later key has an effect.
        assert_eq!(keys("name desc"), expected([("id", Descending)]));
        assert_eq!(keys("flag, name desc, seen"), expected([("stored_flag", Ascending), ("id", Descending)]));
    }

    #[test]
    fn all_faults_of_an_order_are_reported() {
        let at = |position, fault| Problem::Order { position, fault };
        assert_eq!(
            problems("nothing, data desc, is_secret_set, big, secret, big desc, big up, "),
            [
                Problem::NoSuchField { path: Some("nothing".to_owned()), suggestion: None },
                at(2, OrderFault::Bytes),
                at(3, OrderFault::Derived),
                Problem::Encrypted { entity: "Thing".to_owned(), attribute: "secret".to_owned() },
                at(6, OrderFault::Repeated),
                at(7, OrderFault::InvalidTerm),
                at(8, OrderFault::InvalidTerm),
            ]
        );
        for wrong in [",", "big,,small", "big DESC", "big desc desc", "big; small"] {
            assert!(problems(wrong).iter().all(|problem| matches!(problem, Problem::Order { .. })), "{wrong}");
        }
        for (wrong, suggestion) in [
            ("id", None),
            ("etag", None),
            ("revision", None),
            ("stored_big", None),
            ("Big", Some("big")),
            ("thing.big", Some("big")),
            ("updateTime", Some("update_time")),
        ] {
            let (path, suggestion) = (Some(wrong.to_owned()), suggestion.map(str::to_owned));
            assert_eq!(problems(wrong), [Problem::NoSuchField { path, suggestion }], "{wrong}");
        }
        assert_eq!(problems("create_time, create_time"), [at(2, OrderFault::Repeated)]);
    }

    #[test]
    fn order_is_limited_in_fields_characters_and_bytes() {
        assert_eq!(keys("flag, small, big, color, letter, seen, link, update_time").len(), 9);
        let nine = "flag, small, big, color, letter, seen, link, update_time, create_time";
        assert_eq!(problems(nine), [Problem::TooMany { limit: 8 }]);

        assert_eq!(keys("name_1, name_2").len(), 3);
        for texts in ["name_1, name_2, letter", "endless", "endless, endless"] {
            assert!(problems(texts).contains(&Problem::OrderTooLong { limit: 500 }), "{texts}");
        }

        assert_eq!(keys(&format!("{:1024}", "big")).len(), 2);
        assert_eq!(problems(&format!("{:1025}", "big")), [Problem::TooLong { given: 1_025, limit: 1_024 }]);
    }

    #[test]
    fn next_page_starts_after_the_last_record_even_among_equal_values() {
        let order = Order::parse("big desc, seen", &thing()).unwrap();
        let id = Datum::Uuid(Uuid::from_u128(7));
        let after_id = Condition::greater("id", id.clone());
        let seen = Condition::IsNull("stored_seen".into());
        let among = seen.clone().and(after_id.clone());
        let after_seen = Condition::Any(vec![seen.negated(), among]);
        let cursor = cursor_of(&[Datum::Integer(5), Datum::Null, id.clone()]);
        let big = |comparison| Condition::Compare { column: "stored_big".into(), comparison, value: Datum::Integer(5) };
        assert_eq!(
            order.after(&cursor),
            Some(Condition::Any(vec![
                big(Comparison::Less),
                Condition::IsNull("stored_big".into()),
                big(Comparison::Equal).and(after_seen.clone()),
            ]))
        );
        // In a descending order, only other nulls come after a null.
        let cursor = cursor_of(&[Datum::Null, Datum::Null, id.clone()]);
        assert_eq!(order.after(&cursor), Some(Condition::IsNull("stored_big".into()).and(after_seen)));
        // By id alone, the condition is one comparison.
        let plain = Order::parse("", &thing()).unwrap();
        assert_eq!(plain.after(&cursor_of(&[id])), Some(after_id));
    }

    const EVERY_KIND: &str = "flag, small desc, color, name_1, seen desc, link";

    fn values() -> impl Strategy<Value = Vec<Datum>> {
        let or_null = |strategy: BoxedStrategy<Datum>| prop_oneof![1 => Just(Datum::Null), 3 => strategy];
        let id = || any::<u128>().prop_map(|id| Datum::Uuid(Uuid::from_u128(id))).boxed();
        let text = any::<String>().prop_map(|text| Datum::Text(text.chars().take(250).collect()));
        (
            or_null(any::<bool>().prop_map(Datum::Boolean).boxed()),
            or_null(any::<i64>().prop_map(Datum::Integer).boxed()),
            or_null(any::<i64>().prop_map(Datum::Integer).boxed()),
            or_null(text.boxed()),
            or_null(any::<i64>().prop_map(|micros| Datum::Time(Timestamp::from_unix_micros(micros))).boxed()),
            or_null(id()),
            id(),
        )
            .prop_map(|values| vec![values.0, values.1, values.2, values.3, values.4, values.5, values.6])
    }

    #[test]
    fn longest_cursor_is_within_its_limit() {
        let longest = Order::parse("name_1, name_2, small, big, color, seen, link, create_time", &thing()).unwrap();
        let text = Datum::Text("\u{10FFFF}".repeat(250));
        let mut values = vec![text.clone(), text];
        values.resize(longest.columns().len(), Datum::Uuid(Uuid::nil()));
        assert!(cursor_of(&values).len() <= 2_200);
    }

    proptest! {
        #[test]
        fn incomplete_cursor_is_refused(values in values(), cut in any::<prop::sample::Index>(), more: u8) {
            let order = Order::parse(EVERY_KIND, &thing()).unwrap();
            let cursor = cursor_of(&values);
            let mut rest = &cursor[..];
            let read: Vec<Datum> = order.keys.iter().map(|key| key.read(&mut rest).unwrap()).collect();
            prop_assert_eq!(read, values);
            prop_assert!(order.after(&cursor).is_some());
            prop_assert!(order.after(&cursor[..cut.index(cursor.len())]).is_none());
            prop_assert!(order.after(&[&cursor[..], &[more]].concat()).is_none());
        }

        #[test]
        fn any_bytes_parse_or_are_refused_and_a_cursor_has_one_spelling(bytes: Vec<u8>, text: String) {
            for order in [EVERY_KIND, "", "flag", "name desc", "create_time"] {
                let order = Order::parse(order, &thing()).unwrap();
                let mut rest = &bytes[..];
                let read: Option<Vec<Datum>> = order.keys.iter().map(|key| key.read(&mut rest)).collect();
                let read = read.filter(|_| rest.is_empty());
                prop_assert_eq!(read.is_some(), order.after(&bytes).is_some());
                if let Some(values) = read {
                    prop_assert_eq!(cursor_of(&values), &bytes[..]);
                }
            }
            let _total = Order::parse(&text, &thing());
        }
    }
}
