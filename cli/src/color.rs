//! Whether words have colours, decided before anything is printed; and which ones there are.
//!
//! Everything coloured goes through `anstream`, which leaves colours out where they don't belong: in files and pipes, on terminals
//! that know none, and where NO_COLOR is set.

use std::ffi::OsString;

use anstyle::{AnsiColor, Style};
use clap::{Arg, ColorChoice, value_parser};

/// The name of a column or an attribute.
pub(crate) const HEADING: Style = Style::new().bold();
/// What went wrong.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// What to think about before going on.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// The option that every command takes.
pub(crate) fn argument() -> Arg {
    Arg::new(COLOR)
        .long(COLOR)
        .global(true)
        .value_name("WHEN")
        .value_parser(value_parser!(ColorChoice))
        .default_value("auto")
        .hide_short_help(true)
        .help_heading("Output")
        .help("Whether to use colours. `auto` does on a terminal, unless NO_COLOR is set")
}

/// Makes the choice that the arguments ask for. They are looked at before they are parsed, because what parsing finds wrong is
/// coloured too; a wrong value is left for the parser to refuse.
pub(crate) fn choose(arguments: &[OsString]) -> ColorChoice {
    let choice = asked_for(arguments);
    match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    choice
}

fn asked_for(arguments: &[OsString]) -> ColorChoice {
    let mut words = arguments.iter().filter_map(|argument| argument.to_str()).take_while(|word| *word != "--");
    let mut asked = None;
    while let Some(word) = words.next() {
        match word.strip_prefix("--color") {
            Some("") => asked = words.next(),
            Some(rest) => asked = rest.strip_prefix('=').or(asked),
            None => {}
        }
    }
    asked.and_then(|word| word.parse().ok()).unwrap_or(ColorChoice::Auto)
}

const COLOR: &str = "color";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_found_wherever_it_stands() {
        let asked = |line: &str| asked_for(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(asked("sealward mailbox list"), ColorChoice::Auto);
        assert_eq!(asked("sealward --color never mailbox list"), ColorChoice::Never);
        assert_eq!(asked("sealward mailbox list --color=always"), ColorChoice::Always);
        assert_eq!(asked("sealward mailbox list --color=sometimes"), ColorChoice::Auto);
        assert_eq!(asked("sealward mailbox list --color"), ColorChoice::Auto);
        assert_eq!(asked("sealward mailbox get -- --color=never"), ColorChoice::Auto);
    }
}
