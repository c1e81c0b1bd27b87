//! The grammar of filters, with AIP-160's precedence: NOT binds tightest, then OR, then AND.
//!
//! ```text
//! filter     = [ expression ]
//! expression = factor { "AND" factor }
//! factor     = part { "OR" part }
//! part       = [ "NOT" | "-" ] ( comparison | "(" expression ")" )
//! comparison = name ( operator value | ":" "*" )
//! ```
//!
//! Only parentheses recurse, and their depth is limited.

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

/// Parses a whole filter.
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
        Some((position, _)) => Err(FilterError { position, problem: FilterProblem::AndOrExpected }),
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
    /// Parses an expression inside `depth` open parentheses.
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
        // `-` is part of the word that it negates; before a parenthesis it is a separate word.
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

    /// Parses the expression after the opening parenthesis at `position`, which is at this depth.
    fn parenthesized(&mut self, position: usize, depth: usize) -> Result<Expression, FilterError> {
        let limit = self.bounds.depth_max;
        if depth > limit {
            return Err(FilterError { position, problem: FilterProblem::TooDeep { limit } });
        }
        let expression = self.expression(depth)?;
        match self.tokens.next() {
            Some((_, Token::Close)) => Ok(expression),
            Some((position, _)) => Err(FilterError { position, problem: FilterProblem::AndOrExpected }),
            None => Err(FilterError { position, problem: FilterProblem::UnclosedParenthesis }),
        }
    }

    /// Parses the comparison after the name at `position`.
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

    /// Returns the next token, or an error with this problem at the end of the text.
    fn next(&mut self, problem: FilterProblem) -> Result<Located<'a>, FilterError> {
        self.tokens.next().ok_or(FilterError { position: self.end, problem })
    }
}

/// Returns whether a word is short and plain enough for a name. Any other word may be a misplaced value, so errors
/// don't repeat it.
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

/// The default limit on a filter in bytes of UTF-8: more than a person writes, and fast to parse.
pub(crate) const LENGTH_MAX: usize = 4_096;

/// The default limit on nested parentheses: enough for a program that combines filters.
pub(crate) const DEPTH_MAX: usize = 16;

/// The default limit on comparisons. A store evaluates each of them for each record.
pub const COMPARISONS_MAX: usize = 64;

/// The limits on a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Length in bytes of UTF-8.
    pub length_max_bytes: usize,
    /// Levels of nested parentheses. Parsing uses some hundred bytes of the stack for each.
    pub depth_max: usize,
    /// Number of comparisons.
    pub comparisons_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { length_max_bytes: LENGTH_MAX, depth_max: DEPTH_MAX, comparisons_max: COMPARISONS_MAX }
    }
}
impl Filter {
    /// Parses a filter for records of `entity` in the named organization. Without an organization, records can be named
    /// only by id. A text that is empty or whitespace matches every record.
    ///
    /// # Errors
    /// The first [`FilterError`] from the left.
    pub fn parse(text: &str, entity: &Entity, organization: Option<&OrganizationName>) -> Result<Filter, FilterError> {
        Self::parse_within(Bounds::default(), text, entity, organization)
    }

    /// Parses a filter as [`parse`](Self::parse) does, within the given limits.
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
