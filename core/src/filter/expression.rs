//! A filter as a tree of tests, evaluated in memory or converted to a condition for a store.
//!
//! This file doesn't know the syntax of filters or any entity.

use std::{cmp::Ordering, collections::BTreeSet};

use crate::{
    schema::value::{Value, datum_of},
    store::{Comparison, Condition, Name},
};

/// A filter, typed against its entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub(super) expression: Expression,
}

/// A field that a filter can test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The attribute with this index. One that reports whether an encrypted attribute is set is a boolean, never null.
    Attribute(usize),
    /// The record's id, as a reference.
    Name,
    /// The time of creation.
    CreateTime,
    /// The time of the last change.
    UpdateTime,
    /// The identity that created the record.
    CreatedBy,
    /// The identity that last changed the record.
    ModifiedBy,
}

impl Filter {
    /// Returns the filter as a condition for a store.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.expression.condition()
    }

    /// Returns whether a record matches the filter. `value` returns the value of a field, `None` for null.
    pub fn holds<'a>(&self, value: &dyn Fn(Field) -> Option<&'a Value>) -> bool {
        self.expression.holds(value)
    }

    /// Returns the fields that the filter tests.
    #[must_use]
    pub fn fields(&self) -> BTreeSet<Field> {
        let mut fields = BTreeSet::new();
        self.expression.collect_fields(&mut fields);
        fields
    }

    /// Returns the indexes of the attributes that the filter tests.
    #[must_use]
    pub fn attributes(&self) -> BTreeSet<usize> {
        let index = |field| match field {
            Field::Attribute(index) => Some(index),
            Field::Name | Field::CreateTime | Field::UpdateTime | Field::CreatedBy | Field::ModifiedBy => None,
        };
        self.fields().into_iter().filter_map(index).collect()
    }
}

/// The tree of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// All parts hold; true without parts.
    All(Vec<Expression>),
    /// At least one part holds.
    Any(Vec<Expression>),
    /// The part doesn't hold.
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
    /// The field's value is in this column.
    Column(Name),
    /// The field is true if this column has a value, and false otherwise.
    Presence(Name),
}

/// A test of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// The field isn't null.
    Present,
    /// The field isn't null, and compares in this way with this value of the same type.
    Compare(Operator, Value),
    /// The field isn't null and begins with this text.
    Begins(String),
    /// The field isn't null and doesn't begin with this text.
    DoesNotBegin(String),
}

/// How a field is compared with a value.
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
            Test::DoesNotBegin(prefix) => present().and(begins(prefix).negated()),
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

    /// Returns the test of a field that is true if the column has a value. Evaluates the test for both values of the
    /// field.
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
            (Test::DoesNotBegin(prefix), Value::Text(text)) => !text.starts_with(prefix),
            // The parser ensures that the value is a text.
            (Test::Begins(_) | Test::DoesNotBegin(_), _) => false,
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

/// Compares two values of one type in the order of stores: text by code point.
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
