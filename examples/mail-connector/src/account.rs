//! Converts a resolved mailbox to an IMAP account, or to the reason why there is none. A pure function, without network access.

use sealward_client::{
    MailConnection, SecretString,
    mail_v1::mail_connection::{Credentials, Protocol},
};

/// An IMAP account: server and credentials.
pub(crate) struct Account {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Implicit TLS; `false` means no TLS at all.
    pub(crate) use_tls: bool,
    pub(crate) username: String,
    pub(crate) password: SecretString,
    /// The source of the credentials, as text.
    credentials_source: &'static str,
}

/// Why there is no account. Each reason needs another fix, so each has its own message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAccount {
    #[error("the mailbox doesn't fetch mail: enable it, and set server-side synchronization for incoming mail")]
    NoIncoming,
    #[error("the mail server uses {protocol}; this connector supports only IMAP")]
    NotImap { protocol: &'static str },
    #[error("the profile uses anonymous access, which IMAP doesn't support")]
    Anonymous,
    #[error("the profile uses credentials that Sealward doesn't store: the connector's own account, or OAuth")]
    Elsewhere,
    #[error("the mailbox doesn't allow connectors to use its credentials (allow_email_connector_to_use_credentials)")]
    NotAllowed,
    #[error("the user name or the password is missing in the mailbox or its profile")]
    Missing,
    #[error("the profile's incoming_credential_retrieval isn't set")]
    RetrievalMissing,
    #[error("the profile has no mail server and doesn't use discovery")]
    ServerMissing,
    #[error("the profile uses discovery of the mail server, which this connector doesn't support")]
    Discovery,
    #[error("the profile disables TLS for {host}: to send the password in clear text, use --allow-cleartext")]
    Cleartext { host: String },
    #[error("the response is from a newer version of Sealward than this connector supports")]
    Unknown,
}

impl Account {
    /// The account for the incoming connection of a mailbox.
    ///
    /// # Errors
    /// [`NoAccount`]
    pub(crate) fn new(incoming: Option<MailConnection>, allows_cleartext: bool) -> Result<Self, NoAccount> {
        let incoming = incoming.ok_or(NoAccount::NoIncoming)?;
        match incoming.protocol {
            Protocol::Imap => {}
            Protocol::Pop3 => return Err(NoAccount::NotImap { protocol: "POP3" }),
            Protocol::Smtp => return Err(NoAccount::NotImap { protocol: "SMTP" }),
            Protocol::Exchange => return Err(NoAccount::NotImap { protocol: "Exchange Web Services" }),
            Protocol::Unspecified => return Err(NoAccount::Unknown),
        }
        let credentials_source = match incoming.credentials {
            Credentials::OfMailbox => "the credentials of the mailbox",
            Credentials::OfProfile => "the credentials of the profile",
            Credentials::Anonymous => return Err(NoAccount::Anonymous),
            Credentials::Elsewhere => return Err(NoAccount::Elsewhere),
            Credentials::NotAllowed => return Err(NoAccount::NotAllowed),
            Credentials::Missing => return Err(NoAccount::Missing),
            Credentials::RetrievalMissing => return Err(NoAccount::RetrievalMissing),
            Credentials::ServerMissing => return Err(NoAccount::ServerMissing),
            Credentials::Unspecified => return Err(NoAccount::Unknown),
        };
        let MailConnection { server, port, use_tls, username, password, .. } = incoming;
        let host = server.ok_or(NoAccount::Discovery)?;
        if !use_tls && !allows_cleartext {
            return Err(NoAccount::Cleartext { host });
        }
        let (Some(username), Some(password)) = (username, password) else { return Err(NoAccount::Missing) };
        Ok(Self { host, port, use_tls, username, password, credentials_source })
    }

    /// A description for the user, without the password.
    pub(crate) fn describe(&self) -> String {
        let Self { host, port, username, credentials_source, .. } = self;
        let tls = if self.use_tls { "with TLS" } else { "without TLS" };
        format!("{host}:{port} {tls} as {username}, with {credentials_source}.")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn connection() -> MailConnection {
        MailConnection {
            protocol: Protocol::Imap,
            server: Some("imap.example.org".to_owned()),
            port: 993,
            use_tls: true,
            username: Some("sales@example.org".to_owned()),
            password: Some("hunter2".into()),
            credentials: Credentials::OfMailbox,
        }
    }

    fn refusal(change: impl FnOnce(&mut MailConnection)) -> NoAccount {
        let mut changed = connection();
        change(&mut changed);
        Account::new(Some(changed), false).err().unwrap()
    }

    #[test]
    fn every_obstacle_to_a_login_has_a_message() {
        let refusals = [
            Account::new(None, false).err().unwrap(),
            refusal(|found| found.protocol = Protocol::Pop3),
            refusal(|found| found.protocol = Protocol::Smtp),
            refusal(|found| found.protocol = Protocol::Exchange),
            refusal(|found| found.protocol = Protocol::Unspecified),
            refusal(|found| found.credentials = Credentials::Anonymous),
            refusal(|found| found.credentials = Credentials::Elsewhere),
            refusal(|found| found.credentials = Credentials::NotAllowed),
            refusal(|found| found.credentials = Credentials::Missing),
            refusal(|found| found.credentials = Credentials::RetrievalMissing),
            refusal(|found| found.credentials = Credentials::ServerMissing),
            refusal(|found| found.server = None),
            refusal(|found| found.use_tls = false),
        ];
        let messages: BTreeSet<String> = refusals.iter().map(ToString::to_string).collect();
        assert_eq!(messages.len(), refusals.len(), "{messages:#?}");
        assert_eq!(refusal(|found| found.credentials = Credentials::Unspecified), NoAccount::Unknown);
        assert_eq!(refusal(|found| found.password = None), NoAccount::Missing);
    }

    #[test]
    fn password_is_sent_in_the_clear_only_if_allowed() {
        let clear = || Some(MailConnection { use_tls: false, ..connection() });
        assert!(matches!(Account::new(clear(), false), Err(NoAccount::Cleartext { .. })));
        assert!(Account::new(clear(), true).is_ok_and(|account| !account.use_tls));
        assert!(Account::new(Some(connection()), true).is_ok_and(|account| account.use_tls));
    }

    #[test]
    fn description_of_an_account_contains_no_password() {
        let account = Account::new(Some(connection()), false).ok().unwrap();
        let expected = "imap.example.org:993 with TLS as sales@example.org, with the credentials of the mailbox.";
        assert_eq!(account.describe(), expected);
    }
}
