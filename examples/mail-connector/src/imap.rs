//! An IMAP session (RFC 9051): connect, log in, read INBOX, log out.
//!
//! imap-next implements the grammar and the flows of the protocol. This file does the I/O, and sends the commands. TLS is implicit or not used:
//! STARTTLS isn't supported, because an attacker on the network can remove it. INBOX is opened with EXAMINE, which changes nothing.

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

/// Why there are no CAs to verify the mail server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("can't read the CA file {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("can't use the CA file {path}")]
    Pem { path: PathBuf, source: sealward_pem::PemError },
    #[error("the CA file {path} has a certificate that isn't a CA certificate")]
    NoCa { path: PathBuf, source: rustls::Error },
    #[error("no CA certificates: use --mail-ca FILE")]
    Empty,
    #[error("the cipher provider doesn't support TLS 1.2 and 1.3")]
    Versions(#[source] rustls::Error),
}

/// Why an IMAP session failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImapError {
    #[error("can't connect to {host}:{port}")]
    Unreachable { host: String, port: u16, source: io::Error },
    #[error("invalid host name {host:?}")]
    HostInvalid { host: String },
    #[error("TLS handshake failed, no password was sent")]
    Tls(#[source] io::Error),
    #[error("the server closed the connection: {text}")]
    Bye { text: String },
    #[error("the server sent PREAUTH, no password was sent")]
    Preauthenticated,
    #[error("the server allows no login on this connection (LOGINDISABLED), no password was sent")]
    LoginDisabled,
    #[error("the user name or the password has a character that IMAP doesn't allow")]
    InvalidCredentials,
    #[error("login refused: {text}")]
    LoginRefused { text: String },
    #[error("{command} refused: {text}")]
    CommandRefused { command: &'static str, text: String },
    #[error("invalid IMAP response")]
    NotImap(#[source] ProtocolError),
    #[error("the server closed the connection")]
    Closed,
    #[error("connection lost")]
    Broken(#[from] io::Error),
    #[error("no response within the time limit")]
    TimedOut,
}

/// The content of INBOX.
pub(crate) struct Inbox {
    pub(crate) messages: u32,
    /// The subjects of the newest messages, newest first. Encoded words (RFC 2047) aren't decoded.
    pub(crate) newest: Vec<String>,
}

/// A TLS connector that trusts the CAs in a file, or the system's CAs.
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
        // CAs that can't be read aren't trusted.
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

/// A connection before the login.
pub(crate) struct Connection(Wire);

/// A connection after the login.
pub(crate) struct Session(Wire);

impl Connection {
    /// Connects, with TLS if `tls` is set, and reads the server's greeting.
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

    /// Logs in, unless the server announces LOGINDISABLED.
    ///
    /// # Errors
    /// [`ImapError`]
    pub(crate) async fn log_in(mut self, username: String, password: SecretString) -> Result<Session, ImapError> {
        let mut is_disabled = false;
        let read_capability = |data| {
            if let Data::Capability(capabilities) = data {
                is_disabled = capabilities.as_ref().contains(&Capability::LoginDisabled);
            }
        };
        self.0.run(CommandBody::Capability, read_capability).await?;
        if is_disabled {
            return Err(ImapError::LoginDisabled);
        }
        // imap-next and TLS make copies of the password that can't be wiped; they are freed after the command is sent.
        let login = CommandBody::login(username, password.expose_secret().to_owned());
        let login = login.map_err(|_invalid| ImapError::InvalidCredentials)?;
        // imap-next traces all that it sends, also in release builds: this hides the login from every subscriber.
        match self.0.run(login, drop).with_subscriber(NoSubscriber::default()).await {
            Ok(()) => Ok(Session(self.0)),
            Err(ImapError::CommandRefused { text, .. }) => Err(ImapError::LoginRefused { text }),
            Err(error) => Err(error),
        }
    }
}

impl Session {
    /// Reads the number of messages and the newest subjects, without changes to INBOX.
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
        // An empty INBOX has no first message.
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

    /// Logs out.
    ///
    /// # Errors
    /// [`ImapError`]
    pub(crate) async fn log_out(mut self) -> Result<(), ImapError> {
        self.0.run(CommandBody::Logout, drop).await
    }
}

/// A connection with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// The connection and the state of the protocol.
struct Wire {
    stream: Box<dyn Stream>,
    client: Client,
    commands: u32,
}

impl Wire {
    /// Waits for the next event, and does the I/O. Written bytes are wiped, because they may have the password.
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

    /// Waits for the server's greeting.
    async fn greeting(&mut self) -> Result<(), ImapError> {
        loop {
            let Event::GreetingReceived { greeting } = self.next().await? else { continue };
            return match greeting.kind {
                GreetingKind::Ok => Ok(()),
                GreetingKind::PreAuth => Err(ImapError::Preauthenticated),
                GreetingKind::Bye => Err(ImapError::Bye { text: printable(greeting.text.inner()) }),
            };
        }
    }

    /// Sends a command and waits for its completion. `take` gets the data that the server sends meanwhile.
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
                    let text = || printable(body.text.inner());
                    let is_ok = body.kind == StatusKind::Ok;
                    return if is_ok { Ok(()) } else { Err(ImapError::CommandRefused { command, text: text() }) };
                }
                Status::Bye(bye) if !is_leaving => {
                    return Err(ImapError::Bye { text: printable(bye.text.inner()) });
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

/// Untrusted text for a terminal: replaces control and bidirectional characters, and truncates it.
fn printable(text: &str) -> String {
    let shown = text.chars().take(SHOWN_MAX_CHARACTERS);
    shown.map(|character| if is_unsafe(character) { '\u{fffd}' } else { character }).collect()
}

/// Whether the character is a control character, or hides or reorders text.
fn is_unsafe(character: char) -> bool {
    let is_format = matches!(
        character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    character.is_control() || is_format
}

/// Number of messages to show.
const NEWEST_MAX: u32 = 3;

/// Maximum length of a subject or a server's text.
const SHOWN_MAX_CHARACTERS: usize = 100;

/// Buffer size of a read; most responses are smaller.
const READ_SIZE_BYTES: usize = 4 * 1024;

/// Maximum size of a response. Envelopes have a few kilobytes; imap-next's default is 100 MB.
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

    /// A server that sends a greeting, and an answer to each line. Returns the received lines.
    async fn serve(listener: TcpListener, greeting: &str, answers: &[&str]) -> Vec<String> {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        stream.write_all(greeting.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        let mut answers = answers.iter();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return received;
            }
            received.push(line);
            if let Some(answer) = answers.next() {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    }

    /// A session with such a server, without TLS.
    async fn session(greeting: &str, answers: &[&str]) -> (Result<Inbox, ImapError>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let session = async {
            let connection = Connection::open("127.0.0.1", port, None).await?;
            let mut session = connection.log_in("sales".to_owned(), "hunter2".into()).await?;
            let inbox = session.inbox().await?;
            session.log_out().await.map(|()| inbox)
        };
        tokio::join!(session, serve(listener, greeting, answers))
    }

    /// The output of a subscriber.
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
    async fn full_trace_omits_only_the_password() {
        let trace = Trace::default();
        let written = trace.clone();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(move || written.clone()).finish();
        let empty = "* 0 EXISTS\r\na3 OK done\r\n";
        let (inbox, received) = session(HELLO, &[CAPABLE, IN, empty, OUT]).with_subscriber(subscriber).await;
        assert_eq!(inbox.unwrap().messages, 0);
        assert_eq!(
            received,
            ["a1 CAPABILITY\r\n", "a2 LOGIN sales hunter2\r\n", "a3 EXAMINE INBOX\r\n", "a4 LOGOUT\r\n"]
        );
        let trace = String::from_utf8(trace.0.lock().unwrap().clone()).unwrap();
        assert!(trace.contains("a3 EXAMINE") && !trace.contains("hunter2"), "{trace}");
    }

    #[tokio::test]
    async fn server_that_disables_passwords_gets_no_password() {
        let disabled = "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na1 OK done\r\n";
        let (inbox, received) = session(HELLO, &[disabled]).await;
        assert!(matches!(inbox, Err(ImapError::LoginDisabled)));
        assert_eq!(received, ["a1 CAPABILITY\r\n"]);
        let (inbox, received) = session("* PREAUTH you again\r\n", &[]).await;
        assert!(matches!(inbox, Err(ImapError::Preauthenticated)) && received.is_empty());
        let (inbox, received) = session("* BYE too busy\r\n", &[]).await;
        assert!(matches!(inbox, Err(ImapError::Bye { text }) if text == "too busy") && received.is_empty());
    }

    #[tokio::test]
    async fn refusals_and_broken_connections_have_distinct_errors() {
        let (inbox, _) = session(HELLO, &[CAPABLE, "a2 NO not you\r\n"]).await;
        assert!(matches!(inbox, Err(ImapError::LoginRefused { text }) if text == "not you"));
        let (inbox, _) = session(HELLO, &[CAPABLE, IN, "a3 NO no inbox\r\n"]).await;
        assert!(matches!(inbox, Err(ImapError::CommandRefused { command: "EXAMINE", .. })));
        let (inbox, _) = session(HELLO, &[CAPABLE, "* BYE shutting down\r\n"]).await;
        assert!(matches!(inbox, Err(ImapError::Bye { .. })));
        let (inbox, _) = session("220 a mail server, and not of IMAP\r\n", &[]).await;
        assert!(matches!(inbox, Err(ImapError::NotImap(_))));
    }

    #[test]
    fn control_characters_of_a_message_are_replaced() {
        assert_eq!(printable("Hello\u{1b}[2J\r\nW\u{9b}orld"), "Hello\u{fffd}[2J\u{fffd}\u{fffd}W\u{fffd}orld");
        assert_eq!(printable("a\u{202e}b\u{2028}c\u{200b}d"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(printable(&"x".repeat(SHOWN_MAX_CHARACTERS + 1)).len(), SHOWN_MAX_CHARACTERS);
    }
}
