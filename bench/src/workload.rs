//! The calls that are measured: one table, in the order of the report.
//!
//! To measure another method, add a row. The echo needs nothing: it answers a method with the bytes that the server answered.

use prost::Message;
use prost_types::FieldMask;
use sealward::{
    mail::v1::{
        CreateMailboxRequest, DeleteMailboxRequest, GetMailboxRequest, ListMailboxesRequest, Mailbox,
        UpdateMailboxRequest,
    },
    methods,
    v1::{IsDataEncryptionActiveRequest, RevealAttributesRequest},
};

use crate::{
    deployment::Caller,
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
    pub(crate) sent: Sent,
    /// The goal: the smallest ratio of its rate to that of the echo.
    pub(crate) goal: Option<f64>,
    /// The goal: the largest ratio of the server's CPU time to that of the echo.
    pub(crate) cpu_goal: Option<f64>,
    /// The goal: the smallest ratio of its rate to that of this work of a peer.
    pub(crate) goal_of_peer: Option<(&'static str, f64)>,
    /// The work that peers do too.
    pub(crate) peers: Option<Work>,
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

/// Every kind of call.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "get",
        title: "GetMailbox",
        method: methods::GetMailbox,
        caller: Caller::Writer,
        request: get,
        sent: Sent::Same,
        goal: Some(0.90),
        cpu_goal: Some(1.4),
        goal_of_peer: None,
        peers: Some(Work::Read),
    },
    Workload {
        name: "get-spread",
        title: "GetMailbox, spread over records",
        method: methods::GetMailbox,
        caller: Caller::Writer,
        request: get,
        sent: Sent::Spread,
        goal: None,
        cpu_goal: None,
        goal_of_peer: None,
        peers: None,
    },
    Workload {
        name: "list",
        title: "ListMailboxes, page of 100",
        method: methods::ListMailboxes,
        caller: Caller::Writer,
        request: |_| {
            ListMailboxesRequest { parent: ORGANIZATION.to_owned(), page_size: 100, ..Default::default() }
                .encode_to_vec()
        },
        sent: Sent::Same,
        goal: Some(0.5),
        cpu_goal: None,
        goal_of_peer: None,
        peers: None,
    },
    Workload {
        name: "create",
        title: "CreateMailbox, one attribute sealed",
        method: methods::CreateMailbox,
        caller: Caller::Writer,
        request: |_| CreateMailboxRequest { mailbox_id: String::new(), ..create(0) }.encode_to_vec(),
        sent: Sent::Same,
        goal: Some(0.45),
        cpu_goal: None,
        goal_of_peer: Some((PUT, 15.0)),
        peers: Some(Work::Create),
    },
    Workload {
        name: "update",
        title: "UpdateMailbox, one attribute sealed, spread over records",
        method: methods::UpdateMailbox,
        caller: Caller::Writer,
        request: update,
        sent: Sent::Spread,
        goal: Some(0.40),
        cpu_goal: None,
        goal_of_peer: Some((PUT, 15.0)),
        peers: Some(Work::Update),
    },
    Workload {
        name: "update-one",
        title: "UpdateMailbox, all on one record",
        method: methods::UpdateMailbox,
        caller: Caller::Writer,
        request: update,
        sent: Sent::OneRecord,
        goal: None,
        cpu_goal: None,
        goal_of_peer: None,
        peers: None,
    },
    Workload {
        name: "delete",
        title: "DeleteMailbox",
        method: methods::DeleteMailbox,
        caller: Caller::Writer,
        request: |number| DeleteMailboxRequest { name: name(number), ..Default::default() }.encode_to_vec(),
        sent: Sent::Once,
        goal: None,
        cpu_goal: None,
        goal_of_peer: None,
        peers: None,
    },
    Workload {
        name: "reveal",
        title: "RevealAttributes",
        method: methods::RevealAttributes,
        caller: Caller::Connector,
        request: |number| {
            RevealAttributesRequest {
                name: name(number),
                attributes: vec!["password".to_owned()],
                purpose: "incoming mail".to_owned(),
            }
            .encode_to_vec()
        },
        sent: Sent::Same,
        goal: Some(0.45),
        cpu_goal: None,
        goal_of_peer: None,
        peers: Some(Work::Reveal),
    },
    Workload {
        name: "active",
        title: "IsDataEncryptionActive",
        method: methods::IsDataEncryptionActive,
        caller: Caller::Admin,
        request: |_| IsDataEncryptionActiveRequest { organization: ORGANIZATION.to_owned() }.encode_to_vec(),
        sent: Sent::Same,
        goal: Some(0.90),
        cpu_goal: None,
        goal_of_peer: None,
        peers: None,
    },
];

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
fn id(number: u64) -> String {
    format!("0191e2a4-5b6c-7d8e-9fa0-{number:012x}")
}
