//! A campaign of kills: a server process is killed over and over, at every fail point of a change and at random moments, while writers
//! write. After each, every acknowledged write is stored, every cell opens, and the change ends automatically, once.
//!
//! `cargo xtask kill` runs a longer one. A seed repeats the beginning of a campaign; the schedule of the processes differs.

use std::{collections::BTreeMap, sync::Arc};

use sealward_client::{Client, ErrorReason, SecretString, mail_v1, v1::reencryption::State};
use sealward_core::fail_point::FailPoint;
use sealward_server::development::Person;
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::{
    crash::{Draw, current_text, is_gone, set_limits},
    harness::{
        DEFAULT, Folder,
        inside::{Inside, lose_configuration},
        mailbox,
        process::Process,
        reason, reveal, settled,
    },
};

/// The fail points that every change passes.
pub(crate) const OF_A_CHANGE: [FailPoint; 10] = [
    FailPoint::KeyWorkStarted,
    FailPoint::KeyTextStored,
    FailPoint::RingReplaced,
    FailPoint::CellsCounted,
    FailPoint::BatchDone,
    FailPoint::ScanDone,
    FailPoint::DataKeysDestroyed,
    FailPoint::TextsForgotten,
    FailPoint::FilesScrubbed,
    FailPoint::ReencryptionSettled,
];

/// The stored state of a mailbox.
#[derive(Clone, Debug, PartialEq)]
struct Stored {
    display_name: String,
    password: Option<String>,
}

/// What may be stored under a name, `None` being no mailbox. An answer leaves one possibility; a write without one adds another.
type Possible = Vec<Option<Stored>>;

/// A write.
#[derive(Clone, Debug)]
enum Write {
    Create(Stored),
    Rename(String),
    Set(String),
    Clear,
    Delete,
}

impl Write {
    fn draw(draw: &mut Draw, count: u64) -> Write {
        match draw.below(8) {
            0 | 1 => Write::Create(Stored {
                display_name: format!("created {count}"),
                password: (draw.below(3) > 0).then(|| format!("password {count}")),
            }),
            2 => Write::Rename(format!("renamed {count}")),
            3..=5 => Write::Set(format!("password {count}")),
            6 => Write::Clear,
            _ => Write::Delete,
        }
    }

    /// The state after the write.
    fn applied(&self, stored: Option<&Stored>) -> Option<Stored> {
        match (self, stored) {
            (Write::Create(new), None) => Some(new.clone()),
            (Write::Create(_), Some(there)) => Some(there.clone()),
            (_, None) | (Write::Delete, Some(_)) => None,
            (Write::Rename(name), Some(there)) => Some(Stored { display_name: name.clone(), ..there.clone() }),
            (Write::Set(password), Some(there)) => Some(Stored { password: Some(password.clone()), ..there.clone() }),
            (Write::Clear, Some(there)) => Some(Stored { password: None, ..there.clone() }),
        }
    }

    async fn make(&self, writer: &Client, name: &str) -> Result<(), sealward_client::Error> {
        let record = |stored: Stored| mail_v1::Mailbox {
            name: name.to_owned(),
            display_name: Some(stored.display_name),
            password: stored.password,
            ..mailbox("")
        };
        let changed = |display_name: &str, password: Option<&String>| {
            record(Stored { display_name: display_name.to_owned(), password: password.cloned() })
        };
        let mailboxes = writer.mailboxes();
        match self {
            Write::Create(new) => {
                let id = name.rsplit('/').next().unwrap();
                mailboxes.create(DEFAULT, record(new.clone()), Some(id.to_owned())).await.map(drop)
            }
            Write::Rename(name) => mailboxes.update(changed(name, None), ["display_name"]).await.map(drop),
            Write::Set(password) => mailboxes.update(changed("", Some(password)), ["password"]).await.map(drop),
            Write::Clear => mailboxes.update(changed("", None), ["password"]).await.map(drop),
            Write::Delete => mailboxes.delete(name, "").await,
        }
    }
}

/// Writes until the server has ended. Each answer permits the next write.
fn keep_writing(
    writer: Client,
    mut own: BTreeMap<String, Possible>,
    mut draw: Draw,
    answers: Arc<Semaphore>,
) -> JoinHandle<BTreeMap<String, Possible>> {
    tokio::spawn(async move {
        let names: Vec<String> = own.keys().cloned().collect();
        for count in 0.. {
            let name = &names[usize::try_from(draw.below(names.len() as u64)).unwrap()];
            let possible = own.get_mut(name).unwrap();
            let write = Write::draw(&mut draw, count);
            let made: Possible = possible.iter().map(|stored| write.applied(stored.as_ref())).collect();
            match write.make(&writer, name).await {
                // An answer shows whether there was a mailbox.
                Ok(()) => {
                    let was_there = !matches!(write, Write::Create(_));
                    let so = possible.iter().zip(made).filter(|(before, _)| before.is_some() == was_there);
                    *possible = so.map(|(_, after)| after).collect();
                }
                Err(error) if error.reason() == ErrorReason::NotFound => possible.retain(Option::is_none),
                Err(error) if error.reason() == ErrorReason::AlreadyExists => possible.retain(Option::is_some),
                Err(error) => {
                    assert!(is_gone(&error), "{error:?}");
                    possible.extend(made);
                    return own;
                }
            }
            assert!(!possible.is_empty(), "{name}: {write:?} was answered as it can't be");
            answers.add_permits(1);
        }
        unreachable!()
    })
}

/// Changes the key, and waits for an earlier change. Returns whether the change was acknowledged.
async fn change(admin: Client, text: SecretString) -> bool {
    loop {
        match admin.change_key(DEFAULT, &text).await {
            Ok(_) => return true,
            Err(error) if error.reason() == ErrorReason::SetKeyAlreadyRunning => {}
            Err(error) => {
                assert!(is_gone(&error), "{error:?}");
                return false;
            }
        }
    }
}

struct Campaign {
    folder: Folder,
    draw: Draw,
    records: BTreeMap<String, Possible>,
    /// Possible texts of the key. The last acknowledged one is first.
    texts: Vec<String>,
    /// A former text of the key.
    former: Option<String>,
    changes: u32,
    kills: u32,
    answers: usize,
}

const WRITERS: usize = 3;
const RECORDS: usize = 9;

impl Campaign {
    async fn begin(seed: u64) -> Campaign {
        let folder = Folder::new();
        let limits =
            [("key_changes_per_hour", 0), ("wrong_key_restores_per_15_minutes", 0), ("reencryption_batch_cells", 2)];
        set_limits(&folder.path(), &limits);
        let server = Process::start(&folder.path());
        let text = current_text(&folder.client(&server.address, Person::Admin)).await;
        server.kill();
        let id = |number: usize| format!("00000000-0000-4000-8000-{number:012}");
        let records = (0..RECORDS).map(|number| (format!("{DEFAULT}/mailboxes/{}", id(number)), vec![None]));
        Campaign {
            folder,
            draw: Draw(seed),
            records: records.collect(),
            texts: vec![text],
            former: None,
            changes: 0,
            kills: 0,
            answers: 0,
        }
    }

    /// Runs writers until the server has ended, and a change beside them if `changes`; `end` ends the server.
    async fn run_until_killed(&mut self, server: Process, changes: bool, end: impl AsyncFnOnce(Process, &Semaphore)) {
        let answers = Arc::new(Semaphore::new(0));
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let own = self.records.iter().skip(writer).step_by(WRITERS);
            let own = own.map(|(name, possible)| (name.clone(), possible.clone())).collect();
            let client = self.folder.client(&server.address, Person::Writer);
            let draw = Draw(self.draw.below(u64::MAX));
            writers.push(keep_writing(client, own, draw, Arc::clone(&answers)));
        }
        let changing = changes.then(|| {
            self.changes += 1;
            let text = format!("the key of change {}!", self.changes);
            let admin = self.folder.client(&server.address, Person::Admin);
            (tokio::spawn(change(admin, text.clone().into())), text)
        });
        end(server, &answers).await;
        self.kills += 1;
        for writer in writers {
            self.records.extend(writer.await.unwrap());
        }
        self.answers += answers.available_permits();
        if let Some((changing, text)) = changing {
            if changing.await.unwrap() {
                self.texts.clear();
            }
            self.texts.push(text);
        }
    }

    /// Every mailbox has one of its possible states.
    async fn compare_with_model(&mut self, server: &Process) {
        let connector = self.folder.client(&server.address, Person::Connector);
        let reader = self.folder.client(&server.address, Person::Reader);
        for (name, possible) in &mut self.records {
            let found = match reader.mailboxes().get(name.as_str()).await {
                Ok(found) => Some(Stored {
                    display_name: found.display_name.unwrap(),
                    password: reveal(&connector, name).await.unwrap(),
                }),
                Err(error) => {
                    assert_eq!(error.reason(), ErrorReason::NotFound);
                    None
                }
            };
            assert!(possible.contains(&found), "{name}: {found:?}, and it may be {possible:?}");
            *possible = vec![found];
        }
    }

    /// Compares the stored state with the model, after running work has ended.
    async fn check(&mut self, server: &Process) {
        self.compare_with_model(server).await;
        let admin = self.folder.client(&server.address, Person::Admin);
        let last = settled(&admin).await;
        assert!(matches!(last.state(), State::None | State::Done), "{last:?}");
        self.compare_with_model(server).await;

        let current = current_text(&admin).await;
        assert!(self.texts.contains(&current), "{current}: not one of {:?}", self.texts);
        self.former = self.texts.iter().find(|text| **text != current).cloned().or(self.former.take());
        self.texts = vec![current];

        let mut checking = admin.verify_cells(DEFAULT).await.unwrap();
        while let Some(message) = checking.next().await.unwrap() {
            assert_eq!((message.unreadable_cells, message.census_miscounts), (Vec::new(), Vec::new()));
        }
        let version = admin.is_data_encryption_active(DEFAULT).await.unwrap().key_version;
        let inside = Inside::organization(&self.folder);
        assert_eq!(inside.data_key_versions(), [version]);
        assert!(inside.cell_versions().iter().all(|cell| *cell == version));
        // Each change has ended once.
        let ended = inside.trail().into_iter().filter(|record| record.action == "complete-reencryption");
        let mut ended: Vec<u32> = ended.filter_map(|record| record.key_version).collect();
        ended.sort_unstable();
        assert_eq!(ended, (2..=version).collect::<Vec<_>>());
    }

    /// Loses the configuration database: the text of the key opens the database, and a former text doesn't.
    async fn restore(&mut self, server: Process) -> Process {
        server.kill();
        self.kills += 1;
        lose_configuration(&self.folder.path());
        let server = Process::start(&self.folder.path());
        let admin = self.folder.client(&server.address, Person::Admin);
        if let Some(former) = &self.former {
            let restored = admin.restore_key(DEFAULT, &former.clone().into()).await;
            assert_eq!(reason(restored), ErrorReason::KeyMismatch);
        }
        admin.restore_key(DEFAULT, &self.texts[0].clone().into()).await.unwrap();
        self.compare_with_model(&server).await;
        server
    }

    /// Two kills: at a fail point of a change, and at a random moment.
    async fn round(&mut self, number: u32) {
        let point = OF_A_CHANGE[usize::try_from(number).unwrap() % OF_A_CHANGE.len()];
        let count = if point == FailPoint::BatchDone { 1 + self.draw.below(4) } else { 1 };
        if let Some(server) = Process::start_failing(&self.folder.path(), &format!("{}:{count}", point.name())) {
            self.run_until_killed(server, true, async |server, _| server.killed().await).await;
        } else {
            // The rest of an earlier change passed it at the start.
            self.kills += 1;
        }
        let mut server = Process::start(&self.folder.path());
        self.check(&server).await;
        if number % 8 == 7 {
            server = self.restore(server).await;
        }
        let moment = u32::try_from(self.draw.below(60)).unwrap();
        let changes = self.draw.below(2) == 0;
        let at_random = async |server: Process, answers: &Semaphore| {
            // Returned, because the end counts them.
            drop(answers.acquire_many(moment).await.unwrap());
            server.kill();
        };
        self.run_until_killed(server, changes, at_random).await;
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// The requested number of kills, half of them in each of two concurrent campaigns.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_every_fail_point_and_at_random_moments_loses_nothing() {
    let kills = number("SEALWARD_KILLS", 200);
    let seed = number("SEALWARD_SEED", 1);
    let campaigns = [seed, seed + 1].map(|seed| {
        tokio::spawn(async move {
            println!("campaign with seed {seed}");
            let mut campaign = Campaign::begin(seed).await;
            let mut round = 0;
            while u64::from(campaign.kills) < kills.div_ceil(2) {
                campaign.round(round).await;
                round += 1;
            }
            let server = Process::start(&campaign.folder.path());
            campaign.check(&server).await;
            let Campaign { kills, answers, changes, .. } = campaign;
            println!("seed {seed}: {kills} kills survived in {round} rounds, {answers} answers held against, {changes} changes");
        })
    });
    for campaign in campaigns {
        campaign.await.unwrap();
    }
}
