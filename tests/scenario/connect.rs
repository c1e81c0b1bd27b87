//! The scenario through Connect with JSON: plain HTTP requests, without any library for gRPC or Connect.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Response,
    body::Incoming,
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::bytes::{Buf as _, Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{
    driver::{Call, Declined, Driver, Outcome, Sent, Target},
    file::{Caller, Connection},
    messages,
};
use crate::harness::http::connect_tls;

type Sender = SendRequest<Full<Bytes>>;

/// The bytes before each message of a stream: flags, and the length as four bytes.
const PREFIX: usize = 5;

/// The flag of the message that ends a stream.
const END_STREAM: u8 = 0b10;

/// The connections of a file, and the responses that stay open.
pub(super) struct Connect {
    target: Target,
    senders: BTreeMap<Caller, Sender>,
    others: Vec<Sender>,
    open: Vec<Response<Incoming>>,
}

impl Connect {
    pub(super) fn new(target: &Target) -> Self {
        Self { target: target.clone(), senders: BTreeMap::new(), others: Vec::new(), open: Vec::new() }
    }

    async fn sender(&mut self, call: &Call<'_>) -> Sender {
        let caller = call.step.caller;
        if let Some(Connection::New) = call.step.connection {
            let sender = connect(&self.target, caller).await;
            self.others.push(sender.clone());
            return sender;
        }
        match self.senders.get(&caller).filter(|sender| !sender.is_closed()) {
            Some(sender) => sender.clone(),
            None => {
                let sender = connect(&self.target, caller).await;
                self.senders.insert(caller, sender.clone());
                sender
            }
        }
    }
}

async fn connect(target: &Target, caller: Caller) -> Sender {
    let person = target.person(caller);
    if caller == Caller::Plaintext {
        let stream = TcpStream::connect(target.plaintext_address.as_ref().unwrap()).await.unwrap();
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        return sender;
    }
    let stream = TcpStream::connect(&target.address).await.unwrap();
    let stream = connect_tls(&target.folder, person, stream).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

impl Driver for Connect {
    async fn call(&mut self, call: &Call<'_>) -> Result<Outcome, Declined> {
        let is_stream = call.method.is_client_streaming() || call.method.is_server_streaming();
        let (content_type, body) = match &call.sent {
            Sent::Raw(bytes) => ("application/proto", bytes.clone()),
            Sent::Messages(messages) if is_stream => ("application/connect+json", enveloped(messages)),
            Sent::Messages(messages) => ("application/json", messages[0].to_string().into_bytes()),
        };
        let scheme = if call.step.caller == Caller::Plaintext { "http" } else { "https" };
        let mut request = Request::post(format!("{scheme}://localhost/{}", call.step.call))
            .header("content-type", content_type)
            .header("connect-protocol-version", "1");
        for (name, value) in &call.metadata {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let mut sender = self.sender(call).await;
        sender.ready().await.unwrap();
        let mut response = sender.send_request(request).await.unwrap();
        let mut outcome = Outcome::default();
        let answered = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
        match (response.status().is_success(), answered.as_deref()) {
            (true, Some("application/connect+json")) => {
                read_stream(&mut response, call, &mut outcome).await;
                if call.step.keep_open {
                    self.open.push(response);
                }
            }
            (true, Some("application/json")) => {
                let body = response.into_body().collect().await.unwrap().to_bytes();
                outcome.messages.push(in_names_of_the_contract(call, &body));
            }
            (false, Some("application/json")) => {
                let body = response.into_body().collect().await.unwrap().to_bytes();
                outcome.error = Some(messages::error_of_connect(&serde_json::from_slice(&body).unwrap()));
            }
            (_, other) => panic!("{}: status {} with {other:?}", call.step.name, response.status()),
        }
        Ok(outcome)
    }
}

/// The messages as a stream has them.
fn enveloped(messages: &[Value]) -> Vec<u8> {
    let mut body = Vec::new();
    for message in messages {
        let text = message.to_string();
        body.push(0);
        body.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        body.extend(text.into_bytes());
    }
    body
}

/// Reads a stream to its end, or one message if the step keeps it open.
async fn read_stream(response: &mut Response<Incoming>, call: &Call<'_>, outcome: &mut Outcome) {
    let mut received = BytesMut::new();
    loop {
        while let Some((flags, message)) = next_message(&mut received) {
            if flags & END_STREAM != 0 {
                let end: Value = serde_json::from_slice(&message).unwrap();
                outcome.error = end.get("error").map(messages::error_of_connect);
                return;
            }
            outcome.messages.push(in_names_of_the_contract(call, &message));
            if call.step.keep_open {
                return;
            }
        }
        let frame = response.body_mut().frame().await.expect("the stream ends without its last message").unwrap();
        if let Ok(data) = frame.into_data() {
            received.extend_from_slice(&data);
        }
    }
}

/// Takes a whole message with its flags from the received bytes.
fn next_message(received: &mut BytesMut) -> Option<(u8, Bytes)> {
    let prefix: [u8; PREFIX] = received.get(..PREFIX)?.try_into().unwrap();
    let [flags, length @ ..] = prefix;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap();
    if received.len() < PREFIX + length {
        return None;
    }
    received.advance(PREFIX);
    Some((flags, received.split_to(length).freeze()))
}

/// A message in the names that the scenario has: the mapping allows two names for each field.
fn in_names_of_the_contract(call: &Call<'_>, json: &[u8]) -> Value {
    let json: Value = serde_json::from_slice(json).unwrap_or_else(|error| panic!("{error}: {}", BASE64.encode(json)));
    messages::json_of(&messages::parse(call.method.output(), &json))
}

#[test]
fn messages_of_a_stream_are_read_as_they_were_written() {
    let mut body = BytesMut::from(&enveloped(&[json!({"a": 1}), json!({})])[..]);
    assert_eq!(next_message(&mut body), Some((0, Bytes::from_static(b"{\"a\":1}"))));
    assert_eq!(next_message(&mut body), Some((0, Bytes::from_static(b"{}"))));
    assert_eq!(next_message(&mut body), None);
}
