//! What the drivers have in common: the server of a file, a call, and its outcome.

use std::{collections::BTreeMap, sync::Arc};

use prost_reflect::MethodDescriptor;
use sealward_server::development::Person;
use serde_json::Value;

use super::{
    expectation::compare,
    file::{Caller, Step},
};
use crate::harness::Folder;

/// The server of a file.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) folder: Arc<Folder>,
    pub(super) address: String,
    pub(super) plaintext_address: Option<String>,
}

impl Target {
    /// The certificate of a caller; `None` without one.
    pub(super) fn person(&self, caller: Caller) -> Option<Person> {
        match caller {
            Caller::Admin => Some(Person::Admin),
            Caller::Writer => Some(Person::Writer),
            Caller::Reader => Some(Person::Reader),
            Caller::Connector => Some(Person::Connector),
            Caller::Auditor => Some(Person::Auditor),
            Caller::Nobody | Caller::Plaintext => None,
        }
    }
}

/// A call of a step, with its variables replaced.
pub(super) struct Call<'a> {
    pub(super) step: &'a Step,
    pub(super) method: MethodDescriptor,
    pub(super) sent: Sent,
    pub(super) metadata: BTreeMap<String, String>,
}

/// The request of a call.
pub(super) enum Sent {
    /// JSON messages: one, or those of a client stream.
    Messages(Vec<Value>),
    /// Bytes that needn't be a message.
    Raw(Vec<u8>),
}

/// What a call returned.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) messages: Vec<Value>,
    pub(super) error: Option<Value>,
    /// Fields of an answer that the driver can't know.
    pub(super) unknown: &'static [&'static str],
}

/// Why a driver can't make a call.
#[derive(Debug)]
pub(super) struct Declined(pub(super) &'static str);

/// A way to call the server.
pub(super) trait Driver {
    /// Makes a call.
    fn call(&mut self, call: &Call<'_>) -> impl Future<Output = Result<Outcome, Declined>> + Send;

    /// Compares an error with the expected one.
    fn compare_error(&self, expected: &Value, actual: &Value) -> Result<(), String> {
        compare(expected, actual, "error")
    }
}
