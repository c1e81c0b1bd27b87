//! The texts in a file of Rust code that a person can see, each with its kind.
//!
//! It reads syntax only. Code for tests doesn't count. Nothing here knows files or documents.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::{
    Attribute, Expr, ExprLit, Item, Lit, Meta, Pat, Path, Token,
    punctuated::Punctuated,
    visit::{self, Visit},
};

use crate::source::{attributes, is_for_tests};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `#[error("…")]`.
    Error,
    /// A macro of `tracing`.
    Log(Level),
    /// Help of the command line.
    CommandLine,
    /// The text of a panic: `expect`, `assert!` and the like.
    Panic,
    /// Any other string literal that reads like a message.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The texts of a file, in their order.
///
/// # Errors
/// It isn't Rust.
pub(crate) fn texts(file: &str) -> syn::Result<Vec<(Kind, String)>> {
    let file = syn::parse_file(file)?;
    let mut constants = Constants::default();
    constants.visit_file(&file);
    let mut collector = Collector { texts: Vec::new(), kind: Kind::Other, is_command_line: false, constants };
    collector.visit_file(&file);
    Ok(collector.texts)
}

/// The constants of a file whose value is a string literal.
#[derive(Default)]
struct Constants(BTreeMap<String, String>);

impl Constants {
    /// The text that a message shows: the value of a constant, if it is only `{NAME}`.
    fn resolved(&self, message: String) -> String {
        let name = message.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        name.and_then(|name| self.0.get(name)).cloned().unwrap_or(message)
    }
}

impl<'ast> Visit<'ast> for Constants {
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &*item.expr {
            self.0.insert(item.ident.to_string(), text.value());
        }
    }
}

struct Collector {
    texts: Vec<(Kind, String)>,
    /// The kind of the literals in the current place.
    kind: Kind,
    /// In a type that derives arguments, so that doc comments are help.
    is_command_line: bool,
    constants: Constants,
}

/// What a documented part of the command line is; the attribute `command(subcommand)` means something else on each.
#[derive(Clone, Copy)]
enum Part {
    Type,
    Variant,
    Field,
}

impl Collector {
    fn add(&mut self, kind: Kind, text: String) {
        self.texts.push((kind, text));
    }

    fn add_if_message(&mut self, text: String) {
        if is_message(&text) {
            self.add(self.kind, text);
        }
    }

    fn with_kind(&mut self, kind: Kind, visit: impl FnOnce(&mut Self)) {
        let outside = std::mem::replace(&mut self.kind, kind);
        visit(self);
        self.kind = outside;
    }

    fn unless_for_tests(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        if !is_for_tests(attributes) {
            visit(self);
        }
    }

    /// Adds a doc comment if it is shown as help.
    fn add_help(&mut self, attributes: &[Attribute], part: Part) {
        let hiding: &[&str] = match part {
            Part::Type => &[],
            Part::Variant => &["flatten", "skip"],
            Part::Field => &["flatten", "skip", "subcommand"],
        };
        let is_hidden = attributes.iter().any(|attribute| hiding.iter().any(|word| has_word(attribute, word)));
        if self.is_command_line && !is_hidden {
            let help = doc_comment(attributes);
            if !help.is_empty() {
                self.add(Kind::CommandLine, help);
            }
        }
    }

    /// Reads the tokens of a macro call, by the macro's name.
    fn call(&mut self, name: &str, tokens: TokenStream) {
        match name {
            "error" => self.log(Level::Error, tokens),
            "warn" => self.log(Level::Warn, tokens),
            "info" => self.log(Level::Info, tokens),
            "debug" => self.log(Level::Debug, tokens),
            "trace" => self.log(Level::Trace, tokens),
            _ if PANICS.contains(&name) => self.with_kind(Kind::Panic, |inside| inside.scan(tokens)),
            _ if SETTINGS.contains(&name) => {}
            _ => self.scan(tokens),
        }
    }

    /// The message of a log line is the argument that is a string literal; the others are fields.
    fn log(&mut self, level: Level, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut has_message = false;
        for argument in tokens.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')) {
            match argument.first().and_then(string) {
                Some(message) if !has_message => {
                    has_message = true;
                    self.add(Kind::Log(level), self.constants.resolved(message));
                }
                Some(_) | None => self.scan(argument.iter().cloned().collect()),
            }
        }
    }

    /// Adds the literals among tokens. Attributes, and so doc comments, are left out.
    fn scan(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut name: Option<Ident> = None;
        let mut is_macro = false;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) => {
                    name = Some(ident);
                    is_macro = false;
                }
                TokenTree::Punct(punct) if punct.as_char() == '!' && name.is_some() => is_macro = true,
                TokenTree::Punct(punct) => {
                    if punct.as_char() == '#' {
                        let is_attribute = |next: &TokenTree| matches!(next, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket);
                        tokens.next_if(is_attribute);
                    }
                    name = None;
                }
                TokenTree::Group(group) => {
                    let name = name.take().map(|name| name.to_string()).unwrap_or_default();
                    match kind_of_arguments(&name) {
                        _ if is_macro => self.call(&name, group.stream()),
                        Some(kind) => self.with_kind(kind, |inside| inside.scan(group.stream())),
                        None => self.scan(group.stream()),
                    }
                }
                TokenTree::Literal(_) => {
                    if let Some(text) = string(&token) {
                        self.add_if_message(text);
                    }
                    name = None;
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = attributes(item);
        self.unless_for_tests(attributes, |collector| {
            let outside = collector.is_command_line;
            collector.is_command_line = COMMAND_LINE.iter().any(|name| derives(attributes, name));
            if derives(attributes, "Parser") || attributes.iter().any(|attribute| attribute.path().is_ident("command"))
            {
                collector.add_help(attributes, Part::Type);
            }
            let is_help = matches!(item, Item::Const(item) if is_named_as_help(&item.ident));
            let kind = if is_help { Kind::CommandLine } else { collector.kind };
            collector.with_kind(kind, |inside| visit::visit_item(inside, item));
            collector.is_command_line = outside;
        });
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let Meta::List(list) = &attribute.meta else { return };
        if list.path.is_ident("error") {
            let mut tokens = list.tokens.clone().into_iter();
            // The format string; its arguments are the rest. `transparent` is no literal.
            if let Some(message) = tokens.next().as_ref().and_then(string) {
                self.add(Kind::Error, message);
            }
            self.with_kind(Kind::Error, |inside| inside.scan(tokens.collect()));
        } else if CLAP.iter().any(|name| list.path.is_ident(name)) {
            self.with_kind(Kind::CommandLine, |inside| inside.scan(list.tokens.clone()));
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.unless_for_tests(&variant.attrs, |collector| {
            collector.add_help(&variant.attrs, Part::Variant);
            visit::visit_variant(collector, variant);
        });
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        self.unless_for_tests(&field.attrs, |collector| {
            collector.add_help(&field.attrs, Part::Field);
            visit::visit_field(collector, field);
        });
    }

    fn visit_impl_item_fn(&mut self, method: &'ast syn::ImplItemFn) {
        self.unless_for_tests(&method.attrs, |collector| visit::visit_impl_item_fn(collector, method));
    }

    fn visit_trait_item_fn(&mut self, method: &'ast syn::TraitItemFn) {
        self.unless_for_tests(&method.attrs, |collector| visit::visit_trait_item_fn(collector, method));
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        self.unless_for_tests(&field.attrs, |collector| visit::visit_field_value(collector, field));
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.unless_for_tests(&arm.attrs, |collector| visit::visit_arm(collector, arm));
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        self.unless_for_tests(&local.attrs, |collector| visit::visit_local(collector, local));
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = call.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        self.call(&name, call.tokens.clone());
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.visit_expr(&call.receiver);
        let kind = kind_of_arguments(&call.method.to_string()).unwrap_or(self.kind);
        self.with_kind(kind, |inside| call.args.iter().for_each(|argument| inside.visit_expr(argument)));
    }

    fn visit_expr_lit(&mut self, literal: &'ast ExprLit) {
        if let Lit::Str(text) = &literal.lit {
            self.add_if_message(text.value());
        }
    }

    /// A literal in a pattern is compared, not shown.
    fn visit_pat(&mut self, pattern: &'ast Pat) {
        if !matches!(pattern, Pat::Lit(_)) {
            visit::visit_pat(self, pattern);
        }
    }
}

/// The kind of the literals in the arguments of a method, if it isn't that of the place.
fn kind_of_arguments(method: &str) -> Option<Kind> {
    match method {
        "expect" | "expect_err" => Some(Kind::Panic),
        _ if HELP_METHODS.contains(&method) => Some(Kind::CommandLine),
        _ => None,
    }
}

fn is_named_as_help(constant: &Ident) -> bool {
    let name = constant.to_string();
    HELP_CONSTANTS.iter().any(|ending| name.ends_with(ending))
}

fn string(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    if let Lit::Str(text) = Lit::new(literal.clone()) { Some(text.value()) } else { None }
}

fn derives(attributes: &[Attribute], name: &str) -> bool {
    let is_named = |path: &Path| path.segments.last().is_some_and(|last| last.ident == name);
    attributes.iter().filter(|attribute| attribute.path().is_ident("derive")).any(|attribute| {
        let paths = attribute.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated);
        paths.is_ok_and(|paths| paths.iter().any(is_named))
    })
}

/// Whether an attribute of clap contains a word: `flatten` in `command(flatten)`.
fn has_word(attribute: &Attribute, word: &str) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    CLAP.iter().any(|name| list.path.is_ident(name))
        && list.tokens.clone().into_iter().any(|token| matches!(token, TokenTree::Ident(ident) if ident == word))
}

/// A doc comment as help shows it: a paragraph is a line.
fn doc_comment(attributes: &[Attribute]) -> String {
    let mut paragraphs = vec![String::new()];
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let Meta::NameValue(pair) = &attribute.meta
            && let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &pair.value
        {
            let line = line.value();
            match (line.trim(), paragraphs.last_mut()) {
                ("", _) | (_, None) => paragraphs.push(String::new()),
                (line, Some(paragraph)) if paragraph.is_empty() => paragraph.push_str(line),
                (line, Some(paragraph)) => *paragraph = format!("{paragraph} {line}"),
            }
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n")
}

/// Whether a literal reads like a message: it has two words, of which one may be a placeholder, and is neither SQL nor a versioned label of
/// cryptography.
fn is_message(text: &str) -> bool {
    if text.ends_with(" v1") {
        return false;
    }
    let (mut words, mut placeholders) = (0, 0);
    for part in text.split_whitespace() {
        let bare = part.trim_matches(|character: char| !character.is_alphanumeric() && character != '{');
        if SQL.contains(&bare) {
            return false;
        }
        let is_word_character = |character: char| character.is_alphabetic() || matches!(character, '\'' | '’' | '-');
        if bare.contains('{') {
            placeholders += 1;
        } else if bare.chars().count() > 1 && bare.chars().all(is_word_character) {
            words += 1;
        }
    }
    words > 0 && words + placeholders > 1
}

/// Derives of clap that turn doc comments into help.
const COMMAND_LINE: [&str; 4] = ["Parser", "Args", "Subcommand", "ValueEnum"];

/// Attributes of clap.
const CLAP: [&str; 4] = ["command", "arg", "value", "clap"];

/// Methods of clap that take help.
const HELP_METHODS: [&str; 9] = [
    "about",
    "long_about",
    "help",
    "long_help",
    "before_help",
    "after_help",
    "after_long_help",
    "help_heading",
    "next_help_heading",
];

/// Endings of the names of constants that have help.
const HELP_CONSTANTS: [&str; 4] = ["HELP", "EXAMPLES", "SUMMARY", "USAGE"];

const PANICS: [&str; 10] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "panic",
    "todo",
    "unimplemented",
    "unreachable",
];

/// Macros that declare settings: the reference of the configuration has their texts.
const SETTINGS: [&str; 3] = ["settings", "section", "limits"];

/// Words of SQL, which no message contains in capitals.
const SQL: [&str; 26] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "ALTER",
    "DROP",
    "PRAGMA",
    "SAVEPOINT",
    "ROLLBACK",
    "ATTACH",
    "VACUUM",
    "WHERE",
    "FROM",
    "ORDER",
    "TEXT",
    "INTEGER",
    "NULL",
    "NULLS",
    "PRIMARY",
    "COLUMN",
    "STRICT",
    "CONFLICT",
    "IMMEDIATE",
    "RELEASE",
    "TRUE",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    fn found(file: &str) -> Vec<(Kind, String)> {
        texts(file).unwrap()
    }

    /// The texts of a file that are all of one kind.
    #[track_caller]
    fn of_kind(kind: Kind, file: &str) -> Vec<String> {
        let found = found(file);
        assert!(found.iter().all(|(found, _)| *found == kind), "{found:?}");
        found.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn error_attributes_are_collected_with_their_placeholders() {
        let file = r#"
            #[derive(Error)]
            enum E {
                #[error("{path}: too long by {} bytes", .0)] TooLong(usize),
                #[error("expired")] Expired,
                #[error(transparent)] Other(#[from] Io),
            }
            #[error("no route: {0}", if .is_down { "the host is down" } else { "unknown" })]
            struct F;"#;
        let expected = ["{path}: too long by {} bytes", "expired", "no route: {0}", "the host is down"];
        assert_eq!(of_kind(Kind::Error, file), expected);
    }

    #[test]
    fn log_messages_are_collected_with_their_level() {
        let file = r#"fn f() {
            tracing::info!("ended");
            tracing::warn!(target: "a", %error, records = count("in the file"), "not copied: {reason}");
            select! { _ = x => tracing::error!("{event}"), }
        }"#;
        let expected = [
            (Kind::Log(Level::Info), "ended"),
            (Kind::Other, "in the file"),
            (Kind::Log(Level::Warn), "not copied: {reason}"),
            (Kind::Log(Level::Error), "{event}"),
        ];
        assert_eq!(found(file), expected.map(|(kind, text)| (kind, text.to_owned())));
    }

    #[test]
    fn log_message_in_a_constant_is_resolved() {
        let file = r#"
            const ANSWERED: &str = "answered";
            fn f() {
                const EVENT: &str = "refused";
                tracing::info!(a, "{EVENT}");
                tracing::warn!("{ANSWERED}");
                tracing::warn!("{ELSEWHERE}");
            }"#;
        let expected = [(Level::Info, "refused"), (Level::Warn, "answered"), (Level::Warn, "{ELSEWHERE}")];
        assert_eq!(found(file), expected.map(|(level, text)| (Kind::Log(level), text.to_owned())));
    }

    #[test]
    fn doc_comments_of_arguments_are_help() {
        let file = r#"
            /// Keeps records.
            #[derive(Debug, clap::Parser)]
            #[command(after_help = "Example:\n  program run")]
            struct Arguments {
                #[arg(long)]
                /// Where it listens,
                /// as an address.
                ///
                /// More about it.
                listen: String,
                /// Not shown.
                #[command(flatten)]
                others: Others,
            }
            #[derive(Subcommand)]
            enum Command {
                /// The keys.
                #[command(subcommand)]
                Keys(Keys),
                Man {
                    /// A folder.
                    dir: String,
                },
            }"#;
        let expected = [
            "Keeps records.",
            "Example:\n  program run",
            "Where it listens, as an address.\nMore about it.",
            "The keys.",
            "A folder.",
        ];
        assert_eq!(of_kind(Kind::CommandLine, file), expected);
    }

    #[test]
    fn help_in_calls_and_constants_belongs_to_the_command_line() {
        let file = r#"
            const KEY_EXAMPLES: &str = "Example: program key";
            fn f() { Arg::new("the name").help(format!("one of {}", names)); }"#;
        let expected =
            [(Kind::CommandLine, "Example: program key"), (Kind::Other, "the name"), (Kind::CommandLine, "one of {}")];
        assert_eq!(found(file), expected.map(|(kind, text)| (kind, text.to_owned())));
    }

    #[test]
    fn texts_of_panics_are_kept_apart() {
        let file = r#"fn f() {
            a.expect("the list isn't empty").push("another text");
            assert!(a, "the sum is {a}");
            write!(b, "{}", c.expect("it was checked"));
        }"#;
        let expected = [
            (Kind::Panic, "the list isn't empty"),
            (Kind::Other, "another text"),
            (Kind::Panic, "the sum is {a}"),
            (Kind::Panic, "it was checked"),
        ];
        assert_eq!(found(file), expected.map(|(kind, text)| (kind, text.to_owned())));
    }

    #[test]
    fn other_literals_need_two_words() {
        let file = r##"
            /// A comment about it.
            #[expect(lint, reason = "not a message")]
            const A: &[&str] = &["one_name", "a/path", "{a} {b}", "{count} records", "two words", r#"a "raw" text"#, "a key v1"];
            fn f(x: &str) -> bool {
                x == "SELECT a FROM b" || x.ends_with(" AND a") || matches!(x, "three more words") || b"some bytes" == x
            }
            section! { A {
                /// The folder.
                name: Path, "a text of it";
            } }
            reasons! {
                /// A comment about that.
                a => "more text",
            }"##;
        let expected = ["{count} records", "two words", "a \"raw\" text", "three more words", "more text"];
        assert_eq!(of_kind(Kind::Other, file), expected);
    }

    #[test]
    fn code_for_tests_is_left_out() {
        let file = r#"
            #[cfg(test)] mod tests { fn f() { println!("a message"); } }
            #[cfg(test)] fn g() -> &'static str { "another message" }
            impl A { #[cfg(test)] fn h() { panic!("one more message") } }
            fn i() { #[cfg(test)] let a = "the last message"; }"#;
        assert_eq!(of_kind(Kind::Other, file), [""; 0]);
    }
}
