//! Filters: which records of an entity, said in a text.
//!
//! The language is that of AIP-160, as far as records need it; docs/filter.md has it for users. A filter is typed against its entity
//! when it is read, so that what there is of it can be asked of any store and of any record. It has one meaning, twice: as a
//! [`Condition`] for a store, and [in memory](Filter::holds), for rules.
//!
//! A comparison with a null is false, `!=` too, and NOT is the plain negation: a record meets a filter or its negation. Reading is
//! total: any text gives a filter or an error that says where and what to do. Nothing here knows what a filter is for.

mod parser;
mod term;
mod time;
mod token;

#[cfg(test)]
mod tests;

use std::{cmp::Ordering, collections::BTreeSet};

use crate::{
    records::datum_of,
    schema::{Entity, Value},
    store::{Comparison, Condition, Name},
};

/// The longest filter unless somebody says otherwise, in bytes of UTF-8: more than a person writes, and nothing that takes time to read.
pub const LENGTH_MAX: usize = 4_096;

/// How deep parentheses may nest unless somebody says otherwise: as deep as a program needs that combines filters.
pub const DEPTH_MAX: usize = 16;

/// How many comparisons a filter may have unless somebody says otherwise. A store looks at each of them for each record.
pub const COMPARISONS_MAX: usize = 64;

/// How large a filter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// In bytes of UTF-8.
    pub length_max_bytes: usize,
    /// How deep parentheses may nest. Reading takes some hundred bytes of the stack for each.
    pub depth_max: usize,
    /// How many comparisons it may have.
    pub comparisons_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { length_max_bytes: LENGTH_MAX, depth_max: DEPTH_MAX, comparisons_max: COMPARISONS_MAX }
    }
}

/// A filter, typed against the entity it was read for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    expression: Expression,
}

/// What a filter can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The attribute of this index. One that reports whether an encrypted one is set is a boolean, never null.
    Attribute(usize),
    /// The record's id, as a reference.
    Name,
    /// When it was created.
    CreateTime,
    /// When it was last changed.
    UpdateTime,
    /// The identity that created it.
    CreatedBy,
    /// The identity that last changed it.
    ModifiedBy,
}

impl Filter {
    /// Reads a filter for records of `entity` in the organization of this name. A text of nothing but whitespace is every record.
    ///
    /// # Errors
    /// The first [`FilterError`] from the left.
    pub fn parse(text: &str, entity: &Entity, organization: &str) -> Result<Filter, FilterError> {
        Self::parse_within(Bounds::default(), text, entity, organization)
    }

    /// As [`parse`](Self::parse), within other bounds.
    ///
    /// # Errors
    /// The first [`FilterError`] from the left.
    pub fn parse_within(
        bounds: Bounds,
        text: &str,
        entity: &Entity,
        organization: &str,
    ) -> Result<Filter, FilterError> {
        Ok(Filter { expression: parser::parse(bounds, text, entity, organization)? })
    }

    /// The filter as a store understands it.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.expression.condition()
    }

    /// Whether a record with these values meets it: `value` gives that of a field, `None` for null.
    pub fn holds<'a>(&self, value: &dyn Fn(Field) -> Option<&'a Value>) -> bool {
        self.expression.holds(value)
    }

    /// What it looks at.
    #[must_use]
    pub fn fields(&self) -> BTreeSet<Field> {
        let mut fields = BTreeSet::new();
        self.expression.collect_fields(&mut fields);
        fields
    }

    /// The indexes of the attributes it looks at.
    #[must_use]
    pub fn attributes(&self) -> BTreeSet<usize> {
        let index = |field| match field {
            Field::Attribute(index) => Some(index),
            Field::Name | Field::CreateTime | Field::UpdateTime | Field::CreatedBy | Field::ModifiedBy => None,
        };
        self.fields().into_iter().filter_map(index).collect()
    }
}

/// Why a text is no filter of its entity. Nothing of the text is repeated but names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at position {position}: {problem}")]
pub struct FilterError {
    /// Where, in Unicode scalar values from the beginning, from 0. At the end it is the length.
    pub position: usize,
    /// What is wrong.
    pub problem: FilterProblem,
}

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterProblem {
    /// The text is longer than it may be.
    #[error("the filter is longer than {limit} bytes; ask for less at a time")]
    TooLong {
        /// How long it may be, in bytes.
        limit: usize,
    },
    /// Parentheses nest deeper than they may.
    #[error("parentheses nest deeper than {limit} levels; take out those that change nothing")]
    TooDeep {
        /// How deep they may.
        limit: usize,
    },
    /// There are more comparisons than there may be.
    #[error("the filter has more than {limit} comparisons; ask for less at a time")]
    TooManyComparisons {
        /// How many there may be.
        limit: usize,
    },
    /// A string has no end.
    #[error("this string has no closing `\"`")]
    UnclosedString,
    /// A parenthesis is never closed.
    #[error("this `(` has no closing `)`")]
    UnclosedParenthesis,
    /// A parenthesis was never opened.
    #[error("this `)` closes nothing")]
    UnopenedParenthesis,
    /// A backslash stands before something else than `"`, `\` or `*`.
    #[error("a `\\` in a string stands before `\"`, `\\` or `*` only; write `\\\\` for the character itself")]
    UnknownEscape,
    /// A character that nothing begins with.
    #[error("this character can stand in a string only: put the text between `\"`")]
    UnexpectedCharacter,
    /// U+0000, which no text holds.
    #[error("no text holds U+0000; leave it out")]
    Nul,
    /// Neither a comparison nor a parenthesis stands where one must.
    #[error("a comparison is expected here, such as `display_name = \"Sales*\"`, or one in parentheses")]
    ComparisonExpected,
    /// A name stands alone.
    #[error("an operator is expected here: `=`, `!=`, `<`, `<=`, `>`, `>=`, or `:*` for any value at all")]
    OperatorExpected,
    /// An operator stands without a value.
    #[error("a value is expected here; put text between `\"` if it has spaces or is AND, OR or NOT")]
    ValueExpected,
    /// Two things stand side by side.
    #[error(
        "AND or OR is expected here, in capitals: write `a AND b`, not `a b`, and put a value between `\"` if it has more than letters and digits"
    )]
    Juxtaposed,
    /// The entity has no such field.
    #[error("there is no field `{name}` in {entity}{}", did_you_mean(.meant.as_deref()))]
    UnknownField {
        /// The name.
        name: String,
        /// The entity.
        entity: String,
        /// The field whose name differs from it in capitals and underscores only.
        meant: Option<String>,
    },
    /// A path into a field or through a reference.
    #[error("only fields of the record itself can be named, not what is inside or behind them: leave out the `.`")]
    Traversal,
    /// A field of every record that filters can't look at.
    #[error(
        "`{name}` can't be filtered by; `name`, `create_time`, `update_time`, `created_by`, `modified_by` and the attributes can"
    )]
    NotFilterable {
        /// The field.
        name: String,
    },
    /// An encrypted attribute, whose value nobody can compare.
    #[error("`{attribute}` is encrypted and can't be filtered by; leave it out")]
    Encrypted {
        /// The attribute.
        attribute: String,
    },
    /// An operator that the field's type doesn't have.
    #[error("`{name}` can be compared by {operators} only")]
    Operator {
        /// The field.
        name: String,
        /// The operators it has.
        operators: &'static str,
    },
    /// `:` with something else than `*`.
    #[error("`:` only asks whether there is a value: write `{name}:*`, or compare by `=`")]
    PresenceOnly {
        /// The field.
        name: String,
    },
    /// A comparison with null.
    #[error("null compares with nothing: write `NOT {name}:*` for no value, `{name}:*` for any")]
    Null {
        /// The field.
        name: String,
    },
    /// A value of another type.
    #[error("`{name}` is compared with {wanted}")]
    WrongType {
        /// The field.
        name: String,
        /// What its values look like.
        wanted: &'static str,
    },
    /// A number outside the field's type.
    #[error("`{name}` holds numbers from {minimum} to {maximum}")]
    OutOfRange {
        /// The field.
        name: String,
        /// The smallest.
        minimum: i64,
        /// The largest.
        maximum: i64,
    },
    /// A name that isn't one of the enum's values.
    #[error("`{name}` is one of {choices}")]
    NotAChoice {
        /// The field.
        name: String,
        /// The names of its values.
        choices: String,
    },
    /// A text that names no record that the field could have.
    #[error(
        "`{name}` is compared with a UUID with hyphens, or with a name of the form `organizations/<organization>/{collection}/<id>` in this organization"
    )]
    NotAReference {
        /// The field.
        name: String,
        /// The collection it refers to.
        collection: String,
    },
    /// A `*` that isn't at the end.
    #[error("`*` stands at the end of a text, for any continuation; write `\\*` in a string for the character itself")]
    StarInside,
    /// A `*` at the end where order is asked for.
    #[error("`*` at the end of a text is for `=` and `!=`; write `\\*` in a string for the character itself")]
    StarInOrder,
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default()
}

/// A filter as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    /// All hold; true if there are none.
    All(Vec<Expression>),
    /// At least one holds.
    Any(Vec<Expression>),
    /// It doesn't hold.
    Not(Box<Expression>),
    /// A test of one field.
    Term(Term),
}

/// A test of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: Field,
    stored: Stored,
    test: Test,
}

/// How a field is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stored {
    /// In this column.
    Column(Name),
    /// As this column having a value: the field is true if it does, else false.
    Presence(Name),
}

/// What is asked of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    /// It isn't null.
    Present,
    /// It isn't null and compares so with this value, which is of the field's type.
    Compare(Operator, Value),
    /// It isn't null and begins with this text.
    Begins(String),
    /// It isn't null and doesn't begin with this text.
    BeginsNot(String),
}

/// How a field compares with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Expression {
    fn condition(&self) -> Condition {
        match self {
            Expression::All(parts) => Condition::All(parts.iter().map(Expression::condition).collect()),
            Expression::Any(parts) => Condition::Any(parts.iter().map(Expression::condition).collect()),
            Expression::Not(part) => part.condition().negated(),
            Expression::Term(Term { stored: Stored::Column(column), test, .. }) => test.of_column(column),
            Expression::Term(Term { stored: Stored::Presence(column), test, .. }) => test.of_presence(column),
        }
    }

    fn holds<'a>(&self, value: &dyn Fn(Field) -> Option<&'a Value>) -> bool {
        match self {
            Expression::All(parts) => parts.iter().all(|part| part.holds(value)),
            Expression::Any(parts) => parts.iter().any(|part| part.holds(value)),
            Expression::Not(part) => !part.holds(value),
            Expression::Term(term) => value(term.field).is_some_and(|value| term.test.holds(value)),
        }
    }

    fn collect_fields(&self, fields: &mut BTreeSet<Field>) {
        match self {
            Expression::All(parts) | Expression::Any(parts) => {
                parts.iter().for_each(|part| part.collect_fields(fields));
            }
            Expression::Not(part) => part.collect_fields(fields),
            Expression::Term(term) => {
                fields.insert(term.field);
            }
        }
    }
}

impl Test {
    fn of_column(&self, column: &Name) -> Condition {
        let present = || Condition::IsNull(column.clone()).negated();
        let compare = |comparison, value| Condition::Compare { column: column.clone(), comparison, value };
        let begins = |prefix: &String| Condition::BeginsWith { column: column.clone(), prefix: prefix.clone() };
        match self {
            Test::Present => present(),
            Test::Begins(prefix) => begins(prefix),
            Test::BeginsNot(prefix) => present().and(begins(prefix).negated()),
            Test::Compare(operator, value) => {
                let value = datum_of(value);
                match operator {
                    Operator::Equal => compare(Comparison::Equal, value),
                    Operator::NotEqual => present().and(compare(Comparison::Equal, value).negated()),
                    Operator::Less => compare(Comparison::Less, value),
                    Operator::LessOrEqual => compare(Comparison::LessOrEqual, value),
                    Operator::Greater => compare(Comparison::Greater, value),
                    Operator::GreaterOrEqual => compare(Comparison::GreaterOrEqual, value),
                }
            }
        }
    }

    /// The test of a field that is true where the column has a value: asked of both values it can have.
    fn of_presence(&self, column: &Name) -> Condition {
        let null = || Condition::IsNull(column.clone());
        match (self.holds(&Value::Boolean(true)), self.holds(&Value::Boolean(false))) {
            (true, true) => Condition::EVERYTHING,
            (true, false) => null().negated(),
            (false, true) => null(),
            (false, false) => Condition::EVERYTHING.negated(),
        }
    }

    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Test::Present, _) => true,
            (Test::Begins(prefix), Value::Text(text)) => text.starts_with(prefix),
            (Test::BeginsNot(prefix), Value::Text(text)) => !text.starts_with(prefix),
            // Reading has made sure that there are no values of other types here.
            (Test::Begins(_) | Test::BeginsNot(_), _) => false,
            (Test::Compare(operator, other), _) => order(value, other).is_some_and(|order| operator.accepts(order)),
        }
    }
}

impl Operator {
    fn accepts(self, order: Ordering) -> bool {
        match self {
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// The order of two values of one type, which is that of stores: text goes by code point.
fn order(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Boolean(one), Value::Boolean(other)) => Some(one.cmp(other)),
        (Value::Integer(one), Value::Integer(other)) => Some(one.cmp(other)),
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        (Value::Bytes(one), Value::Bytes(other)) => Some(one.cmp(other)),
        (Value::Time(one), Value::Time(other)) => Some(one.cmp(other)),
        (Value::Reference(one), Value::Reference(other)) => Some(one.cmp(other)),
        (
            Value::Boolean(_)
            | Value::Integer(_)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Time(_)
            | Value::Reference(_),
            _,
        ) => None,
    }
}
