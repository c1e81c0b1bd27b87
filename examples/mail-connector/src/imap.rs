//! A visit to an IMAP server (RFC 9051): connect, log in, look at INBOX, log out.
//!
//! imap-next has the grammar and the flows of the protocol; here are the bytes, the order of commands, and what can go wrong with them. TLS
//! is from the first byte or not at all: there is no STARTTLS, which somebody on the way can take out. INBOX is examined, not selected, so
//! that nothing in it changes. Nothing here knows Sealward.

use std::{
    collections::BTreeMap,
    io,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
};

use imap_next::{
    Interrupt, Io, State as _,
    client::{Client, Error as ProtocolError, Event, Options},
    imap_types::{
        command::{Command, CommandBody},
        core::{NString, Tag},
        fetch::{MessageDataItem, MessageDataItemName},
        mailbox::Mailbox,
        response::{Capability, Data, GreetingKind, Status, StatusKind, Tagged},
        sequence::SequenceSet,
    },
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use sealward_client::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tracing::{instrument::WithSubscriber as _, subscriber::NoSubscriber};
use zeroize::Zeroizing;

/// Why no certificate could be believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("the CA file {path} can't be read")]
    File { path: PathBuf, source: io::Error },
    #[error("the CA file {path} can't be used")]
    Pem { path: PathBuf, source: sealward_pem::PemError },
    #[error("the CA file {path} has a certificate that can't be a CA's")]
    NoCa { path: PathBuf, source: rustls::Error },
    #[error("there are no CAs to verify it by: name a file that has some with --mail-ca")]
    Empty,
    #[error("the cipher provider doesn't speak TLS 1.2 and 1.3")]
    Versions(#[source] rustls::Error),
}

/// Why a visit failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImapError {
    #[error("{host}:{port} can't be reached")]
    Unreachable { host: String, port: u16, source: io::Error },
    #[error("{host:?} is no name that a certificate could be for")]
    HostInvalid { host: String },
    #[error("the TLS handshake failed, so no password was sent")]
    Tls(#[source] io::Error),
    #[error("it turns us away: {said}")]
    TurnedAway { said: String },
    #[error("it takes us for somebody already, before we said who we are, so no password was sent")]
    AlreadyIn,
    #[error("it takes no passwords on this connection (LOGINDISABLED), so none was sent")]
    LoginDisabled,
    #[error("the user name or the password has a character that IMAP can't send")]
    Unsendable,
    #[error("it refuses the login: {said}")]
    LoginRefused { said: String },
    #[error("it refuses {command}: {said}")]
    CommandRefused { command: &'static str, said: String },
    #[error("it says what no IMAP server does")]
    NotImap(#[source] ProtocolError),
    #[error("it closed the connection")]
    Closed,
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error("it didn't answer in time")]
    TimedOut,
}

/// What is in INBOX.
pub(crate) struct Inbox {
    pub(crate) messages: u32,
    /// The subjects of the newest messages, the newest first, as they were sent: encoded words (RFC 2047) stay encoded.
    pub(crate) newest: Vec<String>,
}

/// TLS that believes the CAs in a file, or else those that the system believes.
///
/// # Errors
/// [`TrustError`]
pub(crate) fn tls(ca: Option<impl AsRef<Path>>) -> Result<TlsConnector, TrustError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let path = path.as_ref();
        let text = std::fs::read(path).map_err(|source| TrustError::File { path: path.to_owned(), source })?;
        let certificates = sealward_pem::certificates(&text);
        for certificate in certificates.map_err(|source| TrustError::Pem { path: path.to_owned(), source })? {
            let added = roots.add(certificate);
            added.map_err(|source| TrustError::NoCa { path: path.to_owned(), source })?;
        }
    } else {
        // One that can't be read is one that isn't believed.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(TrustError::Empty);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A connection on which nobody has logged in.
pub(crate) struct Connection(Wire);

/// A connection on which somebody has.
pub(crate) struct Session(Wire);

impl Connection {
    /// Connects, with TLS if given, and hears the server's greeting.
    ///
    /// # Errors
    /// [`ImapError`]
    pub(crate) async fn open(host: &str, port: u16, tls: Option<&TlsConnector>) -> Result<Self, ImapError> {
        let unreachable = |source| ImapError::Unreachable { host: host.to_owned(), port, source };
        let tcp = TcpStream::connect((host, port)).await.map_err(unreachable)?;
        let stream: Box<dyn Stream> = if let Some(tls) = tls {
            let invalid = |_| ImapError::HostInvalid { host: host.to_owned() };
            let name = ServerName::try_from(host.to_owned()).map_err(invalid)?;
            Box::new(tls.connect(name, tcp).await.map_err(ImapError::Tls)?)
        } else {
            Box::new(tcp)
        };
        let mut options = Options::default();
        options.max_response_size = RESPONSE_SIZE_MAX_BYTES;
        let mut wire = Wire { stream, client: Client::new(options), commands: 0 };
        wire.greeting().await?;
        Ok(Self(wire))
    }

    /// Logs in, unless the server says that it takes no passwords here.
    ///
    /// # Errors
    /// [`ImapError`]
    pub(crate) async fn log_in(mut self, username: String, password: SecretString) -> Result<Session, ImapError> {
        let mut is_disabled = false;
        let look = |data| {
            if let Data::Capability(capabilities) = data {
                is_disabled = capabilities.as_ref().contains(&Capability::LoginDisabled);
            }
        };
        self.0.run(CommandBody::Capability, look).await?;
        if is_disabled {
            return Err(ImapError::LoginDisabled);
        }
        // Two copies that can't be wiped from here go with the command once it is sent: imap-next's, and that of TLS.
        let login = CommandBody::login(username, password.expose_secret().to_owned());
        let login = login.map_err(|_invalid| ImapError::Unsendable)?;
        // imap-next traces all that it sends, also in release builds: of this, nobody gets to hear.
        match self.0.run(login, drop).with_subscriber(NoSubscriber::default()).await {
            Ok(()) => Ok(Session(self.0)),
            Err(ImapError::CommandRefused { said, .. }) => Err(ImapError::LoginRefused { said }),
            Err(error) => Err(error),
        }
    }
}

impl Session {
    /// Looks at INBOX, and changes nothing in it.
    ///
    /// # Errors
    /// [`ImapError`]
    pub(crate) async fn inbox(&mut self) -> Result<Inbox, ImapError> {
        let mut messages = 0;
        let count = |data| {
            if let Data::Exists(exists) = data {
                messages = exists;
            }
        };
        self.0.run(CommandBody::Examine { mailbox: Mailbox::Inbox }, count).await?;
        let first = messages.saturating_sub(NEWEST_MAX - 1).max(1);
        // An empty INBOX has no first message to ask for.
        let Ok(newest) = SequenceSet::try_from(first..=messages) else {
            return Ok(Inbox { messages, newest: Vec::new() });
        };
        let mut subjects = BTreeMap::new();
        let keep = |data| {
            if let Data::Fetch { seq, items } = data
                && (first..=messages).contains(&NonZeroU32::get(seq))
            {
                let subject = items.into_iter().find_map(subject_of);
                subjects.extend(subject.map(|subject| (seq, subject)));
            }
        };
        let items = vec![MessageDataItemName::Envelope].into();
        self.0.run(CommandBody::Fetch { sequence_set: newest, macro_or_item_names: items, uid: false }, keep).await?;
        Ok(Inbox { messages, newest: subjects.into_values().rev().collect() })
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// [`ImapError`]
    pub(crate) async fn log_out(mut self) -> Result<(), ImapError> {
        self.0.run(CommandBody::Logout, drop).await
    }
}

/// What bytes come and go on, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// The connection, and how far the conversation is.
struct Wire {
    stream: Box<dyn Stream>,
    client: Client,
    commands: u32,
}

impl Wire {
    /// What happens next, with all the reading and writing that it takes. What is written is wiped: it may be the password.
    async fn next(&mut self) -> Result<Event, ImapError> {
        loop {
            match self.client.next() {
                Ok(event) => return Ok(event),
                Err(Interrupt::Error(error)) => return Err(ImapError::NotImap(error)),
                Err(Interrupt::Io(Io::Output(bytes))) => {
                    self.stream.write_all(&Zeroizing::new(bytes)).await?;
                    self.stream.flush().await?;
                }
                Err(Interrupt::Io(Io::NeedMoreInput)) => {
                    let mut bytes = [0; READ_SIZE_BYTES];
                    let length = self.stream.read(&mut bytes).await?;
                    let read = bytes.get(..length).filter(|read| !read.is_empty()).ok_or(ImapError::Closed)?;
                    self.client.enqueue_input(read);
                }
            }
        }
    }

    /// Waits until the server says that it listens.
    async fn greeting(&mut self) -> Result<(), ImapError> {
        loop {
            let Event::GreetingReceived { greeting } = self.next().await? else { continue };
            return match greeting.kind {
                GreetingKind::Ok => Ok(()),
                GreetingKind::PreAuth => Err(ImapError::AlreadyIn),
                GreetingKind::Bye => Err(ImapError::TurnedAway { said: printable(greeting.text.inner()) }),
            };
        }
    }

    /// Sends a command and waits until the server has done it. `take` gets the data that it sends meanwhile.
    async fn run(&mut self, body: CommandBody<'static>, mut take: impl FnMut(Data<'static>)) -> Result<(), ImapError> {
        let command = body.name();
        let is_leaving = matches!(body, CommandBody::Logout);
        self.commands += 1;
        let tag = Tag::try_from(format!("a{}", self.commands)).expect("a letter and digits make a tag");
        self.client.enqueue_command(Command { tag: tag.clone(), body });
        loop {
            let event = self.next().await?;
            if let Event::DataReceived { data } = event {
                take(data);
                continue;
            }
            let (Event::StatusReceived { status } | Event::CommandRejected { status, .. }) = event else { continue };
            match status {
                Status::Tagged(Tagged { tag: of, body }) if of == tag => {
                    let said = || printable(body.text.inner());
                    let is_done = body.kind == StatusKind::Ok;
                    return if is_done { Ok(()) } else { Err(ImapError::CommandRefused { command, said: said() }) };
                }
                Status::Bye(bye) if !is_leaving => {
                    return Err(ImapError::TurnedAway { said: printable(bye.text.inner()) });
                }
                Status::Tagged(_) | Status::Untagged(_) | Status::Bye(_) => {}
            }
        }
    }
}

fn subject_of(item: MessageDataItem<'static>) -> Option<String> {
    let MessageDataItem::Envelope(envelope) = item else { return None };
    let NString(subject) = envelope.subject;
    let text = subject.map(|subject| String::from_utf8_lossy(subject.as_ref()).into_owned());
    Some(text.map_or_else(|| "(no subject)".to_owned(), |text| printable(&text)))
}

/// What a stranger wrote, for a terminal: nothing in it moves the cursor or turns the writing around, and it is no longer than a line.
fn printable(text: &str) -> String {
    let shown = text.chars().take(SHOWN_MAX_CHARACTERS);
    shown.map(|character| if is_harmful(character) { '\u{fffd}' } else { character }).collect()
}

/// Controls, and of Unicode's separators and format characters those that hide or reorder text.
fn is_harmful(character: char) -> bool {
    let is_format = matches!(
        character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    character.is_control() || is_format
}

/// So many messages are shown.
const NEWEST_MAX: u32 = 3;

/// A subject, or what a server says, is cut after as many characters.
const SHOWN_MAX_CHARACTERS: usize = 100;

/// Of one reading; most responses are smaller.
const READ_SIZE_BYTES: usize = 4 * 1024;

/// Of one response. Envelopes have a few kilobytes; imap-next would take 100 MB.
const RESPONSE_SIZE_MAX_BYTES: u32 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::{
        io::{AsyncBufReadExt as _, BufReader},
        net::TcpListener,
    };
    use tracing::Level;

    use super::*;

    /// A server that says this, and then answers line after line; gives what it heard.
    async fn serve(listener: TcpListener, greeting: &str, answers: &[&str]) -> Vec<String> {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        stream.write_all(greeting.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        let mut answers = answers.iter();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return heard;
            }
            heard.push(line);
            if let Some(answer) = answers.next() {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    }

    /// A visit to such a server, without TLS.
    async fn visit(greeting: &str, answers: &[&str]) -> (Result<Inbox, ImapError>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let visit = async {
            let connection = Connection::open("127.0.0.1", port, None).await?;
            let mut session = connection.log_in("sales".to_owned(), "hunter2".into()).await?;
            let inbox = session.inbox().await?;
            session.log_out().await.map(|()| inbox)
        };
        tokio::join!(visit, serve(listener, greeting, answers))
    }

    /// Where a subscriber writes to, for all who hold it.
    #[derive(Clone, Default)]
    struct Trace(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Trace {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HELLO: &str = "* OK hello\r\n";
    const CAPABLE: &str = "* CAPABILITY IMAP4rev1\r\na1 OK done\r\n";
    const IN: &str = "a2 OK in\r\n";
    const OUT: &str = "* BYE goodbye\r\na4 OK out\r\n";

    #[tokio::test]
    async fn a_trace_of_everything_has_all_but_the_password() {
        let trace = Trace::default();
        let written = trace.clone();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(move || written.clone()).finish();
        let empty = "* 0 EXISTS\r\na3 OK done\r\n";
        let (inbox, heard) = visit(HELLO, &[CAPABLE, IN, empty, OUT]).with_subscriber(subscriber).await;
        assert_eq!(inbox.unwrap().messages, 0);
        assert_eq!(heard, ["a1 CAPABILITY\r\n", "a2 LOGIN sales hunter2\r\n", "a3 EXAMINE INBOX\r\n", "a4 LOGOUT\r\n"]);
        let trace = String::from_utf8(trace.0.lock().unwrap().clone()).unwrap();
        assert!(trace.contains("a3 EXAMINE") && !trace.contains("hunter2"), "{trace}");
    }

    #[tokio::test]
    async fn a_server_that_takes_no_passwords_gets_none() {
        let disabled = "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na1 OK done\r\n";
        let (inbox, heard) = visit(HELLO, &[disabled]).await;
        assert!(matches!(inbox, Err(ImapError::LoginDisabled)));
        assert_eq!(heard, ["a1 CAPABILITY\r\n"]);
        let (inbox, heard) = visit("* PREAUTH you again\r\n", &[]).await;
        assert!(matches!(inbox, Err(ImapError::AlreadyIn)) && heard.is_empty());
        let (inbox, heard) = visit("* BYE too busy\r\n", &[]).await;
        assert!(matches!(inbox, Err(ImapError::TurnedAway { said }) if said == "too busy") && heard.is_empty());
    }

    #[tokio::test]
    async fn what_a_server_refuses_or_breaks_off_is_an_error_of_its_own() {
        let (inbox, _) = visit(HELLO, &[CAPABLE, "a2 NO not you\r\n"]).await;
        assert!(matches!(inbox, Err(ImapError::LoginRefused { said }) if said == "not you"));
        let (inbox, _) = visit(HELLO, &[CAPABLE, IN, "a3 NO no inbox\r\n"]).await;
        assert!(matches!(inbox, Err(ImapError::CommandRefused { command: "EXAMINE", .. })));
        let (inbox, _) = visit(HELLO, &[CAPABLE, "* BYE shutting down\r\n"]).await;
        assert!(matches!(inbox, Err(ImapError::TurnedAway { .. })));
        let (inbox, _) = visit("220 a mail server, and not of IMAP\r\n", &[]).await;
        assert!(matches!(inbox, Err(ImapError::NotImap(_))));
    }

    #[test]
    fn what_a_stranger_wrote_moves_no_cursor() {
        assert_eq!(printable("Hello\u{1b}[2J\r\nW\u{9b}orld"), "Hello\u{fffd}[2J\u{fffd}\u{fffd}W\u{fffd}orld");
        assert_eq!(printable("a\u{202e}b\u{2028}c\u{200b}d"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(printable(&"x".repeat(SHOWN_MAX_CHARACTERS + 1)).len(), SHOWN_MAX_CHARACTERS);
    }
}
