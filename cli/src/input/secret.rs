//! Secrets from a prompt without echo, a file, or stdin. Never from an argument.
//!
//! Exactly one trailing line break of a file or of stdin is removed, because editors and `echo` add one. Everything else is part of the
//! secret. Two probable mistakes are refused: an empty secret, and a byte order mark, which editors add invisibly.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::PathBuf,
};

use sealward_client::SecretString;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A prompt.
    Prompt,
    /// Two prompts, whose answers must match.
    PromptTwice,
    /// A file.
    File(PathBuf),
    /// Stdin.
    Stdin,
}

/// Reads secrets. A trait, so that tests need no terminal.
pub(crate) trait SecretReader {
    /// Reads a secret. `label` names it in prompts and errors.
    fn read(&mut self, label: &str, source: &Source) -> Result<Zeroizing<Vec<u8>>, Failure>;

    /// Reads all of stdin, for a document that may contain secrets.
    fn read_document(&mut self, label: &str) -> Result<Zeroizing<Vec<u8>>, Failure>;
}

/// Reads a secret text.
///
/// # Errors
/// The text is empty, isn't UTF-8 or begins with a byte order mark.
pub(crate) fn read_text(secrets: &mut dyn SecretReader, label: &str, source: &Source) -> Result<SecretString, Failure> {
    read_text_with_hint(secrets, label, source, "")
}

/// As [`read_text`]. Appends `hint` to the error for a byte order mark.
pub(crate) fn read_text_with_hint(
    secrets: &mut dyn SecretReader,
    label: &str,
    source: &Source,
    hint: &str,
) -> Result<SecretString, Failure> {
    let secret = secrets.read(label, source)?;
    if let Some(encoding) = byte_order_mark(&secret) {
        return Err(Failure::usage(format!(
            "{label} begins with a byte order mark ({encoding}): {}{hint}",
            match source {
                Source::File(path) => format!("save {} as UTF-8 without one", path.display()),
                Source::Stdin => "write it to stdin as UTF-8 without one".to_owned(),
                Source::Prompt | Source::PromptTwice => "enter it without one".to_owned(),
            }
        )));
    }
    into_nonempty_text(label, source, secret)
}

/// As [`read_text`], but keeps a byte order mark as part of the text.
pub(crate) fn read_text_keeping_mark(
    secrets: &mut dyn SecretReader,
    label: &str,
    source: &Source,
) -> Result<SecretString, Failure> {
    let secret = secrets.read(label, source)?;
    into_nonempty_text(label, source, secret)
}

fn into_nonempty_text(label: &str, source: &Source, secret: Zeroizing<Vec<u8>>) -> Result<SecretString, Failure> {
    check_not_empty(label, source, &secret)?;
    into_text(label, secret)
}

/// Refuses an empty secret: the pipe's program failed, the file was never written, or the user pressed Enter.
pub(crate) fn check_not_empty(label: &str, source: &Source, secret: &[u8]) -> Result<(), Failure> {
    if !secret.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(match source {
        Source::File(path) => format!("{label} is empty: {} has no content", path.display()),
        Source::Stdin => format!("{label} is empty: stdin has no content"),
        Source::Prompt | Source::PromptTwice => format!("{label} is empty: nothing was entered"),
    }))
}

/// The encoding of the byte order mark at the start of `bytes`, if there is one.
pub(crate) fn byte_order_mark(bytes: &[u8]) -> Option<&'static str> {
    let marks: [(&[u8], &str); 3] = [(b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")];
    marks.into_iter().find(|(mark, _)| bytes.starts_with(mark)).map(|(_, encoding)| encoding)
}

fn into_text(label: &str, mut secret: Zeroizing<Vec<u8>>) -> Result<SecretString, Failure> {
    match String::from_utf8(std::mem::take(&mut *secret)) {
        Ok(text) => Ok(SecretString::from(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(Failure::usage(format!("{label} isn't valid UTF-8")))
        }
    }
}

/// Reads a file of up to [`LENGTH_MAX_BYTES`].
pub(crate) fn read_file(label: &str, path: &PathBuf) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let unreadable = |error: io::Error| Failure::usage(format!("can't read {label} from {}: {error}", path.display()));
    let mut file = File::open(path).map_err(unreadable)?;
    read_bounded(label, &mut file).map_err(unreadable)?
}

/// Reads secrets from the terminal, from stdin and from files.
#[derive(Default)]
pub(crate) struct Terminal {
    is_stdin_used: bool,
}

impl SecretReader for Terminal {
    fn read(&mut self, label: &str, source: &Source) -> Result<Zeroizing<Vec<u8>>, Failure> {
        match source {
            Source::Prompt => without_echo(|| prompt(&format!("{label}: "))),
            Source::PromptTwice => without_echo(|| {
                let first = prompt(&format!("{label}: "))?;
                let second = prompt(&format!("{label}, again: "))?;
                if first == second {
                    Ok(first)
                } else {
                    Err(Failure::usage("the entries don't match; nothing was done"))
                }
            }),
            Source::File(path) => read_file(label, path).map(without_line_break),
            Source::Stdin if io::stdin().is_terminal() => Err(Failure::usage(format!(
                "can't read {label} from stdin: stdin is a terminal, which would show it; use the prompt instead"
            ))),
            Source::Stdin => self.read_document(label).map(without_line_break),
        }
    }

    fn read_document(&mut self, label: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if std::mem::replace(&mut self.is_stdin_used, true) {
            return Err(Failure::usage("stdin can be used for one option only"));
        }
        let unreadable = |error: io::Error| Failure::usage(format!("can't read {label} from stdin: {error}"));
        read_bounded(label, &mut io::stdin().lock()).map_err(unreadable)?
    }
}

/// Runs `ask` with the terminal's echo off, also between prompts.
fn without_echo<T>(ask: impl FnOnce() -> T) -> T {
    #[cfg(unix)]
    let _no_echo = echo::NoEcho::begin();
    ask()
}

fn prompt(text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let typed = rpassword::prompt_password(text)
        .map_err(|error| Failure::usage(format!("can't prompt without a terminal ({error}): use a file or stdin")))?;
    Ok(Zeroizing::new(typed.into_bytes()))
}

fn read_bounded(label: &str, reader: &mut dyn Read) -> io::Result<Result<Zeroizing<Vec<u8>>, Failure>> {
    // Enough capacity for most secrets: growing the buffer would leave copies in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4_096));
    let length = reader.take(LENGTH_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    let is_too_long = u64::try_from(length).is_ok_and(|length| length > LENGTH_MAX_BYTES);
    Ok(if is_too_long {
        Err(Failure::usage(format!("{label} is longer than {LENGTH_MAX_BYTES} bytes")))
    } else {
        Ok(bytes)
    })
}

fn without_line_break(mut secret: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    let length = secret.strip_suffix(b"\n").map_or(secret.len(), |rest| rest.strip_suffix(b"\r").unwrap_or(rest).len());
    secret.truncate(length);
    secret
}

#[cfg(unix)]
mod echo {
    use std::fs::File;

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    /// Turns the terminal's echo off until it is dropped. rpassword turns it off only while it reads, and text that is typed earlier
    /// would be visible.
    pub(crate) struct NoEcho {
        terminal: File,
        before: Termios,
    }

    impl NoEcho {
        /// `None` without a terminal: the prompt then fails.
        pub(crate) fn begin() -> Option<Self> {
            let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
            let before = tcgetattr(&terminal).ok()?;
            let mut silent = before.clone();
            // Ctrl-C arrives as a character too: a signal would end the process with the echo off.
            silent.local_modes &= !(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ISIG);
            tcsetattr(&terminal, OptionalActions::Now, &silent).ok()?;
            Some(Self { terminal, before })
        }
    }

    impl Drop for NoEcho {
        fn drop(&mut self) {
            // Fails only if the terminal is gone.
            let _restored = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        }
    }
}

/// The server's default limit for a message.
const LENGTH_MAX_BYTES: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use sealward_client::ExposeSecret as _;

    use super::*;

    #[test]
    fn exactly_one_final_line_break_is_removed() {
        let cut = |text: &str| {
            let cut = without_line_break(Zeroizing::new(text.as_bytes().to_vec()));
            String::from_utf8(cut.to_vec()).unwrap()
        };
        assert_eq!(cut("secret\n"), "secret");
        assert_eq!(cut("secret\r\n"), "secret");
        assert_eq!(cut("secret\n\n"), "secret\n");
        assert_eq!(cut(" secret "), " secret ");
        assert_eq!(cut("secret\r"), "secret\r");
        assert_eq!(cut(""), "");
    }

    #[test]
    fn secret_that_is_not_text_is_refused_without_showing_it() {
        assert_eq!(into_text("key", Zeroizing::new(b"abc".to_vec())).ok().unwrap().expose_secret(), "abc");
        let refused = into_text("key", Zeroizing::new(b"canary\xff".to_vec())).unwrap_err();
        assert!(matches!(refused, Failure::Usage(text) if text == "key isn't valid UTF-8"));
    }

    /// Returns the same bytes for every secret.
    struct Fixed(&'static [u8]);

    impl SecretReader for Fixed {
        fn read(&mut self, _label: &str, _source: &Source) -> Result<Zeroizing<Vec<u8>>, Failure> {
            Ok(Zeroizing::new(self.0.to_vec()))
        }

        fn read_document(&mut self, _label: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
            Ok(Zeroizing::new(self.0.to_vec()))
        }
    }

    #[test]
    fn empty_secret_and_byte_order_mark_are_refused_with_the_attribute() {
        let file = Source::File("contoso.key".into());
        let refused = |bytes, source: &Source| match read_text(&mut Fixed(bytes), "new encryption key", source) {
            Err(Failure::Usage(text)) => text,
            other => panic!("{other:?}"),
        };
        let empty = refused(b"", &Source::Stdin);
        assert_eq!(empty, "new encryption key is empty: stdin has no content");
        assert!(refused(b"", &file).contains("contoso.key has no content"));
        let marked = refused(b"\xef\xbb\xbfcanary", &file);
        assert!(marked.contains("begins with a byte order mark (UTF-8)") && marked.contains("contoso.key"), "{marked}");
        assert!(!marked.contains("canary"), "{marked}");
        assert!(refused(b"\xff\xfec\0", &Source::Stdin).contains("UTF-16"));
        let kept = read_text_keeping_mark(&mut Fixed(b"\xef\xbb\xbfa"), "encryption key", &file);
        assert_eq!(kept.ok().unwrap().expose_secret(), "\u{feff}a");
    }

    #[test]
    fn secret_at_the_limit_is_accepted_and_a_longer_one_refused() {
        let length = |bytes: u64| read_bounded("it", &mut io::repeat(b'a').take(bytes)).unwrap().map(|read| read.len());
        assert_eq!(length(LENGTH_MAX_BYTES).unwrap(), 4 * 1024 * 1024);
        assert!(length(LENGTH_MAX_BYTES + 1).is_err());
    }
}
