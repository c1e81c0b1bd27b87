//! The Unix sockets of hops. The system reports the user of each peer, and only the hop's user is served.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream as StdUnixStream,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::{UnixListener, UnixStream};

use crate::{
    config::{Hop, HopEntrance},
    files::trusted_file::{self, TrustedFileError, type_name},
};

/// The mode of a socket: every user may connect, because the server checks the user of each peer.
const MODE: u32 = 0o666;

/// A bound socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct HopSocket {
    listener: UnixListener,
    path: PathBuf,
    peer_uid: u32,
    hop: Arc<Hop>,
}

/// The Unix socket of a hop can't be used.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {path}, the socket of the hop {hop}: {obstacle}")]
pub struct HopSocketError {
    /// The path as configured.
    pub path: PathBuf,
    /// The hop's name.
    pub hop: Arc<str>,
    /// What is in the way.
    pub obstacle: Obstacle,
    source: Option<io::Error>,
}

/// What is in the way of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Something other than a socket has its path.
    #[error("{0} has this path: move it away, or use another path")]
    NotASocket(&'static str),
    /// A program listens on it.
    #[error("another program uses it: stop that program, or use another path")]
    InUse,
    /// Its folder doesn't exist.
    #[error("its folder doesn't exist: create the folder")]
    NoFolder,
    /// Something that only the system's error names.
    #[error("check its folder")]
    Other,
}

impl Obstacle {
    /// What has the path of a socket and isn't a socket.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok()?.file_type();
        (!found.is_socket()).then(|| Self::NotASocket(type_name(found)))
    }

    fn of(path: &Path, error: &io::Error) -> Self {
        if let Some(obstacle) = Self::at(path) {
            obstacle
        } else if error.kind() == io::ErrorKind::AddrInUse {
            Self::InUse
        } else if error.kind() == io::ErrorKind::NotFound {
            Self::NoFolder
        } else {
            Self::Other
        }
    }
}

impl HopSocket {
    /// Binds the sockets of these hops. Hops that connect in another way have none.
    ///
    /// # Errors
    /// [`HopSocketError`]
    pub(crate) fn bind_all(hops: &[Arc<Hop>]) -> Result<Vec<Self>, HopSocketError> {
        let socket = |hop: &Arc<Hop>| match &hop.entrance {
            HopEntrance::Certificate(_) => None,
            HopEntrance::UnixSocket { path, peer_uid } => {
                warn_of_folder(path, &hop.name);
                let listener = bind(path).map_err(|source| {
                    let obstacle = Obstacle::of(path, &source);
                    // The system's error adds something only if the obstacle is unknown.
                    let source = (obstacle == Obstacle::Other).then_some(source);
                    HopSocketError { path: path.clone(), hop: Arc::clone(&hop.name), obstacle, source }
                });
                let socket =
                    |listener| Self { listener, path: path.clone(), peer_uid: *peer_uid, hop: Arc::clone(hop) };
                Some(listener.map(socket))
            }
        };
        hops.iter().filter_map(socket).collect()
    }

    /// The hop that it belongs to.
    pub(super) fn hop(&self) -> &Arc<Hop> {
        &self.hop
    }

    /// Accepts a connection. The error is the user of a peer that isn't the hop.
    pub(super) async fn accept(&self) -> io::Result<Result<UnixStream, u32>> {
        let (stream, _unnamed) = self.listener.accept().await?;
        let uid = stream.peer_cred()?.uid();
        Ok(if uid == self.peer_uid { Ok(stream) } else { Err(uid) })
    }
}

impl Drop for HopSocket {
    fn drop(&mut self) {
        let _gone_already = fs::remove_file(&self.path);
    }
}

/// Logs a folder in which other users can replace the socket, and so pose as the server.
fn warn_of_folder(path: &Path, hop: &str) {
    if let Some(folder) = path.parent()
        && let Err(error @ TrustedFileError::Exposed { .. }) = trusted_file::check(folder)
    {
        tracing::warn!(hop, %error, "socket of a hop can be replaced by other users");
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    remove_unused(path)?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok(listener)
}

/// Removes a socket that a server left behind when it was killed. Any other file stays, and so does a socket in use.
fn remove_unused(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let is_refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && StdUnixStream::connect(path).is_err_and(|error| is_refused(&error)) {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as StdUnixListener;

    use super::*;
    use crate::config::Assertable;

    fn hop(path: &Path, peer_uid: u32) -> Arc<Hop> {
        let (by, asserts) = (Default::default(), Assertable::default());
        let entrance = HopEntrance::UnixSocket { path: path.to_owned(), peer_uid };
        Arc::new(Hop { name: "ingress".into(), entrance, by, must_be_named: false, asserts })
    }

    fn own_uid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    #[tokio::test]
    async fn only_the_user_of_the_hop_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hop.sock");
        for (peer_uid, expected) in [(own_uid(), None), (own_uid() + 1, Some(own_uid()))] {
            let sockets = HopSocket::bind_all(&[hop(&path, peer_uid)]).unwrap();
            let _client = UnixStream::connect(&path).await.unwrap();
            assert_eq!(sockets[0].accept().await.unwrap().err(), expected);
        }
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn socket_of_a_killed_server_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hop.sock");
        // As after SIGKILL: std leaves the file.
        drop(StdUnixListener::bind(&path).unwrap());
        let used = HopSocket::bind_all(&[hop(&path, 0)]).unwrap();
        let error = HopSocket::bind_all(&[hop(&path, 0)]).unwrap_err();
        assert!(error.to_string().contains("the socket of the hop ingress: another program uses it"), "{error}");
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(used);
        fs::write(&path, "a file").unwrap();
        let error = HopSocket::bind_all(&[hop(&path, 0)]).unwrap_err();
        assert_eq!(error.obstacle, Obstacle::NotASocket("a regular file"));
        let error = HopSocket::bind_all(&[hop(&folder.path().join("none/hop.sock"), 0)]).unwrap_err();
        assert_eq!(error.obstacle, Obstacle::NoFolder);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    }
}
