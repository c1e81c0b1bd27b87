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

/// How to sign in for a mailbox, each direction that it uses.
#[derive(Debug)]
pub struct ResolvedMailbox {
    /// For fetching mail.
    pub incoming: Option<MailConnection>,
    /// For sending mail.
    pub outgoing: Option<MailConnection>,
}

/// How to sign in to a mail server. Debug shows no password.
#[derive(Debug)]
pub struct MailConnection {
    /// What the server speaks.
    pub protocol: Protocol,
    /// Its host or URL; `None` if it is to be discovered, or missing.
    pub server: Option<String>,
    /// Its port.
    pub port: u16,
    /// Whether to connect with TLS from the first byte.
    pub use_tls: bool,
    /// The user to sign in as.
    pub username: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
    /// Whose they are, or why there are none.
    pub credentials: Credentials,
}

impl From<mail_v1::MailConnection> for MailConnection {
    fn from(connection: mail_v1::MailConnection) -> Self {
        let (protocol, credentials) = (connection.protocol(), connection.credentials());
        let mail_v1::MailConnection { server, port, use_tls, username, password, .. } = connection;
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        let password = match password.and_then(|password| password.value) {
            Some(Value::Text(text)) => Some(text.into()),
            Some(Value::Data(_)) | None => None,
        };
        // Ports that aren't any aren't answered.
        let port = u16::try_from(port).unwrap_or(0);
        Self { protocol, server: said(server), port, use_tls, username: said(username), password, credentials }
    }
}

impl Client {
    /// Answers with all that a mail connector needs to sign in for the mailbox `name`. The audit trail has the purpose and where each
    /// password goes. Never repeated by itself: each call leaves an audit record.
    ///
    /// # Errors
    /// See the contract.
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
