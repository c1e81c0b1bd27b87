use std::collections::BTreeSet;

use proptest::prelude::*;
use uuid::Uuid;

use super::{
    Bounds, COMPARISONS_MAX, Field, Filter, FilterError, FilterProblem,
    parser::{DEPTH_MAX, LENGTH_MAX},
};
use crate::{
    id::{RecordId, Timestamp},
    schema::{Attribute, Choice, Entity, Kind, OnDelete, Value, value::datum_of},
    store::{Comparison, Condition, Datum},
};

const ID: &str = "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506";

/// An entity with an attribute of each kind. Their indexes:
const FLAG: usize = 0;
const SMALL: usize = 1;
const BIG: usize = 2;
const COLOR: usize = 3;
const TEXT: usize = 4;
const DATA: usize = 5;
const SEEN: usize = 6;
const LINK: usize = 7;
const IS_SECRET_SET: usize = 9;

fn entity() -> Entity {
    let choice = |number, name: &str| Choice::new(number, name);
    let link = Kind::Reference { collection: "things".to_owned(), on_delete: OnDelete::Clear };
    let mut secret = Attribute::new("secret", Kind::Text);
    secret.encrypted = true;
    secret.storage_name = "secret_cell".into();
    Entity::new(
        "Thing",
        "things",
        "thing",
        vec![
            Attribute::new("flag", Kind::Boolean),
            Attribute::new("small", Kind::Integer32),
            Attribute::new("big", Kind::Integer64),
            Attribute::new("color", Kind::Choice(vec![choice(1, "COLOR_RED"), choice(2, "COLOR_BLUE")])),
            Attribute::new("text", Kind::Text),
            Attribute::new("data", Kind::Bytes),
            Attribute::new("seen", Kind::Time),
            Attribute::new("link", link),
            secret,
            Attribute::new("is_secret_set", Kind::ReportsSet { attribute: "secret".to_owned() }),
        ],
    )
}

fn parse(text: &str) -> Result<Filter, FilterError> {
    Filter::parse(text, &entity(), Some(&"contoso".parse().unwrap()))
}

fn problem(text: &str) -> (usize, FilterProblem) {
    let error = parse(text).expect_err(text);
    (error.position, error.problem)
}

fn compare(column: &'static str, comparison: Comparison, value: Datum) -> Condition {
    Condition::Compare { column: column.into(), comparison, value }
}

fn text(text: &str) -> Datum {
    Datum::Text(text.to_owned())
}

#[test]
fn not_binds_tighter_than_or_and_or_tighter_than_and() {
    let is = |number| Condition::equal("small", Datum::Integer(number));
    for (written, condition) in [
        ("", Condition::EVERYTHING),
        (" \t\n", Condition::EVERYTHING),
        ("small = 1", is(1)),
        ("((small=1))", is(1)),
        ("small = 1 AND small = 2 OR small = 3", Condition::All(vec![is(1), Condition::Any(vec![is(2), is(3)])])),
        ("small = 1 OR small = 2 AND small = 3", Condition::All(vec![Condition::Any(vec![is(1), is(2)]), is(3)])),
        ("(small = 1 AND small = 2) OR small = 3", Condition::Any(vec![Condition::All(vec![is(1), is(2)]), is(3)])),
        ("NOT small = 1 OR -small = 2", Condition::Any(vec![is(1).negated(), is(2).negated()])),
        ("NOT(small = 1 OR small = 2)", Condition::Any(vec![is(1), is(2)]).negated()),
        ("-(NOT small = -1)", is(-1).negated().negated()),
    ] {
        assert_eq!(parse(written).map(|filter| filter.condition()), Ok(condition), "{written}");
    }
}

#[test]
fn every_type_has_its_comparison() {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    let uuid = Datum::Uuid(Uuid::parse_str(ID).unwrap());
    let link = format!("link = organizations/contoso/things/{ID}");
    let quoted_link = format!("link = \"{ID}\"");
    let name = format!("name = {ID}");
    let begins = |prefix: &str| Condition::BeginsWith { column: "text".into(), prefix: prefix.to_owned() };
    let set = |column: &'static str| Condition::IsNull(column.into()).negated();
    let noon = Datum::Time(Timestamp::from_unix_micros(1_769_860_800_000_000));
    for (written, condition) in [
        ("flag = true", compare("flag", Equal, Datum::Boolean(true))),
        ("flag != false", set("flag").and(compare("flag", Equal, Datum::Boolean(false)).negated())),
        ("small <= -2147483648", compare("small", LessOrEqual, Datum::Integer(i32::MIN.into()))),
        ("big>=9223372036854775807", compare("big", GreaterOrEqual, Datum::Integer(i64::MAX))),
        ("color = COLOR_BLUE", compare("color", Equal, Datum::Integer(2))),
        ("text = word-1", compare("text", Equal, text("word-1"))),
        ("text < \"a b\"", compare("text", Less, text("a b"))),
        ("text = \"\"", compare("text", Equal, text(""))),
        (r#"text = "\"\\\*(AND) : é""#, compare("text", Equal, text("\"\\*(AND) : é"))),
        ("text > \"null\"", compare("text", Greater, text("null"))),
        ("text = Sal*", begins("Sal")),
        (r#"text = "a\**""#, begins("a*")),
        ("text != \"Sal*\"", set("text").and(begins("Sal").negated())),
        ("text = *", begins("")),
        ("text:*", set("text")),
        ("NOT text : *", set("text").negated()),
        ("data:*", set("data")),
        ("seen = \"2026-01-31T13:00:00+01:00\"", compare("seen", Equal, noon.clone())),
        ("create_time > \"2026-01-31T12:00:00Z\"", compare("create_time", Greater, noon.clone())),
        ("update_time<=\"2026-01-31T12:00:00.0Z\"", compare("update_time", LessOrEqual, noon)),
        ("created_by = \"cn:ada\"", compare("created_by", Equal, text("cn:ada"))),
        ("modified_by = \"cn:*\"", Condition::BeginsWith { column: "modified_by".into(), prefix: "cn:".to_owned() }),
        ("NOT created_by:*", set("created_by").negated()),
        (link.as_str(), compare("link", Equal, uuid.clone())),
        (quoted_link.as_str(), compare("link", Equal, uuid.clone())),
        (name.as_str(), compare("id", Equal, uuid)),
        ("is_secret_set = true", set("secret_cell")),
        ("is_secret_set != true", Condition::IsNull("secret_cell".into())),
        ("is_secret_set = false", Condition::IsNull("secret_cell".into())),
        ("is_secret_set:*", Condition::EVERYTHING),
    ] {
        assert_eq!(parse(written).map(|filter| filter.condition()), Ok(condition), "{written}");
    }
}

#[test]
fn filter_lists_the_attributes_that_it_reads() {
    let filter = parse("small = 1 AND (NOT is_secret_set = true OR name:* OR small = 2)").unwrap();
    assert_eq!(filter.attributes(), BTreeSet::from([SMALL, IS_SECRET_SET]));
    let fields = [Field::Attribute(SMALL), Field::Attribute(IS_SECRET_SET), Field::Name];
    assert_eq!(filter.fields(), BTreeSet::from(fields));
    assert_eq!(parse("").unwrap().fields(), BTreeSet::new());
}

#[test]
fn syntax_error_is_reported_with_its_position() {
    use FilterProblem as P;
    for (written, position, wanted) in [
        ("small", 5, P::OperatorExpected),
        ("small text = a", 6, P::OperatorExpected),
        ("small(text)", 5, P::OperatorExpected),
        ("small =", 7, P::ValueExpected),
        ("small = AND", 8, P::ValueExpected),
        ("text = NOT", 7, P::ValueExpected),
        ("text == a", 6, P::ValueExpected),
        ("text = (a)", 7, P::ValueExpected),
        ("small = 1 small = 2", 10, P::AndOrExpected),
        ("small = 1 and small = 2", 10, P::AndOrExpected),
        ("(small = 1 big = 2)", 11, P::AndOrExpected),
        ("seen = 2026-01-31T12:00:00Z", 7, P::WrongType { name: "seen".to_owned(), expected: TIME }),
        ("text = 12:00", 9, P::AndOrExpected),
        ("small = 1 AND", 13, P::ComparisonExpected),
        ("AND small = 1", 0, P::ComparisonExpected),
        ("small = 1 AND AND small = 2", 14, P::ComparisonExpected),
        ("NOT NOT small = 1", 4, P::ComparisonExpected),
        ("NOT", 3, P::ComparisonExpected),
        ("--small = 1", 1, P::ComparisonExpected),
        ("\"small\" = 1", 0, P::ComparisonExpected),
        ("()", 1, P::ComparisonExpected),
        ("*", 0, P::ComparisonExpected),
        ("1 = small", 0, P::ComparisonExpected),
        ("(small = 1", 0, P::UnclosedParenthesis),
        ("(small = 1))", 11, P::UnopenedParenthesis),
        (")", 0, P::ComparisonExpected),
        ("text = \"é\" AND text = \"b", 22, P::UnclosedString),
        ("text = \"b\\\"", 7, P::UnclosedString),
        ("text = \"b*", 7, P::UnclosedString),
        ("text = \"é\\n\"", 9, P::UnknownEscape),
        ("text = \"a\0\"", 9, P::Nul),
        ("text = 'a'", 7, P::UnexpectedCharacter),
        ("text = a,b", 8, P::UnexpectedCharacter),
        ("text ! a", 5, P::UnexpectedCharacter),
        ("text = \"a*b\"", 9, P::StarInside),
        ("text = é*b", 8, P::StarInside),
        ("text = **", 7, P::StarInside),
        ("text < \"a*\"", 7, P::StarInOrder),
        ("small.text = 1", 0, P::Traversal),
    ] {
        assert_eq!(problem(written), (position, wanted), "{written}");
    }
}

const TIME: &str = "a time in quotes with at most 6 decimal places of seconds, such as `\"2026-01-31T12:00:00Z\"`";

#[test]
fn value_of_the_wrong_type_is_reported_with_its_position() {
    let other_organization = format!("link = organizations/fabrikam/things/{ID}");
    let other_collection = format!("name = organizations/contoso/thongs/{ID}");
    let without_hyphens = format!("link = {}", ID.replace('-', ""));
    for (written, position, words) in [
        ("nothing = 1", 0, "Thing has no field `nothing`"),
        ("NOT id = 1", 4, "Thing has no field `id`"),
        ("-nothing = 1", 1, "Thing has no field `nothing`"),
        ("createTime:*", 0, "Thing has no field `createTime`; did you mean `create_time`?"),
        ("secret = a", 0, "`secret` is encrypted and can't be used in a filter: remove it"),
        ("flag = true OR secret:*", 15, "`secret` is encrypted and can't be used in a filter: remove it"),
        (
            "etag = 1",
            0,
            "`etag` can't be used in a filter: use `name`, `create_time`, `update_time`, `created_by`, `modified_by` or an attribute",
        ),
        ("flag < true", 5, "`flag` supports only `=`, `!=` and `:*`"),
        ("is_secret_set > true", 14, "`is_secret_set` supports only `=`, `!=` and `:*`"),
        ("color >= COLOR_RED", 6, "`color` supports only `=`, `!=` and `:*`"),
        ("link < a", 5, "`link` supports only `=`, `!=` and `:*`"),
        ("name < a", 5, "`name` supports only `=`, `!=` and `:*`"),
        ("data = a", 5, "`data` supports only `:*`"),
        ("text:a", 5, "`:` only tests for a value: write `text:*`, or compare with `=`"),
        ("text:\"*\"", 5, "`:` only tests for a value: write `text:*`, or compare with `=`"),
        ("text = null", 7, "null can't be compared: write `NOT text:*` for no value, or `text:*` for any value"),
        ("seen != null", 8, "null can't be compared: write `NOT seen:*` for no value, or `seen:*` for any value"),
        ("flag = TRUE", 7, "`flag` must be compared with `true` or `false`"),
        ("flag = \"true\"", 7, "`flag` must be compared with `true` or `false`"),
        ("small = \"1\"", 8, "`small` must be compared with a whole number, without quotes"),
        ("small = 1.5", 8, "`small` must be compared with a whole number, without quotes"),
        ("small = +1", 8, "`small` must be compared with a whole number, without quotes"),
        ("small = -", 8, "`small` must be compared with a whole number, without quotes"),
        ("small = 2147483648", 8, "the range of `small` is -2147483648 to 2147483647"),
        ("big = 9223372036854775808", 6, "the range of `big` is -9223372036854775808 to 9223372036854775807"),
        ("color = RED", 8, "`color` must be one of COLOR_RED, COLOR_BLUE"),
        ("color = 1", 8, "`color` must be one of COLOR_RED, COLOR_BLUE"),
        ("color = \"COLOR_RED\"", 8, "`color` must be compared with the name of a value of its enum, without quotes"),
        ("seen = \"2026-01-31\"", 7, &format!("`seen` must be compared with {TIME}")),
        ("seen = \"2026-01-31T12:00:00Z*\"", 7, &format!("`seen` must be compared with {TIME}")),
        (&other_organization, 7, REFERENCE),
        (&without_hyphens, 7, REFERENCE),
        ("link = organizations/contoso/things", 7, REFERENCE),
        (&other_collection, 7, &REFERENCE.replace("`link`", "`name`")),
    ] {
        let error = parse(written).expect_err(written);
        assert_eq!((error.position, error.problem.to_string().as_str()), (position, words), "{written}");
    }
}

const REFERENCE: &str = "`link` must be compared with a UUID with hyphens, or with a name `organizations/<organization>/things/<id>` of this organization";

#[test]
fn filter_error_contains_no_value() {
    let canary = "Canary-7391";
    for written in [
        format!("text = {canary} {canary}"),
        format!("text \"{canary}\""),
        format!("{canary} = 1"),
        format!("\"{canary}\""),
        format!("flag = {canary}"),
        format!("small = {canary}"),
        format!("color = {canary}"),
        format!("seen = {canary}"),
        format!("link = {canary}"),
        format!("data = {canary}"),
        format!("secret = {canary}"),
        format!("text:{canary}"),
        format!("text < {canary}*"),
        format!("text = \"{canary}"),
        format!("x.{canary} = 1"),
    ] {
        let error = parse(&written).expect_err(&written);
        assert!(!format!("{error} {error:?}").contains("anary"), "{error}");
    }
}

#[test]
fn filter_is_limited_in_length_depth_and_comparisons() {
    let longest = format!("text = \"{}\"", "a".repeat(LENGTH_MAX - 9));
    assert_eq!(longest.len(), LENGTH_MAX);
    assert!(parse(&longest).is_ok());
    assert_eq!(problem(&format!("{longest} ")), (LENGTH_MAX, FilterProblem::TooLong { limit: LENGTH_MAX }));
    // The limit counts bytes; positions count characters.
    let wide = "é".repeat(LENGTH_MAX / 2 + 1);
    assert_eq!(problem(&wide), (LENGTH_MAX / 2, FilterProblem::TooLong { limit: LENGTH_MAX }));

    let nested = |depth| format!("{}flag = true{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(DEPTH_MAX)).is_ok());
    let too_deep = || FilterProblem::TooDeep { limit: DEPTH_MAX };
    assert_eq!(problem(&nested(DEPTH_MAX + 1)), (DEPTH_MAX, too_deep()));
    assert_eq!(problem(&"(".repeat(LENGTH_MAX)), (DEPTH_MAX, too_deep()));
    assert_eq!(problem(&"-(".repeat(LENGTH_MAX / 2)), (2 * DEPTH_MAX + 1, too_deep()));

    let many = |count| vec!["flag = true"; count].join(" OR ");
    assert!(parse(&many(COMPARISONS_MAX)).is_ok());
    let (_, too_many) = problem(&many(COMPARISONS_MAX + 1));
    assert_eq!(too_many, FilterProblem::TooManyComparisons { limit: COMPARISONS_MAX });
}

#[test]
fn limits_are_configurable_up_to_a_safe_depth() {
    let parse = |bounds, text: &str| Filter::parse_within(bounds, text, &entity(), Some(&"contoso".parse().unwrap()));
    let problem = |bounds, text: &str| parse(bounds, text).unwrap_err().problem;
    let bounds = Bounds { length_max_bytes: 27, depth_max: 1, comparisons_max: 2 };
    let at = "(flag = true OR small = 12)";
    assert_eq!(at.len(), 27);
    assert!(parse(bounds, at).is_ok());
    assert_eq!(problem(bounds, &format!("{at} ")), FilterProblem::TooLong { limit: 27 });
    assert_eq!(problem(bounds, "((flag = true))"), FilterProblem::TooDeep { limit: 1 });
    assert_eq!(problem(bounds, "flag:* big:*"), FilterProblem::AndOrExpected);
    assert_eq!(problem(bounds, "flag:* OR big:* OR text:*"), FilterProblem::TooManyComparisons { limit: 2 });
    let none = Bounds { comparisons_max: 0, ..bounds };
    assert!(parse(none, "").is_ok());

    // The highest limits that a deployment can set, on the stack of a thread: parsed, converted for a store and
    // evaluated in memory.
    let most = Bounds { length_max_bytes: 65_536, depth_max: 64, comparisons_max: 500 };
    let deepest = format!("{}flag = true{}", "NOT (".repeat(64), ")".repeat(64));
    let filter = parse(most, &deepest).unwrap();
    assert!(!filter.holds(&|_| None));
    assert_ne!(filter.condition(), Condition::EVERYTHING);
}

/// A filter that the tests generate.
#[derive(Clone, Debug)]
enum Ast {
    All(Vec<Ast>),
    Any(Vec<Ast>),
    Not(Box<Ast>),
    Present(usize),
    /// Attribute, operator and value. With `true`, the text is a prefix.
    Compare(usize, &'static str, Value, bool),
}

impl Ast {
    fn print(&self, into: &mut String) {
        let separated = |parts: &[Ast], word: &str, into: &mut String| {
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    into.push_str(word);
                }
                // An OR within an AND needs no parentheses; any other nested expression does.
                let bare = part.simple() || (word == " AND " && matches!(part, Ast::Any(_)));
                part.print_in(bare, into);
            }
        };
        match self {
            Ast::All(parts) => separated(parts, " AND ", into),
            Ast::Any(parts) => separated(parts, " OR ", into),
            Ast::Not(part) => {
                into.push_str(if matches!(**part, Ast::Present(_)) { "-" } else { "NOT " });
                part.print_in(matches!(**part, Ast::Present(_) | Ast::Compare(..)), into);
            }
            Ast::Present(index) => into.push_str(&format!("{}:*", entity().attributes[*index].name)),
            Ast::Compare(index, operator, value, prefix) => {
                into.push_str(&format!("{} {operator} ", entity().attributes[*index].name));
                into.push_str(&print_value(*index, value, *prefix));
            }
        }
    }

    fn print_in(&self, bare: bool, into: &mut String) {
        if bare {
            return self.print(into);
        }
        into.push('(');
        self.print(into);
        into.push(')');
    }

    fn simple(&self) -> bool {
        matches!(self, Ast::Not(_) | Ast::Present(_) | Ast::Compare(..))
    }

    /// Evaluates the filter independently of the code under test: by characters and by operator symbol.
    fn evaluate(&self, record: &[Option<Value>]) -> bool {
        match self {
            Ast::All(parts) => parts.iter().filter(|part| !part.evaluate(record)).count() == 0,
            Ast::Any(parts) => parts.iter().filter(|part| part.evaluate(record)).count() > 0,
            Ast::Not(part) => !part.evaluate(record),
            Ast::Present(index) => record[*index].is_some(),
            Ast::Compare(index, operator, value, prefix) => {
                let Some(stored) = &record[*index] else { return false };
                if *prefix {
                    let (stored, value) = (scalars(stored), scalars(value));
                    let begins = stored.len() >= value.len() && stored[..value.len()] == value[..];
                    return begins == (*operator == "=");
                }
                let (stored, value) = (scalars(stored), scalars(value));
                match *operator {
                    "=" => stored == value,
                    "!=" => stored != value,
                    "<" => stored < value,
                    "<=" => stored <= value,
                    ">" => stored > value,
                    _ => stored >= value,
                }
            }
        }
    }
}

/// Converts a value to a list of numbers with the same order.
fn scalars(value: &Value) -> Vec<i128> {
    match value {
        Value::Boolean(value) => vec![i128::from(*value)],
        Value::Integer(value) => vec![i128::from(*value)],
        Value::Text(text) => text.chars().map(|character| i128::from(u32::from(character))).collect(),
        Value::Bytes(bytes) => bytes.iter().map(|byte| i128::from(*byte)).collect(),
        Value::Time(time) => vec![i128::from(time.unix_micros())],
        Value::Reference(id) => id.as_bytes().iter().map(|byte| i128::from(*byte)).collect(),
    }
}

fn print_value(index: usize, value: &Value, prefix: bool) -> String {
    match value {
        Value::Integer(1) if index == COLOR => "COLOR_RED".to_owned(),
        Value::Integer(_) if index == COLOR => "COLOR_BLUE".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Text(text) => {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('*', "\\*");
            format!("\"{escaped}{}\"", if prefix { "*" } else { "" })
        }
        Value::Time(time) => {
            let micros = time.unix_micros() - DAY;
            let (second, fraction) = (micros / 1_000_000, micros % 1_000_000);
            let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
            format!("\"2026-01-31T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z\"")
        }
        Value::Reference(id) => format!("organizations/contoso/things/{id}"),
        Value::Bytes(_) => unreachable!("bytes are never compared"),
    }
}

/// 2026-01-31T00:00:00Z
const DAY: i64 = 1_769_817_600_000_000;

/// A small set of values, so that equal ones are frequent.
fn value(index: usize) -> BoxedStrategy<Value> {
    match index {
        FLAG | IS_SECRET_SET => any::<bool>().prop_map(Value::Boolean).boxed(),
        SMALL | BIG => (-2_i64..=2).prop_map(Value::Integer).boxed(),
        COLOR => (1_i64..=2).prop_map(Value::Integer).boxed(),
        TEXT => "[ab*\"\\\\é\u{FFFD}\u{10FFFF}]{0,3}".prop_map(Value::Text).boxed(),
        DATA => any::<Vec<u8>>().prop_map(Value::Bytes).boxed(),
        SEEN => {
            (0_i64..3).prop_map(|step| Value::Time(Timestamp::from_unix_micros(DAY + step * 28_799_999_999))).boxed()
        }
        _ => (0_u128..3).prop_map(|number| Value::Reference(RecordId::from_uuid(Uuid::from_u128(number)))).boxed(),
    }
}

const COMPARABLE: [usize; 8] = [FLAG, SMALL, BIG, COLOR, TEXT, SEEN, LINK, IS_SECRET_SET];

fn comparison() -> impl Strategy<Value = Ast> {
    let operators = |index: usize| match index {
        SMALL | BIG | TEXT | SEEN => &["=", "!=", "<", "<=", ">", ">="][..],
        _ => &["=", "!="][..],
    };
    let any_comparison = prop::sample::select(&COMPARABLE[..])
        .prop_flat_map(move |index| (Just(index), prop::sample::select(operators(index)), value(index), any::<bool>()));
    let compare = any_comparison.prop_map(|(index, operator, value, prefix)| {
        let prefix = prefix && index == TEXT && matches!(operator, "=" | "!=");
        Ast::Compare(index, operator, value, prefix)
    });
    let presentable = prop::sample::select(&[FLAG, SMALL, COLOR, TEXT, DATA, SEEN, LINK, IS_SECRET_SET][..]);
    prop_oneof![4 => compare, 1 => presentable.prop_map(Ast::Present)]
}

fn ast() -> impl Strategy<Value = Ast> {
    comparison().prop_recursive(4, 24, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            several.clone().prop_map(Ast::All),
            several.prop_map(Ast::Any),
            inner.prop_map(|part| Ast::Not(Box::new(part)))
        ]
    })
}

/// A record: a value or null for each attribute. The attribute that reports the secret is never null, and the secret
/// has no value here.
fn record() -> impl Strategy<Value = Vec<Option<Value>>> {
    let nullable = |index| prop::option::weighted(0.7, value(index)).boxed();
    (0..entity().attributes.len())
        .map(|index| match &entity().attributes[index] {
            attribute if attribute.encrypted => Just(None).boxed(),
            attribute if attribute.stored() => nullable(index),
            _ => value(index).prop_map(Some).boxed(),
        })
        .collect::<Vec<_>>()
}

/// Returns whether a row of these values meets a condition, as the contract of stores defines it.
fn meets(condition: &Condition, row: &[Option<Value>]) -> bool {
    let datum = |column: &str| match column {
        // Only the presence of a cell counts.
        "secret_cell" => match &row[IS_SECRET_SET] {
            Some(Value::Boolean(true)) => Datum::Bytes(vec![1]),
            _ => Datum::Null,
        },
        _ => {
            let index = entity().attributes.iter().position(|attribute| attribute.storage_name == column);
            row[index.expect(column)].as_ref().map_or(Datum::Null, datum_of)
        }
    };
    match condition {
        Condition::All(parts) => parts.iter().all(|part| meets(part, row)),
        Condition::Any(parts) => parts.iter().any(|part| meets(part, row)),
        Condition::Not(part) => !meets(part, row),
        Condition::IsNull(column) => datum(column) == Datum::Null,
        Condition::BeginsWith { column, prefix } => {
            matches!(datum(column), Datum::Text(text) if text.starts_with(prefix))
        }
        Condition::Compare { column, comparison, value } => {
            let order = match (datum(column), value) {
                (Datum::Null, _) => return false,
                (Datum::Boolean(one), Datum::Boolean(other)) => one.cmp(other),
                (Datum::Integer(one), Datum::Integer(other)) => one.cmp(other),
                (Datum::Text(one), Datum::Text(other)) => one.cmp(other),
                (Datum::Time(one), Datum::Time(other)) => one.cmp(other),
                (Datum::Uuid(one), Datum::Uuid(other)) => one.cmp(other),
                (one, other) => panic!("{one:?} is compared with {other:?}"),
            };
            match comparison {
                Comparison::Equal => order.is_eq(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
            }
        }
        Condition::Among { .. } | Condition::Lists { .. } => panic!("an attribute has no list"),
    }
}

proptest! {
    #[test]
    fn printed_filter_has_the_same_result_in_memory_and_store(ast in ast(), record in record()) {
        let mut written = String::new();
        ast.print(&mut written);
        let filter = parse(&written).map_err(|error| TestCaseError::fail(format!("{written}: {error}")))?;
        let value = |field| match field {
            Field::Attribute(index) => record[index].as_ref(),
            Field::Name | Field::CreateTime | Field::UpdateTime | Field::CreatedBy | Field::ModifiedBy => None,
        };
        let wanted = ast.evaluate(&record);
        prop_assert_eq!(filter.holds(&value), wanted, "in memory: {}", &written);
        prop_assert_eq!(meets(&filter.condition(), &record), wanted, "in a store: {}", &written);
    }

    #[test]
    fn any_text_parses_or_has_an_error_within_it(written in any::<String>()) {
        if let Err(error) = parse(&written) {
            prop_assert!(error.position <= written.chars().count());
        }
    }

    #[test]
    fn any_words_parse_or_have_an_error_within_them(
        words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..40),
        separator in prop::sample::select(&["", " "][..]),
    ) {
        let written = words.join(separator);
        if let Err(error) = parse(&written) {
            prop_assert!(error.position <= written.chars().count(), "{}: {}", &written, error);
        }
    }
}

const WORDS: [&str; 30] = [
    "(", ")", "-", "NOT", "AND", "OR", "=", "!=", "<", ">=", ":", "*", "\"", "\\", "\"a*\"", "text", "small", "flag",
    "secret", "seen", "link", "1", "-1", "true", "null", "é", ".", "\0", "'", ID,
];

#[test]
fn ids_of_references_compare_in_either_case() {
    let lower = parse(&format!("link = {ID}")).unwrap();
    for written in [ID.to_uppercase(), format!("organizations/contoso/things/{}", ID.to_uppercase())] {
        assert_eq!(parse(&format!("link = \"{written}\"")).unwrap(), lower, "{written}");
    }
}
