//! Checks `[traces]`, the collector of traces.

use std::{net::IpAddr, path::PathBuf};

use http::{Uri, uri::Scheme};
use rustls::pki_types::ServerName;

use super::{
    faults::Faults,
    hops,
    model::{CollectorAddress, CollectorTls, Traces},
};

/// The default port of OTLP over gRPC.
const DEFAULT_PORT: u16 = 4317;

/// The beginning of `traces.endpoint` for a Unix socket.
const UNIX: &str = "unix:";

const ENDPOINT: &str = "traces.endpoint";
pub(crate) const COLLECTOR_UID: &str = "traces.collector_uid";

/// The settings of `[traces]`, with resolved paths.
pub(super) struct Written {
    pub(super) endpoint: Option<String>,
    pub(super) collector_uid: Option<i64>,
    pub(super) headers_file: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) client_certificate: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
}

pub(super) fn check(written: Written, faults: &mut Faults) -> Option<Traces> {
    let Written { endpoint, collector_uid, headers_file, ca, client_certificate, client_key } = written;
    let of_tls = [
        ("traces.ca", ca.is_some()),
        ("traces.client_certificate", client_certificate.is_some()),
        ("traces.client_key", client_key.is_some()),
    ];
    let Some(endpoint) = endpoint else {
        let of_any = [(COLLECTOR_UID, collector_uid.is_some()), ("traces.headers_file", headers_file.is_some())];
        let set = of_any.into_iter().chain(of_tls);
        for (setting, _) in set.filter(|(_, is_set)| *is_set) {
            faults.add(setting, "applies to a collector of traces only: set traces.endpoint");
        }
        return None;
    };
    let identity = match (client_certificate, client_key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            faults.add("traces.client_key", "missing: set the private key of traces.client_certificate");
            None
        }
        (None, Some(_)) => {
            faults.add("traces.client_certificate", "missing: set the certificate of traces.client_key");
            None
        }
    };
    let address = address(&endpoint);
    if collector_uid.is_some() && !matches!(address, Ok(Address::Unix(_)) | Err(_)) {
        faults.add(COLLECTOR_UID, "applies to an endpoint unix:/PATH only: remove it");
    }
    let collector = match address {
        Ok(Address::Https { host, port }) => CollectorAddress::Tls(CollectorTls { host, port, ca, identity }),
        Ok(other) => {
            for (setting, _) in of_tls.into_iter().filter(|(_, is_set)| *is_set) {
                faults.add(setting, "applies to an https:// endpoint only: remove it");
            }
            match other {
                Address::Loopback { ip, port } => CollectorAddress::Loopback((ip, port).into()),
                Address::Unix(path) => {
                    let uid = collector_uid.and_then(hops::user);
                    if uid.is_none() && collector_uid.is_some() {
                        faults.add(COLLECTOR_UID, hops::NOT_A_USER);
                    }
                    CollectorAddress::UnixSocket { path, uid }
                }
                Address::Https { .. } => return None,
            }
        }
        Err(problem) => {
            faults.add(ENDPOINT, problem);
            return None;
        }
    };
    Some(Traces { collector, headers_file })
}

enum Address {
    Https { host: String, port: u16 },
    Loopback { ip: IpAddr, port: u16 },
    Unix(PathBuf),
}

fn address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix(UNIX).map(PathBuf::from) {
        return match path.is_absolute() {
            true => Ok(Address::Unix(path)),
            false => Err(format!("`{text}` is not an absolute path: write unix:/PATH")),
        };
    }
    let malformed = || format!("`{text}` is not the address of a collector: write https://HOST:PORT");
    let uri: Uri = text.parse().map_err(|_| malformed())?;
    let authority = uri.authority().ok_or_else(malformed)?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') {
        // It may have a password.
        return Err("has more than a host and a port: write https://HOST:PORT".to_owned());
    }
    let has_port = authority.as_str().len() > authority.host().len();
    let port = if has_port { authority.port_u16() } else { Some(DEFAULT_PORT) };
    let port = port.filter(|port| *port > 0).ok_or_else(malformed)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => match ServerName::try_from(host.clone()) {
            Ok(_) => Ok(Address::Https { host, port }),
            Err(_) => Err(malformed()),
        },
        Some(scheme) if *scheme == Scheme::HTTP => match host.parse::<IpAddr>() {
            // A name, even localhost, may resolve to any address.
            Ok(ip) if ip.is_loopback() => Ok(Address::Loopback { ip, port }),
            Ok(_) | Err(_) => Err(format!(
                "`{text}` sends spans and headers without TLS: use https://, or http:// with 127.0.0.1 or [::1]"
            )),
        },
        Some(_) | None => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn checked(endpoint: &str) -> Result<CollectorAddress, Vec<String>> {
        let mut faults = Faults::default();
        let written = Written {
            endpoint: Some(endpoint.to_owned()),
            collector_uid: None,
            headers_file: None,
            ca: None,
            client_certificate: None,
            client_key: None,
        };
        let traces = check(written, &mut faults);
        match traces {
            Some(traces) if faults.0.is_empty() => Ok(traces.collector),
            Some(_) | None => Err(faults.0.into_iter().map(|fault| fault.problem).collect()),
        }
    }

    #[test]
    fn plaintext_goes_only_to_this_machine() {
        let tls = |host: &str, port| {
            let host = host.to_owned();
            Ok(CollectorAddress::Tls(CollectorTls { host, port, ca: None, identity: None }))
        };
        assert_eq!(checked("https://otel.example.org"), tls("otel.example.org", 4317));
        assert_eq!(checked("https://otel.example.org:443/"), tls("otel.example.org", 443));
        assert_eq!(checked("https://[2001:db8::1]:1"), tls("2001:db8::1", 1));
        for loopback in ["127.0.0.1:4317", "[::1]:4317", "127.1.2.3:1"] {
            assert_eq!(
                checked(&format!("http://{loopback}")),
                Ok(CollectorAddress::Loopback(loopback.parse().unwrap()))
            );
        }
        assert_eq!(
            checked("unix:/run/otel.sock"),
            Ok(CollectorAddress::UnixSocket { path: "/run/otel.sock".into(), uid: None })
        );
        for refused in [
            "http://otel.example.org",
            "http://localhost:4317",
            "http://0.0.0.0:1",
            "http://192.0.2.1",
            "http://[::]:1",
        ] {
            let problems = checked(refused).unwrap_err();
            assert!(problems[0].contains("without TLS"), "{refused}: {problems:?}");
        }
        for malformed in [
            "",
            "otel.example.org:4317",
            "grpc://otel:4317",
            "https://",
            "https://otel/v1/traces",
            "https://otel?x",
            "https://ada:secret@otel",
            "https://otel:port",
            "https://otel:99999",
            "https://otel:0",
            "unix:otel.sock",
        ] {
            let problems = checked(malformed).unwrap_err();
            assert_eq!(problems.len(), 1, "{malformed}");
            assert!(!problems[0].contains("secret"), "{problems:?}");
        }
    }

    #[test]
    fn user_of_a_collector_belongs_to_a_socket() {
        let uid = |endpoint: &str, uid| {
            let mut faults = Faults::default();
            let written = Written {
                endpoint: Some(endpoint.to_owned()),
                collector_uid: Some(uid),
                headers_file: None,
                ca: None,
                client_certificate: None,
                client_key: None,
            };
            let traces = check(written, &mut faults);
            match (traces.map(|traces| traces.collector), faults.0.as_slice()) {
                (Some(CollectorAddress::UnixSocket { uid, .. }), []) => Ok(uid),
                (_, faults) => Err(faults.iter().map(|fault| fault.setting.clone()).collect::<Vec<_>>()),
            }
        };
        assert_eq!(uid("unix:/run/otel.sock", 998), Ok(Some(998)));
        for (endpoint, user) in [("unix:/run/otel.sock", -1), ("unix:/run/otel.sock", 1 << 32), ("https://otel", 1)] {
            assert_eq!(uid(endpoint, user).unwrap_err(), [COLLECTOR_UID], "{endpoint}");
        }
    }

    #[test]
    fn settings_without_their_counterparts_are_faults() {
        let faults = |endpoint: Option<&str>, certificate: Option<&str>, key: Option<&str>| {
            let mut faults = Faults::default();
            let written = Written {
                endpoint: endpoint.map(str::to_owned),
                collector_uid: None,
                headers_file: None,
                ca: None,
                client_certificate: certificate.map(|path| Path::new(path).to_owned()),
                client_key: key.map(|path| Path::new(path).to_owned()),
            };
            check(written, &mut faults);
            faults.0.into_iter().map(|fault| fault.setting).collect::<Vec<_>>()
        };
        assert!(faults(None, None, None).is_empty());
        assert_eq!(faults(None, Some("a"), Some("b")), ["traces.client_certificate", "traces.client_key"]);
        assert_eq!(faults(Some("https://otel"), Some("a"), None), ["traces.client_key"]);
        assert_eq!(faults(Some("https://otel"), None, Some("b")), ["traces.client_certificate"]);
        assert!(faults(Some("https://otel"), Some("a"), Some("b")).is_empty());
        assert_eq!(faults(Some("unix:/otel"), Some("a"), Some("b")).len(), 2);
    }
}
