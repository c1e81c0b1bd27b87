//! A proxy between the store and PostgreSQL that behaves as a distributed engine: it refuses what such an engine refuses,
//! fails at any message, and counts.
//!
//! It listens on a Unix socket, where the protocol isn't encrypted. The unit is what the server answers with one
//! ReadyForQuery: a simple query, or the messages up to a Sync. A failure is one of PostgreSQL itself, because the proxy
//! sends a statement that raises it. Only the answer to a COMMIT, and the end of a connection, are the proxy's own.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use pgwire::messages::{
    DecodeContext, Message as _, PgWireFrontendMessage,
    response::{ErrorResponse, ReadyForQuery, TransactionStatus},
    simplequery::Query,
    startup::Startup,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, mpsc},
};

use super::{
    super::PostgresLogin,
    cluster::{CLUSTER, Database},
    engine::Session,
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

/// An error of the engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    /// Whether the connection ends with it.
    pub(super) closes: bool,
    /// Whether a COMMIT takes effect nevertheless.
    pub(super) commits: bool,
}

/// Where a fault happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    /// At the unit with this number, from 0, of those in transactions that write.
    Unit(usize),
    /// At the next COMMIT of a transaction that writes.
    Commit,
}

#[derive(Default)]
struct State {
    loss: Mutex<Option<Loss>>,
    fault: Mutex<Option<(At, Fault)>>,
    weather: Mutex<Option<Weather>>,
    /// Allows a late COMMIT.
    go: Notify,
    /// A late COMMIT was answered.
    late: Notify,
    round_trips: AtomicUsize,
    /// The texts of the statements that were executed.
    executed: Mutex<Vec<String>>,
    /// Why statements were refused.
    refused: Mutex<Vec<String>>,
}

/// Faults and delays at random.
struct Weather {
    random: u64,
    faults: Vec<Fault>,
    hits: usize,
}

/// A random fault happens at one of this number of units.
const FAULT_EVERY: u64 = 25;
/// A delay is at most this number of turns of other tasks.
const TURNS_MAX: u64 = 30;

impl Weather {
    /// The generator SplitMix64.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a fault, and the delay before it.
    fn draw(&mut self) -> (Option<Fault>, u64) {
        let delay = self.next() % TURNS_MAX;
        if !self.next().is_multiple_of(FAULT_EVERY) {
            return (None, delay);
        }
        self.hits += 1;
        let number = usize::try_from(self.next()).unwrap() % self.faults.len();
        (Some(self.faults[number]), delay)
    }
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

    /// The login of the role that owns the tables through the proxy.
    pub(super) fn owner(&self, database: &Database) -> PostgresLogin {
        CLUSTER.local_login("sealward_owner", self.folder.path(), database.name())
    }

    /// Loses the next COMMIT of a transaction that writes.
    pub(super) fn lose(&self, loss: Loss) {
        *self.state.loss.lock().unwrap() = Some(loss);
    }

    /// Returns whether the COMMIT has been lost.
    pub(super) fn has_lost(&self) -> bool {
        self.state.loss.lock().unwrap().is_none()
    }

    /// Fails once.
    pub(super) fn inject(&self, at: At, fault: Fault) {
        *self.state.fault.lock().unwrap() = Some((at, fault));
    }

    /// Forgets the fault. Returns whether it has happened.
    pub(super) fn has_failed(&self) -> bool {
        self.state.fault.lock().unwrap().take().is_none()
    }

    /// Fails with these faults from now on, at random, and delays messages. The same seed yields the same numbers.
    pub(super) fn begin_weather(&self, seed: u64, faults: &[Fault]) {
        *self.state.weather.lock().unwrap() = Some(Weather { random: seed, faults: faults.to_vec(), hits: 0 });
    }

    /// Ends the random faults. Returns their number.
    pub(super) fn end_weather(&self) -> usize {
        self.state.weather.lock().unwrap().take().map_or(0, |weather| weather.hits)
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

    /// Returns the texts of the statements that were executed since the last call.
    pub(super) fn executed(&self) -> Vec<String> {
        std::mem::take(&mut self.state.executed.lock().unwrap())
    }

    /// Returns why statements were refused since the last call.
    pub(super) fn refused(&self) -> Vec<String> {
        std::mem::take(&mut self.state.refused.lock().unwrap())
    }
}

/// What the store receives for a unit.
enum Answer {
    /// The answer of the server.
    Pass,
    /// These messages instead of the answer of the server.
    Instead(Bytes),
    /// The answer of the server isn't passed, if it has received the unit. The connection ends with these messages.
    Last { was_sent: bool, bytes: Bytes },
}

/// Messages that the server answers together.
#[derive(Default)]
struct Unit {
    bytes: Vec<u8>,
    /// The text of its statement.
    text: String,
    /// Why it is refused.
    refused: Option<String>,
}

async fn serve(client: UnixStream, server: PathBuf, state: Arc<State>) {
    let server = UnixStream::connect(server).await.unwrap();
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let has_answered = Arc::new(AtomicBool::new(true));
    let (expected, answers) = mpsc::unbounded_channel();
    let answering = tokio::spawn(answer(from_server, to_client, answers, Arc::clone(&has_answered)));
    let _ended =
        request(BufReader::with_capacity(65_536, from_client), to_server, &state, &has_answered, expected, answering)
            .await;
}

/// Answers units in their order.
async fn answer(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    mut answers: mpsc::UnboundedReceiver<Answer>,
    has_answered: Arc<AtomicBool>,
) -> io::Result<()> {
    let (mut from, mut to) = (BufReader::new(from), BufWriter::new(to));
    loop {
        let answer = tokio::select! {
            biased;
            answer = answers.recv() => answer,
            // The server ends the connection.
            unasked = from.fill_buf() => match unasked?.is_empty() {
                true => None,
                false => {
                    to.write_all(&message(&mut from, false).await?).await?;
                    to.flush().await?;
                    continue;
                }
            },
        };
        let Some(answer) = answer else { return Ok(()) };
        let was_sent = !matches!(answer, Answer::Last { was_sent: false, .. });
        if was_sent {
            loop {
                let message = message(&mut from, false).await?;
                if let Answer::Pass = answer {
                    to.write_all(&message).await?;
                }
                if message[0] == b'Z' {
                    break;
                }
            }
        }
        has_answered.store(true, Ordering::SeqCst);
        match answer {
            Answer::Pass => {}
            Answer::Instead(bytes) => to.write_all(&bytes).await?,
            Answer::Last { bytes, .. } => {
                to.write_all(&bytes).await?;
                return to.shutdown().await;
            }
        }
        to.flush().await?;
    }
}

/// Reads a message. The first one of a client has no type.
async fn message(from: &mut BufReader<OwnedReadHalf>, is_first: bool) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    if !is_first {
        message.push(from.read_u8().await?);
    }
    let length = from.read_u32().await?;
    message.extend_from_slice(&length.to_be_bytes());
    let begin = message.len();
    message.resize(begin + length as usize - 4, 0);
    from.read_exact(&mut message[begin..]).await?;
    Ok(message)
}

/// Reads the messages up to one that the server answers.
#[expect(clippy::wildcard_enum_match_arm, reason = "other messages pass")]
async fn unit(
    from: &mut BufReader<OwnedReadHalf>,
    session: &mut Session,
    state: &State,
    has_answered: &AtomicBool,
) -> io::Result<Unit> {
    let mut context = DecodeContext::default();
    (context.awaiting_frontend_ssl, context.awaiting_frontend_startup) = (false, false);
    let mut unit = Unit::default();
    loop {
        if from.buffer().is_empty() && !from.fill_buf().await?.is_empty() && has_answered.swap(false, Ordering::SeqCst)
        {
            state.round_trips.fetch_add(1, Ordering::SeqCst);
        }
        let bytes = message(from, false).await?;
        let decoded = PgWireFrontendMessage::decode(&mut BytesMut::from(&bytes[..]), &context).unwrap().unwrap();
        unit.bytes.extend_from_slice(&bytes);
        let mut is_end = false;
        let refused = match decoded {
            PgWireFrontendMessage::Query(query) => {
                is_end = true;
                unit.text = query.query;
                session.query(&unit.text)
            }
            PgWireFrontendMessage::Parse(parse) => {
                unit.text.clone_from(&parse.query);
                session.prepare(parse.name.unwrap_or_default(), parse.query)
            }
            PgWireFrontendMessage::Bind(bind) => {
                let name = bind.statement_name.unwrap_or_default();
                session.text(&name).clone_into(&mut unit.text);
                session.bind(&name, &bind.parameters)
            }
            PgWireFrontendMessage::Execute(_) => {
                state.executed.lock().unwrap().push(unit.text.clone());
                None
            }
            PgWireFrontendMessage::Sync(_) => {
                is_end = true;
                None
            }
            PgWireFrontendMessage::Terminate(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => None,
        };
        if let Some(refused) = refused {
            unit.refused.get_or_insert(refused);
        }
        if is_end {
            if unit.bytes[0] == b'Q' {
                state.executed.lock().unwrap().push(unit.text.clone());
            }
            return Ok(unit);
        }
    }
}

/// Passes units to the server, one by one.
async fn request(
    mut from: BufReader<OwnedReadHalf>,
    mut to: OwnedWriteHalf,
    state: &State,
    has_answered: &AtomicBool,
    expected: mpsc::UnboundedSender<Answer>,
    answering: tokio::task::JoinHandle<io::Result<()>>,
) -> io::Result<()> {
    let expect = |answer| expected.send(answer).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe));
    let first = message(&mut from, true).await?;
    let context = DecodeContext::default();
    let startup = Startup::decode(&mut BytesMut::from(&first[..]), &context).unwrap().unwrap();
    let mut session = Session::new(startup.parameters.get("user").cloned().unwrap_or_default());
    expect(Answer::Pass)?;
    to.write_all(&first).await?;
    let mut held = Vec::new();
    let mut holds = false;
    loop {
        let writes_before = session.writes();
        let unit = unit(&mut from, &mut session, state, has_answered).await?;
        let writes = session.writes() || writes_before;
        let is_commit = unit.text == "COMMIT";
        if let Some(refused) = unit.refused {
            let raise = raise("0A000", &refused);
            state.refused.lock().unwrap().push(refused);
            expect(Answer::Pass)?;
            to.write_all(&raise).await?;
            continue;
        }
        if unit.text.starts_with("BEGIN") {
            holds = writes && *state.loss.lock().unwrap() == Some(Loss::AllLate);
        }
        if writes && let Some(fault) = fault(state, is_commit).await {
            let error = error(fault, is_commit);
            let commits = is_commit && fault.commits;
            let (sent, answer) = match (is_commit, fault.closes) {
                (false, false) => (Some(raise(fault.code, "fault")), Answer::Pass),
                (true, false) => (Some(query(if commits { "COMMIT" } else { "ROLLBACK" })), Answer::Instead(error)),
                (_, true) => (commits.then(|| query("COMMIT")), Answer::Last { was_sent: commits, bytes: error }),
            };
            expect(answer)?;
            if let Some(sent) = sent {
                to.write_all(&sent).await?;
            }
            if fault.closes {
                // The server closes the connection after it has done what it received.
                to.shutdown().await?;
                let _ended = answering.await;
                return Ok(());
            }
            continue;
        }
        held.extend_from_slice(&unit.bytes);
        let loss = if is_commit && writes { state.loss.lock().unwrap().take() } else { None };
        if loss.is_none() && holds {
            continue;
        }
        let message = std::mem::take(&mut held);
        match loss {
            None => {
                expect(Answer::Pass)?;
                to.write_all(&message).await?;
            }
            Some(loss @ (Loss::Before | Loss::After)) => {
                let was_sent = loss == Loss::After;
                expect(Answer::Last { was_sent, bytes: Bytes::new() })?;
                if was_sent {
                    to.write_all(&message).await?;
                }
                let _ended = answering.await;
                return Ok(());
            }
            Some(Loss::Late | Loss::AllLate) => {
                // The transaction is in progress: the server has answered what precedes the COMMIT.
                expect(Answer::Last { was_sent: false, bytes: Bytes::new() })?;
                let _ended = answering.await;
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

/// Returns the fault that happens at a unit of a transaction that writes.
async fn fault(state: &State, is_commit: bool) -> Option<Fault> {
    let (random, delay) = state.weather.lock().unwrap().as_mut().map_or((None, 0), Weather::draw);
    for _ in 0..delay {
        tokio::task::yield_now().await;
    }
    let mut fault = state.fault.lock().unwrap();
    let happens = match fault.as_mut() {
        Some((At::Unit(0), _)) => true,
        Some((At::Unit(number), _)) => {
            *number -= 1;
            false
        }
        Some((At::Commit, _)) => is_commit,
        None => false,
    };
    if happens { fault.take().map(|(_, fault)| fault) } else { random }
}

/// A statement that raises an error.
fn raise(code: &str, message: &str) -> Bytes {
    query(&format!(
        "DO $do$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = $text$of the proxy: {message}$text$; END $do$"
    ))
}

fn query(text: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    Query::new(text.to_owned()).encode(&mut bytes).unwrap();
    bytes.freeze()
}

/// The error as the server would send it.
fn error(fault: Fault, is_ready: bool) -> Bytes {
    let severity = if fault.closes { "FATAL" } else { "ERROR" };
    let fields = [(b'S', severity), (b'V', severity), (b'C', fault.code), (b'M', "fault")];
    let mut bytes = BytesMut::new();
    ErrorResponse::new(fields.map(|(kind, value)| (kind, value.to_owned())).to_vec()).encode(&mut bytes).unwrap();
    if is_ready && !fault.closes {
        ReadyForQuery::new(TransactionStatus::Idle).encode(&mut bytes).unwrap();
    }
    bytes.freeze()
}
