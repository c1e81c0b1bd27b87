//! The calls that are measured: one table, in the order of the report.
//!
//! To measure another method, add a row. The echo needs nothing: it answers a method with the bytes that the server answered.

use prost::Message;
use prost_types::FieldMask;
use sealward::{
    mail::v1::{
        BatchCreateMailboxesRequest, BatchGetMailboxesRequest, CreateMailboxRequest, DeleteMailboxRequest,
        GetMailboxRequest, ImportMailboxesRequest, ListMailboxesRequest, Mailbox, UpdateMailboxRequest,
    },
    methods,
    v1::{IsDataEncryptionActiveRequest, RevealAttributesRequest},
};

use crate::{
    deployment::Caller,
    driver::framed,
    outcome::Outcome,
    shape::Shape,
    work::{PUT, Work},
};

/// The organization that a development server creates.
pub(crate) const ORGANIZATION: &str = "organizations/default";

/// A kind of call.
pub(crate) struct Workload {
    /// Its name as an argument.
    pub(crate) name: &'static str,
    /// What it does, for the report.
    pub(crate) title: &'static str,
    pub(crate) method: methods::Method,
    pub(crate) caller: Caller,
    /// The request for the record with this number.
    pub(crate) request: fn(u64) -> Vec<u8>,
    /// The messages of a call: a stream if there are several. The first one is the request number 0, and so on.
    pub(crate) messages: u64,
    pub(crate) sent: Sent,
    /// The records of a call.
    pub(crate) records: u64,
    /// The maximum calls in flight, if it is less than that of the load.
    pub(crate) in_flight_max: usize,
    /// The goal: the smallest ratio of its rate to that of the echo.
    pub(crate) goal: Option<f64>,
    /// The goal: the largest ratio of the server's CPU time to that of the echo.
    pub(crate) cpu_goal: Option<f64>,
    /// The goal: the smallest number of records per second.
    pub(crate) records_goal: Option<f64>,
    /// The goal: the smallest ratio of its rate to that of this work of a peer.
    pub(crate) goal_of_peer: Option<(&'static str, f64)>,
    /// The work that peers do too.
    pub(crate) peers: Option<Work>,
}

impl Workload {
    /// The body of a call: its messages with their prefixes, from the request with this number on.
    pub(crate) fn body(&self, number: u64) -> Vec<u8> {
        (number..number + self.messages).flat_map(|number| framed(&(self.request)(number))).collect()
    }

    /// The shape of its load.
    pub(crate) fn shape(&self, shape: Shape) -> Shape {
        let in_flight = shape.in_flight.min(self.in_flight_max);
        Shape { in_flight, connections: shape.connections.min(in_flight) }
    }
}

/// Which requests are sent, and by which load generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The same request, by h2load.
    Same,
    /// The same request, by the driver, which counts refused calls exactly.
    OneRecord,
    /// A request for each record of the stock in a random order, by the driver.
    Spread,
    /// A request for each of the records that were created for it, by the driver.
    Once,
}

/// The maximum lists of a caller at a time, `lists_per_identity_max`. A BatchGet is a list too.
const LISTS_MAX: usize = 64;
/// Imports at a time. Each is a stream, and has several groups in flight.
const IMPORTS: usize = 4;
/// The records of a batch.
const BATCH: u64 = 100;
/// The records of a message of an import: the maximum.
pub(crate) const IMPORT_MESSAGE: u64 = 1_000;
const IMPORT_MESSAGES: u64 = 2;

/// A unary call for one record by a writer, without goals.
const CALL: Workload = Workload {
    name: "",
    title: "",
    method: methods::GetMailbox,
    caller: Caller::Writer,
    request: get,
    messages: 1,
    sent: Sent::Same,
    records: 1,
    in_flight_max: usize::MAX,
    goal: None,
    cpu_goal: None,
    records_goal: None,
    goal_of_peer: None,
    peers: None,
};

/// Every kind of call.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "get",
        title: "GetMailbox",
        goal: Some(0.90),
        cpu_goal: Some(1.4),
        peers: Some(Work::Read),
        ..CALL
    },
    Workload { name: "get-spread", title: "GetMailbox, spread over records", sent: Sent::Spread, ..CALL },
    Workload {
        name: "list",
        title: "ListMailboxes, page of 100",
        method: methods::ListMailboxes,
        request: |_| {
            ListMailboxesRequest { parent: ORGANIZATION.to_owned(), page_size: 100, ..Default::default() }
                .encode_to_vec()
        },
        records: 100,
        in_flight_max: LISTS_MAX,
        goal: Some(0.5),
        ..CALL
    },
    Workload {
        name: "batch-get",
        title: "BatchGetMailboxes, 100 records",
        method: methods::BatchGetMailboxes,
        request: |_| {
            let names = (0..BATCH).map(name).collect();
            BatchGetMailboxesRequest { parent: ORGANIZATION.to_owned(), names, ..Default::default() }.encode_to_vec()
        },
        records: BATCH,
        in_flight_max: LISTS_MAX,
        ..CALL
    },
    Workload {
        name: "create",
        title: "CreateMailbox, one attribute sealed",
        method: methods::CreateMailbox,
        request: |_| new().encode_to_vec(),
        goal: Some(0.45),
        goal_of_peer: Some((PUT, 15.0)),
        peers: Some(Work::Create),
        ..CALL
    },
    Workload {
        name: "batch-create",
        title: "BatchCreateMailboxes, 100 records",
        method: methods::BatchCreateMailboxes,
        request: |_| {
            let requests = (0..BATCH).map(|_| new()).collect();
            BatchCreateMailboxesRequest { parent: ORGANIZATION.to_owned(), requests, ..Default::default() }
                .encode_to_vec()
        },
        records: BATCH,
        ..CALL
    },
    Workload {
        name: "import",
        title: "ImportMailboxes, streams of 2,000 records",
        method: methods::ImportMailboxes,
        request: |number| import(number == 0, (0..IMPORT_MESSAGE).map(|_| new())),
        messages: IMPORT_MESSAGES,
        records: IMPORT_MESSAGES * IMPORT_MESSAGE,
        in_flight_max: IMPORTS,
        records_goal: Some(200_000.0),
        ..CALL
    },
    Workload {
        name: "update",
        title: "UpdateMailbox, one attribute sealed, spread over records",
        method: methods::UpdateMailbox,
        request: update,
        sent: Sent::Spread,
        goal: Some(0.40),
        goal_of_peer: Some((PUT, 15.0)),
        peers: Some(Work::Update),
        ..CALL
    },
    Workload {
        name: "update-one",
        title: "UpdateMailbox, all on one record",
        method: methods::UpdateMailbox,
        request: update,
        sent: Sent::OneRecord,
        ..CALL
    },
    Workload {
        name: "delete",
        title: "DeleteMailbox",
        method: methods::DeleteMailbox,
        request: |number| DeleteMailboxRequest { name: name(number), ..Default::default() }.encode_to_vec(),
        sent: Sent::Once,
        ..CALL
    },
    Workload {
        name: "reveal",
        title: "RevealAttributes",
        method: methods::RevealAttributes,
        caller: Caller::Connector,
        request: reveal,
        goal: Some(0.45),
        peers: Some(Work::Reveal),
        ..CALL
    },
    Workload {
        name: "active",
        title: "IsDataEncryptionActive",
        method: methods::IsDataEncryptionActive,
        caller: Caller::Admin,
        request: |_| IsDataEncryptionActiveRequest { organization: ORGANIZATION.to_owned() }.encode_to_vec(),
        goal: Some(0.90),
        ..CALL
    },
];

/// The row with this name.
pub(crate) fn row(name: &str) -> Outcome<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name).ok_or_else(|| format!("there is no row {name}"))
}

/// The request that creates a record whose id the server chooses.
fn new() -> CreateMailboxRequest {
    CreateMailboxRequest { mailbox_id: String::new(), ..create(0) }
}

/// A message of an import.
pub(crate) fn import(is_first: bool, requests: impl Iterator<Item = CreateMailboxRequest>) -> Vec<u8> {
    let parent = if is_first { ORGANIZATION.to_owned() } else { String::new() };
    let requests = requests.map(|request| CreateMailboxRequest { parent: String::new(), ..request }).collect();
    ImportMailboxesRequest { parent, requests, ..Default::default() }.encode_to_vec()
}

/// The request that creates the record with this number.
pub(crate) fn create(number: u64) -> CreateMailboxRequest {
    CreateMailboxRequest {
        parent: ORGANIZATION.to_owned(),
        mailbox_id: id(number),
        mailbox: Some(Mailbox {
            display_name: Some("Sales".to_owned()),
            email_address: Some("sales@example.com".to_owned()),
            username: Some("sales@example.com".to_owned()),
            password: Some("correct horse battery staple".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn get(number: u64) -> Vec<u8> {
    GetMailboxRequest { name: name(number), ..Default::default() }.encode_to_vec()
}

fn reveal(number: u64) -> Vec<u8> {
    RevealAttributesRequest {
        name: name(number),
        attributes: vec!["password".to_owned()],
        purpose: "incoming mail".to_owned(),
    }
    .encode_to_vec()
}

fn update(number: u64) -> Vec<u8> {
    UpdateMailboxRequest {
        mailbox: Some(Mailbox {
            name: name(number),
            password: Some("another horse battery staple".to_owned()),
            ..Default::default()
        }),
        update_mask: Some(FieldMask { paths: vec!["password".to_owned()] }),
        ..Default::default()
    }
    .encode_to_vec()
}

fn name(number: u64) -> String {
    format!("{ORGANIZATION}/mailboxes/{}", id(number))
}

/// The id of the record with this number. Ids grow, as those that the server chooses do.
pub(crate) fn id(number: u64) -> String {
    format!("0191e2a4-5b6c-7d8e-9fa0-{number:012x}")
}
