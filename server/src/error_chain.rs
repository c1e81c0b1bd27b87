//! An error and its causes, for people: without repetitions, on one line or on several.

use std::error::Error;

/// `what happened: because of this: because of that`
pub(crate) fn text(error: &dyn Error) -> String {
    parts(error).join(": ")
}

/// An error and its causes, each with what the former ones don't contain. Errors of libraries often repeat their source.
#[must_use]
pub fn parts(error: &dyn Error) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        match parts.last_mut() {
            // It adds nothing.
            Some(last) if last.contains(&text) => {}
            // It adds something to the same text, such as a code.
            Some(last) if text.contains(last.as_str()) => *last = text,
            _ => parts.push(text),
        }
        next = error.source();
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<dyn Error + Send + Sync>>);

    fn chain(texts: &[&'static str]) -> Option<Box<dyn Error + Send + Sync>> {
        let (first, rest) = texts.split_first()?;
        Some(Box::new(Layer(first, chain(rest))))
    }

    #[test]
    fn chain_says_nothing_twice() {
        for (texts, expected) in [
            (&["can't connect", "refused"][..], "can't connect: refused"),
            (
                &["can't connect", "refused (os error 111)", "refused (os error 111)"],
                "can't connect: refused (os error 111)",
            ),
            (
                &["SQLite refused a statement", "disk is full", "Error code 13: disk is full"],
                "SQLite refused a statement: Error code 13: disk is full",
            ),
            (&["can't copy: disk is full", "disk is full"], "can't copy: disk is full"),
        ] {
            assert_eq!(text(&*chain(texts).unwrap()), expected);
        }
        let error = io::Error::other(io::Error::from_raw_os_error(111));
        assert_eq!(text(&error), "Connection refused (os error 111)");
    }
}
