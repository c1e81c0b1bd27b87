//! Connections to Unix sockets of other programs, which get or give secrets: only the right user may listen there.

use std::{io, path::Path};

use rustix::process::geteuid;
use tokio::net::UnixStream;

/// The user id of root.
const ROOT: u32 = 0;

/// Why a socket isn't used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotConnected {
    /// The system refused the connection.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another user listens.
    #[error(transparent)]
    WrongUser(#[from] WrongUser),
}

/// Another user than the expected one listens on a socket.
#[derive(Debug, thiserror::Error)]
#[error("the process on the socket runs as user {found}, not as {expected}")]
pub(crate) struct WrongUser {
    /// The user id that the system reports.
    pub(crate) found: u32,
    /// The expected users, for a person.
    pub(crate) expected: String,
}

/// Connects to a socket, whichever file the path leads to, if the right user listens on it: `uid`, which `setting` names. By default, root or
/// the user of this process.
///
/// # Errors
/// [`NotConnected`]
pub(crate) async fn connect(path: &Path, uid: Option<u32>, setting: &str) -> Result<UnixStream, NotConnected> {
    let socket = UnixStream::connect(path).await?;
    let found = socket.peer_cred()?.uid();
    let own = geteuid().as_raw();
    let (is_expected, expected) = match uid {
        Some(uid) => (found == uid, format!("user {uid} ({setting})")),
        None if own == ROOT => (found == ROOT, "root".to_owned()),
        None => ([ROOT, own].contains(&found), format!("root or user {own}")),
    };
    if is_expected { Ok(socket) } else { Err(WrongUser { found, expected }.into()) }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn only_the_right_user_may_listen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(matches!(connect(&path, None, "a.uid").await, Err(NotConnected::Io(_))));
        let _listener = UnixListener::bind(&path).unwrap();
        let own = geteuid().as_raw();
        for uid in [None, Some(own)] {
            assert!(connect(&path, uid, "a.uid").await.is_ok(), "{uid:?}");
        }
        let error = connect(&path, Some(own + 1), "a.uid").await.unwrap_err().to_string();
        assert_eq!(error, format!("the process on the socket runs as user {own}, not as user {} (a.uid)", own + 1));
    }
}
