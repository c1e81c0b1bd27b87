//! Verification of an audit trail: its hashes, links and signatures, and its end as known from elsewhere.
//!
//! [`TrailVerifier`] is pure. It accepts records from a database or from an export, and requires order only within a
//! chain. Verification shows that a trail was changed, not by whom.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use uuid::Uuid;

use crate::{
    audit::{
        entry::{AuditAction, AuditEntry},
        retention::cut_through,
        sign::named_key,
    },
    concurrent::Computing,
    deployment::Deployment,
    id::OrganizationId,
    identity::Caller,
    organization::{handle::Organization, seen},
    permit::Permit,
    policy::{self, DeploymentPermit},
    port::Computation,
    store::{Cause, CommitError, Comparison, Condition, Datum, Reader, Row, ScanError, Scanned, Select, Unavailable},
    table::{
        audit::{AuditRecord, SignedHead},
        declare::{Columns as _, Damage, TableRow as _},
    },
};

/// A fault at a position of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The record's hash doesn't match its fields: the record was changed.
    Changed,
    /// Records before this one are missing: they were removed or moved.
    Missing,
    /// The record doesn't contain the hash of the previous record: one of the two was replaced.
    Unlinked,
    /// The chain once continued after this position: its end was cut off.
    CutOff,
    /// The position had another record when the head was signed, or last seen. The chain was rewritten, or an older
    /// chain was restored and continued.
    Replaced,
    /// The signature of the head is invalid.
    SignatureWrong,
    /// The head is signed with a key that isn't in the chain, or that isn't trusted.
    SignerUnknown,
}

/// A fault and its position.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The writer of the chain.
    pub writer: Uuid,
    /// The position in the chain.
    pub sequence: i64,
    /// The fault.
    pub fault: Fault,
}

/// The chain of one writer, as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The writer.
    pub writer: Uuid,
    /// The number of records.
    pub records: u64,
    /// The position of the first record. It is greater than 1 if retention removed older records.
    pub first: i64,
    /// The position of the last record.
    pub last: i64,
    /// The hash of the last record.
    pub last_hash: [u8; 32],
    /// The position of the last head with a valid signature; 0 if there is none.
    pub signed: i64,
    /// The signing keys, as recorded in the chain.
    pub public_keys: Vec<[u8; 32]>,
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The chains, by writer.
    pub chains: Vec<Chain>,
    /// The first faults, at most 100.
    pub findings: Vec<Finding>,
    /// The total number of faults.
    pub faults: u64,
}

/// The maximum number of faults listed. The total number counts all.
pub(crate) const FINDINGS_MAX: usize = 100;

/// Verifies the records of a trail.
#[derive(Default)]
pub struct TrailVerifier {
    heads: HashMap<(Uuid, i64), Vec<SignedHead>>,
    known: Vec<(Uuid, i64, [u8; 32])>,
    trusted: Vec<[u8; 32]>,
    chains: BTreeMap<Uuid, ChainWalk>,
    findings: BTreeSet<Finding>,
    faults: u64,
}

struct ChainWalk {
    chain: Chain,
    /// The hash of the previous record in the first record.
    before: [u8; 32],
    /// The last position that retention removed, according to the records.
    cut_through: i64,
    /// The signed heads that match their records, with their keys. The chain may record a key before the head, or after
    /// it if retention removed the older record.
    signed: Vec<(i64, [u8; 32])>,
}

impl TrailVerifier {
    /// Creates a verifier with these signed heads. Heads must be added before their records. With `trusted` keys, only
    /// heads signed by them count. Without, heads signed by any key in the chain count.
    #[must_use]
    pub fn new(heads: Vec<SignedHead>, trusted: Vec<[u8; 32]>) -> Self {
        let mut verifier = TrailVerifier { trusted, ..TrailVerifier::default() };
        for head in heads {
            verifier.expect_head(head);
        }
        verifier
    }

    /// Adds a signed head, before its record is added.
    fn expect_head(&mut self, head: SignedHead) {
        self.heads.entry((head.writer, head.sequence)).or_default().push(head);
    }

    /// Removes the heads whose records were not added.
    fn forget_heads(&mut self) {
        self.heads.clear();
    }

    /// Returns the position of the last record of each chain.
    fn ends(&self) -> Vec<(Uuid, i64)> {
        self.chains.iter().map(|(writer, walked)| (*writer, walked.chain.last)).collect()
    }

    /// Adds a fact from elsewhere: the chain of this writer once had a record with this hash at this position. Records
    /// that begin right after it, as in the second file of an export, are then complete.
    pub fn expect_record(&mut self, writer: Uuid, sequence: i64, hash: [u8; 32]) {
        self.known.push((writer, sequence, hash));
    }

    /// Adds the next record of its chain.
    pub fn take(&mut self, record: &AuditRecord) {
        self.take_hashed(record, record.digest());
    }

    /// Adds the next record of its chain, with the hash that was computed of its fields.
    fn take_hashed(&mut self, record: &AuditRecord, digest: [u8; 32]) {
        let AuditRecord { writer, sequence, hash, .. } = *record;
        let mut found = Vec::new();
        if digest != hash {
            found.push(Fault::Changed);
        }
        let walked = self.chains.entry(writer).or_insert_with(|| ChainWalk {
            chain: Chain {
                writer,
                records: 0,
                first: sequence,
                last: sequence.saturating_sub(1),
                last_hash: if sequence == 1 { [0; 32] } else { record.previous_hash },
                signed: 0,
                public_keys: Vec::new(),
            },
            before: record.previous_hash,
            cut_through: 0,
            signed: Vec::new(),
        });
        let chain = &mut walked.chain;
        if sequence != chain.last.saturating_add(1) {
            found.push(Fault::Missing);
        } else if record.previous_hash != chain.last_hash {
            found.push(Fault::Unlinked);
        }
        chain.records += 1;
        chain.last = chain.last.max(sequence);
        // The stored hash, so that a changed record doesn't make the next record unlinked. This hides nothing: the two
        // hashes differ only in a record that is reported as changed.
        chain.last_hash = hash;
        if record.action == AuditAction::UseSigningKey.name()
            && let Some(key) = record.details.as_deref().and_then(named_key)
        {
            chain.public_keys.push(key);
        }
        if record.action == AuditAction::CutAuditTrail.name()
            && let Some(through) = record.details.as_deref().and_then(cut_through)
        {
            walked.cut_through = walked.cut_through.max(through);
        }
        for head in self.heads.remove(&(writer, sequence)).unwrap_or_default() {
            if !head.verifies() {
                found.push(Fault::SignatureWrong);
            } else if !is_trusted(&self.trusted, &head) {
                found.push(Fault::SignerUnknown);
            } else if head.hash != digest {
                found.push(Fault::Replaced);
            } else {
                walked.signed.push((sequence, head.public_key));
            }
        }
        if self.known.iter().any(|(of, at, known)| (*of, *at) == (writer, sequence) && *known != digest) {
            found.push(Fault::Replaced);
        }
        for fault in found {
            self.find(Finding { writer, sequence, fault });
        }
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.insert(finding);
        }
        self.faults += 1;
    }

    /// Returns the result, after all records were added.
    #[must_use]
    pub fn finish(mut self) -> Verified {
        let ends: BTreeMap<Uuid, (i64, i64)> =
            self.chains.iter().map(|(writer, walked)| (*writer, (walked.chain.first, walked.chain.last))).collect();
        let is_after_end = |writer: &Uuid, sequence: i64| ends.get(writer).is_none_or(|(_, last)| sequence > *last);
        let mut found: BTreeSet<Finding> = BTreeSet::new();
        let cut_off = |writer, sequence| Finding { writer, sequence, fault: Fault::CutOff };
        for (writer, sequence, _) in &self.known {
            if is_after_end(writer, *sequence) {
                found.insert(cut_off(*writer, *sequence));
            }
        }
        // Only a head with a valid and trusted signature is evidence.
        for head in self.heads.values().flatten() {
            let is_cut_off = is_after_end(&head.writer, head.sequence);
            if is_cut_off && head.verifies() && is_trusted(&self.trusted, head) {
                found.insert(cut_off(head.writer, head.sequence));
            }
        }
        for walked in self.chains.values_mut() {
            let Chain { writer, first, .. } = walked.chain;
            for (sequence, key) in &walked.signed {
                if walked.chain.public_keys.contains(key) {
                    walked.chain.signed = walked.chain.signed.max(*sequence);
                } else {
                    found.insert(Finding { writer, sequence: *sequence, fault: Fault::SignerUnknown });
                }
            }
            // A known hash of the record before the first one vouches for all earlier records.
            let is_continued = self.known.contains(&(writer, first.saturating_sub(1), walked.before));
            if first > walked.cut_through.saturating_add(1) && !is_continued {
                found.insert(Finding { writer, sequence: first, fault: Fault::Missing });
            }
        }
        for finding in found {
            self.find(finding);
        }
        Verified {
            chains: self.chains.into_values().map(|walked| walked.chain).collect(),
            findings: self.findings.into_iter().collect(),
            faults: self.faults,
        }
    }
}

fn is_trusted(trusted: &[[u8; 32]], head: &SignedHead) -> bool {
    trusted.is_empty() || trusted.contains(&head.public_key)
}

/// A verification of a whole trail in progress. It holds a snapshot, so complete its steps or drop it. While the records
/// of a page are hashed on threads for computations, the next page is read. Only the links are checked one by one.
///
/// It needs no permission, because the result about a served trail can be read only through
/// [`VerificationResult::report`].
pub struct TrailWalk {
    snapshot: Arc<dyn Reader>,
    computation: Arc<dyn Computation>,
    verifier: TrailVerifier,
    next: Next,
    /// The records to verify next; `None` before the first.
    page: Option<Vec<Row>>,
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
        let hashing = Computing::start(&*self.computation, page, hashed);
        self.page = Some(self.read().await?);
        let mut records = Vec::new();
        for part in hashing.results().await? {
            records.extend(part?);
        }
        let mut spans: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
        for (record, _) in &records {
            let span = spans.entry(record.writer).or_insert((record.sequence, record.sequence));
            span.1 = span.1.max(record.sequence);
        }
        for (writer, (first, last)) in &spans {
            let within = sequence(Comparison::GreaterOrEqual, *first).and(sequence(Comparison::LessOrEqual, *last));
            for head in self.heads(of_writer(*writer).and(within)).await? {
                self.verifier.expect_head(head);
            }
        }
        for (record, digest) in &records {
            self.verifier.take_hashed(record, *digest);
        }
        // A head of a missing record proves nothing more: the verifier already reports the gap.
        self.verifier.forget_heads();
        self.writers.extend(spans.into_keys());
        let is_over = self.page.as_ref().is_none_or(Vec::is_empty);
        if is_over { self.finish().await.map(WalkProgress::Done) } else { Ok(WalkProgress::Continue(Box::new(self))) }
    }

    /// Reads the next page in the order of the key. Returns no records after the last one.
    async fn read(&mut self) -> Result<Vec<Row>, Unavailable> {
        loop {
            // One chain at a time, because a condition on both columns of the key would read from the first record on.
            let rows = match self.next {
                Next::First => Condition::EVERYTHING,
                Next::InChain(writer, sequence) => {
                    AuditRecord::writer().is(writer).and(AuditRecord::sequence().exceeds(sequence))
                }
                Next::AfterChain(writer) => AuditRecord::writer().exceeds(writer),
                Next::End => return Ok(Vec::new()),
            };
            let page = Select {
                order: vec![AuditRecord::writer().ascending(), AuditRecord::sequence().ascending()],
                limit: PAGE_RECORDS,
                ..AuditRecord::all_columns().select(rows)
            };
            let Scanned { rows, is_cut } = self.snapshot.scan(page, PAGE_BYTES_MAX).await.map_err(unlimited)?;
            let has_more = is_cut || rows.len() >= usize::try_from(PAGE_RECORDS).unwrap_or(usize::MAX);
            self.next = match (has_more, &self.next, rows.last().map(|last| position(last)).transpose()?) {
                (true, _, Some((writer, sequence))) => Next::InChain(writer, sequence),
                (_, Next::InChain(writer, _), _) => Next::AfterChain(*writer),
                (_, Next::First | Next::AfterChain(_) | Next::End, _) => Next::End,
            };
            if !rows.is_empty() {
                return Ok(rows);
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

/// Reads records, and computes the hashes of their fields.
fn hashed(rows: Vec<Row>) -> Result<Vec<(AuditRecord, [u8; 32])>, Damage> {
    let mut buffer = Vec::new();
    let hash = |row| {
        let record = AuditRecord::all_columns().values(row)?;
        let digest = record.digest_within(&mut buffer);
        Ok((record, digest))
    };
    rows.into_iter().map(hash).collect()
}

/// Returns the position of a record in its chain.
fn position(row: &[Datum]) -> Result<(Uuid, i64), Damage> {
    match (AuditRecord::writer().datum_in(row), AuditRecord::sequence().datum_in(row)) {
        (Some(Datum::Uuid(writer)), Some(Datum::Integer(sequence))) => Ok((*writer, *sequence)),
        _ => Err(AuditRecord::sequence().damaged()),
    }
}

/// The error of a scan of a snapshot, which has no time limit.
fn unlimited(error: ScanError) -> Unavailable {
    match error {
        ScanError::Unavailable(unavailable) => unavailable,
        error @ ScanError::TooLong { .. } => Unavailable(Cause(error.into())),
    }
}

/// The maximum number of records in a page, and their maximum total size.
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

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::{
        audit::{
            entry::AuditAction,
            record::{ChainHead, tests::linked},
        },
        crypto::encoding::Encoding,
        id::Timestamp,
    };

    const WRITER: Uuid = Uuid::from_bytes([1; 16]);

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    /// Returns a chain of `length` records. The first one records the key.
    fn trail(length: i64) -> Vec<AuditRecord> {
        let mut head = ChainHead::empty(WRITER);
        (1..=length)
            .map(|number| {
                let time = Timestamp::from_unix_micros(number);
                let mut entry = AuditEntry::done(time, AuditAction::RetrieveKey, format!("organizations/{number}"));
                if number == 1 {
                    entry.action = AuditAction::UseSigningKey;
                    entry.details = Some(format!("ed25519:{}", HEXLOWER.encode(&key().verifying_key().to_bytes())));
                }
                let record = linked(&head, &entry);
                head = ChainHead::at(WRITER, record.sequence, record.hash);
                record
            })
            .collect()
    }

    fn signed(record: &AuditRecord, key: &SigningKey) -> SignedHead {
        let time = Timestamp::from_unix_micros(9);
        let message = Encoding::new("sealward audit head v1")
            .part(record.writer.as_bytes())
            .part(&record.sequence.to_be_bytes())
            .part(&record.hash)
            .part(&time.unix_micros().to_be_bytes())
            .into_bytes();
        SignedHead {
            writer: record.writer,
            sequence: record.sequence,
            hash: record.hash,
            time,
            public_key: key.verifying_key().to_bytes(),
            signature: key.sign(&message).to_bytes(),
        }
    }

    fn found(records: &[AuditRecord], heads: Vec<SignedHead>, known: Option<(i64, [u8; 32])>) -> Vec<(i64, Fault)> {
        let mut verifier = TrailVerifier::new(heads, Vec::new());
        if let Some((sequence, hash)) = known {
            verifier.expect_record(WRITER, sequence, hash);
        }
        records.iter().for_each(|record| verifier.take(record));
        verifier.finish().findings.into_iter().map(|finding| (finding.sequence, finding.fault)).collect()
    }

    /// Recomputes hashes and links, as an attacker with write access to the database could.
    fn rewritten(mut records: Vec<AuditRecord>) -> Vec<AuditRecord> {
        let mut previous = [0; 32];
        for record in &mut records {
            record.previous_hash = previous;
            record.hash = record.digest();
            previous = record.hash;
        }
        records
    }

    #[test]
    fn complete_trail_has_no_fault_and_reports_its_end() {
        let records = trail(5);
        let mut verifier = TrailVerifier::new(vec![signed(&records[3], &key())], Vec::new());
        records.iter().for_each(|record| verifier.take(record));
        let verified = verifier.finish();
        assert_eq!((verified.faults, verified.findings.len()), (0, 0));
        let chain = &verified.chains[0];
        assert_eq!((chain.records, chain.first, chain.last, chain.signed), (5, 1, 5, 4));
        assert_eq!(chain.public_keys, [key().verifying_key().to_bytes()]);
    }

    #[test]
    fn changed_removed_reordered_or_cut_off_records_are_found() {
        use Fault::{Changed, CutOff, Missing, Replaced, SignatureWrong, SignerUnknown, Unlinked};
        let records = trail(6);
        let head = signed(&records[4], &key());
        let changed = |change: fn(&mut Vec<AuditRecord>)| {
            let mut records = records.clone();
            change(&mut records);
            found(&records, vec![head.clone()], None)
        };
        assert_eq!(changed(|records| records[2].subject.push('x')), [(3, Changed)]);
        assert_eq!(changed(|records| records[2].outcome = "other".to_owned()), [(3, Changed)]);
        assert_eq!(changed(|records| drop(records.remove(2))), [(4, Missing)]);
        assert_eq!(changed(|records| drop(records.remove(0))), [(2, Missing), (5, SignerUnknown)]);
        assert_eq!(changed(|records| records.swap(2, 3)), [(3, Missing), (4, Missing), (5, Unlinked)]);
        assert_eq!(changed(|records| records.truncate(4)), [(5, CutOff)]);
        assert_eq!(changed(|records| records.clear()), [(5, CutOff)]);
        // Removing the record after the last signed head isn't detected, unless it is known from elsewhere.
        assert_eq!(changed(|records| records.truncate(5)), []);
        assert_eq!(found(&records[..5], vec![], Some((6, records[5].hash))), [(6, CutOff)]);
        // A chain rewritten as a whole is detected only by a signature or a known head.
        let mut forged = records.clone();
        forged[2].subject.push('x');
        let forged = rewritten(forged);
        assert_eq!(found(&forged, vec![], None), []);
        assert_eq!(found(&forged, vec![head.clone()], None), [(5, Replaced)]);
        assert_eq!(found(&forged, vec![], Some((6, records[5].hash))), [(6, Replaced)]);
        // With a head signed by the attacker's key.
        let own = SigningKey::from_bytes(&[8; 32]);
        assert_eq!(found(&forged, vec![signed(&forged[4], &own)], None), [(5, SignerUnknown)]);
        let mut broken = head;
        broken.signature[3] ^= 1;
        assert_eq!(found(&records, vec![broken], None), [(5, SignatureWrong)]);
    }

    #[test]
    fn signature_of_another_key_is_detected_with_the_trusted_key() {
        let own = SigningKey::from_bytes(&[8; 32]);
        let mut forged = trail(3);
        forged[0].details = Some(format!("ed25519:{}", HEXLOWER.encode(&own.verifying_key().to_bytes())));
        let forged = rewritten(forged);
        let faults = |trusted: Vec<[u8; 32]>| {
            let mut verifier = TrailVerifier::new(vec![signed(&forged[2], &own)], trusted);
            forged.iter().for_each(|record| verifier.take(record));
            verifier.finish().faults
        };
        assert_eq!(faults(vec![]), 0);
        assert_eq!(faults(vec![key().verifying_key().to_bytes()]), 1);
    }

    #[test]
    fn part_of_a_trail_is_complete_if_the_previous_record_is_known() {
        let records = trail(6);
        assert_eq!(found(&records[3..], vec![], None), [(4, Fault::Missing)]);
        assert_eq!(found(&records[3..], vec![], Some((3, records[2].hash))), []);
        assert_eq!(found(&records[3..], vec![], Some((3, records[1].hash))), [(4, Fault::Missing)]);
        assert_eq!(found(&records[3..], vec![], Some((2, records[1].hash))), [(4, Fault::Missing)]);
    }

    #[test]
    fn old_records_may_be_missing_if_the_trail_records_the_cut() {
        let mut records = trail(6);
        records[5].action = AuditAction::CutAuditTrail.name().to_owned();
        records[5].details = Some("through 3".to_owned());
        let records = rewritten(records);
        assert_eq!(found(&records[3..], vec![], None), []);
        assert_eq!(found(&records[2..], vec![], None), []);
        assert_eq!(found(&records[4..], vec![], None), [(5, Fault::Missing)]);
    }
}
