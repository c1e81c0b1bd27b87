//! `demo`: fills an organization with sample records.
//!
//! [`records`] generates the records. This file stores them, up to [`CALLS_AT_ONCE`] at a time; a record is stored before the records that
//! refer to it.

mod records;

use clap::{Args, value_parser};
use sealward_client::{Client, Error, ErrorReason, ListOptions};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    connection::Connection,
    failure::Failure,
    input::confirmation::Confirmation,
    output::{Output, stderr},
};

use records::{DemoRecord, Plan};

/// Arguments of `demo`.
#[derive(Args)]
pub(super) struct DemoArguments {
    /// Number of records, 1 to 10000.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    records: u32,
    /// Seed of the records; the same seed gives the same records with other passwords.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) async fn run(arguments: &DemoArguments, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    let organization = connection.organization();
    if has_records(&client, &organization).await? {
        arguments.confirmation.confirm(&format!("{organization} already has records. This adds sample records."))?;
    }
    let plan = Plan::new(&organization, arguments.seed, arguments.records);
    let first_mailbox = plan.first_mailbox();
    let mut counts = Counts::default();
    for records in plan.stages {
        store_all(&client, &organization, records, &mut counts).await?;
    }

    output
        .answer(&json!({
            "organization": organization,
            "email_server_profiles": counts.email_server_profiles,
            "mailboxes": counts.mailboxes,
            "queues": counts.queues,
            "user_settings": counts.user_settings,
            "existing": counts.existing,
        }))
        .map_err(|failure| failure.completed(format!("the records were stored in {organization}")))?;
    let suggest = |command: &str| stderr::notice(&format!("  {}", connection.hints().command(command)));
    stderr::notice("The passwords are random and weren't printed. Try next:");
    suggest("mailbox list");
    if let Some(id) = first_mailbox {
        suggest(&format!("mailbox get {id}"));
        suggest(&format!("mailbox reveal {id} --attribute password --purpose 'a first look'"));
    }
    suggest("key change --wait");
    Ok(())
}

/// Numbers of records that were created, by entity, and of those that already existed.
#[derive(Default)]
struct Counts {
    email_server_profiles: usize,
    mailboxes: usize,
    queues: usize,
    user_settings: usize,
    existing: usize,
}

impl Counts {
    fn increment(&mut self, stored: Stored) {
        let counter = match stored {
            Stored::EmailServerProfile => &mut self.email_server_profiles,
            Stored::Mailbox => &mut self.mailboxes,
            Stored::Queue => &mut self.queues,
            Stored::UserSettings => &mut self.user_settings,
            Stored::Existing => &mut self.existing,
        };
        *counter += 1;
    }
}

/// The result of storing one record.
enum Stored {
    EmailServerProfile,
    Mailbox,
    Queue,
    UserSettings,
    /// An earlier run with the same seed created the record; it isn't changed.
    Existing,
}

async fn has_records(client: &Client, organization: &str) -> Result<bool, Error> {
    let first = || ListOptions::default().page_size(1);
    Ok(!client.mailboxes().list(organization, first()).await?.records.is_empty()
        || !client.email_server_profiles().list(organization, first()).await?.records.is_empty()
        || !client.queues().list(organization, first()).await?.records.is_empty()
        || !client.user_settings().list(organization, first()).await?.records.is_empty())
}

/// Stores records that don't refer to one another. Stops at the first failure; calls that are then in flight may still take effect.
async fn store_all(
    client: &Client,
    organization: &str,
    records: Vec<DemoRecord>,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let mut waiting = records.into_iter();
    let mut in_flight = JoinSet::new();
    loop {
        for record in waiting.by_ref().take(CALLS_AT_ONCE - in_flight.len()) {
            in_flight.spawn(store(client.clone(), organization.to_owned(), record));
        }
        match in_flight.join_next().await {
            Some(stored) => counts.increment(stored.expect("storing a record doesn't panic")?),
            None => return Ok(()),
        }
    }
}

async fn store(client: Client, organization: String, record: DemoRecord) -> Result<Stored, Error> {
    let (stored, outcome) = match record {
        DemoRecord::EmailServerProfile(id, record) => (
            Stored::EmailServerProfile,
            client.email_server_profiles().create(organization, *record, Some(id)).await.map(drop),
        ),
        DemoRecord::Mailbox(id, record) => {
            (Stored::Mailbox, client.mailboxes().create(organization, *record, Some(id)).await.map(drop))
        }
        DemoRecord::Queue(id, record) => {
            (Stored::Queue, client.queues().create(organization, *record, Some(id)).await.map(drop))
        }
        DemoRecord::UserSettings(id, record) => {
            (Stored::UserSettings, client.user_settings().create(organization, *record, Some(id)).await.map(drop))
        }
    };
    match outcome {
        Ok(()) => Ok(stored),
        Err(error) if error.reason() == ErrorReason::AlreadyExists => Ok(Stored::Existing),
        Err(error) => Err(error),
    }
}

/// Enough for the server to group commits, without loading it.
const CALLS_AT_ONCE: usize = 16;

pub(super) const EXAMPLES: &str = "\
You need the role record-writer or system-administrator. All addresses are in
the reserved domain .test. A repeated run with the same seed creates only the
records that are missing.

Examples:
  sealward --as writer demo
  sealward --as writer demo --records 5000 --seed 7 -o contoso";
