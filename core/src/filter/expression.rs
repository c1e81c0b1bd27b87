//! A filter as a tree of tests, in memory and as a condition for a store.
//!
//! Nothing here knows how a filter is spelled, or any entity.

use std::{cmp::Ordering, collections::BTreeSet};

use crate::{
    schema::value::{Value, datum_of},
    store::{Comparison, Condition, Name},
};

/// A filter, typed against the entity it was read for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub(super) expression: Expression,
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

/// A filter as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
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
pub(super) struct Term {
    pub(super) field: Field,
    pub(super) stored: Stored,
    pub(super) test: Test,
}

/// How a field is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// In this column.
    Column(Name),
    /// As this column having a value: the field is true if it does, else false.
    Presence(Name),
}

/// What is asked of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
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
pub(super) enum Operator {
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
