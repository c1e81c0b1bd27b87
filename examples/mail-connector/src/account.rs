//! What a resolved mailbox comes to for a connector that speaks IMAP: an account to sign in with, or the reason why there is none.
//!
//! Decided from values alone. Nothing here knows how Sealward was asked, or any network.

use sealward_client::{
    MailConnection, SecretString,
    mail_v1::mail_connection::{Credentials, Protocol},
};

/// Where to sign in, as whom, with what.
pub(crate) struct Account {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// TLS from the first byte; otherwise none at all.
    pub(crate) use_tls: bool,
    pub(crate) username: String,
    pub(crate) password: SecretString,
    /// In words: of the mailbox, or of its profile.
    whose: &'static str,
}

/// Why there is nothing to sign in with. Each has another remedy, so each has its own words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAccount {
    #[error(
        "the mailbox fetches no mail here: that takes server-side synchronisation for incoming mail, and that it is enabled"
    )]
    NoIncoming,
    #[error("the mail server speaks {protocol}, and this connector speaks IMAP only")]
    NotImap { protocol: &'static str },
    #[error("the profile says that the mail server wants no credentials, and IMAP has no use for that")]
    Anonymous,
    #[error("the profile says to use what Sealward doesn't keep: an account of the connector's own, or OAuth")]
    Elsewhere,
    #[error("the mailbox doesn't allow connectors to use its credentials (allow_email_connector_to_use_credentials)")]
    NotAllowed,
    #[error("the user name or the password is missing, in the mailbox or the profile that should have it")]
    Missing,
    #[error("the profile doesn't say whose credentials to use (incoming_credential_retrieval)")]
    RetrievalMissing,
    #[error("the profile says neither where the mail server is nor to discover it")]
    ServerMissing,
    #[error("the profile wants the mail server to be discovered, which this connector doesn't do")]
    Discovery,
    #[error(
        "the profile says that {host} has no TLS: --allow-cleartext sends the password all the same, for all on the way to read"
    )]
    Cleartext { host: String },
    #[error("the answer is of a newer Sealward than this connector knows")]
    Unknown,
}

impl Account {
    /// The account of the direction `incoming` of a mailbox.
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
        let whose = match incoming.credentials {
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
        Ok(Self { host, port, use_tls, username, password, whose })
    }

    /// All but the password, for people.
    pub(crate) fn told(&self) -> String {
        let Self { host, port, username, whose, .. } = self;
        let tls = if self.use_tls { "with TLS" } else { "in the clear" };
        format!("{host}:{port} {tls} as {username}, with {whose}.")
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
    fn whatever_stands_in_the_way_has_words_of_its_own() {
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
        let words: BTreeSet<String> = refusals.iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), refusals.len(), "{words:#?}");
        assert_eq!(refusal(|found| found.credentials = Credentials::Unspecified), NoAccount::Unknown);
        assert_eq!(refusal(|found| found.password = None), NoAccount::Missing);
    }

    #[test]
    fn a_password_goes_in_the_clear_only_where_that_is_allowed() {
        let clear = || Some(MailConnection { use_tls: false, ..connection() });
        assert!(matches!(Account::new(clear(), false), Err(NoAccount::Cleartext { .. })));
        assert!(Account::new(clear(), true).is_ok_and(|account| !account.use_tls));
        assert!(Account::new(Some(connection()), true).is_ok_and(|account| account.use_tls));
    }

    #[test]
    fn what_is_told_of_an_account_has_no_password_in_it() {
        let account = Account::new(Some(connection()), false).ok().unwrap();
        let told = "imap.example.org:993 with TLS as sales@example.org, with the credentials of the mailbox.";
        assert_eq!(account.told(), told);
    }
}
