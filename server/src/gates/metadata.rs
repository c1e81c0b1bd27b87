//! Checks the metadata of a call: its size, and whether the timeout is valid and not zero.

use http::{HeaderMap, Method, Uri, request::Parts};

use super::{
    deadline::{GRPC_TIMEOUT, parse_timeout},
    gate::Gate,
};
use crate::{
    status::{MetadataTooLarge, Refusal},
    telemetry::shed::Shed,
};

/// The setting of the limit.
const BOUND: &str = "header_list_size_max_bytes";

/// The factor by which HTTP/2 allows more than the limit, so that this layer can refuse the call with a reason. Larger headers get a bare
/// 431.
pub(crate) const SIZE_LEEWAY: u32 = 2;

/// The overhead that HTTP/2 counts for each header beyond its name and value (RFC 9113, section 6.5.2).
const HEADER_OVERHEAD_BYTES: usize = 32;

/// The gate.
#[derive(Clone)]
pub(crate) struct MetadataGate {
    size_max_bytes: u32,
    shed: Shed,
}

impl MetadataGate {
    /// Admits headers of at most this size, counted as in HTTP/2.
    pub(crate) fn new(size_max_bytes: u32, shed: Shed) -> Self {
        Self { size_max_bytes, shed }
    }
}

impl Gate for MetadataGate {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        let limit = self.size_max_bytes;
        if size(&head.method, &head.uri, &head.headers) > usize::try_from(limit).unwrap_or(usize::MAX) {
            self.shed.count(BOUND);
            return Err(Refusal::MetadataTooLarge(MetadataTooLarge { limit }));
        }
        check_timeout(&head.headers)
    }
}

/// Refuses an invalid timeout, because the caller relies on it.
fn check_timeout(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut values = headers.get_all(GRPC_TIMEOUT).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(()),
        (Some(value), None) => match parse_timeout(value) {
            Some(time) if time.is_zero() => Err(Refusal::DeadlineExceeded),
            Some(_) => Ok(()),
            None => Err(Refusal::TimeoutInvalid),
        },
        (Some(_), Some(_)) => Err(Refusal::TimeoutInvalid),
    }
}

/// The size of the header list as sent, including pseudo-headers.
fn size(method: &Method, uri: &Uri, headers: &HeaderMap) -> usize {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let pseudo = [
        (":method", Some(method.as_str())),
        (":scheme", uri.scheme_str()),
        (":authority", uri.authority().map(|authority| authority.as_str())),
        (":path", Some(path)),
    ];
    let pseudo = pseudo.into_iter().filter_map(|(name, value)| Some(name.len() + value?.len()));
    let others = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    pseudo.chain(others).map(|length| length + HEADER_OVERHEAD_BYTES).sum()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(headers: &[(&str, &str)]) -> Parts {
        let request = Request::builder().method("POST").uri("https://localhost/a.B/C");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn headers_are_accepted_up_to_the_limit() {
        let shed = Shed::default();
        let gate = MetadataGate::new(4_096, shed.clone());
        let pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", "/a.B/C")];
        let others: usize = pseudo.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        let of = |size: usize| head(&[("x", &"x".repeat(size - others - 33))]);
        assert_eq!(gate.admit(&mut of(4_096)), Ok(()));
        assert_eq!(shed.refused_by(BOUND), 0);
        let refused = Refusal::MetadataTooLarge(MetadataTooLarge { limit: 4_096 });
        assert_eq!(gate.admit(&mut of(4_097)), Err(refused));
        assert_eq!(shed.refused_by(BOUND), 1);
    }

    #[test]
    fn expired_or_malformed_timeout_is_refused() {
        let gate = MetadataGate::new(4_096, Shed::default());
        let with = |values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|value| (GRPC_TIMEOUT, *value)).collect();
            gate.admit(&mut head(&headers))
        };
        for taken in ["1n", "1S", "99999999H"] {
            assert_eq!(with(&[taken]), Ok(()), "{taken}");
        }
        for passed in ["0S", "0n", "00000000H"] {
            assert_eq!(with(&[passed]), Err(Refusal::DeadlineExceeded), "{passed}");
        }
        for malformed in ["", "S", "1", "100000000S", "000000001S", "1s", "-1S", "+1S", "1.5S", "1 S", "soon"] {
            assert_eq!(with(&[malformed]), Err(Refusal::TimeoutInvalid), "{malformed}");
        }
        assert_eq!(with(&["1S", "1S"]), Err(Refusal::TimeoutInvalid));
    }
}
