//! A proxy between the store and PostgreSQL that loses connections at a COMMIT, and counts round trips.
//!
//! It listens on a Unix socket, where the protocol isn't encrypted.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

use super::{
    super::PostgresLogin,
    cluster::{CLUSTER, Database},
};

/// What happens to the next COMMIT of a transaction that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It doesn't reach the server.
    Before,
    /// Its answer doesn't reach the store.
    After,
    /// The store's connection ends at once. The COMMIT reaches the server when the test allows it.
    Late,
    /// As [`Late`](Self::Late), for the whole transaction.
    AllLate,
}

#[derive(Default)]
struct State {
    loss: Mutex<Option<Loss>>,
    /// Allows a late COMMIT.
    go: Notify,
    /// A late COMMIT was answered.
    late: Notify,
    round_trips: AtomicUsize,
}

pub(super) struct Proxy {
    folder: TempDir,
    state: Arc<State>,
}

impl Proxy {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let state = Arc::new(State::default());
        let name = format!(".s.PGSQL.{}", CLUSTER.port());
        let listener = UnixListener::bind(folder.path().join(&name)).unwrap();
        let (server, accepted) = (CLUSTER.folder().join(&name), Arc::clone(&state));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server.clone(), Arc::clone(&accepted)));
            }
        });
        Proxy { folder, state }
    }

    /// The login of the server's role through the proxy.
    pub(super) fn login(&self, database: &Database) -> PostgresLogin {
        CLUSTER.local_login("sealward", self.folder.path(), database.name())
    }

    /// Loses the next COMMIT of a transaction that writes.
    pub(super) fn lose(&self, loss: Loss) {
        *self.state.loss.lock().unwrap() = Some(loss);
    }

    /// Returns whether the COMMIT has been lost.
    pub(super) fn has_lost(&self) -> bool {
        self.state.loss.lock().unwrap().is_none()
    }

    /// Lets the late COMMIT reach the server, and waits for its answer.
    pub(super) async fn let_through(&self) {
        self.state.go.notify_one();
        self.state.late.notified().await;
    }

    /// Returns the number of round trips since the last call.
    pub(super) fn round_trips(&self) -> usize {
        self.state.round_trips.swap(0, Ordering::SeqCst)
    }
}

async fn serve(client: UnixStream, server: PathBuf, state: Arc<State>) {
    let server = UnixStream::connect(server).await.unwrap();
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let has_answered = Arc::new(AtomicBool::new(true));
    // The answers from here on are lost.
    let lost = Arc::new(AtomicBool::new(false));
    let answers = tokio::spawn(answer(from_server, to_client, Arc::clone(&has_answered), Arc::clone(&lost)));
    let _ended = request(from_client, to_server, &state, &has_answered, &lost, answers).await;
}

/// Passes answers to the store, until they are lost. Then reads until the server has answered the COMMIT.
async fn answer(mut from: OwnedReadHalf, to: OwnedWriteHalf, has_answered: Arc<AtomicBool>, lost: Arc<AtomicBool>) {
    let mut to = Some(to);
    let mut bytes = vec![0; 65_536];
    let mut tail = Vec::new();
    loop {
        let Ok(length @ 1..) = from.read(&mut bytes).await else { return };
        if lost.load(Ordering::SeqCst) {
            drop(to.take());
            tail.extend_from_slice(&bytes[..length]);
            if tail.windows(7).any(|part| part == b"COMMIT\0") {
                return;
            }
            continue;
        }
        has_answered.store(true, Ordering::SeqCst);
        if let Some(to) = &mut to
            && to.write_all(&bytes[..length]).await.is_err()
        {
            return;
        }
    }
}

/// Passes messages to the server, one by one.
async fn request(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: &State,
    has_answered: &AtomicBool,
    lost: &AtomicBool,
    answers: tokio::task::JoinHandle<()>,
) -> std::io::Result<()> {
    let mut is_first = true;
    let (mut writes, mut holds) = (false, false);
    let mut held = Vec::new();
    loop {
        // The first message has no type.
        let mut message = Vec::new();
        if !is_first {
            message.push(from.read_u8().await?);
        }
        is_first = false;
        let length = from.read_u32().await?;
        message.extend_from_slice(&length.to_be_bytes());
        let begin = message.len();
        message.resize(begin + length as usize - 4, 0);
        from.read_exact(&mut message[begin..]).await?;
        if has_answered.swap(false, Ordering::SeqCst) {
            state.round_trips.fetch_add(1, Ordering::SeqCst);
        }
        let text = &message[begin..];
        let is_query = message[0] == b'Q';
        if is_query && text.starts_with(b"BEGIN") {
            writes = text.windows(10).any(|part| part == b"READ WRITE");
            holds = writes && *state.loss.lock().unwrap() == Some(Loss::AllLate);
        }
        let is_commit = is_query && text == b"COMMIT\0" && writes;
        held.extend_from_slice(&message);
        if holds && !is_commit {
            continue;
        }
        let message = std::mem::take(&mut held);
        let loss = if is_commit { state.loss.lock().unwrap().take() } else { None };
        match loss {
            None => to.write_all(&message).await?,
            Some(Loss::Before) => {
                answers.abort();
                return Ok(());
            }
            Some(Loss::After) => {
                lost.store(true, Ordering::SeqCst);
                to.write_all(&message).await?;
                let _ended = answers.await;
                return Ok(());
            }
            Some(Loss::Late | Loss::AllLate) => {
                answers.abort();
                let _ended = answers.await;
                drop(from);
                state.go.notified().await;
                to.write_all(&message).await?;
                // The server closes the connection after it has done what it received.
                to.shutdown().await?;
                state.late.notify_one();
                return Ok(());
            }
        }
    }
}
