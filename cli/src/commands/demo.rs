//! `demo`: fills an organization with invented records, so that there is something to look at.
//!
//! What the records are is in [`records`]; here they are stored, a bounded number at a time, what is referred to before what refers to it.

mod records;

use clap::{Args, value_parser};
use sealward_client::{Client, Error, ErrorReason, ListOptions};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{confirmation::Confirmation, connection::Connection, failure::Failure, output::Output, stderr};

use records::{DemoRecord, Plan};

/// What `demo` takes.
#[derive(Args)]
pub(super) struct DemoArguments {
    /// How many records to make: 1 to 10000.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    records: u32,
    /// What names, ids and links follow from: the same number gives the same records, whose passwords differ each time.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) async fn run(arguments: &DemoArguments, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    let organization = connection.organization();
    if has_records(&client, &organization).await? {
        arguments.confirmation.ask(&format!("{organization} has records already: this adds invented ones to them."))?;
    }
    let plan = Plan::new(&organization, arguments.seed, arguments.records);
    let first_mailbox = plan.first_mailbox();
    let mut made = Made::default();
    for records in plan.stages {
        store_all(&client, &organization, records, &mut made).await?;
    }

    output
        .answer(&json!({
            "organization": organization,
            "email_server_profiles": made.email_server_profiles,
            "mailboxes": made.mailboxes,
            "queues": made.queues,
            "user_settings": made.user_settings,
            "existing": made.existing,
        }))
        .map_err(|failure| failure.done(format!("the records are stored in {organization}")))?;
    let next = |words: &str| stderr::notice(&format!("  {}", connection.hints().command(words)));
    stderr::notice("The passwords are random and were not shown. To try next:");
    next("mailbox list");
    if let Some(id) = first_mailbox {
        next(&format!("mailbox get {id}"));
        next(&format!("mailbox reveal {id} --attribute password --purpose 'a first look'"));
    }
    next("key change --wait");
    Ok(())
}

/// How many records were made, and how many were there already.
#[derive(Default)]
struct Made {
    email_server_profiles: usize,
    mailboxes: usize,
    queues: usize,
    user_settings: usize,
    existing: usize,
}

impl Made {
    fn count(&mut self, stored: Stored) {
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

/// What became of one record.
enum Stored {
    EmailServerProfile,
    Mailbox,
    Queue,
    UserSettings,
    /// A former run with the same seed has made it; it stays as it is.
    Existing,
}

async fn has_records(client: &Client, organization: &str) -> Result<bool, Error> {
    let first = || ListOptions::default().page_size(1);
    Ok(!client.mailboxes().list(organization, first()).await?.records.is_empty()
        || !client.email_server_profiles().list(organization, first()).await?.records.is_empty()
        || !client.queues().list(organization, first()).await?.records.is_empty()
        || !client.user_settings().list(organization, first()).await?.records.is_empty())
}

/// Stores records that don't refer to one another. The first that fails ends it; those that were on their way may be there all the same.
async fn store_all(
    client: &Client,
    organization: &str,
    records: Vec<DemoRecord>,
    made: &mut Made,
) -> Result<(), Failure> {
    let mut waiting = records.into_iter();
    let mut on_their_way = JoinSet::new();
    loop {
        for record in waiting.by_ref().take(CALLS_AT_ONCE - on_their_way.len()) {
            on_their_way.spawn(store(client.clone(), organization.to_owned(), record));
        }
        match on_their_way.join_next().await {
            Some(stored) => made.count(stored.expect("storing a record doesn't panic")?),
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

/// Enough to share the server's waits for its disk, and no burden to it.
const CALLS_AT_ONCE: usize = 16;

pub(super) const EXAMPLES: &str = "\
It needs the role record-writer or system-administrator. All addresses are under .test, which no mail reaches.
The same seed in the same organization makes what is missing and leaves what is there.

Examples:
  sealward --as writer demo
  sealward --as writer demo --records 5000 --seed 7 -o contoso";
