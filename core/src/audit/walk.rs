//! Verification of a whole trail in a database, page by page.
//!
//! The reading thread encodes what the hash of each record covers, and copies nothing else. Threads for computations hash
//! a page while the next one is read. Only the links are checked one by one.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{ControlFlow, Range},
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    audit::{
        entry::{AuditAction, AuditEntry},
        record::{RecordRow, encode},
        verify::{Link, Says, TrailVerifier, Verified},
    },
    concurrent::Computing,
    deployment::Deployment,
    id::OrganizationId,
    identity::Caller,
    organization::{handle::Organization, seen},
    permit::Permit,
    policy::{self, DeploymentPermit},
    port::Computation,
    store::{
        Cause, CommitError, Comparison, Condition, DatumRef, Reader, RowSink, Scan, ScanEnd, ScanError, Select,
        Unavailable,
    },
    table::{
        audit::{AuditRecord, SignedHead},
        declare::{Columns as _, Damage, Declared, TableRow as _},
    },
};

/// A verification of a whole trail in progress. It holds a snapshot, so complete its steps or drop it.
///
/// It needs no permission, because the result about a served trail can be read only through
/// [`VerificationResult::report`].
pub struct TrailWalk {
    snapshot: Arc<dyn Reader>,
    computation: Arc<dyn Computation>,
    verifier: TrailVerifier,
    next: Next,
    /// The records to verify next; `None` before the first.
    page: Option<Page>,
    writers: BTreeSet<Uuid>,
}

/// Where the next page begins.
enum Next {
    /// At the first record.
    First,
    /// After this record of this chain.
    InChain(Uuid, i64),
    /// At the first record of the chain after this one.
    AfterChain(Uuid),
    /// There are no more records.
    End,
}

impl TrailWalk {
    /// Starts the verification of an organization's trail, with the heads that the configuration database knows.
    ///
    /// # Errors
    /// If a database is unavailable.
    pub async fn of_organization(deployment: &Deployment, organization: &Organization) -> Result<Self, Unavailable> {
        let known = seen::known_heads(&*deployment.ports.configuration, organization.id).await?;
        Ok(Self::of(&deployment.ports.computation, organization.store.snapshot().await?, known))
    }

    /// Starts the verification of the deployment's own trail.
    ///
    /// # Errors
    /// If the database is unavailable.
    pub async fn of_deployment(deployment: &Deployment) -> Result<Self, Unavailable> {
        Ok(Self::of(&deployment.ports.computation, deployment.ports.configuration.snapshot().await?, Vec::new()))
    }

    /// Starts the verification of the trail in a database at rest, such as a backup. The heads that
    /// `configuration` knows are expected, if the trail is that of an organization.
    ///
    /// # Errors
    /// If a database is unavailable.
    pub async fn of_copy(
        copy: Arc<dyn Reader>,
        computation: &Arc<dyn Computation>,
        organization: Option<(OrganizationId, &dyn Reader)>,
    ) -> Result<Self, Unavailable> {
        let known = match organization {
            Some((id, configuration)) => seen::known_heads(configuration, id).await?,
            None => Vec::new(),
        };
        Ok(Self::of(computation, copy, known))
    }

    fn of(computation: &Arc<dyn Computation>, snapshot: Arc<dyn Reader>, known: Vec<(Uuid, i64, [u8; 32])>) -> Self {
        let mut verifier = TrailVerifier::default();
        for (writer, sequence, hash) in known {
            verifier.expect_record(writer, sequence, hash);
        }
        let computation = Arc::clone(computation);
        TrailWalk { snapshot, computation, verifier, next: Next::First, page: None, writers: BTreeSet::new() }
    }

    /// Verifies the next page of records with their signed heads. Returns the walk until it is complete. A step needs
    /// memory for two pages, regardless of the length of the trail.
    ///
    /// # Errors
    /// If the database is unavailable or contains a malformed record.
    pub async fn step(mut self) -> Result<WalkProgress, Unavailable> {
        let page = match self.page.take() {
            Some(page) => page,
            None => self.read().await?,
        };
        let encoded = Arc::new(page.encoded);
        let hashing = Computing::start(&*self.computation, page.links, move |links| hashed(links, &encoded));
        self.page = Some(self.read().await?);
        let links = hashing.results().await?;
        let mut spans: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
        for (link, _) in links.iter().flatten() {
            let span = spans.entry(link.writer).or_insert((link.sequence, link.sequence));
            span.1 = span.1.max(link.sequence);
        }
        for (writer, (first, last)) in &spans {
            let within = sequence(Comparison::GreaterOrEqual, *first).and(sequence(Comparison::LessOrEqual, *last));
            for head in self.heads(of_writer(*writer).and(within)).await? {
                self.verifier.expect_head(head);
            }
        }
        for (link, digest) in links.iter().flatten() {
            self.verifier.take_link(link, *digest);
        }
        // A head of a missing record proves nothing more: the verifier already reports the gap.
        self.verifier.forget_heads();
        self.writers.extend(spans.into_keys());
        let is_over = self.page.as_ref().is_none_or(|page| page.links.is_empty());
        if is_over { self.finish().await.map(WalkProgress::Done) } else { Ok(WalkProgress::Continue(Box::new(self))) }
    }

    /// Reads the next page in the order of the key. Returns no records after the last one.
    async fn read(&mut self) -> Result<Page, Unavailable> {
        loop {
            // One chain at a time, because a condition on both columns of the key would read from the first record on.
            let rows = match self.next {
                Next::First => Condition::EVERYTHING,
                Next::InChain(writer, sequence) => {
                    AuditRecord::writer().is(writer).and(AuditRecord::sequence().exceeds(sequence))
                }
                Next::AfterChain(writer) => AuditRecord::writer().exceeds(writer),
                Next::End => return Ok(Page::default()),
            };
            let select = Select {
                order: vec![AuditRecord::writer().ascending(), AuditRecord::sequence().ascending()],
                limit: PAGE_RECORDS,
                ..AuditRecord::all_columns().select(rows)
            };
            let sink = Arc::new(Mutex::new(Page::default()));
            let scan = Scan { select, is_short: false };
            let end = self.snapshot.scan_into(scan, Arc::clone(&sink) as Arc<Mutex<dyn RowSink>>).await;
            let end = end.map_err(unlimited)?;
            let page = std::mem::take(&mut *sink.lock().unwrap_or_else(PoisonError::into_inner));
            let last = page.links.last().map(|(link, _)| (link.writer, link.sequence));
            let last = match end {
                ScanEnd::Cut(position) => Some((AuditRecord::writer(), AuditRecord::sequence()).values(position)?),
                ScanEnd::Complete if page.is_full() => last,
                ScanEnd::Complete => None,
            };
            self.next = match (last, &self.next) {
                (Some((writer, sequence)), _) => Next::InChain(writer, sequence),
                (None, Next::InChain(writer, _)) => Next::AfterChain(*writer),
                (None, Next::First | Next::AfterChain(_) | Next::End) => Next::End,
            };
            if !page.links.is_empty() {
                return Ok(page);
            }
        }
    }

    /// Adds the heads after the end of each chain, and those of chains without records. Their records were cut off.
    async fn finish(mut self) -> Result<VerificationResult, Unavailable> {
        for (writer, last) in self.verifier.ends() {
            for head in self.heads(of_writer(writer).and(sequence(Comparison::Greater, last))).await? {
                self.verifier.expect_head(head);
            }
        }
        let known = self.writers.iter().map(|writer| of_writer(*writer)).collect();
        for head in self.heads(Condition::Any(known).negated()).await? {
            self.verifier.expect_head(head);
        }
        Ok(VerificationResult(self.verifier.finish()))
    }

    async fn heads(&self, rows: Condition) -> Result<Vec<SignedHead>, Unavailable> {
        let heads = Select { limit: HEADS_MAX, ..SignedHead::all_columns().select(rows) };
        let heads = self.snapshot.select(heads).await?.into_iter();
        Ok(heads.map(|row| SignedHead::all_columns().values(row)).collect::<Result<_, _>>()?)
    }
}

/// Records that were read and not hashed yet.
#[derive(Default)]
struct Page {
    /// The records, and where in `encoded` what their hashes cover is.
    links: Vec<(Link, Range<usize>)>,
    encoded: Vec<u8>,
}

impl Page {
    /// Returns whether the page ended before the last record.
    fn is_full(&self) -> bool {
        self.encoded.len() > PAGE_BYTES_MAX || self.links.len() >= usize::try_from(PAGE_RECORDS).unwrap_or(usize::MAX)
    }
}

impl RowSink for Page {
    fn take(&mut self, row: &[DatumRef<'_>]) -> Result<ControlFlow<()>, Unavailable> {
        let (row, link) = link(row)?;
        let begin = self.encoded.len();
        encode(row, &mut self.encoded);
        self.links.push((link, begin..self.encoded.len()));
        Ok(if self.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn clear(&mut self) {
        self.links.clear();
        self.encoded.clear();
    }
}

/// Checks the types of a record's values.
fn link<'a, 'b>(row: &'a [DatumRef<'b>]) -> Result<(&'a RecordRow<'b>, Link), Damage> {
    let damaged = |column: Declared| Damage { table: AuditRecord::TABLE, column: column.as_str() };
    for (place, column) in AuditRecord::COLUMNS.iter().enumerate() {
        if !row.get(place).is_some_and(|datum| column.accepts(datum)) {
            return Err(damaged(*column));
        }
    }
    let row: &RecordRow<'b> = row.try_into().map_err(|_| AuditRecord::hop().damaged())?;
    let [writer, sequence, previous_hash, .., hash, _, _] = row;
    let [_, _, _, _, _, _, _, action, _, _, _, _, _, _, details, ..] = row;
    let (DatumRef::Uuid(writer), DatumRef::Integer(sequence)) = (writer, sequence) else {
        return Err(AuditRecord::sequence().damaged());
    };
    let bytes = |datum: &DatumRef<'_>| if let DatumRef::Bytes(bytes) = datum { (*bytes).try_into().ok() } else { None };
    let text = |datum: &DatumRef<'b>| if let DatumRef::Text(text) = datum { Some(*text) } else { None };
    let link = Link {
        writer: *writer,
        sequence: *sequence,
        previous_hash: bytes(previous_hash).ok_or_else(|| AuditRecord::previous_hash().damaged())?,
        hash: bytes(hash).ok_or_else(|| AuditRecord::hash().damaged())?,
        says: Says::of(text(action).unwrap_or_default(), text(details)),
    };
    Ok((row, link))
}

/// Computes the hashes of records.
fn hashed(links: Vec<(Link, Range<usize>)>, encoded: &[u8]) -> Vec<(Link, [u8; 32])> {
    let hash = |(link, place): (Link, Range<usize>)| (link, Sha256::digest(encoded.get(place).unwrap_or(&[])).into());
    links.into_iter().map(hash).collect()
}

/// The error of a scan of a snapshot, which has no time limit.
fn unlimited(error: ScanError) -> Unavailable {
    match error {
        ScanError::Unavailable(unavailable) => unavailable,
        error @ ScanError::TooLong { .. } => Unavailable(Cause(error.into())),
    }
}

/// The maximum number of records in a page, and the size of what is hashed of them in bytes after which a page ends.
const PAGE_RECORDS: u32 = 4_096;
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The maximum number of heads in one read. It is more than the records of a page. Of the heads after the end of a
/// chain, the first ones are enough.
const HEADS_MAX: u32 = 10_000;

/// The condition that a signed head is in this chain.
fn of_writer(writer: Uuid) -> Condition {
    SignedHead::writer().is(writer)
}

/// The condition that compares the position of a signed head with this one.
fn sequence(comparison: Comparison, sequence: i64) -> Condition {
    SignedHead::sequence().compares(comparison, sequence)
}

/// The progress of a walk.
pub enum WalkProgress {
    /// There are more records.
    Continue(Box<TrailWalk>),
    /// The verification is complete.
    Done(VerificationResult),
}

/// The result of a verification of a trail. Several callers may share it.
#[derive(Clone, Debug)]
pub struct VerificationResult(Verified);

impl VerificationResult {
    /// Returns the result for a copy, whose reader already has the file.
    #[must_use]
    pub fn of_copy(self) -> Verified {
        self.0
    }

    /// Returns the result for an organization's trail to a caller, and records that in the trail.
    ///
    /// # Errors
    /// If the audit record can't be written. The result isn't returned then.
    pub async fn report(
        self,
        deployment: &Deployment,
        permit: Permit<policy::ReadAuditTrail>,
    ) -> Result<Verified, CommitError> {
        let VerificationResult(verified) = self;
        let organization = permit.organization();
        organization.record(entry(deployment, permit.caller(), organization.resource_name(), &verified)).await?;
        Ok(verified)
    }

    /// Returns the result for the deployment's own trail to a caller, and records that in the trail.
    ///
    /// # Errors
    /// If the audit record can't be written. The result isn't returned then.
    pub async fn report_on_deployment(
        self,
        deployment: &Deployment,
        permit: DeploymentPermit<policy::ReadAuditTrail>,
    ) -> Result<Verified, CommitError> {
        let VerificationResult(verified) = self;
        deployment.record(entry(deployment, permit.caller(), "organizations".to_owned(), &verified)).await?;
        Ok(verified)
    }
}

fn entry(deployment: &Deployment, caller: &Caller, subject: String, verified: &Verified) -> AuditEntry {
    AuditEntry {
        caller: Some(caller.clone()),
        details: Some(format!("faults {}", verified.faults)),
        ..AuditEntry::done(deployment.now(), AuditAction::VerifyAuditTrail, subject)
    }
}
