//! MailboxConnectionService: how a mail connector signs in for a mailbox.

use sealward::methods;
use secrecy::SecretString;

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    mail_v1::{
        self, ResolveMailboxConnectionRequest, ResolveMailboxConnectionResponse,
        mail_connection::{Credentials, Protocol},
    },
    method::Method,
    v1::secret_value::Value,
};

/// The connections of a mailbox, one for each direction that it uses.
#[derive(Debug)]
pub struct ResolvedMailbox {
    /// The connection for incoming mail.
    pub incoming: Option<MailConnection>,
    /// The connection for outgoing mail.
    pub outgoing: Option<MailConnection>,
}

/// The address and credentials of a mail server. `Debug` doesn't show the password.
#[derive(Debug)]
pub struct MailConnection {
    /// The protocol of the server.
    pub protocol: Protocol,
    /// The host or URL; `None` if it must be discovered, or if it is missing.
    pub server: Option<String>,
    /// The port.
    pub port: u16,
    /// Whether to use implicit TLS.
    pub use_tls: bool,
    /// The user name.
    pub username: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
    /// The source of the credentials, or why there are none.
    pub credentials: Credentials,
}

impl From<mail_v1::MailConnection> for MailConnection {
    fn from(connection: mail_v1::MailConnection) -> Self {
        let (protocol, credentials) = (connection.protocol(), connection.credentials());
        let mail_v1::MailConnection { server, port, use_tls, username, password, .. } = connection;
        let non_empty = |text: String| Some(text).filter(|text| !text.is_empty());
        let password = match password.and_then(|password| password.value) {
            Some(Value::Text(text)) => Some(text.into()),
            Some(Value::Data(_)) | None => None,
        };
        // The server returns only valid ports.
        let port = u16::try_from(port).unwrap_or(0);
        Self {
            protocol,
            server: non_empty(server),
            port,
            use_tls,
            username: non_empty(username),
            password,
            credentials,
        }
    }
}

impl Client {
    /// Returns the addresses and credentials for a mailbox, by its resource name. The audit trail records the purpose, and the server that each
    /// password is for. Never retried automatically, because each call is recorded.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn resolve_mailbox_connection(
        &self,
        name: impl Into<String>,
        purpose: impl Into<String>,
    ) -> Result<ResolvedMailbox, Error> {
        let request = ResolveMailboxConnectionRequest { name: name.into(), purpose: purpose.into() };
        let answer = self.unary(&Method::of(methods::ResolveMailboxConnection), Encoded::of(&request)).await?;
        let ResolveMailboxConnectionResponse { incoming, outgoing } = decode(&answer)?;
        Ok(ResolvedMailbox { incoming: incoming.map(Into::into), outgoing: outgoing.map(Into::into) })
    }
}
