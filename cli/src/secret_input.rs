//! Where secrets come from: a prompt that shows nothing, a file, or standard input. Never an argument.
//!
//! Of a file and of standard input exactly one line break at the end is left out, since editors and `echo` put one there; everything
//! else is taken as it is. What can only be a mistake is refused: nothing at all, and a byte order mark, which an editor puts before a
//! text, can't be seen and would be part of the secret.

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
    /// It is asked for once.
    Prompt,
    /// It is asked for twice, and both have to be the same.
    PromptTwice,
    /// It is in a file.
    File(PathBuf),
    /// It is on standard input.
    Stdin,
}

/// Gets secrets. A trait, so that tests need no terminal.
pub(crate) trait Secrets {
    /// The secret called `what`.
    fn read(&mut self, what: &str, source: &Source) -> Result<Zeroizing<Vec<u8>>, Failure>;

    /// Standard input as it is, for a document that may contain secrets.
    fn read_document(&mut self, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure>;
}

/// Gets a secret that is a text.
///
/// # Errors
/// It is empty, or isn't text without a byte order mark.
pub(crate) fn read_text(secrets: &mut dyn Secrets, what: &str, source: &Source) -> Result<SecretString, Failure> {
    read_text_or(secrets, what, source, "")
}

/// As [`read_text`]. `otherwise`: a line on what to do if the byte order mark is meant.
pub(crate) fn read_text_or(
    secrets: &mut dyn Secrets,
    what: &str,
    source: &Source,
    otherwise: &str,
) -> Result<SecretString, Failure> {
    let secret = secrets.read(what, source)?;
    if let Some(encoding) = byte_order_mark(&secret) {
        return Err(Failure::usage(format!(
            "{what} begins with a byte order mark ({encoding}), which would be part of it: {}{otherwise}",
            match source {
                Source::File(path) => format!("save {} as UTF-8 without one", path.display()),
                Source::Stdin => "write it to stdin as UTF-8 without one".to_owned(),
                Source::Prompt | Source::PromptTwice => "enter it without one".to_owned(),
            }
        )));
    }
    read_whole_text(what, source, secret)
}

/// As [`read_text`], and takes a byte order mark for a part of the text.
pub(crate) fn read_text_with_mark(
    secrets: &mut dyn Secrets,
    what: &str,
    source: &Source,
) -> Result<SecretString, Failure> {
    let secret = secrets.read(what, source)?;
    read_whole_text(what, source, secret)
}

fn read_whole_text(what: &str, source: &Source, secret: Zeroizing<Vec<u8>>) -> Result<SecretString, Failure> {
    check_not_empty(what, source, &secret)?;
    into_text(what, secret)
}

/// Refuses a secret of no bytes: a pipe whose program failed, a file that was never written, Enter alone.
pub(crate) fn check_not_empty(what: &str, source: &Source, secret: &[u8]) -> Result<(), Failure> {
    if !secret.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(match source {
        Source::File(path) => format!("{what} is empty: {} has nothing in it", path.display()),
        Source::Stdin => format!("{what} is empty: nothing came from stdin"),
        Source::Prompt | Source::PromptTwice => format!("{what} is empty: nothing was entered"),
    }))
}

/// The encoding whose byte order mark the bytes begin with.
pub(crate) fn byte_order_mark(bytes: &[u8]) -> Option<&'static str> {
    let marks: [(&[u8], &str); 3] = [(b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")];
    marks.into_iter().find(|(mark, _)| bytes.starts_with(mark)).map(|(_, encoding)| encoding)
}

/// The text of a secret.
fn into_text(what: &str, mut secret: Zeroizing<Vec<u8>>) -> Result<SecretString, Failure> {
    match String::from_utf8(std::mem::take(&mut *secret)) {
        Ok(text) => Ok(SecretString::from(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(Failure::usage(format!("{what} isn't text in UTF-8")))
        }
    }
}

/// Reads all of a file, up to the bound.
pub(crate) fn read_file(what: &str, path: &PathBuf) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let unreadable =
        |error: io::Error| Failure::usage(format!("{what} can't be read from {}: {error}", path.display()));
    let mut file = File::open(path).map_err(unreadable)?;
    read_bounded(what, &mut file).map_err(unreadable)?
}

/// The real thing.
#[derive(Default)]
pub(crate) struct Terminal {
    is_stdin_taken: bool,
}

impl Secrets for Terminal {
    fn read(&mut self, what: &str, source: &Source) -> Result<Zeroizing<Vec<u8>>, Failure> {
        match source {
            Source::Prompt => silently(|| prompt(&format!("{what}: "))),
            Source::PromptTwice => silently(|| {
                let first = prompt(&format!("{what}: "))?;
                let second = prompt(&format!("{what}, again: "))?;
                if first == second {
                    Ok(first)
                } else {
                    Err(Failure::usage("the two aren't the same; nothing was done"))
                }
            }),
            Source::File(path) => read_file(what, path).map(without_line_break),
            Source::Stdin if io::stdin().is_terminal() => Err(Failure::usage(format!(
                "{what} can't come from stdin, which is a terminal and would show it: leave the option out to be asked for it"
            ))),
            Source::Stdin => self.read_document(what).map(without_line_break),
        }
    }

    fn read_document(&mut self, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if std::mem::replace(&mut self.is_stdin_taken, true) {
            return Err(Failure::usage("only one thing can come from stdin"));
        }
        let unreadable = |error: io::Error| Failure::usage(format!("{what} can't be read from stdin: {error}"));
        read_bounded(what, &mut io::stdin().lock()).map_err(unreadable)?
    }
}

/// Asks without showing what is typed meanwhile, if there is a terminal.
fn silently<T>(ask: impl FnOnce() -> T) -> T {
    #[cfg(unix)]
    let _silence = silence::Silence::begin();
    ask()
}

fn prompt(label: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let typed = rpassword::prompt_password(label)
        .map_err(|error| Failure::usage(format!("there is no terminal to ask at ({error}): use a file or stdin")))?;
    Ok(Zeroizing::new(typed.into_bytes()))
}

fn read_bounded(what: &str, reader: &mut dyn Read) -> io::Result<Result<Zeroizing<Vec<u8>>, Failure>> {
    // Room for all of it from the start where that is cheap: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4_096));
    let length = reader.take(LENGTH_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    let is_too_long = u64::try_from(length).is_ok_and(|length| length > LENGTH_MAX_BYTES);
    Ok(if is_too_long {
        Err(Failure::usage(format!("{what} is longer than {LENGTH_MAX_BYTES} bytes")))
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
mod silence {
    use std::fs::File;

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    /// A terminal that doesn't show what is typed, until this is dropped. rpassword silences it only once it reads, and would show what
    /// is typed between the question and that.
    pub(crate) struct Silence {
        terminal: File,
        before: Termios,
    }

    impl Silence {
        /// `None`: there is no terminal, which whoever reads from it finds out too.
        pub(crate) fn begin() -> Option<Self> {
            let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
            let before = tcgetattr(&terminal).ok()?;
            let mut silent = before.clone();
            // Ctrl-C comes as a character too: a signal would end the program and leave the terminal silent.
            silent.local_modes &= !(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ISIG);
            tcsetattr(&terminal, OptionalActions::Now, &silent).ok()?;
            Some(Self { terminal, before })
        }
    }

    impl Drop for Silence {
        fn drop(&mut self) {
            // Nothing is left to do if the terminal is gone.
            let _restored = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        }
    }
}

/// The largest message that a server takes unless configured otherwise; nothing longer could be sent.
const LENGTH_MAX_BYTES: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use sealward_client::ExposeSecret as _;

    use super::*;

    #[test]
    fn exactly_one_line_break_at_the_end_is_left_out() {
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
    fn what_is_not_text_is_refused_without_showing_it() {
        assert_eq!(into_text("key", Zeroizing::new(b"abc".to_vec())).ok().unwrap().expose_secret(), "abc");
        let refused = into_text("key", Zeroizing::new(b"canary\xff".to_vec())).unwrap_err();
        assert!(matches!(refused, Failure::Usage(text) if text == "key isn't text in UTF-8"));
    }

    /// Hands out the same bytes, whatever it is asked for.
    struct Fixed(&'static [u8]);

    impl Secrets for Fixed {
        fn read(&mut self, _what: &str, _source: &Source) -> Result<Zeroizing<Vec<u8>>, Failure> {
            Ok(Zeroizing::new(self.0.to_vec()))
        }

        fn read_document(&mut self, _what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
            Ok(Zeroizing::new(self.0.to_vec()))
        }
    }

    #[test]
    fn an_empty_secret_and_a_byte_order_mark_are_refused_by_name() {
        let file = Source::File("contoso.key".into());
        let refused = |bytes, source: &Source| match read_text(&mut Fixed(bytes), "new encryption key", source) {
            Err(Failure::Usage(text)) => text,
            other => panic!("{other:?}"),
        };
        let empty = refused(b"", &Source::Stdin);
        assert_eq!(empty, "new encryption key is empty: nothing came from stdin");
        assert!(refused(b"", &file).contains("contoso.key has nothing in it"));
        let marked = refused(b"\xef\xbb\xbfcanary", &file);
        assert!(marked.contains("begins with a byte order mark (UTF-8)") && marked.contains("contoso.key"), "{marked}");
        assert!(!marked.contains("canary"), "{marked}");
        assert!(refused(b"\xff\xfec\0", &Source::Stdin).contains("UTF-16"));
        let kept = read_text_with_mark(&mut Fixed(b"\xef\xbb\xbfa"), "encryption key", &file);
        assert_eq!(kept.ok().unwrap().expose_secret(), "\u{feff}a");
    }

    #[test]
    fn what_is_too_long_is_refused_and_the_limit_is_not() {
        let length = |bytes: u64| read_bounded("it", &mut io::repeat(b'a').take(bytes)).unwrap().map(|read| read.len());
        assert_eq!(length(LENGTH_MAX_BYTES).unwrap(), 4 * 1024 * 1024);
        assert!(length(LENGTH_MAX_BYTES + 1).is_err());
    }
}
