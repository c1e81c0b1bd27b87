//! Rates, latencies and CPU time of calls, beside the echo.
//!
//! Short rounds of all sides alternate, so that other load on the machine affects all of them. A figure is the median of the rounds, and a
//! ratio is the median of the ratios in each round. Only ratios can be compared with those of another run.

use std::{fs, path::Path};

use crate::{
    answers,
    deployment::Deployment,
    driver,
    figures::{Round, Rounds},
    h2load,
    outcome::Outcome,
    peers::{Peer, Programs},
    process::Process,
    shape::{SHAPE, Shape},
    target::{Filling, Subject, Target, drive, write_requests},
    workload::{Sent, Workload},
};

/// The records of a new server: enough for every list, and for updates of different records.
const STOCK: u64 = 10_000;
/// The records that a round of deletions deletes.
const DELETIONS: u64 = 8_000;
/// The share of a round that warms up a side, once for each row.
const WARM_UP: f64 = 0.3;

/// The number of the rounds that count, and the time of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
}

/// The result of a row.
pub(crate) struct Row {
    pub(crate) workload: &'static Workload,
    /// The echo, then the servers in their order, then the peers.
    pub(crate) sides: Vec<Side>,
}

/// The rounds of a side of a row.
pub(crate) struct Side {
    pub(crate) name: String,
    /// The load generator.
    pub(crate) load_by: &'static str,
    pub(crate) rounds: Rounds,
}

/// The servers, and the echo of the first one's answers.
pub(crate) struct Bench<'a> {
    targets: Vec<Target>,
    echo: Process,
    peers: Vec<Peer>,
    scratch: &'a Path,
    pace: Pace,
}

impl<'a> Bench<'a> {
    /// Starts the servers, creates their records, and starts the echo for these rows, and the peers.
    pub(crate) async fn start(
        subjects: &[Subject],
        settings: &[(&str, String)],
        rows: &[&Workload],
        programs: &Programs,
        scratch: &'a Path,
        pace: Pace,
    ) -> Outcome<Self> {
        let mut targets = Vec::new();
        for subject in subjects {
            let mut target = Target::start(subject, &scratch.join(&subject.name), settings).await?;
            target.fill(STOCK, Filling::Creates, scratch).await?;
            targets.push(target);
        }
        let first = targets.first_mut().ok_or("there is a server")?;
        let answers = answers_folder(scratch);
        write_answers(rows, first, scratch, &answers).await?;
        let echo = Process::echo(&first.deployment.tls(), &answers).await?;
        let is_shared = rows.iter().any(|workload| workload.peers.is_some());
        let none = Programs::default();
        let peers = Peer::start_all(if is_shared { programs } else { &none }, &first.deployment, scratch).await?;
        Ok(Self { targets, echo, peers, scratch, pace })
    }

    /// The rows per second that pgcrypto encrypts again, if PostgreSQL runs.
    pub(crate) async fn pgcrypto(&self) -> Outcome<Option<f64>> {
        for peer in &self.peers {
            if let Peer::Postgres(postgres) = peer {
                return postgres.encrypt_again().await.map(Some);
            }
        }
        Ok(None)
    }

    /// Ends the servers and the peers, which proves that none has ended before.
    pub(crate) async fn stop(self) -> Outcome<()> {
        for target in self.targets {
            target.process.stop().await?;
        }
        for peer in self.peers {
            peer.stop().await?;
        }
        Ok(())
    }

    /// Measures a row.
    pub(crate) async fn measure(&mut self, workload: &'static Workload, shape: Shape) -> Outcome<Row> {
        let requests = self.scratch.join(workload.name);
        match workload.sent {
            Sent::Same | Sent::OneRecord => write_requests(&requests, [workload.body(0)])?,
            Sent::Spread => write_requests(&requests, shuffled(STOCK).map(|number| workload.body(number)))?,
            Sent::Once => {}
        }
        let load = Load { workload, shape: workload.shape(shape), requests: &requests, scratch: self.scratch };
        let load_by = if workload.sent == Sent::Same { "h2load" } else { "driver" };
        let side = |name: &str, load_by| Side { name: name.to_owned(), load_by, rounds: Rounds::default() };
        let mut sides = vec![side("echo", load_by)];
        sides.extend(self.targets.iter().map(|target| side(&target.name, load_by)));
        // With the default load only: PostgreSQL takes longer than a round to open 256 connections.
        if let Some(work) = workload.peers.filter(|_| shape == SHAPE) {
            sides.extend(self.peers.iter().map(|peer| side(peer.title(work), peer.load_by())));
        }
        for round in 0..=self.pace.rounds {
            // The first round warms up.
            let is_short = round == 0 && workload.messages == 1;
            let seconds = if is_short { self.pace.seconds * WARM_UP } else { self.pace.seconds };
            for index in order(round, sides.len()) {
                let figures = self.one_round(&load, index, seconds).await?;
                if let (1.., Some(side)) = (round, sides.get_mut(index)) {
                    side.rounds.0.push(figures);
                }
            }
        }
        Ok(Row { workload, sides })
    }

    /// A round of the echo (0), of a server (from 1), or of a peer (after the servers).
    async fn one_round(&mut self, load: &Load<'_>, index: usize, seconds: f64) -> Outcome<Round> {
        if load.workload.sent == Sent::Once {
            let first = match index.checked_sub(1).and_then(|index| self.targets.get_mut(index)) {
                Some(target) => {
                    target.fill(DELETIONS, Filling::Creates, self.scratch).await?;
                    target.next - DELETIONS
                }
                None => 0,
            };
            write_requests(load.requests, (first..first + DELETIONS).map(|number| load.workload.body(number)))?;
        }
        let peer = index.checked_sub(1 + self.targets.len()).and_then(|index| self.peers.get(index));
        if let (Some(peer), Some(work)) = (peer, load.workload.peers) {
            return peer.run(work, load.shape, seconds, self.scratch).await;
        }
        let first = self.targets.first().ok_or("there is a server")?;
        match index.checked_sub(1).and_then(|index| self.targets.get(index)) {
            Some(target) => load.run(&target.process, &target.deployment, seconds).await,
            None => load.run(&self.echo, &first.deployment, seconds).await,
        }
    }
}

/// A load that is the same for all sides.
struct Load<'a> {
    workload: &'a Workload,
    shape: Shape,
    requests: &'a Path,
    scratch: &'a Path,
}

impl Load<'_> {
    /// Runs the load on a process, with the callers of a deployment.
    async fn run(&self, process: &Process, deployment: &Deployment, seconds: f64) -> Outcome<Round> {
        let Self { workload, shape: Shape { in_flight, connections }, requests, scratch } = *self;
        let (address, method, log) = (process.address, workload.method.path, &scratch.join("load.log"));
        let cpu = process.cpu()?;
        let log = match workload.sent {
            Sent::Same => {
                let token = deployment.token(workload.caller)?;
                // Before each round, because the length of a record changes with the identity that updated it.
                let answer = driver::one_call(address, &deployment.tls(), &token, method, workload.body(0)).await?;
                let load = h2load::Load {
                    address,
                    paths: &[method.to_owned()],
                    headers: &h2load::grpc_headers(&token),
                    body: Some(requests),
                    success: h2load::HTTP_OK,
                    answer_bytes: Some(answer.len()),
                    connections,
                    in_flight,
                    amount: h2load::Amount::Seconds(seconds),
                    rate: None,
                    log,
                };
                h2load::run(&load).await?
            }
            Sent::OneRecord | Sent::Spread | Sent::Once => {
                let load = driver::Load {
                    address,
                    method,
                    tls: &deployment.tls(),
                    caller: workload.caller,
                    connections,
                    in_flight,
                    requests,
                    messages: workload.messages,
                    seconds: (workload.sent != Sent::Once).then_some(seconds),
                    log,
                };
                drive(&load).await?
            }
        };
        Round::of(log, process.cpu()?.saturating_sub(cpu))
    }
}

fn answers_folder(scratch: &Path) -> std::path::PathBuf {
    scratch.join("answers")
}

/// Calls each method of the rows once, so that the echo can repeat its answer.
pub(crate) async fn write_answers(
    rows: &[&Workload],
    target: &mut Target,
    scratch: &Path,
    answers: &Path,
) -> Outcome<()> {
    fs::create_dir_all(answers).map_err(|error| format!("{}: {error}", answers.display()))?;
    for workload in rows {
        let number = if workload.sent == Sent::Once { target.next } else { 0 };
        if workload.sent == Sent::Once {
            target.fill(1, Filling::Creates, scratch).await?;
        }
        let answer = target.call(workload, number).await?;
        answers::write(answers, workload.method.path, &answer)?;
    }
    Ok(())
}

/// The numbers below `count`, each once, in an order in which neighbours are far apart.
fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    /// A prime, so that every number comes once.
    const STEP: u64 = 7_919;
    (0..count).map(move |index| index * STEP % count)
}

/// The order of the sides in a round. A load has effects on the next one, so the order turns round, and two servers that are compared change
/// places: in four rounds, each has the same places and neighbours.
fn order(round: u32, sides: usize) -> Vec<usize> {
    const SERVERS: (usize, usize) = (1, 2);
    let mut order: Vec<usize> = (0..sides).collect();
    if round % 4 >= 2 && sides > SERVERS.1 {
        order.swap(SERVERS.0, SERVERS.1);
    }
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn two_servers_have_the_same_places_and_neighbours() {
        for sides in [3, 4] {
            let facts = |server| {
                let orders = (0..4).map(|round| order(round, sides));
                let facts = orders.map(|order| {
                    let place = order.iter().position(|side| *side == server).unwrap();
                    let before = place.checked_sub(1).map(|before| order[before]);
                    (place, before.map(|side| if [1, 2].contains(&side) { 1 } else { side }))
                });
                facts.collect::<BTreeSet<_>>()
            };
            assert_eq!(facts(1), facts(2));
        }
    }

    #[test]
    fn every_record_of_the_stock_comes_once() {
        assert_eq!(shuffled(STOCK).collect::<BTreeSet<_>>(), (0..STOCK).collect());
    }
}
