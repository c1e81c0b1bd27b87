//! The reference of all commands in Markdown, made from their definitions: `docs/reference/cli.md`.

use clap::{Arg, ArgAction, Command};

/// A chapter for each command, the options that all of them take first.
pub(super) fn markdown(mut command: Command) -> String {
    command.build();
    let name = command.get_name().to_owned();
    let mut text = format!("# {name}\n\n<!-- Made by `{name} reference`. -->\n\n");
    if let Some(about) = command.get_about() {
        text.push_str(&format!("{about}.\n\n"));
    }
    text.push_str(&fenced(&usage(&mut command)));
    push_after_help(&mut text, &command);

    text.push_str("## Commands\n\n");
    contents(&command, "", &mut text);
    text.push_str("\n## Options of every command\n\n");
    push_arguments(&mut text, command.get_arguments().filter(|argument| !is_clap_s_own(argument)));
    for inner in command.get_subcommands_mut().filter(|inner| is_shown(inner)) {
        chapter(inner, &mut text);
    }
    format!("{}\n", text.trim_end())
}

fn contents(command: &Command, path: &str, text: &mut String) {
    for inner in command.get_subcommands().filter(|inner| is_shown(inner)) {
        let path = format!("{path} {}", inner.get_name());
        if inner.has_subcommands() {
            contents(inner, &path, text);
        } else {
            let path = format!("{}{path}", "sealward");
            let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("* [`{path}`](#{}): {about}\n", path.replace(' ', "-")));
        }
    }
}

fn chapter(command: &mut Command, text: &mut String) {
    let path = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    if !command.has_subcommands() {
        text.push_str(&format!("## {path}\n\n"));
        if let Some(about) = command.get_long_about().or(command.get_about()) {
            text.push_str(&format!("{}.\n\n", about.to_string().trim_end_matches('.')));
        }
        text.push_str(&fenced(&usage(command)));
        let own = command.get_arguments().filter(|argument| !argument.is_global_set() && !is_clap_s_own(argument));
        push_arguments(text, own);
        push_after_help(text, command);
    }
    for inner in command.get_subcommands_mut().filter(|inner| is_shown(inner)) {
        chapter(inner, text);
    }
}

fn usage(command: &mut Command) -> String {
    let usage = command.render_usage().to_string();
    usage.strip_prefix("Usage: ").unwrap_or(&usage).to_owned()
}

fn push_arguments<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let described: String = arguments.filter(|argument| !argument.is_hide_set()).map(describe).collect();
    if !described.is_empty() {
        text.push_str(&described);
        text.push('\n');
    }
}

/// A line of a list: how it is written, what it does, and what it is if nobody says.
fn describe(argument: &Arg) -> String {
    let mut names: Vec<String> = argument.get_short().map(|short| format!("-{short}")).into_iter().collect();
    let aliases = argument.get_visible_aliases().unwrap_or_default();
    names.extend(argument.get_long().into_iter().chain(aliases).map(|long| format!("--{long}")));
    let values = match (argument.get_action(), argument.get_value_names()) {
        (ArgAction::Set | ArgAction::Append, Some(values)) => {
            values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    };
    let written = format!("{} {values}", names.join(", "));
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line = format!("* `{}`: {}.", written.trim(), help.trim_end_matches('.'));
    let possible = argument.get_possible_values();
    let possible: Vec<&str> =
        possible.iter().filter(|value| !value.is_hide_set()).map(|value| value.get_name()).collect();
    if !possible.is_empty() && argument.get_action().takes_values() {
        line.push_str(&format!(" One of `{}`.", possible.join("`, `")));
    }
    let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && !argument.is_hide_default_value_set() && argument.get_action().takes_values() {
        line.push_str(&format!(" Default: `{}`.", defaults.join(" ")));
    }
    if let Some(variable) = argument.get_env() {
        line.push_str(&format!(" Environment: `{}`.", variable.to_string_lossy()));
    }
    if argument.is_required_set() {
        line.push_str(" Required.");
    }
    line + "\n"
}

fn push_after_help(text: &mut String, command: &Command) {
    if let Some(words) = command.get_after_long_help().or(command.get_after_help()) {
        text.push_str(&fenced(&words.to_string()));
    }
}

fn fenced(words: &str) -> String {
    format!("```text\n{}\n```\n\n", words.trim_end())
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

/// `--help` and `--version`.
fn is_clap_s_own(argument: &Arg) -> bool {
    matches!(argument.get_id().as_str(), "help" | "version")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sealward_client::{EntityType, built_in_pool};

    use super::*;

    #[test]
    fn the_reference_in_docs_is_up_to_date() {
        let entities = EntityType::all(&built_in_pool()).unwrap();
        let made = markdown(crate::commands::command(&entities));
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cli.md");
        let kept = std::fs::read_to_string(kept).unwrap_or_default();
        assert!(kept == made, "docs/reference/cli.md is stale: run `cargo xtask generate`");
    }

    #[test]
    fn arguments_are_told_with_names_defaults_and_variables() {
        let argument = Arg::new("x")
            .long("endpoint")
            .short('e')
            .value_name("URL")
            .env("X_ENDPOINT")
            .default_value("https://a")
            .action(ArgAction::Set)
            .help("The server.");
        assert_eq!(
            describe(&argument),
            "* `-e, --endpoint URL`: The server. Default: `https://a`. Environment: `X_ENDPOINT`.\n"
        );
    }
}
