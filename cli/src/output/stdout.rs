//! The only file that writes answers to stdout, and checks before a call whether stdout can take the answer.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::{failure::Failure, output::escape};

/// Prints a value as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    // Wiped, because a value may be an encryption key.
    let mut text =
        Zeroizing::new(serde_json::to_string_pretty(value).map_err(|error| Failure::output(io::Error::from(error)))?);
    if io::stdout().is_terminal() {
        text = Zeroizing::new(escape::json(&text));
    }
    text.push('\n');
    print_bytes(text.as_bytes())
}

/// Prints lines, with colors if stdout supports them.
pub(crate) fn print_lines(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Failure::output)
}

/// Prints bytes unchanged.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Failure::output)
}

/// Prints a value unchanged, for a program.
///
/// # Errors
/// Stdout is a terminal, and the value has characters that control terminals or are invisible.
pub(crate) fn print_value(value: &[u8]) -> Result<(), Failure> {
    if io::stdout().is_terminal() && !std::str::from_utf8(value).is_ok_and(escape::is_safe) {
        return Err(Failure::Failed(
            "the value has control characters or invisible characters: redirect it to a file or a pipe".to_owned(),
        ));
    }
    print_bytes(value)
}

/// Fails if stdout is closed. Called before a secret is fetched: otherwise the audit trail records a disclosure that never reached the caller.
pub(crate) fn check_open() -> Result<(), Failure> {
    if is_closed() {
        return Err(Failure::usage("stdout is closed: redirect it to a file or a pipe. Nothing was done"));
    }
    Ok(())
}

#[cfg(unix)]
pub(crate) use unix::{is_closed, unusable_reason};

#[cfg(unix)]
mod unix {
    use std::io;

    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        fs::{FileType, OFlags, Stat, fcntl_getfl, fstat, stat},
    };

    /// Why output to stdout would be lost, if that can be detected without writing.
    pub(crate) fn unusable_reason() -> Option<&'static str> {
        let stdout = io::stdout();
        if is_null(&fstat(&stdout).ok()?) {
            return Some("stdout is closed or /dev/null");
        }
        let mut polled = [PollFd::new(&stdout, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&now)).ok()?;
        let is_broken =
            polled.iter().any(|one| one.revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL));
        is_broken.then_some("the reader of stdout has exited")
    }

    /// Whether stdout was closed when the process started. Rust then opens /dev/null in its place, for reading and writing; a shell's
    /// `>/dev/null` is open for writing only.
    pub(crate) fn is_closed() -> bool {
        let stdout = io::stdout();
        let is_null = fstat(&stdout).is_ok_and(|found| is_null(&found));
        is_null && fcntl_getfl(&stdout).is_ok_and(|flags| flags & OFlags::ACCMODE == OFlags::RDWR)
    }

    fn is_null(found: &Stat) -> bool {
        FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
            && stat("/dev/null").is_ok_and(|null| null.st_rdev == found.st_rdev)
    }
}

/// Not detected on this platform; the write fails.
#[cfg(not(unix))]
pub(crate) fn unusable_reason() -> Option<&'static str> {
    None
}

/// Not detected on this platform; the write fails.
#[cfg(not(unix))]
pub(crate) fn is_closed() -> bool {
    false
}
