//! Colors, and the option `--color`.
//!
//! All colored output goes through `anstream`, which removes colors from files and pipes, on terminals without colors, and if NO_COLOR is set.

use std::ffi::OsString;

use anstyle::{AnsiColor, Style};
use clap::{Arg, ColorChoice, value_parser};

/// The name of a column or an attribute.
pub(crate) const HEADING: Style = Style::new().bold();
/// The prefix of an error.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The prefix of a warning.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// The option of every command.
pub(crate) fn argument() -> Arg {
    Arg::new(COLOR)
        .long(COLOR)
        .global(true)
        .value_name("WHEN")
        .value_parser(value_parser!(ColorChoice))
        .default_value("auto")
        .hide_short_help(true)
        .help_heading("Output")
        .help("When to use colors; auto: on a terminal, unless NO_COLOR is set")
}

/// Applies `--color`. Reads it before the arguments are parsed, because parse errors are colored too. An invalid value counts as `auto`; the
/// parser reports it.
pub(crate) fn apply(arguments: &[OsString]) -> ColorChoice {
    let choice = requested(arguments);
    match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    choice
}

fn requested(arguments: &[OsString]) -> ColorChoice {
    let mut words = arguments.iter().filter_map(|argument| argument.to_str()).take_while(|word| *word != "--");
    let mut value = None;
    while let Some(word) = words.next() {
        match word.strip_prefix("--color") {
            Some("") => value = words.next(),
            Some(rest) => value = rest.strip_prefix('=').or(value),
            None => {}
        }
    }
    value.and_then(|word| word.parse().ok()).unwrap_or(ColorChoice::Auto)
}

const COLOR: &str = "color";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_option_is_found_at_any_position() {
        let choice = |line: &str| requested(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(choice("sealward mailbox list"), ColorChoice::Auto);
        assert_eq!(choice("sealward --color never mailbox list"), ColorChoice::Never);
        assert_eq!(choice("sealward mailbox list --color=always"), ColorChoice::Always);
        assert_eq!(choice("sealward mailbox list --color=sometimes"), ColorChoice::Auto);
        assert_eq!(choice("sealward mailbox list --color"), ColorChoice::Auto);
        assert_eq!(choice("sealward mailbox get -- --color=never"), ColorChoice::Auto);
    }
}
