//! Decides whether a request can be a call: by method, content type and origin. It is the first check of a request. Refusals are plain
//! HTTP, because the client may not support gRPC.
//!
//! A browser allows pages of any site to send some requests to any server, with the user's client certificate. A page can't send a content
//! type that forms don't have without the server's consent, and it can't omit its origin. So only the content types of calls are served,
//! and only to the configured origins. The `Host` header isn't compared with the origin: in DNS rebinding, the attacker controls both.
//!
//! All paths get the same answer, so that it doesn't disclose which rpcs are served.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, ORIGIN, X_CONTENT_TYPE_OPTIONS},
    request::Parts,
};
use http_body_util::Full;
use pin_project_lite::pin_project;
use tonic::body::Body;
use tower::{Layer, Service};

use super::trace::logged_path;
use crate::{
    config::Origin,
    telemetry::samples::{Kind, Samples, Who},
    transport::connection::Connection,
};

/// The served content types. Parameters don't change the framing of a call, and are ignored.
const CONTENT_TYPES: [&str; 2] = ["application/grpc", "application/grpc+proto"];

/// The header in which a browser declares the relation between the sending page and the server (W3C, Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request isn't a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpRefusal {
    /// Its method isn't POST.
    Method,
    /// Its content type is missing, or isn't served.
    ContentType,
    /// It comes from a page whose origin isn't configured.
    Origin,
}

/// Puts [`HttpGate`] around a service.
#[derive(Clone)]
pub(crate) struct HttpGateLayer {
    origins: Arc<[Origin]>,
    samples: Samples,
}

/// A service that receives only calls.
#[derive(Clone)]
pub(crate) struct HttpGate<S> {
    layer: HttpGateLayer,
    inner: S,
}

impl HttpGateLayer {
    /// Pages of these origins may call.
    pub(crate) fn new(origins: Vec<Origin>, samples: Samples) -> Self {
        Self { origins: origins.into(), samples }
    }

    fn admit(&self, head: &Parts) -> Result<(), HttpRefusal> {
        if head.method != Method::POST {
            return Err(HttpRefusal::Method);
        }
        if !only(&head.headers, &CONTENT_TYPE).is_some_and(is_served) {
            return Err(HttpRefusal::ContentType);
        }
        if !self.is_origin_allowed(&head.headers) {
            return Err(HttpRefusal::Origin);
        }
        Ok(())
    }

    /// Whether the request doesn't come from a web page, or comes from a configured origin.
    fn is_origin_allowed(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(ORIGIN) {
            return only(headers, &ORIGIN).is_some_and(|origin| self.origins.iter().any(|allowed| allowed == origin));
        }
        // Without an origin, the page is unknown. If no page sent the request, the header is `none`, or missing if no browser sent it.
        !headers.contains_key(SEC_FETCH_SITE)
            || only(headers, &SEC_FETCH_SITE).is_some_and(|site| site == "none" || site == "same-origin")
    }

    fn report(&self, head: &Parts, refusal: HttpRefusal) {
        const EVENT: &str = "request refused";
        let peer = head.extensions.get::<Connection>().map(|connection| connection.peer);
        let who = peer.map_or(Who::Unknown, Who::Connection);
        if self.samples.is_first(Kind { who, event: EVENT, reason: refusal.reason().into() }) {
            let (peer, path): (Option<SocketAddr>, _) = (peer, logged_path(head.uri.path()));
            let peer = peer.map(tracing::field::display);
            tracing::info!(peer, path, reason = refusal.reason(), status = refusal.status().as_u16(), "{EVENT}");
        }
    }
}

impl<S> Layer<S> for HttpGateLayer {
    type Service = HttpGate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpGate { layer: self.clone(), inner }
    }
}

impl<S> Service<Request<Body>> for HttpGate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = HttpGateFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (head, body) = request.into_parts();
        match self.layer.admit(&head) {
            Ok(()) => HttpGateFuture::Call { answer: self.inner.call(Request::from_parts(head, body)) },
            Err(refusal) => {
                self.layer.report(&head, refusal);
                HttpGateFuture::Refused { refusal, is_head: head.method == Method::HEAD }
            }
        }
    }
}

pin_project! {
    /// The answer of the service, or of the gate.
    #[project = HttpGateFutureProjection]
    pub(crate) enum HttpGateFuture<F> {
        Call { #[pin] answer: F },
        Refused { refusal: HttpRefusal, is_head: bool },
    }
}

impl<F> Future for HttpGateFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            HttpGateFutureProjection::Call { answer } => answer.poll(context),
            HttpGateFutureProjection::Refused { refusal, is_head } => Poll::Ready(Ok(refusal.answer(*is_head))),
        }
    }
}

/// The value of a header that is present exactly once, as text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        (_, _) => None,
    }
}

fn is_served(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim_end_matches([' ', '\t']);
    CONTENT_TYPES.iter().any(|served| media_type.eq_ignore_ascii_case(served))
}

impl HttpRefusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Origin => StatusCode::FORBIDDEN,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Method => "METHOD_NOT_POST",
            Self::ContentType => "CONTENT_TYPE_NOT_SERVED",
            Self::Origin => "ORIGIN_NOT_ALLOWED",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Method => "use POST for calls\n",
            Self::ContentType => "use the content type application/grpc for calls\n",
            Self::Origin => "web pages of this origin aren't allowed: add the origin to listen.origins\n",
        }
    }

    /// The answer. It contains nothing of the request. The answer to HEAD has the same headers and no content (RFC 9110, section 9.3.2).
    fn answer(self, is_head: bool) -> Response<Body> {
        let content = if is_head { "" } else { self.message() };
        let mut response = Response::new(Body::new(Full::new(Bytes::from_static(content.as_bytes()))));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        match self {
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            Self::ContentType => {
                for served in CONTENT_TYPES {
                    headers.append(ACCEPT, HeaderValue::from_static(served));
                }
            }
            Self::Origin => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::shed::Shed;

    const CONSOLE: &str = "https://console.example.org";

    fn admitted(change: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Result<(), HttpRefusal> {
        let gate = HttpGateLayer::new(vec![CONSOLE.parse().unwrap()], Samples::new(1, Shed::default()));
        let (head, ()) = change(Request::builder()).body(()).unwrap().into_parts();
        gate.admit(&head)
    }

    fn sent_with(headers: &[(&str, &str)]) -> Result<(), HttpRefusal> {
        let call = |request: http::request::Builder| request.method("POST").header("content-type", "application/grpc");
        admitted(|request| headers.iter().fold(call(request), |request, (name, value)| request.header(*name, *value)))
    }

    #[test]
    fn only_post_is_a_call() {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "post"] {
            let refused = admitted(|request| request.method(method).header("content-type", "application/grpc"));
            assert_eq!(refused, Err(HttpRefusal::Method), "{method}");
        }
    }

    #[test]
    fn content_type_is_one_that_is_served() {
        let typed = |types: &[&str]| {
            admitted(|request| {
                types.iter().fold(request.method("POST"), |request, value| request.header("content-type", *value))
            })
        };
        for served in [
            "application/grpc",
            "application/grpc+proto",
            "Application/gRPC",
            "application/grpc;x=y",
            "application/grpc+proto ; charset=utf-8",
        ] {
            assert_eq!(typed(&[served]), Ok(()), "{served}");
        }
        for other in [
            "",
            "text/plain",
            "application/json",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc+json",
            "application/grpcx",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=application/grpc",
            "text/plain; application/grpc",
            "application/grpc, text/plain",
        ] {
            assert_eq!(typed(&[other]), Err(HttpRefusal::ContentType), "{other}");
        }
        assert_eq!(typed(&[]), Err(HttpRefusal::ContentType));
        assert_eq!(typed(&["application/grpc", "text/plain"]), Err(HttpRefusal::ContentType));
        assert_eq!(typed(&["application/grpc", "application/grpc"]), Err(HttpRefusal::ContentType));
    }

    #[test]
    fn pages_of_origins_that_are_not_named_are_refused() {
        assert_eq!(sent_with(&[]), Ok(()));
        assert_eq!(sent_with(&[("origin", CONSOLE)]), Ok(()));
        assert_eq!(sent_with(&[("origin", CONSOLE), ("sec-fetch-site", "cross-site")]), Ok(()));
        for origin in [
            "https://evil.example",
            "null",
            "",
            "http://console.example.org",
            "https://console.example.org:8443",
            "https://console.example.org.evil.example",
            "https://CONSOLE.example.org",
            "https://console.example.org https://evil.example",
        ] {
            assert_eq!(sent_with(&[("origin", origin)]), Err(HttpRefusal::Origin), "{origin}");
            // In DNS rebinding, the host matches the origin.
            let host = origin.strip_prefix("https://").unwrap_or(origin);
            assert_eq!(sent_with(&[("origin", origin), ("host", host)]), Err(HttpRefusal::Origin), "{origin}");
            assert_eq!(sent_with(&[("origin", origin), ("sec-fetch-site", "same-origin")]), Err(HttpRefusal::Origin));
        }
        assert_eq!(sent_with(&[("origin", CONSOLE), ("origin", CONSOLE)]), Err(HttpRefusal::Origin));
    }

    #[test]
    fn requests_from_other_sites_are_refused() {
        for site in ["none", "same-origin"] {
            assert_eq!(sent_with(&[("sec-fetch-site", site)]), Ok(()), "{site}");
        }
        for site in ["cross-site", "same-site", "", "Same-Origin", "something-new"] {
            assert_eq!(sent_with(&[("sec-fetch-site", site)]), Err(HttpRefusal::Origin), "{site}");
        }
        let twice = [("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")];
        assert_eq!(sent_with(&twice), Err(HttpRefusal::Origin));
    }

    #[test]
    fn answers_contain_nothing_of_the_request() {
        for (refusal, status) in
            [(HttpRefusal::Method, 405), (HttpRefusal::ContentType, 415), (HttpRefusal::Origin, 403)]
        {
            let answer = refusal.answer(false);
            assert_eq!(answer.status(), status);
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
            assert!(!answer.headers().keys().any(|name| name.as_str().starts_with("access-control-")));
        }
        assert_eq!(HttpRefusal::Method.answer(false).headers()["allow"], "POST");
    }

    #[test]
    fn answer_to_head_has_the_headers_of_others_and_no_content() {
        use http_body::Body as _;

        for refusal in [HttpRefusal::Method, HttpRefusal::ContentType, HttpRefusal::Origin] {
            let (of_head, other) = (refusal.answer(true), refusal.answer(false));
            assert_eq!((of_head.status(), of_head.headers()), (other.status(), other.headers()));
            // No frame follows the headers, not even an empty one.
            assert!(of_head.body().is_end_stream() && !other.body().is_end_stream(), "{refusal:?}");
        }
    }
}
