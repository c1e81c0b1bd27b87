//! MailboxConnectionService: how a mail connector signs in for a mailbox.
//!
//! Only this part of the server knows mailboxes. The mail entities are served by their schema like any others. This service is added if the
//! schema contains them.

use std::sync::Arc;

use sealward::{
    MAIL_PACKAGE,
    mail::v1::{
        ErrorReason, MailConnection, ResolveMailboxConnectionRequest, ResolveMailboxConnectionResponse,
        mail_connection::{Credentials, Protocol},
        mailbox_connection_service_server::{MailboxConnectionService, MailboxConnectionServiceServer},
    },
};
use sealward_core::{
    mail::{
        MAILBOXES,
        resolve::{self, ResolveError, resolve},
    },
    permit::Permit,
    policy::Reveal,
    record::{RecordPlace, reveal::Revealed},
};
use tonic::{Request, Response, Status};

use super::{dispatcher::Dispatcher, name, secret_access::secret_value, services::ServicesBuilder};
use crate::{
    schema::ServedSchema,
    status::{self, Reason},
};

/// Whether the mail application is served.
pub(super) fn is_served(served: &ServedSchema) -> bool {
    served.packages.contains(MAIL_PACKAGE)
}

/// Adds the service, with this maximum size of messages.
pub(super) fn add(services: &mut ServicesBuilder, dispatcher: Arc<Dispatcher>, message_size_max: usize) {
    let service = MailboxConnectionServiceServer::new(MailboxConnections { dispatcher })
        .max_decoding_message_size(message_size_max)
        .max_encoding_message_size(message_size_max);
    services.add_service(service);
}

struct MailboxConnections {
    dispatcher: Arc<Dispatcher>,
}

#[tonic::async_trait]
impl MailboxConnectionService for MailboxConnections {
    async fn resolve_mailbox_connection(
        &self,
        request: Request<ResolveMailboxConnectionRequest>,
    ) -> Result<Response<ResolveMailboxConnectionResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let deployment = &self.dispatcher.deployment;
        let mailboxes = deployment.schema.by_collection(MAILBOXES).ok_or_else(status::broken)?;
        let name = name::record("name", &request.name, mailboxes);
        let permit: Permit<Reveal> = self.dispatcher.enter(&extensions, &name).await?;
        let id = name.resource.map_err(|violation| status::invalid(vec![violation]))?;
        let place = permit.record_of(mailboxes, id);
        let resolved = resolve(deployment, permit, mailboxes, id, &request.purpose).await;
        let resolve::Resolved { incoming, outgoing } = resolved.map_err(|error| refusal(error, &place))?;
        Ok(Response::new(ResolveMailboxConnectionResponse {
            incoming: incoming.map(mail_connection),
            outgoing: outgoing.map(mail_connection),
        }))
    }
}

impl Reason for ErrorReason {
    const DOMAIN: &'static str = "sealward.mail";

    fn full_name(self) -> &'static str {
        self.as_str_name()
    }
}

/// Why the connections of a mailbox aren't resolved.
fn refusal(error: ResolveError, place: &RecordPlace) -> Status {
    let (reason, message) = match error {
        ResolveError::Record(error) => return status::record(error, place),
        ResolveError::MailboxInactive => (ErrorReason::MailboxInactive, "the mailbox is inactive: activate it"),
        ResolveError::MailboxWithoutProfile => {
            (ErrorReason::MailboxWithoutProfile, "the mailbox has no e-mail server profile: set email_server_profile")
        }
        ResolveError::ProfileInactive => (
            ErrorReason::ProfileInactive,
            "the mailbox's e-mail server profile is inactive: activate it, or use another profile",
        ),
    };
    status::refused_by_application(reason, message, &place.organization.name)
}

fn mail_connection(connection: resolve::MailConnection) -> MailConnection {
    let resolve::MailConnection { protocol, server, port, use_tls, username, password, credentials } = connection;
    let protocol = match protocol {
        resolve::Protocol::Imap => Protocol::Imap,
        resolve::Protocol::Pop3 => Protocol::Pop3,
        resolve::Protocol::Smtp => Protocol::Smtp,
        resolve::Protocol::Exchange => Protocol::Exchange,
    };
    let credentials = match credentials {
        resolve::Credentials::OfMailbox => Credentials::OfMailbox,
        resolve::Credentials::OfProfile => Credentials::OfProfile,
        resolve::Credentials::Anonymous => Credentials::Anonymous,
        resolve::Credentials::Elsewhere => Credentials::Elsewhere,
        resolve::Credentials::NotAllowed => Credentials::NotAllowed,
        resolve::Credentials::Missing => Credentials::Missing,
        resolve::Credentials::RetrievalMissing => Credentials::RetrievalMissing,
        resolve::Credentials::ServerMissing => Credentials::ServerMissing,
    };
    MailConnection {
        protocol: protocol.into(),
        server: server.unwrap_or_default(),
        port: port.into(),
        use_tls,
        username: username.unwrap_or_default(),
        password: password.map(|plaintext| secret_value(&Revealed { plaintext, is_text: true })),
        credentials: credentials.into(),
    }
}
