//! Manual pages and completions, generated from the definitions of the commands.
//!
//! clap_complete offers hidden commands, and its script for bash completes nothing after a command of a program with a hyphen in its name.
//! clap_mangen renders synopsis, options and subcommands. It leaves out the help of options that only `--help` shows, and runs the lines of examples
//! together, so options are changed before, and the text after the options is rendered here.
//!
//! Nothing here knows what a command does.

use std::{fs, io, path::Path};

use clap::{
    Command,
    builder::{Resettable, StyledStr},
};
use clap_complete::Shell;
use clap_mangen::Man;

/// The page of a command.
///
/// # Errors
/// Never in practice: the page is written to memory.
pub fn page(command: &Command, section: &str) -> io::Result<Vec<u8>> {
    let mut command = command.clone();
    command.build();
    rendered(&command, section)
}

/// Writes the pages of a command and of those below it to a folder, which is created if it is missing.
///
/// # Errors
/// A file can't be written.
pub fn write(command: Command, section: &str, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    write_below(&command, section, folder)
}

fn write_below(command: &Command, section: &str, folder: &Path) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write_below(inner, section, folder)?;
    }
    let name = Man::new(command.clone()).section(section).get_filename();
    fs::write(folder.join(name), rendered(command, section)?)
}

/// The script with which a shell completes the command line of a program.
#[must_use]
pub fn completions(program: &Command, shell: Shell) -> String {
    let name = program.get_name();
    // A name for the functions in the script, and for the command itself where no hyphen is needed.
    let plain = if shell == Shell::Bash { name.replace('-', "_") } else { name.to_owned() };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(program), plain.as_str(), &mut script);
    let script = String::from_utf8_lossy(&script);
    // The lines that register the function, such as `complete -F _sealward_server … sealward_server`.
    script.replace(&format!(" default {plain}\n"), &format!(" default {name}\n"))
}

/// A command without the hidden ones below it: what completions depend on, and nothing else.
fn visible(command: &Command) -> Command {
    let mut visible = Command::new(command.get_name().to_owned())
        .args(command.get_arguments())
        .groups(command.get_groups())
        .visible_aliases(command.get_visible_aliases().map(str::to_owned).collect::<Vec<_>>())
        .subcommands(command.get_subcommands().filter(|inner| !inner.is_hide_set()).map(self::visible));
    if let Some(about) = command.get_about() {
        visible = visible.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        visible = visible.version(version.to_owned());
    }
    visible
}

/// The page of a command that is built.
fn rendered(command: &Command, section: &str) -> io::Result<Vec<u8>> {
    let after = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let none = || Resettable::<StyledStr>::Reset;
    // The long version is a table of the build, not of the manual.
    let shown = command.clone().after_help(none()).after_long_help(none()).long_version(Resettable::Reset);
    let shown = shown.mut_args(|argument| argument.hide_short_help(false));
    let mut page = Vec::new();
    Man::new(shown).section(section).render(&mut page)?;
    page.extend(text_after_options(&after.unwrap_or_default()).into_bytes());
    Ok(page)
}

/// The sections NOTES and EXAMPLES. Paragraphs of the text are separated by blank lines; those that begin with "Example" are examples.
fn text_after_options(text: &str) -> String {
    let mut sections = [(".SH NOTES\n", Vec::new()), (".SH EXAMPLES\n", Vec::new())];
    let lines: Vec<&str> = text.lines().collect();
    for paragraph in lines.split(|line| line.trim().is_empty()).filter(|paragraph| !paragraph.is_empty()) {
        let is_example = paragraph.iter().any(|line| line.starts_with("Example"));
        let [(_, notes), (_, examples)] = &mut sections;
        if is_example {
            examples.push(paragraph)
        } else {
            notes.push(paragraph)
        };
    }
    let mut page = String::new();
    for (heading, paragraphs) in sections.iter().filter(|(_, paragraphs)| !paragraphs.is_empty()) {
        page.push_str(heading);
        paragraphs.iter().for_each(|lines| paragraph(&mut page, lines));
    }
    page
}

/// Renders a paragraph: lines at the margin are filled. Indented lines are items if they have explanations below them, which are indented further. Other
/// indented lines stay as they are.
fn paragraph(page: &mut String, lines: &[&str]) {
    page.push_str(".PP\n");
    let mut lines = lines.iter().filter(|line| !matches!(**line, "Example:" | "Examples:")).peekable();
    let mut is_literal = false;
    while let Some(line) = lines.next() {
        let mut explanation = Vec::new();
        while let Some(below) = lines.next_if(|below| indent(line) > 0 && indent(below) > indent(line) + ITEM) {
            explanation.push(below.trim());
        }
        let literal = indent(line) > 0 && explanation.is_empty();
        if literal != is_literal {
            page.push_str(if literal { ".RS 2\n.nf\n" } else { ".fi\n.RE\n" });
            is_literal = literal;
        }
        if explanation.is_empty() {
            page.push_str(&escaped(if literal { line } else { line.trim() }));
        } else {
            page.push_str(&format!(".TP\n{}{}", escaped(line.trim()), escaped(&explanation.join(" "))));
        }
    }
    if is_literal {
        page.push_str(".fi\n.RE\n");
    }
}

/// An explanation is indented by more than this number of columns.
const ITEM: usize = 2;

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// A line that roff prints as it is. Quotes and hyphens would become typographic ones, which no shell takes.
fn escaped(line: &str) -> String {
    let indented = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
    // A dot at the beginning of a line would be a request.
    let protected = if indented.starts_with('.') { "\\&" } else { "" };
    format!("{protected}{indented}\n")
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn command() -> Command {
        let hidden =
            Arg::new("ca").long("ca").value_name("FILE").help("CA certificate").hide_short_help(true).global(true);
        let inner = Command::new("inner").after_help("Note of the inner one.");
        Command::new("outer").version("1.2.3").long_version("1.2.3\nAPI  v1").arg(hidden).subcommand(inner).after_help(
            "Two lines of a\nnote.\n\nExamples:\n  outer inner --x 'a'   first\n  .outer\n\nAttributes:\n  name: text\n      The name.\n      Required.\n",
        )
    }

    #[test]
    fn option_that_only_the_long_help_shows_is_explained() {
        let folder = std::env::temp_dir().join(format!("sealward-manual-{}", std::process::id()));
        write(command(), "8", &folder).unwrap();
        for name in ["outer.8", "outer-inner.8"] {
            let page = fs::read_to_string(folder.join(name)).unwrap();
            assert!(page.contains("CA certificate"), "{page}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    /// Completes the last word as bash does.
    fn completed(line: &str) -> String {
        let command = command().name("outer-program").subcommand(Command::new("secret").hide(true));
        let script = completions(&command, Shell::Bash);
        assert!(script.contains(" default outer-program\n"), "{script}");
        let function = script.split_once("()").unwrap().0.to_owned();
        let words: Vec<&str> = line.split(' ').collect();
        let call = format!(
            "{script}\nCOMP_WORDS=({line})\nCOMP_CWORD={}\n{function} {} {} ''\necho \"${{COMPREPLY[@]}}\"",
            words.len() - 1,
            words[0],
            words.last().unwrap(),
        );
        let bash = std::process::Command::new("bash").args(["-c", &call]).output().unwrap();
        String::from_utf8(bash.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn bash_completes_commands_and_options_of_a_program_with_a_hyphen() {
        assert_eq!(completed("outer-program in"), "inner");
        assert_eq!(completed("outer-program inner --c"), "--ca");
        assert_eq!(completed("outer-program s"), "");
    }

    #[test]
    fn examples_keep_their_lines_and_items_get_paragraphs() {
        let page = String::from_utf8(page(&command(), "1").unwrap()).unwrap();
        let (_, after) = page.split_once(".SH NOTES\n").unwrap();
        assert_eq!(
            after,
            ".PP\nTwo lines of a\nnote.\n.PP\nAttributes:\n.TP\nname: text\nThe name. Required.\n\
             .SH EXAMPLES\n.PP\n.RS 2\n.nf\n  outer inner \\-\\-x \\(aqa\\(aq   first\n  .outer\n.fi\n.RE\n"
        );
        assert!(!page.contains("API"), "{page}");
    }
}
