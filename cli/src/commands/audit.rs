//! `audit`: trails, listed, exported and verified, with the server or without it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use sealward_client::{Client, v1::AuditRecord};

use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Column, Output},
    pages::PageOptions,
    stderr, trail_file,
    transfer::Target,
};

/// The commands under `audit`.
#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// List audit records, the newest first.
    #[command(after_help = "\
Examples:
  sealward audit list --limit 20
  sealward audit list --filter 'action = \"reveal-attributes\" AND identity = \"cn:connector\"' --all
  sealward audit list --filter 'outcome != \"done\" AND time > \"2026-11-01T00:00:00Z\"'
  sealward audit list --deployment")]
    List {
        /// Which records; docs/filter.md has the language.
        #[arg(long, value_name = "FILTER", default_value = "", hide_default_value = true)]
        filter: String,
        #[command(flatten)]
        trail: TrailOptions,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Write a whole trail to a file, a JSON object a line, to keep it or to verify it elsewhere.
    #[command(after_help = "\
The file is readable by you only, and appears when it is whole.

Examples:
  sealward audit export --file default.jsonl
  sealward audit export --deployment --file - | gzip >deployment.jsonl.gz")]
    Export {
        /// Where to; `-` for stdout. A file that exists is left alone.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        trail: TrailOptions,
    },
    /// Verify a trail: that no record was changed, removed, reordered or cut off.
    #[command(after_help = "\
Without --file, the server verifies its database and what it has seen of it. With one, a file is verified here, without any server: an
exported trail, or the copy of all trails that a server writes. Give --public-key and --head, as an earlier verification showed them, to
detect a trail that was rebuilt or cut off, or to verify a file that continues another one.
Exit code 1: something is wrong.

Examples:
  sealward audit verify
  sealward audit verify --deployment
  sealward audit verify --file default.jsonl
  sealward audit verify --file /var/log/sealward/audit.jsonl
  sealward audit verify --file default.jsonl --public-key 03a1…  --head 6c1f0a52-0f5c-4b7e-9c1d-2f0e8f0a1b2c:412:9be0…")]
    Verify {
        /// An exported trail, or a server's copy of all trails, to be verified here; `-` for stdin.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The key that signatures must be of, in hexadecimal digits. May be given several times. Default: those that the trail names.
        #[arg(long, value_name = "HEX", requires = "file")]
        public_key: Vec<String>,
        /// A record from an earlier verification, that the trail must have or begin right after. May be given several times.
        #[arg(long, value_name = "[ORGANIZATION/]WRITER:SEQUENCE:HASH", requires = "file")]
        head: Vec<String>,
        #[command(flatten)]
        trail: TrailOptions,
    },
}

/// Which trail.
#[derive(Args)]
pub(super) struct TrailOptions {
    /// The deployment's own trail, instead of that of --organization.
    #[arg(long)]
    deployment: bool,
}

impl TrailOptions {
    fn name(&self, connection: &Connection) -> String {
        if self.deployment { String::new() } else { connection.organization() }
    }
}

/// What needs no server.
pub(super) fn run_here(command: &AuditCommand, output: &Output) -> Option<Result<(), Failure>> {
    match command {
        AuditCommand::Verify { file: Some(file), public_key, head, .. } => {
            Some(trail_file::verify(file, public_key, head).and_then(|verified| show(&verified, output)))
        }
        AuditCommand::Verify { .. } | AuditCommand::List { .. } | AuditCommand::Export { .. } => None,
    }
}

pub(super) async fn run(command: AuditCommand, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    match command {
        AuditCommand::List { filter, trail, page } => {
            let organization = trail.name(connection);
            let mut pages = page.begin();
            while let Some(next) = pages.next() {
                let page =
                    client.list_audit_records(organization.as_str(), filter.as_str(), next.size, next.token).await?;
                let records = page.records.iter().map(output::message);
                pages.take(records.collect(), page.next_page_token, None);
            }
            let columns = ["time", "identity", "action", "outcome", "subject", "purpose", "details"].map(Column::of);
            pages.show_whole("audit_records", columns.into(), WHOLE_COLUMNS, output)
        }
        AuditCommand::Export { file, trail } => {
            // Before anything is fetched: the place may be unusable.
            let target = Target::begin(&file)?;
            let records = all(&client, &trail.name(connection)).await?;
            trail_file::write(target, &records)?;
            stderr::notice(&format!("{} records were written.", records.len()));
            Ok(())
        }
        AuditCommand::Verify { trail, .. } => show(&client.verify_audit_trail(trail.name(connection)).await?, output),
    }
}

/// When, who, what and how it came out are never cut.
const WHOLE_COLUMNS: usize = 4;

/// Every record, the oldest first.
async fn all(client: &Client, organization: &str) -> Result<Vec<AuditRecord>, Failure> {
    const PAGE: i32 = 1_000;
    let (mut records, mut token) = (Vec::new(), String::new());
    loop {
        let page = client.list_audit_records(organization, "", PAGE, token).await?;
        records.extend(page.records);
        token = page.next_page_token;
        if token.is_empty() {
            records.reverse();
            return Ok(records);
        }
    }
}

fn show(verified: &sealward_client::v1::VerifyAuditTrailResponse, output: &Output) -> Result<(), Failure> {
    output.answer(&output::message(verified))?;
    for chain in &verified.chains {
        let organization = Some(&chain.organization_uid).filter(|uid| !uid.is_empty());
        stderr::notice(&format!(
            "Keep this to detect later that records were cut off: --head {}{}:{}:{}",
            organization.map(|uid| format!("{uid}/")).unwrap_or_default(),
            chain.writer,
            chain.last_sequence,
            HEXLOWER.encode(&chain.last_hash)
        ));
        for key in &chain.public_keys {
            stderr::notice(&format!("Keep this to detect a rebuilt trail: --public-key {}", HEXLOWER.encode(key)));
        }
    }
    if verified.intact {
        stderr::notice("Nothing is wrong with it.");
        return Ok(());
    }
    Err(Failure::NoValue(format!("the trail isn't what it was: {} faults", verified.faults)))
}
