//! Resolves the connections of a mailbox: the mail server, user and password for a mail connector, by the rules of
//! Dynamics 365.
//!
//! It knows the entities `Mailbox` and `EmailServerProfile` of `sealward.mail.v1` by the names of their attributes. The
//! caller, the purpose and the destination of each password are recorded durably in the trail before a password is
//! returned.
//!
//! The rules follow the server-side synchronization of Dynamics 365:
//!
//! * A mailbox has no connections if it is inactive, has no profile, or has an inactive profile.
//! * A direction is used if its delivery method is server-side synchronization and it is enabled.
//! * The *credential retrieval* of a direction determines the source of its credentials. The credentials of the mailbox
//!   require `allow_email_connector_to_use_credentials`.
//! * With `use_same_settings_for_outgoing_connections`, sending uses the TLS setting and the credentials of receiving,
//!   and also its server unless sending has its own.
//!
//! A password and its destination come from one read of the profile, so that a new password is never sent to an old
//! destination.

use std::sync::Arc;

use crate::{
    audit::entry::{AuditAction, AuditEntry, OUTCOME_DONE},
    crypto::{ring::KeyRing, secret::Plaintext},
    deployment::Deployment,
    id::RecordId,
    permit::Permit,
    policy,
    record::{
        content::Record,
        error::RecordError,
        place::RecordPlace,
        reveal::{Unopened, check_purpose, open_cell, open_with_ring, record_access, refusal_word},
        row::{Cells, read_record},
    },
    schema::{entity::Entity, value::Value},
};

/// The collection of e-mail server profiles.
const EMAIL_SERVER_PROFILES: &str = "emailServerProfiles";

/// The protocol of a mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// IMAP (RFC 9051).
    Imap,
    /// POP3 (RFC 1939).
    Pop3,
    /// SMTP submission (RFC 6409).
    Smtp,
    /// Exchange Web Services.
    Exchange,
}

/// The source of the credentials, or why there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// The credentials of the mailbox.
    OfMailbox,
    /// The credentials of the profile.
    OfProfile,
    /// The server requires no credentials.
    Anonymous,
    /// The credentials aren't stored: the connector's own account, an agreement of two servers, or OAuth.
    Elsewhere,
    /// The mailbox doesn't allow connectors to use its credentials.
    NotAllowed,
    /// The user name or the password is missing.
    Missing,
    /// The profile doesn't define the source of the credentials.
    RetrievalMissing,
    /// The profile has no server and doesn't enable discovery.
    ServerMissing,
}

impl Credentials {
    /// Returns the text for the trail.
    fn word(self) -> &'static str {
        match self {
            Credentials::OfMailbox => "credentials of mailbox",
            Credentials::OfProfile => "credentials of profile",
            Credentials::Anonymous => "anonymous",
            Credentials::Elsewhere => "credentials elsewhere",
            Credentials::NotAllowed => "credentials not allowed",
            Credentials::Missing => "credentials missing",
            Credentials::RetrievalMissing => "retrieval missing",
            Credentials::ServerMissing => "server missing",
        }
    }
}

/// The parameters to sign in to a mail server.
pub struct MailConnection {
    /// The protocol.
    pub protocol: Protocol,
    /// The host; `None` if it must be discovered.
    pub server: Option<String>,
    /// The port.
    pub port: u16,
    /// Whether to connect with TLS.
    pub use_tls: bool,
    /// The user to sign in as.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Plaintext>,
    /// The source of the credentials, or why there are none.
    pub credentials: Credentials,
}

/// The connections of a mailbox; `None` for an unused direction.
pub struct Resolved {
    /// The connection for receiving.
    pub incoming: Option<MailConnection>,
    /// The connection for sending.
    pub outgoing: Option<MailConnection>,
}

/// The audit action of the use case.
pub const RESOLVE: AuditAction = AuditAction::Application("resolve-mailbox-connection");

/// Why the connections of a mailbox can't be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// An error of the use cases of records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The mailbox is inactive.
    #[error("the mailbox is inactive")]
    MailboxInactive,
    /// The mailbox has no e-mail server profile.
    #[error("the mailbox has no e-mail server profile")]
    MailboxWithoutProfile,
    /// The mailbox's profile is inactive.
    #[error("the mailbox's e-mail server profile is inactive")]
    ProfileInactive,
}

impl ResolveError {
    /// Returns the outcome for the trail, which is the reason that the caller gets.
    fn word(&self) -> &'static str {
        match self {
            ResolveError::Record(error) => refusal_word(error),
            ResolveError::MailboxInactive => "MAILBOX_INACTIVE",
            ResolveError::MailboxWithoutProfile => "MAILBOX_WITHOUT_PROFILE",
            ResolveError::ProfileInactive => "PROFILE_INACTIVE",
        }
    }
}

/// Resolves the connections of the mailbox with this id. `mailboxes` is the entity.
///
/// # Errors
/// See [`ResolveError`]. The refusal of a well-formed call is recorded in the trail.
pub async fn resolve(
    deployment: &Deployment,
    permit: Permit<policy::Reveal>,
    mailboxes: &Arc<Entity>,
    id: RecordId,
    purpose: &str,
) -> Result<Resolved, ResolveError> {
    if let Some(violation) = check_purpose(purpose) {
        return Err(RecordError::Invalid(vec![violation]).into());
    }
    let place = &permit.record_of(mailboxes, id);
    let read = || Fields::read_both(deployment, place);
    let outcome: Result<_, ResolveError> =
        open_with_ring(deployment, &place.organization, read, |(mailbox, profile), ring| {
            let direction = |direction| connection(mailbox, profile, direction, ring);
            Ok((direction(Direction::Incoming)?, direction(Direction::Outgoing)?))
        })
        .await;
    let mut attributes = Vec::new();
    let mut details = Vec::new();
    if let Ok((incoming, outgoing)) = &outcome {
        for (word, found) in [("incoming", incoming), ("outgoing", outgoing)] {
            if let Some(found) = found {
                details.push(format!("{word} {}", found.audit_text()));
                attributes.extend(found.attribute.clone());
            }
        }
    }
    attributes.dedup();
    let joined = |parts: Vec<String>, with| Some(parts.join(with)).filter(|joined| !joined.is_empty());
    let entry = AuditEntry {
        caller: Some(permit.caller().clone()),
        outcome: outcome.as_ref().map_or_else(ResolveError::word, |_| OUTCOME_DONE),
        attributes: joined(attributes, ","),
        purpose: Some(purpose.to_owned()),
        details: joined(details, "; "),
        ..AuditEntry::done(deployment.now(), RESOLVE, place.resource_name())
    };
    record_access(place, entry).await?;
    let (incoming, outgoing) = outcome?;
    Ok(Resolved { incoming: incoming.map(|found| found.connection), outgoing: outgoing.map(|found| found.connection) })
}

/// A record with its cells, by the names of attributes.
#[derive(PartialEq)]
struct Fields {
    record: Record,
    cells: Cells,
    place: At,
}

/// A location of a record, which compares by the id of the record.
struct At(RecordPlace);

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Fields {
    /// Reads the mailbox and its profile, if connectors may sign in for it.
    async fn read_both(deployment: &Deployment, place: &RecordPlace) -> Result<(Self, Self), ResolveError> {
        let mailbox = Self::read(place.clone()).await?.ok_or(RecordError::NotFound)?;
        if mailbox.number("state_code") != Some(ACTIVE) {
            return Err(ResolveError::MailboxInactive);
        }
        let (Some(Value::Reference(id)), Some(entity)) =
            (mailbox.value("email_server_profile"), deployment.schema.by_collection(EMAIL_SERVER_PROFILES))
        else {
            return Err(ResolveError::MailboxWithoutProfile);
        };
        let profile = place.beside(entity, *id);
        // The profile was deleted concurrently, which also cleared the reference.
        let profile = Self::read(profile).await?.ok_or(ResolveError::MailboxWithoutProfile)?;
        if profile.number("state_code") != Some(ACTIVE) {
            return Err(ResolveError::ProfileInactive);
        }
        Ok((mailbox, profile))
    }

    async fn read(place: RecordPlace) -> Result<Option<Self>, RecordError> {
        let found = read_record(&place).await?;
        Ok(found.map(|(record, cells)| Fields { record, cells, place: At(place) }))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.record.values.get(self.place.0.entity.position(name)?)?.as_ref()
    }

    fn is(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(true)))
    }

    fn number(&self, name: &str) -> Option<i64> {
        if let Some(Value::Integer(number)) = self.value(name) { Some(*number) } else { None }
    }

    /// Returns a text that isn't empty.
    fn text(&self, name: &str) -> Option<String> {
        if let Some(Value::Text(text)) = self.value(name) {
            Some(text.clone()).filter(|text| !text.is_empty())
        } else {
            None
        }
    }

    /// Returns the value of an encrypted attribute.
    fn secret(&self, name: &str, ring: &KeyRing) -> Result<Option<Plaintext>, Unopened> {
        let entity = &self.place.0.entity;
        let (Some(attribute), Some(index)) = (entity.attribute(name), entity.position(name)) else { return Ok(None) };
        let cell = self.cells.get(&index);
        cell.map(|cell| open_cell(&self.place.0, attribute, cell, ring)).transpose()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Incoming,
    Outgoing,
}

// The numbers of the enums in `sealward.mail.v1`.
const ACTIVE: i64 = 1;
const SERVER_SIDE_SYNC: i64 = 3;
const SERVER_OTHER: i64 = 2;
const SERVER_IMAP_SMTP: i64 = 5;
const RETRIEVAL_OF_MAILBOX: i64 = 1;
const RETRIEVAL_OF_PROFILE: i64 = 2;
const RETRIEVAL_ANONYMOUS: i64 = 5;

/// Returns the usual port of a protocol, with and without TLS.
fn usual_port(protocol: Protocol, use_tls: bool) -> u16 {
    match (protocol, use_tls) {
        (Protocol::Imap, true) => 993,
        (Protocol::Imap, false) => 143,
        (Protocol::Pop3, true) => 995,
        (Protocol::Pop3, false) => 110,
        (Protocol::Smtp, true) => 465,
        (Protocol::Smtp, false) => 25,
        (Protocol::Exchange, true) => 443,
        (Protocol::Exchange, false) => 80,
    }
}

/// A connection, and the attribute with its password, such as `Mailbox.password`.
struct Found {
    connection: MailConnection,
    attribute: Option<String>,
}

impl Found {
    /// Returns the destination of the password, or why there is no password, for the trail.
    fn audit_text(&self) -> String {
        let MailConnection { server, port, use_tls, credentials, .. } = &self.connection;
        let server = server.as_deref().unwrap_or("auto-discover");
        let tls = if *use_tls { "TLS" } else { "no TLS" };
        // If the server is discovered, discovery starts from the user name. `plain` prevents that a stored text
        // imitates other fields of the details.
        let found_for = match (&self.connection.server, &self.connection.username) {
            (None, Some(username)) => format!(" for {}", plain(username)),
            (Some(_), _) | (None, None) => String::new(),
        };
        format!("{}{found_for}:{port} {tls}, {}", plain(server), credentials.word())
    }
}

/// Returns a host, URL or user name with all other characters replaced by `?`.
fn plain(text: &str) -> String {
    let is_plain = |character: &char| character.is_ascii_alphanumeric() || "-._~:/?@[]%+=&#".contains(*character);
    text.chars().map(|character| if is_plain(&character) { character } else { '?' }).collect()
}

/// Returns the connection of one direction; `None` if the mailbox doesn't use it.
fn connection(
    mailbox: &Fields,
    profile: &Fields,
    direction: Direction,
    ring: &KeyRing,
) -> Result<Option<Found>, Unopened> {
    let own = if direction == Direction::Incoming { "incoming" } else { "outgoing" };
    let is_used = mailbox.number(&format!("{own}_email_delivery_method")) == Some(SERVER_SIDE_SYNC)
        && mailbox.is(&format!("enabled_for_{own}_email"));
    if !is_used {
        return Ok(None);
    }
    let is_same = profile.is("use_same_settings_for_outgoing_connections");
    // If both directions share their settings, those for receiving apply.
    let settings = if is_same { "incoming" } else { own };
    let protocol = match (profile.number("server_type"), direction) {
        (Some(SERVER_OTHER), Direction::Incoming) => Protocol::Pop3,
        (Some(SERVER_IMAP_SMTP), Direction::Incoming) => Protocol::Imap,
        (Some(SERVER_OTHER | SERVER_IMAP_SMTP), Direction::Outgoing) => Protocol::Smtp,
        (_, _) => Protocol::Exchange,
    };
    // TLS is used unless the profile disables it. A profile without a value violates no rule that requires TLS.
    let use_tls = profile.value(&format!("{settings}_use_ssl")) != Some(&Value::Boolean(false));
    let use_auto_discover = profile.is("use_auto_discover");
    let server =
        [&*format!("{own}_server_location"), &*format!("{settings}_server_location"), "default_server_location"]
            .into_iter()
            .find_map(|name| profile.text(name))
            .filter(|_| !use_auto_discover);
    // A host has separate ports for receiving and sending, even with shared settings. Exchange uses one port for both.
    let port_of = |direction: &str| {
        let port = profile.number(&format!("{direction}_port_number"));
        port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
    };
    let shared = if protocol == Protocol::Exchange { port_of(settings) } else { None };
    let port = port_of(own).or(shared).unwrap_or_else(|| usual_port(protocol, use_tls));

    let mut found = Found {
        connection: MailConnection {
            protocol,
            server,
            port,
            use_tls,
            username: None,
            password: None,
            credentials: Credentials::Missing,
        },
        attribute: None,
    };
    let without = |mut found: Found, credentials| {
        found.connection.credentials = credentials;
        Ok(Some(found))
    };
    if found.connection.server.is_none() && !use_auto_discover {
        return without(found, Credentials::ServerMissing);
    }
    let (of, prefix, credentials) = match profile.number(&format!("{settings}_credential_retrieval")) {
        None => return without(found, Credentials::RetrievalMissing),
        Some(RETRIEVAL_ANONYMOUS) => return without(found, Credentials::Anonymous),
        Some(RETRIEVAL_OF_MAILBOX) if !mailbox.is("allow_email_connector_to_use_credentials") => {
            return without(found, Credentials::NotAllowed);
        }
        Some(RETRIEVAL_OF_MAILBOX) => (mailbox, String::new(), Credentials::OfMailbox),
        Some(RETRIEVAL_OF_PROFILE) => (profile, format!("{settings}_"), Credentials::OfProfile),
        Some(_) => return without(found, Credentials::Elsewhere),
    };
    let (username, password) = (of.text(&format!("{prefix}username")), format!("{prefix}password"));
    if let (Some(username), Some(value)) = (username, of.secret(&password, ring)?) {
        found.attribute = Some(format!("{}.{password}", of.place.0.entity.name));
        found.connection.username = Some(username);
        found.connection.password = Some(value);
        found.connection.credentials = credentials;
    }
    Ok(Some(found))
}
