//! `audit`: lists, exports and verifies audit trails. A file is verified without a server.

mod trail_file;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use sealward_client::{Client, v1::AuditRecord};

use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Column, Output, new_file::Destination, pages::PageOptions, stderr},
};

/// The commands under `audit`.
#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// List audit records, newest first.
    #[command(after_help = "\
Examples:
  sealward audit list --limit 20
  sealward audit list --filter 'action = \"reveal-attributes\" AND identity = \"cn:connector\"' --all
  sealward audit list --filter 'outcome != \"done\" AND time > \"2026-11-01T00:00:00Z\"'
  sealward audit list --deployment")]
    List {
        /// Filter expression, as described in docs/filter.md.
        #[arg(long, value_name = "FILTER", default_value = "", hide_default_value = true)]
        filter: String,
        #[command(flatten)]
        trail: TrailOptions,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Export a complete trail as JSON lines.
    #[command(after_help = "\
Only you can read the file. It appears when the export is complete.

Examples:
  sealward audit export --file default.jsonl
  sealward audit export --deployment --file - | gzip >deployment.jsonl.gz")]
    Export {
        /// File to create, or `-` for stdout; an existing file isn't overwritten.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        trail: TrailOptions,
    },
    /// Verify that no record of a trail was changed, removed or reordered.
    #[command(after_help = "\
Without --file, the server verifies the trail in its database. With --file, this
command verifies a file without a server: an exported trail, or the copy of all
trails that a server writes.

To detect that a trail was rebuilt or truncated, pass the --public-key and
--head that an earlier verification printed. A file that continues another file
also needs --head.

Exit code 1 means that the trail has faults.

Examples:
  sealward audit verify
  sealward audit verify --deployment
  sealward audit verify --file default.jsonl
  sealward audit verify --file /var/log/sealward/audit.jsonl
  sealward audit verify --file default.jsonl --public-key 03a1…  --head 6c1f0a52-0f5c-4b7e-9c1d-2f0e8f0a1b2c:412:9be0…")]
    Verify {
        /// Exported trail, or a server's copy of all trails, or `-` for stdin.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Trusted public key, 64 hex digits; repeatable [default: the keys in the trail].
        #[arg(long, value_name = "HEX", requires = "file")]
        public_key: Vec<String>,
        /// Record that the trail must contain, or continue from; repeatable.
        #[arg(long, value_name = "[ORGANIZATION/]WRITER:SEQUENCE:HASH", requires = "file")]
        head: Vec<String>,
        #[command(flatten)]
        trail: TrailOptions,
    },
}

/// The trail that a command reads.
#[derive(Args)]
pub(super) struct TrailOptions {
    /// Use the deployment's trail instead of the organization's.
    #[arg(long)]
    deployment: bool,
}

impl TrailOptions {
    fn name(&self, connection: &Connection) -> String {
        if self.deployment { String::new() } else { connection.organization() }
    }
}

/// Runs a command that needs no server; `None` if it needs one.
pub(super) fn run_offline(command: &AuditCommand, output: &Output) -> Option<Result<(), Failure>> {
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
            let mut pages = page.start();
            while let Some(next) = pages.next() {
                let page =
                    client.list_audit_records(organization.as_str(), filter.as_str(), next.size, next.token).await?;
                let records = page.records.iter().map(output::message);
                pages.add(records.collect(), page.next_page_token, None);
            }
            let columns = ["time", "identity", "action", "outcome", "subject", "purpose", "details"].map(Column::of);
            pages.show_with("audit_records", columns.into(), FULL_COLUMNS, output)
        }
        AuditCommand::Export { file, trail } => {
            // Before anything is fetched, because it may fail.
            let destination = Destination::open(&file)?;
            let records = all(&client, &trail.name(connection)).await?;
            trail_file::write(destination, &records)?;
            stderr::notice(&format!("Exported {} records.", records.len()));
            Ok(())
        }
        AuditCommand::Verify { trail, .. } => show(&client.verify_audit_trail(trail.name(connection)).await?, output),
    }
}

/// Time, identity, action and outcome are never truncated.
const FULL_COLUMNS: usize = 4;

/// Fetches every record, oldest first.
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
            "To detect truncation later, keep: --head {}{}:{}:{}",
            organization.map(|uid| format!("{uid}/")).unwrap_or_default(),
            chain.writer,
            chain.last_sequence,
            HEXLOWER.encode(&chain.last_hash)
        ));
        for key in &chain.public_keys {
            stderr::notice(&format!("To detect a rebuilt trail later, keep: --public-key {}", HEXLOWER.encode(key)));
        }
    }
    if verified.intact {
        stderr::notice("The trail is intact.");
        return Ok(());
    }
    Err(Failure::Failed(format!("audit trail verification failed; faults found: {}", verified.faults)))
}
