//! The headers of requests to the collector, from a file. They are credentials: their type has no `Debug`, and errors have only a line number.

use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::files::trusted_file::{self, Kind, TrustedFileError};

/// The maximum number of headers.
const HEADERS_MAX: usize = 32;

/// Headers that have a meaning for gRPC or HTTP.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// The headers of a request.
#[derive(Default)]
pub(super) struct Headers(HeaderMap);

/// Why the file of headers can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HeadersError {
    /// It can't be read.
    #[error("the headers for the collector can't be read")]
    File(#[from] TrustedFileError),
    /// A line isn't a header.
    #[error("line {line} of {path} is not a header: write `name: value`")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
    },
    /// A header has a meaning for gRPC.
    #[error("line {line} of {path} is a header that only gRPC itself may set: remove the line")]
    Reserved {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
    },
    /// There are none, as while a program writes the file.
    #[error("{path} has no header: write a line `name: value`, or remove traces.headers_file")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// There are too many.
    #[error("{path} has more than {HEADERS_MAX} headers")]
    TooMany {
        /// The file.
        path: PathBuf,
    },
}

impl Headers {
    /// Reads a file with a line `name: value` for each header. Empty lines, and lines that begin with `#`, are skipped. Blocks.
    ///
    /// # Errors
    /// [`HeadersError`]
    pub(super) fn read(path: &Path) -> Result<Self, HeadersError> {
        let content = trusted_file::read(path, Kind::Headers)?;
        let mut headers = HeaderMap::new();
        for (line, text) in (1..).zip(content.split(|byte| *byte == b'\n')) {
            let text = text.trim_ascii();
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            let (name, value) = header(text).ok_or_else(|| HeadersError::Malformed { path: path.to_owned(), line })?;
            let name_text = name.as_str();
            if name_text.starts_with("grpc-") || name_text.ends_with("-bin") || RESERVED.contains(&name_text) {
                return Err(HeadersError::Reserved { path: path.to_owned(), line });
            }
            if headers.len() == HEADERS_MAX {
                return Err(HeadersError::TooMany { path: path.to_owned() });
            }
            headers.append(name, value);
        }
        if headers.is_empty() {
            return Err(HeadersError::Empty { path: path.to_owned() });
        }
        Ok(Self(headers))
    }

    /// The headers, for a request.
    pub(super) fn expose(self) -> HeaderMap {
        self.0
    }
}

fn header(text: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (name, value) = text.split_at_checked(colon)?;
    let value = value.get(1..)?.trim_ascii();
    let is_visible = !value.is_empty() && value.iter().all(|byte| (b' '..=b'~').contains(byte));
    let name = HeaderName::from_bytes(name).ok()?;
    let mut value = HeaderValue::from_bytes(value).ok().filter(|_| is_visible)?;
    // Not in the compression tables of HTTP/2, and not in the debug output of libraries.
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(content: &str) -> Result<HeaderMap, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        fs::write(&path, content).unwrap();
        let shown = path.display().to_string();
        Headers::read(&path).map(Headers::expose).map_err(|error| error.to_string().replace(&shown, "FILE"))
    }

    #[test]
    fn each_line_is_a_header() {
        let headers = read("# of the collector\r\nAuthorization: Bearer a:b c\r\n\nx-tenant:7\nx-tenant: 8").unwrap();
        assert_eq!(headers["authorization"], "Bearer a:b c");
        assert_eq!(headers.get_all("x-tenant").iter().collect::<Vec<_>>(), ["7", "8"]);
        assert!(headers.values().all(HeaderValue::is_sensitive));
    }

    #[test]
    fn error_has_the_line_but_not_its_content() {
        for malformed in ["a: b\nhunter2", ": hunter2", "a b: hunter2", "a:", "a: \u{e9}hunter2", "a: hunter2\u{7f}"] {
            let error = read(malformed).unwrap_err();
            let line = malformed.lines().count();
            assert_eq!(error, format!("line {line} of FILE is not a header: write `name: value`"), "{malformed}");
        }
        for reserved in ["grpc-timeout: 1S", "Content-Type: text/plain", "te: x", "x-bin: AAAA", "host: hunter2"] {
            let error = read(reserved).unwrap_err();
            assert_eq!(error, "line 1 of FILE is a header that only gRPC itself may set: remove the line");
        }
        for empty in ["", "\n", "# a: b\n"] {
            let error = read(empty).unwrap_err();
            assert_eq!(error, "FILE has no header: write a line `name: value`, or remove traces.headers_file");
        }
        assert!(read(&"a: b\n".repeat(HEADERS_MAX)).is_ok());
        assert_eq!(read(&"a: b\n".repeat(HEADERS_MAX + 1)).unwrap_err(), "FILE has more than 32 headers");
        assert!(Headers::read(Path::new("/nowhere")).is_err());
    }
}
