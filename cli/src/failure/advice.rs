//! What to do about a failed call: advice for each reason, and for each failure to connect.

use std::io;

use sealward_client::{Action, CallError, ErrorReason, Origin, SetupError, mail_v1};

use crate::connection::hints::Hints;

/// The advice for a failed call. `message` is the error with its causes.
pub(super) fn call_advice(error: &CallError, message: &str, hints: &Hints) -> String {
    let general = general_advice(error.action());
    match error.origin() {
        Origin::Server => advice_by_reason(error, hints),
        Origin::NotConnected => connection_advice(message).to_owned(),
        Origin::TlsRefused => tls_advice(message).to_owned(),
        // A server that answered before accepts the client certificate.
        Origin::Broken if error.server_answered_before() => general,
        Origin::Broken => {
            format!("{general}; if this happens again, the server may refuse your certificate (--cert)")
        }
        Origin::TimedOut => format!("{general}; to allow more time, use --timeout"),
        Origin::Unreadable => "compare the versions of this client and the server".to_owned(),
    }
}

fn connection_advice(message: &str) -> &'static str {
    let known: [(&[&str], &str); 3] = [
        (&["dns error", "failed to lookup"], "host not found: check the host in --endpoint"),
        (&["eof", "reset by peer", "broken pipe"], "the peer closed the connection: check the port in --endpoint"),
        (&["timed out", "deadline has elapsed"], "no response: check host and port in --endpoint, and the firewall"),
    ];
    let default = "check that the server is running and that --endpoint is its address; \
                   `sealward-server dev` starts a development server";
    advice_by_pattern(message, &known).unwrap_or(default)
}

/// Matches the messages of rustls, which may change: unknown messages get general advice.
pub(crate) fn tls_advice(message: &str) -> &'static str {
    let known: [(&[&str], &str); 9] = [
        (&["unknownissuer"], "the server's certificate isn't issued by the CA in --ca: check --ca and --endpoint"),
        (
            &["peer certificate: expired", "certificate expired: verification"],
            "the server's certificate has expired: ask the server's operator to renew it; if it hasn't, check this machine's clock",
        ),
        (
            &["peer certificate: notvalidyet", "not valid yet: verification"],
            "the server's certificate isn't valid yet: check the clocks of both machines",
        ),
        (
            &["notvalidforname", "not valid for name", "not valid for"],
            "the server's certificate is for another name: use that name in --endpoint or --domain-name",
        ),
        (&["certificaterequired"], "the server requires a client certificate: use --cert and --key, or --dev and --as"),
        (
            &["alert: certificateexpired"],
            "your certificate has expired or isn't valid yet: check its dates (openssl x509 -noout -dates -in FILE) and the clocks, \
             or use another certificate with --cert",
        ),
        (&["alert: certificaterevoked"], "your certificate was revoked: request a new one and use it with --cert"),
        (
            &["alert: unknownca", "alert: decrypterror", "alert: badcertificate", "alert: certificate"],
            "the server doesn't accept your certificate: use one from a CA that the server trusts, with --cert and --key",
        ),
        (&["invalidcontenttype", "corrupt message"], "the peer doesn't use TLS: check the port in --endpoint"),
    ];
    advice_by_pattern(message, &known)
        .unwrap_or("check --ca, --cert and --key, and --domain-name if the server's certificate is for another name")
}

fn advice_by_pattern(message: &str, known: &[(&[&str], &'static str)]) -> Option<&'static str> {
    let message = message.to_lowercase();
    known
        .iter()
        .find(|(patterns, _)| patterns.iter().any(|pattern| message.contains(pattern)))
        .map(|(_, advice)| *advice)
}

pub(super) fn setup_advice(error: &SetupError) -> Option<&'static str> {
    match error {
        SetupError::FileUnreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Some("check --ca, --cert and --key, or --dev and --as; `sealward profile show` shows a profile's settings")
        }
        SetupError::FileUnreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Some("you have no permission to read it: ask its owner, or use your own certificate")
        }
        SetupError::PemUnusable { problem, .. } if problem.contains("the file has no") => {
            Some("PEM starts with -----BEGIN …; check that --cert and --key aren't swapped")
        }
        SetupError::Tls { .. } => {
            Some("check that --cert and --key belong together, and the name in --endpoint or --domain-name")
        }
        // Their messages have the advice.
        SetupError::EndpointInvalid { .. }
        | SetupError::PlaintextNotAllowed { .. }
        | SetupError::PlaintextOverTls { .. }
        | SetupError::CaMissing
        | SetupError::FileUnreadable { .. }
        | SetupError::PemUnusable { .. }
        | _ => None,
    }
}

fn advice_by_reason(error: &CallError, hints: &Hints) -> String {
    let value = |key| error.metadata().get(key).map_or("?", String::as_str);
    // For the organization in the error: a record's full name may select another one than `-o`.
    let command = |arguments: &str| match error.metadata().get("organization") {
        Some(organization) => hints.command_in(arguments, organization),
        None => hints.command(arguments),
    };
    let general = || general_advice(error.action());
    match error.reason() {
        ErrorReason::HttpsRequired => {
            "use an https:// endpoint; treat all data that was sent as disclosed".to_owned()
        }
        ErrorReason::KeyMismatch => {
            format!("find the key with the fingerprint {}; attempts count against a limit", value("wanted_fingerprint"))
        }
        ErrorReason::KeyInactive | ErrorReason::DataEncryptionInactive => {
            format!("restore the key with the fingerprint {}: {}", value("wanted_fingerprint"), command("key restore"))
        }
        ErrorReason::KeyAlreadyActive => {
            format!("data encryption is already active; to set another key: {}", command("key change"))
        }
        ErrorReason::KeyValidation => {
            format!("to generate a valid key: {}", command("key change"))
        }
        ErrorReason::KeyRestoreQuota => {
            format!(
                "{}; meanwhile, find the right key: `{}` shows its fingerprint",
                general(),
                command("key status")
            )
        }
        ErrorReason::SetKeyAlreadyRunning => format!("follow the running key change: {}", command("key watch")),
        ErrorReason::KeyRingDamaged => format!(
            "restore the organization's database from a backup, or discard its encrypted attributes: {}",
            command("key abandon")
        ),
        ErrorReason::ExportInvalid => "nothing was imported: export the organization again".to_owned(),
        ErrorReason::CellUnreadable => format!("set {} again", value("attribute")),
        ErrorReason::EncryptedAttribute => {
            "encrypted attributes can't be used in filters or sort orders, or customized: remove it".to_owned()
        }
        ErrorReason::EtagMismatch => "the record was changed: read it again and repeat your change".to_owned(),
        ErrorReason::PageTokenInvalid => "start from the first page".to_owned(),
        ErrorReason::FilterInvalid => format!("check the filter at character {} (counted from 0)", value("position")),
        ErrorReason::RequestIdReused => "use a new request id, except to repeat the same request".to_owned(),
        ErrorReason::NotFound => "check the name and the organization (-o); `list` shows existing names".to_owned(),
        ErrorReason::AlreadyExists => "choose another id, or use `update` to change the existing one".to_owned(),
        ErrorReason::ReferenceInUse => "change or delete the records that refer to it first".to_owned(),
        // The message has the privilege, and where it is missing.
        ErrorReason::PrivilegeMissing => "or use another identity; to show your roles: sealward whoami".to_owned(),
        ErrorReason::IdentityRequired => "use a valid certificate: --cert and --key, or --dev and --as".to_owned(),
        ErrorReason::MethodUnknown
        | ErrorReason::MessageInvalid
        | ErrorReason::ProtocolUnsupported
        | ErrorReason::CompressionNotServed
        | ErrorReason::TimeoutInvalid => {
            "compare the versions of this client and the server: sealward version".to_owned()
        }
        ErrorReason::MetadataTooLarge => "use a shorter bearer token: it is the largest part of a call's metadata".to_owned(),
        ErrorReason::MessageTooLarge => "use shorter values, or a smaller --page-size".to_owned(),
        ErrorReason::AuditUnavailable | ErrorReason::StoreUnavailable => {
            format!("{}; if this happens again, look for the call id in the server's log", general())
        }
        ErrorReason::ListTimeLimit => {
            "use a narrower filter, sort by an indexed attribute, or omit --total".to_owned()
        }
        ErrorReason::ConnectionEnding => {
            "start the export or import again: the partial transfer can't be used".to_owned()
        }
        ErrorReason::TransferLimit => {
            "start the export or import again, over a faster connection or with fewer writes: the partial transfer can't be used"
                .to_owned()
        }
        ErrorReason::WrittenByNewerVersion => {
            "no data is lost: use a server of the version that wrote it, or newer".to_owned()
        }
        ErrorReason::OrganizationUnavailable | ErrorReason::OrganizationMismatch => {
            "ask the server's operator to check its log, and to run `sealward-server check-config`"
                .to_owned()
        }
        ErrorReason::RootKeyUnknown => format!(
            "add the root key {} to the server's root_key.sources; if the root key is lost: {}",
            value("root_key_id"),
            command("key restore")
        ),
        ErrorReason::ClockOutOfRange => {
            format!("{}; the server's operator must correct its clock", general())
        }
        ErrorReason::DeadlineExceeded => format!("{}; to allow more time, use --timeout", general()),
        ErrorReason::Internal => "report this with the call id".to_owned(),
        ErrorReason::Unspecified => match error.mail_reason() {
            mail_v1::ErrorReason::MailboxInactive => {
                format!("activate the mailbox: {}", command("mailbox update ID --set state_code=active"))
            }
            mail_v1::ErrorReason::MailboxWithoutProfile => "set the mailbox's email_server_profile".to_owned(),
            mail_v1::ErrorReason::ProfileInactive => {
                "activate the profile, or set another one on the mailbox".to_owned()
            }
            mail_v1::ErrorReason::Unspecified => general(),
        },
        ErrorReason::KeyChangeQuota
        | ErrorReason::ComparisonQuota
        | ErrorReason::RateLimited
        | ErrorReason::ConnectionLimit
        | ErrorReason::TokenKeysUnavailable
        | ErrorReason::InFlightLimit
        | ErrorReason::IndexQuota
        | ErrorReason::RequestMemoryLimit
        | ErrorReason::MessageTooSlow
        | ErrorReason::FieldInvalid
        | ErrorReason::OutcomeUnknown
        | ErrorReason::Cancelled
        | ErrorReason::ShuttingDown => general(),
    }
}

fn general_advice(action: Action) -> String {
    match action {
        Action::FixCall => "fix this and try again".to_owned(),
        Action::Wait { delay: Some(delay) } => {
            format!("nothing was changed; try again in {} s", delay.as_secs().max(1))
        }
        Action::Wait { delay: None } => "nothing was changed; try again later".to_owned(),
        Action::CheckOutcome => "the call may have taken effect: check before you try again".to_owned(),
        Action::GiveUp => "retries won't help: report this to the server's operator".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_errors_are_explained_in_our_words() {
        for (message, advice) in [
            ("invalid peer certificate: UnknownIssuer", "--ca"),
            ("invalid peer certificate: Expired", "renew"),
            ("invalid peer certificate: NotValidForName", "--domain-name"),
            ("received fatal alert: CertificateRequired", "--dev and --as"),
            ("received fatal alert: CertificateExpired", "has expired or isn't valid yet"),
            ("received fatal alert: CertificateRevoked", "was revoked"),
            ("invalid peer certificate: certificate not valid yet: verification time 1 (UNIX)", "isn't valid yet"),
            ("received fatal alert: UnknownCA", "doesn't accept your certificate"),
            ("received corrupt message of type InvalidContentType", "doesn't use TLS"),
            ("something new", "check --ca, --cert and --key"),
        ] {
            assert!(tls_advice(message).contains(advice), "{message}: {}", tls_advice(message));
        }
    }
}
