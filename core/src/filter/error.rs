//! Errors of filters, with their positions.

/// Why a text isn't a filter of its entity. Contains no part of the text except names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at position {position}: {problem}")]
pub struct FilterError {
    /// Position of the error in Unicode scalar values, from 0. The length of the text if the error is at its end.
    pub position: usize,
    /// The problem.
    pub problem: FilterProblem,
}

/// The problem of a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterProblem {
    /// The text is too long.
    #[error("the filter is longer than {limit} bytes: shorten or split it")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Parentheses are nested too deeply.
    #[error("parentheses are nested more than {limit} levels deep: remove redundant ones")]
    TooDeep {
        /// The limit in levels.
        limit: usize,
    },
    /// There are too many comparisons.
    #[error("the filter has more than {limit} comparisons: shorten or split it")]
    TooManyComparisons {
        /// The limit.
        limit: usize,
    },
    /// A string has no closing quote.
    #[error("this string has no closing `\"`")]
    UnclosedString,
    /// A parenthesis isn't closed.
    #[error("this `(` has no closing `)`")]
    UnclosedParenthesis,
    /// A closing parenthesis has no opening one.
    #[error("this `)` has no opening `(`")]
    UnopenedParenthesis,
    /// A backslash precedes a character other than `"`, `\` or `*`.
    #[error("`\\` is allowed in a string only before `\"`, `\\` or `*`: write `\\\\` for a backslash")]
    UnknownEscape,
    /// No token begins with this character.
    #[error("this character is allowed only in a string literal: enclose the text in `\"`")]
    UnexpectedCharacter,
    /// U+0000, which no stored text contains.
    #[error("U+0000 is not allowed in a string: remove it")]
    Nul,
    /// A comparison or a parenthesis is missing.
    #[error("expected a comparison, such as `display_name = \"Sales*\"`, or an expression in parentheses")]
    ComparisonExpected,
    /// A name without an operator.
    #[error("expected an operator: `=`, `!=`, `<`, `<=`, `>`, `>=`, or `:*` for any value")]
    OperatorExpected,
    /// An operator without a value.
    #[error("expected a value: enclose text in `\"` if it contains spaces or is AND, OR or NOT")]
    ValueExpected,
    /// Two comparisons without AND or OR between them.
    #[error(
        "expected AND or OR in upper case: write `a AND b`, not `a b`, and enclose a value in `\"` if it contains characters other than letters and digits"
    )]
    AndOrExpected,
    /// The entity has no field with this name.
    #[error("{entity} has no field `{name}`{}", did_you_mean(.suggestion.as_deref()))]
    UnknownField {
        /// The name.
        name: String,
        /// The entity.
        entity: String,
        /// The field whose name differs only in case and underscores.
        suggestion: Option<String>,
    },
    /// A path into a field or through a reference.
    #[error("a path into a field or through a reference is not supported: name a field of the record, without `.`")]
    Traversal,
    /// A field that filters don't support.
    #[error(
        "`{name}` can't be used in a filter: use `name`, `create_time`, `update_time`, `created_by`, `modified_by` or an attribute"
    )]
    NotFilterable {
        /// The field.
        name: String,
    },
    /// An encrypted attribute, whose values can't be compared.
    #[error("`{attribute}` is encrypted and can't be used in a filter: remove it")]
    Encrypted {
        /// The attribute.
        attribute: String,
    },
    /// An operator that the field's type doesn't support.
    #[error("`{name}` supports only {operators}")]
    Operator {
        /// The field.
        name: String,
        /// The operators that it supports.
        operators: &'static str,
    },
    /// `:` with a value other than `*`.
    #[error("`:` only tests for a value: write `{name}:*`, or compare with `=`")]
    PresenceOnly {
        /// The field.
        name: String,
    },
    /// A comparison with null.
    #[error("null can't be compared: write `NOT {name}:*` for no value, or `{name}:*` for any value")]
    Null {
        /// The field.
        name: String,
    },
    /// A value of the wrong type.
    #[error("`{name}` must be compared with {expected}")]
    WrongType {
        /// The field.
        name: String,
        /// A description of its values.
        expected: &'static str,
    },
    /// A number outside the range of the field's type.
    #[error("the range of `{name}` is {minimum} to {maximum}")]
    OutOfRange {
        /// The field.
        name: String,
        /// The smallest.
        minimum: i64,
        /// The largest.
        maximum: i64,
    },
    /// A name that isn't a value of the enum.
    #[error("`{name}` must be one of {choices}")]
    NotAChoice {
        /// The field.
        name: String,
        /// The names of the enum's values.
        choices: String,
    },
    /// A text that isn't the name of a record of the field's collection.
    #[error(
        "`{name}` must be compared with a UUID with hyphens, or with a name `organizations/<organization>/{collection}/<id>` of this organization"
    )]
    NotAReference {
        /// The field.
        name: String,
        /// The collection that the field refers to.
        collection: String,
    },
    /// A `*` that isn't at the end.
    #[error("`*` is a wildcard, allowed only at the end of a text: write `\\*` in a string for an asterisk")]
    StarInside,
    /// A `*` at the end of a text with an ordering operator.
    #[error("the wildcard `*` is allowed only with `=` and `!=`: write `\\*` in a string for an asterisk")]
    StarInOrder,
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|suggestion| format!("; did you mean `{suggestion}`?")).unwrap_or_default()
}
