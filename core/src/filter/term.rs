//! A comparison of a filter: resolves its field, checks its operator, and converts its value to the field's type.

use crate::{
    filter::{
        error::{FilterError, FilterProblem},
        expression::{Field, Operator, Stored, Term, Test},
        time,
        token::{Located, Pattern, Token, is_keyword, word_pattern},
    },
    id::{RecordId, parse_uuid_in_any_case},
    name::{OrganizationName, RecordName},
    schema::{
        entity::{Attribute, Choice, Entity, Kind},
        value::Value,
    },
    store::Name,
    table::record::RecordColumns,
    violation::similar_name,
};

/// A field named in a filter.
pub(super) struct Subject<'a> {
    name: &'a str,
    field: Field,
    stored: Stored,
    shape: Shape<'a>,
}

/// The type of values that a field is compared with.
enum Shape<'a> {
    Boolean,
    Integer(i64, i64),
    Choice(&'a [Choice]),
    Text,
    Uuid,
    Bytes,
    Time,
    /// A record of this collection.
    Reference(&'a str),
}

/// Resolves the field with this name at `position`.
pub(super) fn subject<'a>(entity: &'a Entity, position: usize, name: &'a str) -> Result<Subject<'a>, FilterError> {
    let wrong = |problem| Err(FilterError { position, problem });
    let column = Stored::Column;
    let (field, stored, shape) = match name {
        "name" => (Field::Name, column(RecordColumns::id().name()), Shape::Reference(&entity.collection)),
        "create_time" => (Field::CreateTime, column(RecordColumns::create_time().name()), Shape::Time),
        "update_time" => (Field::UpdateTime, column(RecordColumns::update_time().name()), Shape::Time),
        "created_by" => (Field::CreatedBy, column(RecordColumns::created_by().name()), Shape::Text),
        "modified_by" => (Field::ModifiedBy, column(RecordColumns::modified_by().name()), Shape::Text),
        "etag" => return wrong(FilterProblem::NotFilterable { name: name.to_owned() }),
        _ if name.contains('.') => return wrong(FilterProblem::Traversal),
        _ => {
            let found = entity.attributes.iter().enumerate().find(|(_, attribute)| attribute.name == name);
            let Some((index, attribute)) = found else {
                let known = entity.attributes.iter().map(|attribute| attribute.name.as_str());
                let suggestion =
                    similar_name(name, known.chain(["create_time", "update_time", "created_by", "modified_by"]))
                        .map(str::to_owned);
                let (name, entity) = (name.to_owned(), entity.name.clone());
                return wrong(FilterProblem::UnknownField { name, entity, suggestion });
            };
            if attribute.encrypted {
                return wrong(FilterProblem::Encrypted { attribute: name.to_owned() });
            }
            let stored = match attribute.reports_set() {
                Some(reported) => Stored::Presence(cell_of(entity, reported)),
                None => Stored::Column(attribute.storage_name.clone()),
            };
            (Field::Attribute(index), stored, shape(attribute))
        }
    };
    Ok(Subject { name, field, stored, shape })
}

/// Returns the column of an encrypted attribute. A checked schema contains it.
fn cell_of(entity: &Entity, attribute: &str) -> Name {
    entity.attribute(attribute).map(|attribute| attribute.storage_name.clone()).unwrap_or_default()
}

fn shape(attribute: &Attribute) -> Shape<'_> {
    match &attribute.kind {
        Kind::Boolean | Kind::ReportsSet { .. } => Shape::Boolean,
        Kind::Integer32 => Shape::Integer(i32::MIN.into(), i32::MAX.into()),
        Kind::Integer64 => Shape::Integer(i64::MIN, i64::MAX),
        Kind::Choice(choices) => Shape::Choice(choices),
        Kind::Text if attribute.is_uuid() => Shape::Uuid,
        Kind::Text => Shape::Text,
        Kind::Bytes => Shape::Bytes,
        Kind::Time => Shape::Time,
        Kind::Reference { collection, .. } => Shape::Reference(collection),
    }
}

/// A value as written in the filter.
enum Literal<'a> {
    Word(&'a str),
    Quoted(Pattern),
}

impl<'a> Literal<'a> {
    /// Converts a token to a value. Returns `None` if the token can't be a value.
    fn of(token: Token<'a>) -> Option<Literal<'a>> {
        match token {
            Token::Word(word) if !is_keyword(word) => Some(Literal::Word(word)),
            Token::Quoted(pattern) => Some(Literal::Quoted(pattern)),
            Token::Word(_) | Token::Open | Token::Close | Token::Operator(_) | Token::Has => None,
        }
    }

    fn word(&self) -> Option<&str> {
        match self {
            Literal::Word(word) => Some(word),
            Literal::Quoted(_) => None,
        }
    }

    /// Returns the text of a string literal without a wildcard.
    fn string(&self) -> Option<&str> {
        match self {
            Literal::Quoted(Pattern { text, prefix: false }) => Some(text),
            Literal::Quoted(_) | Literal::Word(_) => None,
        }
    }

    fn into_pattern(self, position: usize) -> Result<Pattern, FilterError> {
        match self {
            Literal::Word(word) => word_pattern(position, word),
            Literal::Quoted(pattern) => Ok(pattern),
        }
    }
}

impl Subject<'_> {
    /// Returns the test for `:` and a value.
    pub(super) fn presence(self, (position, value): Located<'_>) -> Result<Term, FilterError> {
        match value {
            Token::Word("*") => Ok(Term { field: self.field, stored: self.stored, test: Test::Present }),
            Token::Word(_) | Token::Quoted(_) | Token::Open | Token::Close | Token::Operator(_) | Token::Has => {
                self.wrong(position, |name| FilterProblem::PresenceOnly { name })
            }
        }
    }

    /// Returns the test for an operator and a value. The operator must be checked.
    pub(super) fn comparison(
        self,
        operator: Operator,
        value: Located<'_>,
        organization: Option<&OrganizationName>,
    ) -> Result<Term, FilterError> {
        let test = self.test(operator, value, organization)?;
        Ok(Term { field: self.field, stored: self.stored, test })
    }

    /// Checks that the field supports the operator at `position`.
    pub(super) fn check_operator(&self, position: usize, operator: Operator) -> Result<(), FilterError> {
        let ordered = !matches!(operator, Operator::Equal | Operator::NotEqual);
        match self.shape {
            Shape::Bytes => self.wrong(position, |name| FilterProblem::Operator { name, operators: "`:*`" }),
            Shape::Boolean | Shape::Choice(_) | Shape::Uuid | Shape::Reference(_) if ordered => {
                self.wrong(position, |name| FilterProblem::Operator { name, operators: "`=`, `!=` and `:*`" })
            }
            Shape::Boolean
            | Shape::Choice(_)
            | Shape::Uuid
            | Shape::Reference(_)
            | Shape::Integer(..)
            | Shape::Text
            | Shape::Time => Ok(()),
        }
    }

    fn test(
        &self,
        operator: Operator,
        (position, value): Located<'_>,
        organization: Option<&OrganizationName>,
    ) -> Result<Test, FilterError> {
        let Some(literal) = Literal::of(value) else {
            return Err(FilterError { position, problem: FilterProblem::ValueExpected });
        };
        if literal.word() == Some("null") {
            return self.wrong(position, |name| FilterProblem::Null { name });
        }
        if let Shape::Text = self.shape {
            return text_test(operator, position, literal.into_pattern(position)?);
        }
        match self.value(&literal, organization) {
            Ok(value) => Ok(Test::Compare(operator, value)),
            Err(problem) => Err(FilterError { position, problem }),
        }
    }

    /// Converts a literal to a value of the field, which isn't a text.
    fn value(&self, literal: &Literal<'_>, organization: Option<&OrganizationName>) -> Result<Value, FilterProblem> {
        let name = || self.name.to_owned();
        let wrong_type = |expected| FilterProblem::WrongType { name: name(), expected };
        match self.shape {
            Shape::Boolean => match literal.word() {
                Some("true") => Ok(Value::Boolean(true)),
                Some("false") => Ok(Value::Boolean(false)),
                Some(_) | None => Err(wrong_type("`true` or `false`")),
            },
            Shape::Integer(minimum, maximum) => {
                let digits = literal.word().filter(|word| is_number(word)).ok_or_else(|| wrong_type(A_NUMBER))?;
                let number = digits.parse().ok().filter(|number| (minimum..=maximum).contains(number));
                number.map(Value::Integer).ok_or_else(|| FilterProblem::OutOfRange { name: name(), minimum, maximum })
            }
            Shape::Choice(choices) => {
                let word = literal.word().ok_or_else(|| wrong_type(A_CHOICE))?;
                let choice = choices.iter().find(|choice| choice.name == word);
                let choice =
                    choice.ok_or_else(|| FilterProblem::NotAChoice { name: name(), choices: names(choices) })?;
                Ok(Value::Integer(choice.number.into()))
            }
            Shape::Time => {
                let time = literal.string().and_then(time::parse);
                time.map(Value::Time).ok_or_else(|| wrong_type(A_TIME))
            }
            Shape::Uuid => {
                let text = literal.word().or_else(|| literal.string());
                let uuid = text.and_then(parse_uuid_in_any_case).ok_or_else(|| wrong_type(A_UUID))?;
                Ok(Value::Text(uuid.as_hyphenated().to_string()))
            }
            Shape::Reference(collection) => {
                let text = literal.word().or_else(|| literal.string());
                let id = text.and_then(|text| reference(text, organization, collection));
                let collection = || collection.to_owned();
                id.map(Value::Reference)
                    .ok_or_else(|| FilterProblem::NotAReference { name: name(), collection: collection() })
            }
            // Text is compared with patterns, and bytes support no comparison.
            Shape::Text | Shape::Bytes => Err(wrong_type("nothing")),
        }
    }

    fn wrong<T>(&self, position: usize, problem: impl FnOnce(String) -> FilterProblem) -> Result<T, FilterError> {
        Err(FilterError { position, problem: problem(self.name.to_owned()) })
    }
}

fn text_test(operator: Operator, position: usize, pattern: Pattern) -> Result<Test, FilterError> {
    let Pattern { text, prefix } = pattern;
    if !prefix {
        return Ok(Test::Compare(operator, Value::Text(text)));
    }
    match operator {
        Operator::Equal => Ok(Test::Begins(text)),
        Operator::NotEqual => Ok(Test::DoesNotBegin(text)),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            Err(FilterError { position, problem: FilterProblem::StarInOrder })
        }
    }
}

const A_NUMBER: &str = "a whole number, without quotes";
const A_CHOICE: &str = "the name of a value of its enum, without quotes";
const A_UUID: &str = "a UUID with hyphens";
const A_TIME: &str = "a time in quotes with at most 6 decimal places of seconds, such as `\"2026-01-31T12:00:00Z\"`";

fn names(choices: &[Choice]) -> String {
    let names: Vec<&str> = choices.iter().map(|choice| choice.name.as_str()).collect();
    names.join(", ")
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The id that a text refers to: the id itself, or the name of a record of this collection in this organization.
fn reference(text: &str, organization: Option<&OrganizationName>, collection: &str) -> Option<RecordId> {
    if text.contains('/') {
        RecordName::parse_reference(text)?.id_in(organization?, collection)
    } else {
        RecordId::from_reference(text)
    }
}
