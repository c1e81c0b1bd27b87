//! Running other programs, and the errors of a release.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Why a release or its check stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("can't {action} {}: {error}", path.display())]
    File { action: &'static str, path: PathBuf, error: io::Error },
    #[error("can't start `{command}`: {error}")]
    Start { command: String, error: io::Error },
    #[error("`{command}` failed ({status}):\n{output}")]
    Command { command: String, status: String, output: String },
    #[error("{0}")]
    Wrong(String),
}

impl Failure {
    pub(crate) fn wrong(text: impl Into<String>) -> Self {
        Self::Wrong(text.into())
    }
}

/// Makes the error of an operation on a file.
pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let path = path.to_owned();
    move |error| Failure::File { action, path, error }
}

/// Runs a command to its end, and returns its stdout. Its stderr goes to the error.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>, Failure> {
    let ended =
        command.stdin(Stdio::null()).output().map_err(|error| Failure::Start { command: shown(command), error })?;
    if ended.status.success() {
        return Ok(ended.stdout);
    }
    let output = [ended.stdout, ended.stderr].concat();
    Err(Failure::Command {
        command: shown(command),
        status: ended.status.to_string(),
        output: String::from_utf8_lossy(&output).trim_end().to_owned(),
    })
}

/// The stdout of a command as text, without the last line break.
pub(crate) fn text(command: &mut Command) -> Result<String, Failure> {
    let bytes = output(command)?;
    let text =
        String::from_utf8(bytes).map_err(|_| Failure::wrong(format!("`{}` printed no UTF-8", shown(command))))?;
    Ok(text.trim_end().to_owned())
}

/// Runs a command that has nothing to say: any output, also a warning, is a failure.
pub(crate) fn silent(command: &mut Command) -> Result<(), Failure> {
    let ended =
        command.stdin(Stdio::null()).output().map_err(|error| Failure::Start { command: shown(command), error })?;
    let output = [ended.stdout, ended.stderr].concat();
    if ended.status.success() && output.is_empty() {
        return Ok(());
    }
    Err(Failure::Command {
        command: shown(command),
        status: ended.status.to_string(),
        output: String::from_utf8_lossy(&output).trim_end().to_owned(),
    })
}

/// Runs a command that takes minutes: its output appears as it comes.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    println!("   {}", shown(command));
    let status =
        command.stdin(Stdio::null()).status().map_err(|error| Failure::Start { command: shown(command), error })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Command { command: shown(command), status: status.to_string(), output: String::new() })
}

/// The command as typed in a shell, without quotes.
fn shown(command: &Command) -> String {
    let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).collect();
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
