//! What is wrong with the text of a filter, and where.

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
