//! The certificates that settings name: for each the setting, the subject, the validity, and its problem at a time.
//!
//! `check-config`, GetServerStatus, the metrics and the log report from [`Certificates`], which has a field for each group of settings. So a
//! certificate is reported by all of them or by none. The CAs of the system, and bundles of public CAs, aren't a deployment's.
//!
//! Nothing here knows whether a certificate fits its key or its use: the code that uses it decides.

use std::fmt;

use sealward_core::id::Timestamp;
use x509_parser::{certificate::X509Certificate, prelude::FromDer, time::ASN1Time};

use crate::{
    finding::Finding,
    foreign_text::{SHOWN_NAME_MAX_BYTES, presentable},
    transport::tls::{DAY_SECONDS, IsoTime, SOON_DAYS, day, seconds},
};

/// All certificates of a deployment at one moment.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    /// `[tls]`: the server's certificate, followed by the certificates of the CAs in its chain.
    pub(crate) server: Vec<Certificate>,
    /// `[tls]` and `[[trust_domains]]`: the CAs of callers.
    pub(crate) client_cas: Vec<Certificate>,
    /// `[[token_issuers]]`: the CAs of the servers that publish keys.
    pub(crate) token_issuers: Vec<Certificate>,
    /// `[traces]`: the CAs of the collector, and the certificate that the server shows to it, with its chain.
    pub(crate) collector: Vec<Certificate>,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Certificate {
    /// The setting that names it, for people.
    pub(crate) setting: String,
    /// Its subject, as it may be printed, or the SPIFFE id of the server.
    pub(crate) subject: String,
    validity: Option<Validity>,
    usage: Usage,
    renewal: Renewal,
}

/// What depends on a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// The server shows it to callers, who connect to these names and addresses. Code that uses it finds all its problems but the near end.
    Server {
        /// DNS names and IP addresses.
        hosts: Vec<String>,
    },
    /// A CA in the chain of the server's certificate.
    ServerChain,
    /// It verifies the certificates of callers.
    ClientCa,
    /// It verifies another server, in words.
    CaOf(String),
    /// The server shows it to another server, in words, or it is a CA in its chain.
    ClientOf(String),
}

/// How a certificate is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// An administrator replaces the file.
    ByHand,
    /// The Workload API sends the next one in time, and of a CA the former one for some time. The loss of the agent is a finding of its own.
    ByWorkloadApi,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Validity {
    begin: ASN1Time,
    end: ASN1Time,
}

/// The validity at a time, if it needs attention.
enum Due {
    /// Since this day.
    Expired(String),
    /// From this day on.
    NotYetValid(String),
    /// On this day, in this number of days.
    Soon(String, i64),
}

impl Certificates {
    /// All of them, in the order of the fields.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Certificate> {
        let Self { server, client_cas, token_issuers, collector } = self;
        [server, client_cas, token_issuers, collector].into_iter().flatten()
    }

    /// The certificates that have expired, expire soon, or aren't valid yet.
    pub(crate) fn findings(&self, now: Timestamp) -> Vec<Finding> {
        self.all().filter_map(|certificate| certificate.finding(now)).collect()
    }
}

impl Certificate {
    /// Reads a certificate. One that can't be read has no subject and no validity.
    pub(crate) fn read(setting: impl Into<String>, usage: Usage, renewal: Renewal, der: &[u8]) -> Self {
        let parsed = X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate);
        Self {
            setting: setting.into(),
            subject: parsed.as_ref().map(subject_of).unwrap_or_default(),
            validity: parsed.as_ref().map(|certificate| {
                let validity = certificate.validity();
                Validity { begin: validity.not_before, end: validity.not_after }
            }),
            usage,
            renewal,
        }
    }

    /// The last moment at which it is valid; `None` if it can't be read.
    pub(crate) fn not_after(&self) -> Option<ASN1Time> {
        self.validity.map(|validity| validity.end)
    }

    /// Whether it has a DNS name or an IP address that clients compare with the server's address.
    pub(crate) fn has_hosts(&self) -> bool {
        matches!(&self.usage, Usage::Server { hosts } if !hosts.is_empty())
    }

    /// The problem of its validity at this time.
    fn finding(&self, now: Timestamp) -> Option<Finding> {
        if self.renewal == Renewal::ByWorkloadApi {
            return None;
        }
        let due = self.validity?.due(now)?;
        let (is_error, which, effect, remedy) = match (&self.usage, &due) {
            (Usage::Server { .. }, Due::Expired(_) | Due::NotYetValid(_)) => return None,
            (Usage::Server { .. }, Due::Soon(..)) => {
                (false, "the server's certificate".to_owned(), String::new(), "renew it and send SIGHUP")
            }
            (Usage::ServerChain, _) => (
                true,
                format!("the certificate of the CA {}, in the chain of the server's certificate,", self.subject),
                ": clients without another one refuse the server".to_owned(),
                "get the CA's current certificate, put it into the file after the certificate that it issued, and send SIGHUP",
            ),
            (Usage::ClientCa, _) => (
                true,
                format!("the client CA {}", self.subject),
                ": every client with its certificates is refused".to_owned(),
                "renew the CA's certificate, add it beside this one, and issue client certificates with it",
            ),
            (Usage::CaOf(server), _) => (
                false,
                format!("the CA {} of {server}", self.subject),
                String::new(),
                "replace it with the CA's current certificate",
            ),
            (Usage::ClientOf(server), _) => (
                false,
                format!("the certificate {} for {server}", self.subject),
                format!(": {server} refuses this server"),
                "renew it: the server reads the file again when it connects",
            ),
        };
        let problem = match &due {
            Due::Expired(day) => format!("{which} expired on {day}{effect}"),
            Due::NotYetValid(day) => format!("{which} isn't valid before {day}{effect}"),
            Due::Soon(day, 1) => format!("{which} expires on {day}, in 1 day"),
            Due::Soon(day, days) => format!("{which} expires on {day}, in {days} days"),
        };
        Some(match due {
            Due::Expired(_) | Due::NotYetValid(_) if is_error => Finding::error(&self.setting, problem, remedy),
            Due::Expired(_) | Due::NotYetValid(_) | Due::Soon(..) => Finding::warning(&self.setting, problem, remedy),
        })
    }
}

impl Validity {
    fn due(&self, now: Timestamp) -> Option<Due> {
        let now = seconds(now);
        let left = self.end.timestamp() - now;
        if left < 0 {
            Some(Due::Expired(day(self.end)))
        } else if now < self.begin.timestamp() {
            Some(Due::NotYetValid(day(self.begin)))
        } else {
            (left < SOON_DAYS * DAY_SECONDS).then(|| Due::Soon(day(self.end), left / DAY_SECONDS))
        }
    }
}

/// `CN=server, for sealward.example.org, valid until 2027-11-23`
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)?;
        if let Usage::Server { hosts } = &self.usage {
            let hosts = if hosts.is_empty() { "no DNS name or IP address".to_owned() } else { hosts.join(", ") };
            write!(f, ", for {hosts}")?;
        }
        match (self.not_after(), self.renewal) {
            (None, _) => f.write_str(", which can't be read"),
            (Some(end), Renewal::ByHand) => write!(f, ", valid until {}", day(end)),
            // Often for an hour only.
            (Some(end), Renewal::ByWorkloadApi) => write!(f, ", valid until {}", IsoTime::from(end)),
        }
    }
}

fn subject_of(certificate: &X509Certificate<'_>) -> String {
    presentable(&certificate.subject().to_string(), SHOWN_NAME_MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;
    use crate::finding::Severity;

    /// 2026-01-01
    const NOW: Timestamp = Timestamp::from_unix_micros(1_767_225_600_000_000);

    fn certificate(usage: Usage, begin: i32, end: (i32, u8, u8)) -> Certificate {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a");
        (params.not_before, params.not_after) = (date_time_ymd(begin, 1, 1), date_time_ymd(end.0, end.1, end.2));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Certificate::read("a.setting", usage, Renewal::ByHand, certificate.der())
    }

    #[test]
    fn every_kind_of_certificate_has_a_finding_before_and_after_its_end() {
        let collector = || "the collector of traces".to_owned();
        for (usage, expired) in [
            (Usage::Server { hosts: Vec::new() }, None),
            (Usage::ServerChain, Some(Severity::Error)),
            (Usage::ClientCa, Some(Severity::Error)),
            (Usage::CaOf(collector()), Some(Severity::Warning)),
            (Usage::ClientOf(collector()), Some(Severity::Warning)),
        ] {
            let found = |begin, end| {
                let certificates = vec![certificate(usage.clone(), begin, end)];
                Certificates { client_cas: certificates, ..Certificates::default() }.findings(NOW).pop()
            };
            assert_eq!(found(2020, (2026, 2, 1)), None, "{usage:?}");
            let soon = found(2020, (2026, 1, 11)).unwrap();
            assert_eq!((soon.severity, soon.subject.as_str()), (Severity::Warning, "a.setting"));
            assert!(soon.problem.ends_with(" expires on 2026-01-11, in 10 days"), "{soon:?}");
            for (period, words) in [
                ((2020, (2025, 12, 31)), " expired on 2025-12-31"),
                ((2027, (2028, 1, 1)), " isn't valid before 2027-01-01"),
            ] {
                let finding = found(period.0, period.1);
                assert_eq!(finding.as_ref().map(|finding| finding.severity), expired, "{usage:?}");
                assert!(finding.is_none_or(|finding| finding.problem.contains(words)), "{usage:?}");
            }
        }
    }

    #[test]
    fn certificate_of_the_workload_api_never_expires_soon() {
        let mut ca = certificate(Usage::ClientCa, 2020, (2025, 1, 1));
        ca.renewal = Renewal::ByWorkloadApi;
        assert_eq!((ca.finding(NOW), ca.to_string()), (None, "CN=a, valid until 2025-01-01T00:00:00Z".to_owned()));
    }
}
