//! A server for the public conformance runner of Connect, gRPC and gRPC-Web: `connectrpc.conformance.v1.ConformanceService` behind the same
//! layer as Sealward's own services. `connect/conformance/run` runs it.
//!
//! The contract is read at run time, from the folder that is the first argument, so that nothing of it is copied. The runner sends one
//! `ServerCompatRequest` on stdin, and reads one `ServerCompatResponse` from stdout: four bytes of big-endian length, then the message.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test program: it makes the statuses that the runner asks for, and stops at the first surprise"
)]

use std::{
    convert::Infallible,
    io::{Read as _, Write as _},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};
use prost_types::Any;
use sealward_connect::{AnswerJsonLayer, FramingLayer, Methods, Protocol, Unsupported};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, body::Body};
use tower::{Layer as _, ServiceExt as _, service_fn};

const PACKAGE: &str = "connectrpc.conformance.v1";
const FILES: [&str; 2] = ["connectrpc/conformance/v1/service.proto", "connectrpc/conformance/v1/server_compat.proto"];

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).expect("the first argument is the folder of the contract");
    let mut compiler = protox::Compiler::new([folder]).unwrap();
    compiler.include_imports(true).open_files(FILES).unwrap();
    let contract = Contract(compiler.descriptor_pool());

    let request = read_request(&contract);
    let limit = match *field(&request, "message_receive_limit") {
        Value::U32(limit) if limit > 0 => usize::try_from(limit).unwrap(),
        _ => usize::MAX,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut response = contract.new_message("ServerCompatResponse");
    response.set_field_by_name("host", Value::String("127.0.0.1".to_owned()));
    response.set_field_by_name("port", Value::U32(listener.local_addr().unwrap().port().into()));
    write_response(&response);

    let methods = Arc::new(Methods::of(vec![contract.0.clone()]));
    let service = Arc::new(Conformance { contract, message_size_max: limit });
    let converted = AnswerJsonLayer::new(|error| Status::internal(error.to_string()));
    let calls = FramingLayer::new(methods, limit).layer(converted.layer(service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.serve(request).await) }
    })));
    let gate = service_fn(move |request: Request<Incoming>| {
        let calls = calls.clone();
        async move {
            match refused(&request) {
                Some(status) => {
                    drop(tokio::spawn(discard(request.into_body())));
                    let mut response = Response::new(Body::empty());
                    *response.status_mut() = status;
                    Ok(response)
                }
                None => {
                    let (sender, mut returned) = oneshot::channel();
                    let ending = |inner| Body::new(Ending { inner: Some(inner), returned: Some(sender), ended: false });
                    let response = calls.oneshot(request.map(ending)).await;
                    // A client that is still sending would otherwise see a reset, and could lose the answer.
                    if let Ok(rest) = returned.try_recv() {
                        drop(tokio::spawn(discard(rest)));
                    }
                    response
                }
            }
        }
    });
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let gate = TowerToHyperService::new(gate.clone());
        tokio::spawn(async move {
            let _closed = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), gate).await;
        });
    }
}

/// What Sealward's gate for HTTP refuses before the layer.
fn refused(request: &Request<Incoming>) -> Option<StatusCode> {
    if request.method() != Method::POST {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let content_type = request.headers().get("content-type").and_then(|value| value.to_str().ok());
    content_type.and_then(Protocol::of_content_type).is_none().then_some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

fn read_request(contract: &Contract) -> DynamicMessage {
    let mut length = [0; 4];
    std::io::stdin().read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    std::io::stdin().read_exact(&mut message).unwrap();
    DynamicMessage::decode(contract.message("ServerCompatRequest"), &*message).unwrap()
}

fn write_response(response: &DynamicMessage) {
    let message = response.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let mut stdout = std::io::stdout();
    stdout.write_all(&[&length[..], &message].concat()).unwrap();
    stdout.flush().unwrap();
}

/// The body of a request, which says that it has ended: hyper doesn't, for chunked ones. It returns the rest if it is dropped before.
struct Ending {
    inner: Option<Incoming>,
    returned: Option<oneshot::Sender<Incoming>>,
    ended: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let (false, Some(inner), Some(returned)) = (self.ended, self.inner.take(), self.returned.take()) {
            let _kept_or_not = returned.send(inner);
        }
    }
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(inner).poll_frame(context));
        self.ended = frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.as_ref().is_none_or(Incoming::is_end_stream)
    }
}

/// The messages of the contract.
struct Contract(DescriptorPool);

impl Contract {
    fn message(&self, name: &str) -> MessageDescriptor {
        self.0.get_message_by_name(&format!("{PACKAGE}.{name}")).unwrap()
    }

    fn new_message(&self, name: &str) -> DynamicMessage {
        DynamicMessage::new(self.message(name))
    }
}

fn field<'a>(message: &'a DynamicMessage, name: &str) -> std::borrow::Cow<'a, Value> {
    message.get_field_by_name(name).unwrap()
}

/// The service.
struct Conformance {
    contract: Contract,
    message_size_max: usize,
}

/// The messages of a request.
struct Messages {
    body: Body,
    arrived: BytesMut,
    input: MessageDescriptor,
    message_size_max: usize,
}

impl Messages {
    async fn next(&mut self) -> Result<Option<DynamicMessage>, Status> {
        loop {
            if let [flags, a, b, c, d, rest @ ..] = &*self.arrived {
                match flags {
                    0 => {}
                    1 => return Err(Status::unimplemented("the message is compressed without a declared coding")),
                    _ => return Err(Status::invalid_argument("the message has invalid flags")),
                }
                let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap();
                if length > self.message_size_max {
                    return Err(Status::resource_exhausted("the message is too large"));
                }
                if rest.len() >= length {
                    self.arrived.advance(5);
                    let message = self.arrived.split_to(length);
                    let message = DynamicMessage::decode(self.input.clone(), message);
                    return message.map(Some).map_err(|error| Status::invalid_argument(error.to_string()));
                }
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.arrived.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(status)) => return Err(status),
                None if self.arrived.is_empty() => return Ok(None),
                None => return Err(Status::invalid_argument("the request ends inside a message")),
            }
        }
    }

    /// The only message.
    async fn only(&mut self) -> Result<DynamicMessage, Status> {
        let message = self.next().await?.ok_or_else(|| Status::unimplemented("the request has no message"))?;
        match self.next().await? {
            None => Ok(message),
            Some(_) => Err(Status::unimplemented("the request has a second message")),
        }
    }
}

/// What the runner asks for.
struct Definition {
    headers: Vec<Value>,
    trailers: Vec<Value>,
    data: Vec<Value>,
    error: Option<DynamicMessage>,
    delay: Duration,
}

impl Definition {
    fn of(message: &DynamicMessage) -> Option<Self> {
        if !message.has_field_by_name("response_definition") {
            return None;
        }
        let definition = field(message, "response_definition");
        let definition = definition.as_message()?;
        let list = |name: &str| field(definition, name).as_list().map(<[_]>::to_vec).unwrap_or_default();
        let data = field(definition, "response_data");
        let data = match &*data {
            Value::List(data) => data.clone(),
            data if definition.has_field_by_name("response_data") => vec![data.clone()],
            _ => Vec::new(),
        };
        let error = definition.has_field_by_name("error").then(|| field(definition, "error").as_message().cloned());
        Some(Self {
            headers: list("response_headers"),
            trailers: list("response_trailers"),
            data,
            error: error.flatten(),
            delay: Duration::from_millis(field(definition, "response_delay_ms").as_u32().unwrap_or(0).into()),
        })
    }
}

fn add(headers: &mut HeaderMap, given: &[Value]) {
    for header in given.iter().filter_map(Value::as_message) {
        let name: HeaderName = field(header, "name").as_str().unwrap().parse().unwrap();
        for value in field(header, "value").as_list().unwrap() {
            headers.append(&name, HeaderValue::try_from(value.as_str().unwrap()).unwrap());
        }
    }
}

type Sender = mpsc::Sender<Result<Frame<Bytes>, Status>>;

impl Conformance {
    async fn serve(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        if let Some(unsupported) = request.extensions().get::<Unsupported>() {
            return Status::unimplemented(unsupported.to_string()).into_http();
        }
        if request.headers().get("grpc-encoding").is_some_and(|coding| coding != "identity") {
            let mut status = Status::unimplemented("the coding isn't served");
            status.metadata_mut().insert("grpc-accept-encoding", "gzip".parse().unwrap());
            return status.into_http();
        }
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let mut services = self.contract.0.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let Some(found) = services.find(|found| found.name() == method) else {
            return Status::unimplemented("the method doesn't exist").into_http();
        };
        if method == "Unimplemented" {
            return Status::unimplemented("the method isn't implemented").into_http();
        }
        let time = request.headers().get("grpc-timeout").map(|value| parse_timeout(value.to_str().unwrap_or_default()));
        let time = match time {
            Some(None) => return Status::invalid_argument("the timeout is malformed").into_http(),
            Some(Some(time)) => Some(time),
            None => None,
        };
        let deadline = time.map_or_else(far, |time| Instant::now() + time);
        let (head, body) = request.into_parts();
        let messages =
            Messages { body, arrived: BytesMut::new(), input: found.input(), message_size_max: self.message_size_max };
        let info = Info { headers: head.headers, time, output: found.output() };
        let answer = async {
            match (found.is_client_streaming(), found.is_server_streaming()) {
                (false, false) => self.unary(messages, info, true).await,
                (true, false) => self.unary(messages, info, false).await,
                (false, true) | (true, true) => Arc::clone(&self).stream(messages, info, deadline).await,
            }
        };
        match timeout_at(deadline, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(status)) => status.into_http(),
            Err(_) => Status::deadline_exceeded("the deadline has passed").into_http(),
        }
    }

    async fn unary(&self, mut messages: Messages, info: Info, is_unary: bool) -> Result<Response<Body>, Status> {
        let mut requests = Vec::new();
        if is_unary {
            requests.push(messages.only().await?);
        } else {
            while let Some(message) = messages.next().await? {
                requests.push(message);
            }
        }
        let definition = requests.first().and_then(Definition::of);
        let facts = self.request_info(Some(&info), &requests);
        let Some(definition) = definition else {
            return Ok(info.response(&[], vec![self.answer(&info.output, None, Some(facts))], HeaderMap::new()));
        };
        wait(definition.delay).await;
        let mut trailers = HeaderMap::new();
        add(&mut trailers, &definition.trailers);
        let answers = match &definition.error {
            Some(error) => {
                status(error, Some(&facts)).add_header(&mut trailers).unwrap();
                Vec::new()
            }
            None => vec![self.answer(&info.output, definition.data.first().cloned(), Some(facts))],
        };
        Ok(info.response(&definition.headers, answers, trailers))
    }

    /// A method that answers with a stream. What follows the headers is sent by a task of its own.
    async fn stream(
        self: Arc<Self>,
        mut messages: Messages,
        info: Info,
        deadline: Instant,
    ) -> Result<Response<Body>, Status> {
        let takes_stream = messages.input.name() == "BidiStreamRequest";
        let first = if takes_stream { messages.next().await? } else { Some(messages.only().await?) };
        let full_duplex = takes_stream
            && first.as_ref().is_some_and(|first| field(first, "full_duplex").as_bool().unwrap_or_default());
        let definition = first.as_ref().and_then(Definition::of);
        let mut requests: Vec<_> = first.into_iter().collect();
        if takes_stream && !full_duplex {
            while let Some(message) = messages.next().await? {
                requests.push(message);
            }
        }
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        let definition = definition.unwrap_or_else(|| Definition {
            headers: Vec::new(),
            trailers: Vec::new(),
            data: Vec::new(),
            error: None,
            delay: Duration::ZERO,
        });
        add(response.headers_mut(), &definition.headers);
        let (sender, receiver) = mpsc::channel(1);
        let body = Body::new(StreamBody::new(ReceiverStream::new(receiver)));
        tokio::spawn(async move {
            let sent = self.send(&sender, messages, requests, &definition, &info, full_duplex);
            let status = match timeout_at(deadline, sent).await {
                Ok(status) => status,
                Err(_) => Status::deadline_exceeded("the deadline has passed"),
            };
            let mut trailers = HeaderMap::new();
            add(&mut trailers, &definition.trailers);
            status.add_header(&mut trailers).unwrap();
            let _left = sender.send(Ok(Frame::trailers(trailers))).await;
        });
        Ok(response.map(|_| body))
    }

    async fn send(
        &self,
        sender: &Sender,
        mut messages: Messages,
        mut requests: Vec<DynamicMessage>,
        definition: &Definition,
        info: &Info,
        full_duplex: bool,
    ) -> Status {
        let mut data = definition.data.iter();
        let mut sent = 0;
        // With full duplex, one answer for each request; the rest follows the last request.
        while full_duplex && !requests.is_empty() {
            let Some(next) = data.next() else { break };
            let facts = self.request_info((sent == 0).then_some(info), &requests);
            wait(definition.delay).await;
            let frame = self.answer(&info.output, Some(next.clone()), Some(facts));
            if sender.send(Ok(Frame::data(frame))).await.is_err() {
                return Status::cancelled("the caller has left");
            }
            sent += 1;
            requests = match messages.next().await {
                Ok(next) => next.into_iter().collect(),
                Err(status) => return status,
            };
        }
        for next in data {
            let facts = (sent == 0).then(|| self.request_info(Some(info), &requests));
            wait(definition.delay).await;
            let frame = self.answer(&info.output, Some(next.clone()), facts);
            if sender.send(Ok(Frame::data(frame))).await.is_err() {
                return Status::cancelled("the caller has left");
            }
            sent += 1;
        }
        match &definition.error {
            Some(error) if sent == 0 => status(error, Some(&self.request_info(Some(info), &requests))),
            Some(error) => status(error, None),
            None => Status::ok(""),
        }
    }

    /// An answer with this data, as a frame.
    fn answer(&self, output: &MessageDescriptor, data: Option<Value>, facts: Option<DynamicMessage>) -> Bytes {
        let mut payload = self.contract.new_message("ConformancePayload");
        if let Some(data) = data {
            payload.set_field_by_name("data", data);
        }
        if let Some(facts) = facts {
            payload.set_field_by_name("request_info", Value::Message(facts));
        }
        let mut answer = DynamicMessage::new(output.clone());
        answer.set_field_by_name("payload", Value::Message(payload));
        let message = answer.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0][..], &length, &message].concat().into()
    }

    /// What the server has received: headers and timeout, and messages.
    fn request_info(&self, info: Option<&Info>, requests: &[DynamicMessage]) -> DynamicMessage {
        let mut facts = self.contract.new_message("ConformancePayload.RequestInfo");
        if let Some(info) = info {
            let header = |name: &HeaderName| {
                let mut header = self.contract.new_message("Header");
                header.set_field_by_name("name", Value::String(name.to_string()));
                let values = info.headers.get_all(name).iter();
                let values = values.map(|value| Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()));
                header.set_field_by_name("value", Value::List(values.collect()));
                Value::Message(header)
            };
            facts.set_field_by_name("request_headers", Value::List(info.headers.keys().map(header).collect()));
            if let Some(time) = info.time {
                let time_ms = i64::try_from(time.as_millis()).unwrap();
                facts.set_field_by_name("timeout_ms", Value::I64(time_ms));
            }
        }
        let any = self.contract.0.get_message_by_name("google.protobuf.Any").unwrap();
        let requests = requests.iter().map(|request| {
            let mut packed = DynamicMessage::new(any.clone());
            let name = request.descriptor().full_name().to_owned();
            packed.set_field_by_name("type_url", Value::String(format!("type.googleapis.com/{name}")));
            packed.set_field_by_name("value", Value::Bytes(request.encode_to_vec().into()));
            Value::Message(packed)
        });
        facts.set_field_by_name("requests", Value::List(requests.collect()));
        facts
    }
}

/// The facts of a call.
struct Info {
    headers: HeaderMap,
    time: Option<Duration>,
    output: MessageDescriptor,
}

impl Info {
    fn response(&self, headers: &[Value], answers: Vec<Bytes>, mut trailers: HeaderMap) -> Response<Body> {
        if !trailers.contains_key("grpc-status") {
            Status::ok("").add_header(&mut trailers).unwrap();
        }
        let frames = answers.into_iter().map(Frame::data).chain([Frame::trailers(trailers)]);
        let frames = frames.map(Ok::<_, Infallible>).collect::<Vec<_>>();
        let mut response = Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames))));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        add(response.headers_mut(), headers);
        response
    }
}

/// The status of an error that the runner asks for, with its details and these facts.
fn status(error: &DynamicMessage, facts: Option<&DynamicMessage>) -> Status {
    let code = Code::from_i32(field(error, "code").as_enum_number().unwrap());
    let message = field(error, "message").as_str().unwrap_or_default().to_owned();
    let given = field(error, "details");
    let mut details: Vec<_> = given.as_list().unwrap().iter().filter_map(Value::as_message).map(unpacked).collect();
    details.extend(facts.map(packed));
    let all = tonic_types::pb::Status { code: code.into(), message: message.clone(), details };
    Status::with_details(code, message, all.encode_to_vec().into())
}

fn unpacked(any: &DynamicMessage) -> Any {
    Any {
        type_url: field(any, "type_url").as_str().unwrap().to_owned(),
        value: field(any, "value").as_bytes().unwrap().to_vec(),
    }
}

fn packed(message: &DynamicMessage) -> Any {
    let type_url = format!("type.googleapis.com/{}", message.descriptor().full_name());
    Any { type_url, value: message.encode_to_vec() }
}

/// The maximum size of a refused request that is still read, in bytes.
const DISCARD_BYTES_MAX: usize = 1024 * 1024;

/// The maximum time for which a refused request is still read. The runner's clients share a machine with each other.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(10);

/// Reads the rest of a request that was answered early, beside the answer.
async fn discard(mut body: Incoming) {
    let mut left = DISCARD_BYTES_MAX;
    let deadline = Instant::now() + DISCARD_TIME_MAX;
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}

/// A timeout of gRPC.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

/// Lets this time pass, as the runner asks.
async fn wait(time: Duration) {
    if !time.is_zero() {
        let _passed = timeout(time, std::future::pending::<()>()).await;
    }
}
