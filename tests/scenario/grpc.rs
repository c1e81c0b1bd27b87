//! The scenario over gRPC, with messages by descriptor.

use std::collections::BTreeMap;

use prost::Message as _;
use sealward_client::code_name;
use tokio_stream::StreamExt as _;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::{
    driver::{Call, Declined, Driver, Outcome, Sent, Target},
    file::{Caller, Connection},
    messages,
};
use crate::harness::raw;

/// The connections of a file, and the streams that stay open.
pub(super) struct Grpc {
    target: Target,
    channels: BTreeMap<Caller, Channel>,
    others: Vec<Channel>,
    open: Vec<Streaming<Vec<u8>>>,
}

impl Grpc {
    pub(super) fn new(target: &Target) -> Self {
        Self { target: target.clone(), channels: BTreeMap::new(), others: Vec::new(), open: Vec::new() }
    }

    fn channel(&mut self, call: &Call<'_>) -> Channel {
        match call.step.connection {
            Some(Connection::New) => {
                let channel = connect(&self.target, call.step.caller);
                self.others.push(channel.clone());
                channel
            }
            None => {
                let target = &self.target;
                self.channels.entry(call.step.caller).or_insert_with(|| connect(target, call.step.caller)).clone()
            }
        }
    }
}

fn connect(target: &Target, caller: Caller) -> Channel {
    let builder = target.folder.client_builder(&target.address);
    match (caller, target.person(caller)) {
        (Caller::Plaintext, _) => {
            Endpoint::from_shared(format!("http://{}", target.plaintext_address.as_ref().unwrap()))
                .unwrap()
                .connect_lazy()
        }
        (_, Some(_)) => target.folder.client(&target.address, target.person(caller).unwrap()).channel(),
        (_, None) => builder.connect_lazy().unwrap().channel(),
    }
}

impl Driver for Grpc {
    async fn call(&mut self, call: &Call<'_>) -> Result<Outcome, Declined> {
        let encoded: Vec<Vec<u8>> = match &call.sent {
            Sent::Raw(bytes) => vec![bytes.clone()],
            Sent::Messages(messages) => {
                messages.iter().map(|json| messages::parse(call.method.input(), json).encode_to_vec()).collect()
            }
        };
        let headers: Vec<_> = call.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let path = format!("/{}", call.step.call);
        let channel = self.channel(call);
        let failed = |status: &Status| messages::error_of_status(code_name(status.code()), status.details());
        let mut stream = match raw::open(channel, &path, &headers, tokio_stream::iter(encoded)).await {
            Ok(stream) => stream,
            Err(status) => return Ok(Outcome { error: Some(failed(&status)), ..Outcome::default() }),
        };
        let mut outcome = Outcome::default();
        while let Some(message) = stream.next().await {
            match message {
                Ok(message) => outcome.messages.push(messages::decode(call.method.output(), &message)),
                Err(status) => outcome.error = Some(failed(&status)),
            }
            if call.step.keep_open {
                self.open.push(stream);
                break;
            }
        }
        Ok(outcome)
    }
}
