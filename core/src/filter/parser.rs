//! The grammar of filters, in AIP-160's precedence: NOT binds tightest, then OR, then AND.
//!
//! ```text
//! filter     = [ expression ]
//! expression = factor { "AND" factor }
//! factor     = part { "OR" part }
//! part       = [ "NOT" | "-" ] ( comparison | "(" expression ")" )
//! comparison = name ( operator value | ":" "*" )
//! ```
//!
//! Recursion goes through parentheses only, and ends at their limit.

use std::iter::Peekable;

use crate::{
    filter::{
        error::{FilterError, FilterProblem},
        expression::{Expression, Filter},
        term,
        token::{self, Located, Token, is_keyword},
    },
    name::OrganizationName,
    schema::entity::Entity,
};

/// Reads a whole filter.
pub(super) fn parse(
    bounds: Bounds,
    text: &str,
    entity: &Entity,
    organization: Option<&OrganizationName>,
) -> Result<Expression, FilterError> {
    let limit = bounds.length_max_bytes;
    if text.len() > limit {
        let position = text.char_indices().take_while(|(index, _)| *index < limit).count();
        return Err(FilterError { position, problem: FilterProblem::TooLong { limit } });
    }
    let (tokens, end) = token::tokens(text)?;
    if tokens.is_empty() {
        return Ok(Expression::All(Vec::new()));
    }
    let mut parser =
        Parser { bounds, tokens: tokens.into_iter().peekable(), end, entity, organization, comparisons: 0 };
    let expression = parser.expression(0)?;
    match parser.tokens.next() {
        None => Ok(expression),
        Some((position, Token::Close)) => Err(FilterError { position, problem: FilterProblem::UnopenedParenthesis }),
        Some((position, _)) => Err(FilterError { position, problem: FilterProblem::Juxtaposed }),
    }
}

struct Parser<'a, T: Iterator<Item = Located<'a>>> {
    bounds: Bounds,
    tokens: Peekable<T>,
    end: usize,
    entity: &'a Entity,
    organization: Option<&'a OrganizationName>,
    comparisons: usize,
}

impl<'a, T: Iterator<Item = Located<'a>>> Parser<'a, T> {
    /// `depth` parentheses are open.
    fn expression(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut factors = vec![self.factor(depth)?];
        while self.keyword("AND") {
            factors.push(self.factor(depth)?);
        }
        Ok(one_or(factors, Expression::All))
    }

    fn factor(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.part(depth)?];
        while self.keyword("OR") {
            parts.push(self.part(depth)?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn part(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let (position, token) = self.next(FilterProblem::ComparisonExpected)?;
        // `-` is part of the word that it negates, and a word of its own before a parenthesis.
        let (negated, (position, token)) = match token {
            Token::Word("NOT" | "-") => (true, self.next(FilterProblem::ComparisonExpected)?),
            Token::Word(word) => match word.strip_prefix('-') {
                Some(rest) => (true, (position + 1, Token::Word(rest))),
                None => (false, (position, token)),
            },
            Token::Open | Token::Close | Token::Operator(_) | Token::Has | Token::Quoted(_) => {
                (false, (position, token))
            }
        };
        let expression = match token {
            Token::Open => self.parenthesized(position, depth + 1)?,
            Token::Word(name) => self.comparison(position, name)?,
            Token::Close | Token::Operator(_) | Token::Has | Token::Quoted(_) => {
                return Err(FilterError { position, problem: FilterProblem::ComparisonExpected });
            }
        };
        Ok(if negated { Expression::Not(Box::new(expression)) } else { expression })
    }

    /// What follows the parenthesis at `position`, which is the `depth`th.
    fn parenthesized(&mut self, position: usize, depth: usize) -> Result<Expression, FilterError> {
        let limit = self.bounds.depth_max;
        if depth > limit {
            return Err(FilterError { position, problem: FilterProblem::TooDeep { limit } });
        }
        let expression = self.expression(depth)?;
        match self.tokens.next() {
            Some((_, Token::Close)) => Ok(expression),
            Some((position, _)) => Err(FilterError { position, problem: FilterProblem::Juxtaposed }),
            None => Err(FilterError { position, problem: FilterProblem::UnclosedParenthesis }),
        }
    }

    /// What follows the name at `position`.
    fn comparison(&mut self, position: usize, name: &'a str) -> Result<Expression, FilterError> {
        if !looks_like_a_name(name) {
            return Err(FilterError { position, problem: FilterProblem::ComparisonExpected });
        }
        let limit = self.bounds.comparisons_max;
        if self.comparisons >= limit {
            return Err(FilterError { position, problem: FilterProblem::TooManyComparisons { limit } });
        }
        self.comparisons += 1;
        let (operator_position, operator) = self.next(FilterProblem::OperatorExpected)?;
        let term = match operator {
            Token::Has => {
                let subject = term::subject(self.entity, position, name)?;
                subject.presence(self.next(FilterProblem::ValueExpected)?)?
            }
            Token::Operator(operator) => {
                let subject = term::subject(self.entity, position, name)?;
                subject.check_operator(operator_position, operator)?;
                subject.comparison(operator, self.next(FilterProblem::ValueExpected)?, self.organization)?
            }
            Token::Open | Token::Close | Token::Word(_) | Token::Quoted(_) => {
                return Err(FilterError { position: operator_position, problem: FilterProblem::OperatorExpected });
            }
        };
        Ok(Expression::Term(term))
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        self.tokens.next_if(|(_, token)| *token == Token::Word(keyword)).is_some()
    }

    /// The next token, or this problem at the end.
    fn next(&mut self, problem: FilterProblem) -> Result<Located<'a>, FilterError> {
        self.tokens.next().ok_or(FilterError { position: self.end, problem })
    }
}

/// Names are short and plain; what isn't is rather a value at the wrong place, and is not repeated in errors.
fn looks_like_a_name(word: &str) -> bool {
    !is_keyword(word)
        && word.len() <= 63
        && word.starts_with(|character: char| character.is_ascii_alphabetic())
        && word.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '.'))
}

fn one_or(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}

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
impl Filter {
    /// Reads a filter for records of `entity` in the organization of this name. Without one, no record can be named, only its id. A text of
    /// nothing but whitespace is every record.
    ///
    /// # Errors
    /// The first [`FilterError`] from the left.
    pub fn parse(text: &str, entity: &Entity, organization: Option<&OrganizationName>) -> Result<Filter, FilterError> {
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
        organization: Option<&OrganizationName>,
    ) -> Result<Filter, FilterError> {
        Ok(Filter { expression: parse(bounds, text, entity, organization)? })
    }
}
