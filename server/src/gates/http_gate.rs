//! Decides whether a request can be a call: by method, content type and origin. It is the first check of a request. Refusals are plain
//! HTTP, because the client may not support gRPC.
//!
//! A browser allows pages of any site to send some requests to any server, with the user's client certificate. A page can't send a content
//! type that forms don't have without the server's consent, and it can't omit its origin. So only the content types of calls are served,
//! and only to the configured origins. The `Host` header isn't compared with the origin: in DNS rebinding, the attacker controls both.
//! A browser asks for the consent before the call, without the user's identity (a CORS preflight): the answer depends only on the origin.
//!
//! All paths get the same answer, so that it doesn't disclose which rpcs are served. Every answer has the version of the server.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONTENT_TYPE, COOKIE, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
};
use http_body_util::Full;
use pin_project_lite::pin_project;
use sealward_connect::Protocol;
use tonic::body::Body;
use tower::{Layer, Service};

use super::version_header::{SEALWARD_SERVER, server_version};
use crate::{
    call::logged_path,
    config::Pages,
    telemetry::samples::{Kind, Samples, Who},
    transport::connection::Connection,
};

/// The headers that pages may send.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, connect-accept-encoding, connect-content-encoding, connect-protocol-version, connect-timeout-ms, content-encoding, \
     content-type, grpc-accept-encoding, grpc-encoding, grpc-timeout, sealward-client, traceparent, x-grpc-web, x-user-agent",
);

/// The headers of answers that pages may read. Without the first three, a page doesn't see the errors of gRPC-Web.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "grpc-status, grpc-message, grpc-status-details-bin, grpc-encoding, connect-content-encoding, sealward-server",
);

/// The time for which a browser may remember the answer to a preflight, in seconds: two hours, the longest time that browsers accept.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("7200");

/// The header in which a browser declares the relation between the sending page and the server (W3C, Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request isn't a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpRefusal {
    /// Its method isn't POST.
    Method,
    /// Its content type is missing, or isn't served.
    ContentType,
    /// It comes from a page whose origin isn't configured, or has a cookie and no origin.
    Origin,
}

/// A request that is served.
#[derive(Debug, PartialEq, Eq)]
enum Admitted {
    /// A call, with the headers of its answer.
    Call(AnswerHeaders),
    /// The question of a browser whether a page may call.
    Preflight(AnswerHeaders),
}

/// What the answer to a request needs for browsers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AnswerHeaders {
    /// Whether the answer depends on the origin: calls of browsers can.
    varies: bool,
    /// The origin of the page that may read the answer, if it is another site's.
    origin: Option<HeaderValue>,
    with_credentials: bool,
}

impl AnswerHeaders {
    fn add_to(self, headers: &mut HeaderMap) {
        if self.varies {
            headers.insert(VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = self.origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
            if self.with_credentials {
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
    }

    /// The answer to a preflight.
    fn preflight(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
        headers.insert(SEALWARD_SERVER, server_version());
        self.add_to(headers);
        headers.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        response
    }
}

/// Puts [`HttpGate`] around a service.
#[derive(Clone)]
pub(crate) struct HttpGateLayer {
    pages: Arc<Pages>,
    samples: Samples,
}

/// A service that receives only calls.
#[derive(Clone)]
pub(crate) struct HttpGate<S> {
    /// Shared, because a service is cloned for each call.
    layer: Arc<HttpGateLayer>,
    inner: S,
}

impl HttpGateLayer {
    /// These web pages may call.
    pub(crate) fn new(pages: Pages, samples: Samples) -> Self {
        Self { pages: Arc::new(pages), samples }
    }

    fn admit(&self, head: &Parts) -> Result<Admitted, HttpRefusal> {
        if head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return self.judge_preflight(&head.headers);
        }
        if head.method != Method::POST {
            return Err(HttpRefusal::Method);
        }
        let content_type = only(&head.headers, &CONTENT_TYPE).and_then(Protocol::of_content_type);
        let Some(protocol) = content_type else { return Err(HttpRefusal::ContentType) };
        let origin = self.judge_origin(&head.headers)?;
        let varies = protocol != Protocol::Grpc || head.headers.contains_key(ORIGIN);
        Ok(Admitted::Call(AnswerHeaders { varies, origin, with_credentials: self.pages.with_credentials }))
    }

    /// A browser asks whether a page of another site may call. It asks without the user's identity.
    fn judge_preflight(&self, headers: &HeaderMap) -> Result<Admitted, HttpRefusal> {
        let origin = self.judge_origin(headers)?.ok_or(HttpRefusal::Origin)?;
        if only(headers, &ACCESS_CONTROL_REQUEST_METHOD) != Some("POST") {
            return Err(HttpRefusal::Method);
        }
        let with_credentials = self.pages.with_credentials;
        Ok(Admitted::Preflight(AnswerHeaders { varies: true, origin: Some(origin), with_credentials }))
    }

    /// The origin of another site whose page may read the answer; `None` if no page of another site sent the request.
    fn judge_origin(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, HttpRefusal> {
        if headers.contains_key(ORIGIN) {
            let origin = only(headers, &ORIGIN).ok_or(HttpRefusal::Origin)?;
            if self.pages.own_origin.as_ref().is_some_and(|own| own == origin) {
                return Ok(None);
            }
            let is_listed = self.pages.origins.iter().any(|allowed| allowed == origin);
            return if is_listed { Ok(headers.get(ORIGIN).cloned()) } else { Err(HttpRefusal::Origin) };
        }
        // Without an origin, the page is unknown. If no page sent the request, the header is `none`, or missing if no browser sent it.
        let is_of_no_page = !headers.contains_key(SEC_FETCH_SITE)
            || only(headers, &SEC_FETCH_SITE).is_some_and(|site| site == "none" || site == "same-origin");
        // Only browsers have cookies, and a browser's call has an origin.
        if is_of_no_page && !headers.contains_key(COOKIE) { Ok(None) } else { Err(HttpRefusal::Origin) }
    }

    fn report(&self, head: &Parts, refusal: HttpRefusal) {
        const EVENT: &str = "request refused";
        let peer = head.extensions.get::<Connection>().map(|connection| connection.peer.clone());
        let who = peer.clone().map_or(Who::Unknown, Who::Connection);
        if self.samples.is_first(Kind { who, event: EVENT, reason: refusal.reason().into() }) {
            let path = logged_path(head.uri.path());
            let peer = peer.map(tracing::field::display);
            tracing::info!(peer, path, reason = refusal.reason(), status = refusal.status().as_u16(), "{EVENT}");
        }
    }
}

impl<S> Layer<S> for HttpGateLayer {
    type Service = HttpGate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpGate { layer: Arc::new(self.clone()), inner }
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
            Ok(Admitted::Call(headers)) => HttpGateFuture::Call {
                answer: self.inner.call(Request::from_parts(head, body)),
                headers: Some(headers),
            },
            Ok(Admitted::Preflight(headers)) => HttpGateFuture::Preflight { headers: Some(headers) },
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
        Call { #[pin] answer: F, headers: Option<AnswerHeaders> },
        Preflight { headers: Option<AnswerHeaders> },
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
            HttpGateFutureProjection::Call { answer, headers } => {
                let Ok(mut response) = ready!(answer.poll(context));
                response.headers_mut().insert(SEALWARD_SERVER, server_version());
                headers.take().unwrap_or_default().add_to(response.headers_mut());
                Poll::Ready(Ok(response))
            }
            HttpGateFutureProjection::Preflight { headers } => {
                Poll::Ready(Ok(headers.take().unwrap_or_default().preflight()))
            }
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
            Self::ContentType => {
                "use a content type of gRPC, gRPC-Web or Connect for calls, for example application/json\n"
            }
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
        headers.insert(VARY, HeaderValue::from_static("origin"));
        headers.insert(SEALWARD_SERVER, server_version());
        match self {
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            Self::ContentType => {
                for served in Protocol::content_types() {
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
    const OWN: &str = "https://sealward.example.org:7443";

    fn gate() -> HttpGateLayer {
        let pages = Pages {
            origins: vec![CONSOLE.parse().unwrap()],
            own_origin: Some(OWN.parse().unwrap()),
            with_credentials: false,
        };
        HttpGateLayer::new(pages, Samples::new(1, Shed::default()))
    }

    fn admitted(change: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Result<(), HttpRefusal> {
        let (head, ()) = change(Request::builder()).body(()).unwrap().into_parts();
        gate().admit(&head).map(|_| ())
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
            "application/grpc-web",
            "application/grpc-web-text+proto",
            "application/json; charset=utf-8",
            "application/proto",
            "application/connect+json",
        ] {
            assert_eq!(typed(&[served]), Ok(()), "{served}");
        }
        for other in [
            "",
            "text/plain",
            "application/json; charset=latin1",
            "application/grpc+json",
            "application/grpc-web+json",
            "application/connect",
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
        assert_eq!(sent_with(&[("origin", OWN), ("sec-fetch-site", "same-origin"), ("cookie", "a=b")]), Ok(()));
        assert_eq!(sent_with(&[("cookie", "a=b")]), Err(HttpRefusal::Origin));
        assert_eq!(sent_with(&[("cookie", "a=b"), ("sec-fetch-site", "same-origin")]), Err(HttpRefusal::Origin));
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
    fn preflight_is_answered_for_listed_origins_only() {
        let asked = |headers: &[(&str, &str)]| {
            let request = Request::builder().method("OPTIONS");
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            gate().admit(&request.body(()).unwrap().into_parts().0)
        };
        let method = ("access-control-request-method", "POST");
        let Ok(Admitted::Preflight(headers)) = asked(&[("origin", CONSOLE), method]) else { panic!("refused") };
        let answer = headers.preflight();
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.headers()["access-control-allow-origin"], CONSOLE);
        assert_eq!(answer.headers()["access-control-allow-methods"], "POST");
        assert_eq!(answer.headers()["vary"], "origin");
        assert!(!answer.headers().contains_key("access-control-allow-credentials"));
        // A page of the server's own origin doesn't ask.
        for origin in [OWN, "https://evil.example", "null", "https://console.example.org:8443"] {
            assert_eq!(asked(&[("origin", origin), method]), Err(HttpRefusal::Origin), "{origin}");
        }
        assert_eq!(asked(&[method]), Err(HttpRefusal::Origin));
        assert_eq!(asked(&[("origin", CONSOLE)]), Err(HttpRefusal::Method));
        let get = ("access-control-request-method", "GET");
        assert_eq!(asked(&[("origin", CONSOLE), get]), Err(HttpRefusal::Method));
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
