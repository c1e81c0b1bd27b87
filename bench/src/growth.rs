//! How the cost of a call grows: with records, the size of values, attributes, organizations and connections.
//!
//! The cost is the server's CPU time per call, because it depends on other load far less than rates do. Each curve is a table and a picture
//! of multiples of its first point.

use std::{hint::black_box, path::Path, time::Instant};

use prost::Message as _;
use sealward::{
    mail::v1::{
        CreateEmailServerProfileRequest, CreateMailboxRequest, EmailServerProfile, GetEmailServerProfileRequest,
        GetMailboxRequest, Mailbox, email_server_profile::ServerType,
    },
    methods::{self, Method},
};
use sealward_core::{
    crypto::{
        context::CellContext,
        kek::{self, KdfParameters},
        ring::KeyRing,
        secret::{KeyText, Plaintext},
    },
    id::{OrganizationId, RecordId, Timestamp},
    random::Random,
};
use tokio::task::JoinSet;

use crate::{
    answers,
    deployment::Caller,
    driver::framed,
    figures::{Round, median},
    load::Load,
    outcome::Outcome,
    process::Process,
    shape::{SHAPE, Shape},
    target::{Filling, Subject, Target},
    workload::{ORGANIZATION, create, id, row},
};

/// How the cost of calls grows with something.
pub(crate) struct Curve {
    /// The name of its file.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What grows.
    pub(crate) grows: &'static str,
    pub(crate) lines: Vec<Line>,
}

/// The cost of one kind of call.
pub(crate) struct Line {
    pub(crate) label: String,
    /// The unit of costs without a rate.
    pub(crate) unit: &'static str,
    pub(crate) points: Vec<Point>,
}

/// The cost at one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) at: f64,
    /// CPU time per call in microseconds, if there is a rate.
    pub(crate) cost: f64,
    /// Calls per second.
    pub(crate) rate: Option<f64>,
}

/// The time of a load, in seconds, and of the load before it that warms up.
const SECONDS: f64 = 1.0;
const WARM_UP_SECONDS: f64 = 0.3;

/// The records that a load with different requests uses, at most.
const SPREAD: u64 = 20_000;

/// The numbers of records: each ten times the one before.
const RECORDS_LEAST: u64 = 1_000;

/// The numbers of organizations, and of open databases beside the default.
const ORGANIZATIONS: [usize; 4] = [1, 10, 50, 100];
const ORGANIZATIONS_FULL: [usize; 5] = [1, 10, 50, 100, 1_000];
const DATABASES_OPEN: &str = "databases_open_max";
const DATABASES_OPEN_MANY: usize = 2_000;
/// The organizations that are created at a time.
const CREATORS: usize = 4;

/// The lengths of encrypted values in characters, up to the maximum.
const PASSWORDS: [usize; 4] = [16, 50, 100, 200];
/// The lengths of a value that isn't encrypted, up to the maximum.
const DESCRIPTIONS: [usize; 5] = [16, 64, 256, 1_024, 2_000];
/// The sizes of values that are sealed and opened in this process.
const SEALED_BYTES: [usize; 9] = [16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];

const CONNECTIONS: [usize; 4] = [1, 4, 16, 64];

/// Measures all curves on one server after the other.
pub(crate) async fn measure(
    subject: &Subject,
    settings: &[(&str, String)],
    records_most: u64,
    is_full: bool,
    scratch: &Path,
) -> Outcome<Vec<Curve>> {
    let target = Target::start(subject, &scratch.join("growth"), settings).await?;
    let values = Curve {
        name: "values",
        title: "Size of a value",
        grows: "bytes",
        lines: [values(&target, scratch).await?, vec![sealing()?]].into_iter().flatten().collect(),
    };
    let attributes = Curve {
        name: "attributes",
        title: "Attributes of a record",
        grows: "attributes",
        lines: attributes(&target, scratch).await?,
    };
    target.end().await?;
    Ok(vec![
        records(subject, settings, records_most, scratch).await?,
        values,
        attributes,
        organizations(subject, settings, if is_full { &ORGANIZATIONS_FULL } else { &ORGANIZATIONS }, scratch).await?,
        connections(subject, settings, scratch).await?,
    ])
}

/// The lines of a curve, by label, in the order of their first point.
#[derive(Default)]
struct Lines(Vec<Line>);

impl Lines {
    fn add(&mut self, label: &str, unit: &'static str, point: Point) {
        match self.0.iter_mut().find(|line| line.label == label) {
            Some(line) => line.points.push(point),
            None => self.0.push(Line { label: label.to_owned(), unit, points: vec![point] }),
        }
    }

    fn add_calls(&mut self, label: &str, at: f64, round: &Round) {
        self.add(label, " µs", Point { at, cost: round.cpu_us, rate: Some(round.rate) });
    }
}

/// Runs a load after a short one.
async fn cost(
    target: &Target,
    method: Method,
    caller: Caller,
    bodies: &[Vec<u8>],
    shape: Shape,
    scratch: &Path,
) -> Outcome<Round> {
    cost_of(&target.process, target, method, caller, bodies, shape, scratch).await
}

/// Like [`cost`], of another process with the callers of this server.
async fn cost_of(
    process: &Process,
    target: &Target,
    method: Method,
    caller: Caller,
    bodies: &[Vec<u8>],
    shape: Shape,
    scratch: &Path,
) -> Outcome<Round> {
    let first = bodies.first().ok_or("there is a request")?.clone();
    let answer_bytes = Some(target.call_with(caller, method, first).await?.len());
    let load = Load { method, caller, bodies, shape, answer_bytes, seconds: WARM_UP_SECONDS, rate: None };
    load.run(process, &target.deployment, scratch).await?;
    Load { seconds: SECONDS, ..load }.run(process, &target.deployment, scratch).await
}

/// Cost by the number of records of an organization.
async fn records(subject: &Subject, settings: &[(&str, String)], most: u64, scratch: &Path) -> Outcome<Curve> {
    let mut target = Target::start(subject, &scratch.join("growth-records"), settings).await?;
    let mut lines = Lines::default();
    let mut count = RECORDS_LEAST;
    while count <= most {
        eprintln!("measuring with {count} records");
        let missing = count.saturating_sub(target.next);
        target.fill(missing, Filling::Imports, scratch).await?;
        let at = count as f64;
        for (name, label) in [("get-spread", "Get"), ("update", "Update"), ("reveal", "Reveal")] {
            let workload = row(name)?;
            let bodies: Vec<_> = spread(count).map(|number| workload.body(number)).collect();
            let round = cost(&target, workload.method, workload.caller, &bodies, SHAPE, scratch).await?;
            lines.add_calls(label, at, &round);
        }
        for (name, label) in [("list", "List, page of 100"), ("create", "Create")] {
            let workload = row(name)?;
            let round = cost(&target, workload.method, workload.caller, &[workload.body(0)], SHAPE, scratch).await?;
            lines.add_calls(label, at, &round);
        }
        target = target.restart(subject, settings).await?;
        let answering = Instant::now();
        target.call(row("get")?, 0).await?;
        let took = target.process.started_in + answering.elapsed();
        lines.add("start to the first answer", " ms", Point { at, cost: took.as_secs_f64() * 1e3, rate: None });
        count *= 10;
    }
    target.end().await?;
    Ok(Curve { name: "records", title: "Records of an organization", grows: "records", lines: lines.0 })
}

/// Numbers of records that are far apart, in an order without neighbours.
fn spread(count: u64) -> impl Iterator<Item = u64> {
    /// A prime larger than the number of the loads' records, and no factor of a power of ten.
    const STEP: u64 = 7_368_787;
    (0..count.min(SPREAD)).map(move |index| index * STEP % count)
}

/// Cost by the size of a value.
async fn values(target: &Target, scratch: &Path) -> Outcome<Vec<Line>> {
    eprintln!("measuring values");
    let mut lines = Lines::default();
    for length in PASSWORDS {
        let request = create(0);
        let mailbox = request.mailbox.map(|mailbox| Mailbox { password: Some("x".repeat(length)), ..mailbox });
        let request = CreateMailboxRequest { mailbox, mailbox_id: String::new(), ..request };
        let body = framed(&request.encode_to_vec());
        let round = cost(target, methods::CreateMailbox, Caller::Writer, &[body], SHAPE, scratch).await?;
        lines.add_calls("CreateMailbox, encrypted value", length as f64, &round);
    }
    for length in DESCRIPTIONS {
        let profile = EmailServerProfile { description: Some("x".repeat(length)), ..profile(2) };
        let [created, got] = profile_costs(target, profile, DESCRIPTION + length as u64, scratch).await?;
        lines.add_calls("CreateEmailServerProfile, value in clear text", length as f64, &created);
        lines.add_calls("GetEmailServerProfile", length as f64, &got);
    }
    Ok(lines.0)
}

/// Cost by the number of attributes of a record.
async fn attributes(target: &Target, scratch: &Path) -> Outcome<Vec<Line>> {
    eprintln!("measuring attributes");
    let mut lines = Lines::default();
    for count in (2..=ATTRIBUTES.len() + 2).step_by(4) {
        let [created, got] = profile_costs(target, profile(count), count as u64, scratch).await?;
        lines.add_calls("CreateEmailServerProfile", count as f64, &created);
        lines.add_calls("GetEmailServerProfile", count as f64, &got);
    }
    Ok(lines.0)
}

/// The number of the first profile with a description.
const DESCRIPTION: u64 = 1_000;

/// The cost to create this profile, and to get it. The number is that of the one that is read.
async fn profile_costs(
    target: &Target,
    profile: EmailServerProfile,
    number: u64,
    scratch: &Path,
) -> Outcome<[Round; 2]> {
    let request = CreateEmailServerProfileRequest {
        parent: ORGANIZATION.to_owned(),
        email_server_profile: Some(profile),
        ..Default::default()
    };
    let body = framed(&request.encode_to_vec());
    let created = cost(target, methods::CreateEmailServerProfile, Caller::Admin, &[body], SHAPE, scratch).await?;
    let one = CreateEmailServerProfileRequest { email_server_profile_id: id(number), ..request };
    target.call_with(Caller::Admin, methods::CreateEmailServerProfile, framed(&one.encode_to_vec())).await?;
    let name = format!("{ORGANIZATION}/emailServerProfiles/{}", id(number));
    let body = framed(&GetEmailServerProfileRequest { name, ..Default::default() }.encode_to_vec());
    let got = cost(target, methods::GetEmailServerProfile, Caller::Admin, &[body], SHAPE, scratch).await?;
    Ok([created, got])
}

/// A profile with this number of attributes set, at least two.
fn profile(attributes: usize) -> EmailServerProfile {
    let mut profile = EmailServerProfile {
        display_name: Some("Sales".to_owned()),
        server_type: Some(ServerType::Other.into()),
        ..Default::default()
    };
    for set in ATTRIBUTES.iter().take(attributes.saturating_sub(2)) {
        set(&mut profile);
    }
    profile
}

/// Attributes of a profile without a default.
const ATTRIBUTES: [fn(&mut EmailServerProfile); 12] = [
    |profile| profile.incoming_server_location = Some("imap.example.com".to_owned()),
    |profile| profile.incoming_port_number = Some(993),
    |profile| profile.incoming_username = Some("sales@example.com".to_owned()),
    |profile| profile.max_concurrent_connections = Some(10),
    |profile| profile.outgoing_server_location = Some("smtp.example.com".to_owned()),
    |profile| profile.outgoing_port_number = Some(587),
    |profile| profile.outgoing_username = Some("sales@example.com".to_owned()),
    |profile| profile.min_polling_interval_in_minutes = Some(5),
    |profile| profile.description = Some("The server of sales".to_owned()),
    |profile| profile.default_server_location = Some("mail.example.com".to_owned()),
    |profile| profile.timeout_mailbox_connection_after_amount = Some(60),
    |profile| profile.owner_id = Some("0191e2a4-5b6c-7d8e-9fa0-000000000001".to_owned()),
];

/// The time to seal and to open a cell by the size of its value, in this process.
fn sealing() -> Outcome<Line> {
    let ring = ring()?;
    let context = CellContext {
        organization: OrganizationId::from_bytes([1; 16]),
        entity: "Mailbox",
        record: RecordId::from_bytes([2; 16]),
        attribute: "password",
    };
    let mut points = Vec::new();
    for size in SEALED_BYTES {
        let value = Plaintext::new(vec![b'x'; size]);
        let mut times = Vec::new();
        let start = Instant::now();
        while times.len() < 9 || start.elapsed().as_secs_f64() < SEAL_SECONDS {
            let start = Instant::now();
            for _ in 0..SEALS {
                let cell = ring.seal(&context, black_box(&value), &SystemRandom);
                let opened = ring.open_cell(&context, black_box(&cell));
                drop(opened.map_err(|error| format!("a cell can't be opened: {error}"))?);
            }
            times.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(SEALS));
        }
        points.push(Point { at: size as f64, cost: median(times), rate: None });
    }
    Ok(Line { label: "seal and open a cell (in process)".to_owned(), unit: " µs", points })
}

/// Cells that are sealed and opened for one time, and the time for each size, in seconds.
const SEALS: u32 = 20;
const SEAL_SECONDS: f64 = 0.2;

fn ring() -> Outcome<KeyRing> {
    let kdf = KdfParameters::draw(&SystemRandom);
    let kek = kek::derive(&KeyText::new("a key text, number 1".to_owned()), &kdf);
    let kek = kek.map_err(|error| format!("a key can't be derived: {error}"))?;
    let created = Timestamp::from_unix_micros(0);
    KeyRing::create(OrganizationId::from_bytes([1; 16]), &kek, kdf, created, &SystemRandom)
        .map_err(|error| format!("a key ring can't be created: {error}"))
}

struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "a measurement has no port for randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system has random numbers");
    }
}

/// Cost by the number of organizations that are in use.
async fn organizations(
    subject: &Subject,
    settings: &[(&str, String)],
    counts: &[usize],
    scratch: &Path,
) -> Outcome<Curve> {
    let mut target = Target::start(subject, &scratch.join("growth-organizations"), settings).await?;
    let mut lines = Lines::default();
    let mut existing = 0;
    for &count in counts {
        eprintln!("measuring {count} organizations");
        create_organizations(&target, existing..count).await?;
        existing = count;
        measure_organizations(&target, count, "the default", scratch, &mut lines).await?;
    }
    let open = (DATABASES_OPEN, DATABASES_OPEN_MANY.to_string());
    let many: Vec<_> = settings.iter().cloned().chain([open]).collect();
    target = target.restart(subject, &many).await?;
    for &count in counts {
        let label = format!("{DATABASES_OPEN} = {DATABASES_OPEN_MANY}");
        measure_organizations(&target, count, &label, scratch, &mut lines).await?;
    }
    target.end().await?;
    Ok(Curve {
        name: "organizations",
        title: "Organizations in use",
        grows: "organizations, called in turn",
        lines: lines.0,
    })
}

async fn measure_organizations(
    target: &Target,
    count: usize,
    setting: &str,
    scratch: &Path,
    lines: &mut Lines,
) -> Outcome<()> {
    // Two requests at least, so that every load is by the driver.
    let bodies: Vec<_> = (0..count.max(2))
        .map(|number| {
            let name = format!("{}/mailboxes/{}", organization(number % count), id(0));
            framed(&GetMailboxRequest { name, ..Default::default() }.encode_to_vec())
        })
        .collect();
    let round = cost(target, methods::GetMailbox, Caller::Writer, &bodies, SHAPE, scratch).await?;
    lines.add_calls(&format!("Get, {setting}"), count as f64, &round);
    let bodies: Vec<_> = (0..count.max(2))
        .map(|number| {
            let parent = organization(number % count);
            framed(&CreateMailboxRequest { parent, mailbox_id: String::new(), ..create(0) }.encode_to_vec())
        })
        .collect();
    let round = cost(target, methods::CreateMailbox, Caller::Writer, &bodies, SHAPE, scratch).await?;
    lines.add_calls(&format!("Create, {setting}"), count as f64, &round);
    let memory = target.process.memory()?.now / 1e6;
    lines.add(&format!("memory, {setting}"), " MB", Point { at: count as f64, cost: memory, rate: None });
    Ok(())
}

fn organization(number: usize) -> String {
    format!("organizations/{}", organization_id(number))
}

fn organization_id(number: usize) -> String {
    format!("bench-{number}")
}

/// Creates organizations with these numbers, each with a record.
async fn create_organizations(target: &Target, numbers: std::ops::Range<usize>) -> Outcome<()> {
    let client = target.deployment.client(target.process.address, Caller::Admin)?;
    let numbers: Vec<usize> = numbers.collect();
    for chunk in numbers.chunks(CREATORS) {
        let mut creators = JoinSet::new();
        for &number in chunk {
            let client = client.clone();
            creators.spawn(async move {
                let created = client.create_organization(organization_id(number)).await;
                created.map(|_| ()).map_err(|error| format!("an organization can't be created: {error}"))
            });
        }
        creators.join_all().await.into_iter().collect::<Outcome<()>>()?;
        for &number in chunk {
            let request = CreateMailboxRequest { parent: organization(number), ..create(0) };
            target.call_with(Caller::Writer, methods::CreateMailbox, framed(&request.encode_to_vec())).await?;
        }
    }
    Ok(())
}

/// Cost by the number of connections, with as many calls in flight.
async fn connections(subject: &Subject, settings: &[(&str, String)], scratch: &Path) -> Outcome<Curve> {
    eprintln!("measuring connections");
    let mut target = Target::start(subject, &scratch.join("growth-connections"), settings).await?;
    target.fill(1, Filling::Creates, scratch).await?;
    let get = row("get")?;
    let folder = scratch.join("growth-answers");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    answers::write(&folder, get.method.path, &target.call(get, 0).await?)?;
    let echo = Process::echo(&target.deployment.tls(), &folder).await?;
    let mut lines = Lines::default();
    for connections in CONNECTIONS {
        let shape = Shape { connections, ..SHAPE };
        for (label, process) in [("Get", &target.process), ("echo", &echo)] {
            let bodies = [get.body(0)];
            let round = cost_of(process, &target, get.method, get.caller, &bodies, shape, scratch).await?;
            lines.add_calls(label, connections as f64, &round);
        }
        let create = row("create")?;
        let round = cost(&target, create.method, create.caller, &[create.body(0)], shape, scratch).await?;
        lines.add_calls("Create", connections as f64, &round);
    }
    target.end().await?;
    echo.stop().await?;
    Ok(Curve { name: "connections", title: "Connections, 64 calls in flight", grows: "connections", lines: lines.0 })
}
