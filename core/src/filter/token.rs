//! The tokens of a filter: splits text into tokens with positions. Knows no grammar and no field.

use crate::filter::{
    error::{FilterError, FilterProblem},
    expression::Operator,
};

/// A token and its position.
pub(super) type Located<'a> = (usize, Token<'a>);

/// A token of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// `(`
    Open,
    /// `)`
    Close,
    /// An operator between a field and a value.
    Operator(Operator),
    /// `:`
    Has,
    /// A name, a keyword or a value without quotes. May begin with `-`.
    Word(&'a str),
    /// A string literal.
    Quoted(Pattern),
}

/// A text pattern to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The text, without the wildcard `*` at its end.
    pub(super) text: String,
    /// Whether the pattern ends with the wildcard `*`.
    pub(super) prefix: bool,
}

/// Returns all tokens of a text, and the position of its end.
pub(super) fn tokens(text: &str) -> Result<(Vec<Located<'_>>, usize), FilterError> {
    let mut reader = Reader { rest: text, position: 0 };
    let mut tokens = Vec::new();
    loop {
        reader.skip(char::is_whitespace);
        let position = reader.position;
        match reader.token()? {
            Some(token) => tokens.push((position, token)),
            None => return Ok((tokens, position)),
        }
    }
}

/// Converts a word to a pattern. A `*` at its end is a wildcard.
pub(super) fn word_pattern(position: usize, word: &str) -> Result<Pattern, FilterError> {
    let (text, prefix) = match word.strip_suffix('*') {
        Some(text) => (text, true),
        None => (word, false),
    };
    match text.chars().position(|character| character == '*') {
        Some(index) => Err(FilterError { position: position + index, problem: FilterProblem::StarInside }),
        None => Ok(Pattern { text: text.to_owned(), prefix }),
    }
}

struct Reader<'a> {
    rest: &'a str,
    /// The number of characters before `rest`.
    position: usize,
}

impl<'a> Reader<'a> {
    /// Reads the token at the current position. Returns `None` at the end.
    fn token(&mut self) -> Result<Option<Token<'a>>, FilterError> {
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let (token, length) = match first {
            '"' => return self.string().map(|pattern| Some(Token::Quoted(pattern))),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ':' => (Token::Has, 1),
            '=' => (Token::Operator(Operator::Equal), 1),
            '<' if self.rest.starts_with("<=") => (Token::Operator(Operator::LessOrEqual), 2),
            '>' if self.rest.starts_with(">=") => (Token::Operator(Operator::GreaterOrEqual), 2),
            '<' => (Token::Operator(Operator::Less), 1),
            '>' => (Token::Operator(Operator::Greater), 1),
            '!' if self.rest.starts_with("!=") => (Token::Operator(Operator::NotEqual), 2),
            _ => match self.skip(in_word) {
                "" => return Err(self.wrong(FilterProblem::UnexpectedCharacter)),
                word => return Ok(Some(Token::Word(word))),
            },
        };
        for _ in 0..length {
            self.next();
        }
        Ok(Some(token))
    }

    /// Reads a string literal, including both quotes.
    fn string(&mut self) -> Result<Pattern, FilterError> {
        let unclosed = self.wrong(FilterProblem::UnclosedString);
        self.next();
        let mut pattern = Pattern { text: String::new(), prefix: false };
        loop {
            let position = self.position;
            match self.next().ok_or_else(|| unclosed.clone())? {
                '"' => return Ok(pattern),
                '*' if self.rest.starts_with('"') => pattern.prefix = true,
                '*' if self.rest.is_empty() => return Err(unclosed),
                '*' => return Err(FilterError { position, problem: FilterProblem::StarInside }),
                '\\' => match self.next().ok_or_else(|| unclosed.clone())? {
                    escaped @ ('"' | '\\' | '*') => pattern.text.push(escaped),
                    _ => return Err(FilterError { position, problem: FilterProblem::UnknownEscape }),
                },
                '\0' => return Err(FilterError { position, problem: FilterProblem::Nul }),
                other => pattern.text.push(other),
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next()?;
        self.rest = characters.as_str();
        self.position += 1;
        Some(next)
    }

    /// Skips characters that satisfy the predicate, and returns them.
    fn skip(&mut self, these: fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !these(character)).unwrap_or(self.rest.len());
        let (skipped, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.position += skipped.chars().count();
        skipped
    }

    fn wrong(&self, problem: FilterProblem) -> FilterError {
        FilterError { position: self.position, problem }
    }
}

fn in_word(character: char) -> bool {
    !(character.is_whitespace() || character.is_control() || r#"()"'=!<>:,;\"#.contains(character))
}

/// Returns whether a word is a keyword. A value that is a keyword needs quotes.
pub(super) fn is_keyword(word: &str) -> bool {
    matches!(word, "AND" | "OR" | "NOT")
}
