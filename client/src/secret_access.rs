//! SecretAccessService: the one narrow path from an encrypted attribute back to its value.

use std::collections::BTreeMap;

use sealward::methods;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use zeroize::Zeroize as _;

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    method::Method,
    v1::{
        self, CompareAttributeRequest, CompareAttributeResponse, ResolveMailboxConnectionRequest,
        ResolveMailboxConnectionResponse, RevealAttributesRequest, RevealAttributesResponse,
        mail_connection::{Credentials, Protocol},
        secret_value::Value,
    },
};

/// The value of an encrypted attribute, wiped when it is dropped. Debug shows none of it.
#[derive(Debug)]
pub enum SecretValue {
    /// Of a string attribute.
    Text(SecretString),
    /// Of a bytes attribute.
    Data(SecretSlice<u8>),
}

impl SecretValue {
    /// The value as bytes; UTF-8 if it is text.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.expose_secret().as_bytes(),
            Self::Data(data) => data.expose_secret(),
        }
    }

    /// The value as text, if it is text.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.expose_secret()),
            Self::Data(_) => None,
        }
    }
}

impl From<Value> for SecretValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text.into()),
            Value::Data(data) => Self::Data(data.into()),
        }
    }
}

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

impl From<v1::MailConnection> for MailConnection {
    fn from(connection: v1::MailConnection) -> Self {
        let (protocol, credentials) = (connection.protocol(), connection.credentials());
        let v1::MailConnection { server, port, use_tls, username, password, .. } = connection;
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
    /// Tells whether an encrypted attribute of the record `name` has exactly this value. Recorded, and limited against guessing. Never
    /// repeated by itself: each call counts.
    ///
    /// # Errors
    /// See the contract.
    pub async fn compare_attribute(
        &self,
        name: impl Into<String>,
        attribute: impl Into<String>,
        value: &SecretString,
        purpose: impl Into<String>,
    ) -> Result<bool, Error> {
        let text = value.expose_secret().to_owned();
        let mut request = CompareAttributeRequest {
            name: name.into(),
            attribute: attribute.into(),
            value: Some(v1::SecretValue { value: Some(Value::Text(text)) }),
            purpose: purpose.into(),
        };
        let encoded = Encoded::of(&request);
        if let Some(v1::SecretValue { value: Some(Value::Text(text)) }) = &mut request.value {
            text.zeroize();
        }
        let answer = self.unary(&Method::of(methods::CompareAttribute), encoded).await?;
        Ok(decode::<CompareAttributeResponse>(&answer)?.equal)
    }

    /// Answers with the values of encrypted attributes of the record `name`, of any entity, by attribute; one that is null is absent.
    /// The audit trail has the purpose, so it can't be a secret. Never repeated by itself: each call leaves an audit record.
    ///
    /// # Errors
    /// See the contract.
    pub async fn reveal_attributes(
        &self,
        name: impl Into<String>,
        attributes: impl IntoIterator<Item = impl Into<String>>,
        purpose: impl Into<String>,
    ) -> Result<BTreeMap<String, SecretValue>, Error> {
        let request = RevealAttributesRequest {
            name: name.into(),
            attributes: attributes.into_iter().map(Into::into).collect(),
            purpose: purpose.into(),
        };
        let answer = self.unary(&Method::of(methods::RevealAttributes), Encoded::of(&request)).await?;
        let response: RevealAttributesResponse = decode(&answer)?;
        let values = response.values.into_iter();
        Ok(values.filter_map(|(attribute, secret)| Some((attribute, SecretValue::from(secret.value?)))).collect())
    }

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
