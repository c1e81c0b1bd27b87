//! `GET /livez` and `GET /readyz`, for probes that don't speak gRPC.
//!
//! They are answered without TLS, on the plaintext listener and on the listener for metrics. The answer is a status, and discloses nothing
//! else: readiness is the health of the server, not of an organization.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL},
};
use tonic::body::Body;

use super::request_rules::text;

/// Whether the server accepts calls: its health. False until the first check.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets it.
    pub(crate) fn set(&self, is_ready: bool) {
        self.0.store(is_ready, Ordering::SeqCst);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// The answer to a probe; `None` if the path isn't one of a probe.
    pub(crate) fn answer(&self, method: &Method, path: &str) -> Option<Response<Body>> {
        let (status, message) = match path {
            "/livez" => (StatusCode::OK, "alive\n"),
            "/readyz" if self.is_ready() => (StatusCode::OK, "ready\n"),
            "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            _ => return None,
        };
        let mut response = match *method {
            Method::GET => text(status, message),
            // The same headers, without content (RFC 9110, section 9.3.2).
            Method::HEAD => text(status, ""),
            _ => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "use GET or HEAD\n");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
        };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_reported_apart_from_liveness() {
        let readiness = Readiness::default();
        let status = |method, path| readiness.answer(&method, path).map(|answer| answer.status().as_u16());
        assert_eq!((status(Method::GET, "/livez"), status(Method::GET, "/readyz")), (Some(200), Some(503)));
        readiness.set(true);
        assert_eq!((status(Method::HEAD, "/livez"), status(Method::HEAD, "/readyz")), (Some(200), Some(200)));
        readiness.set(false);
        assert_eq!((status(Method::GET, "/readyz"), status(Method::POST, "/livez")), (Some(503), Some(405)));
        assert_eq!(status(Method::GET, "/livez/"), None);
    }
}
