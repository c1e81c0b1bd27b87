//! A trail verified: every hash, every link, every signature, and what is known from elsewhere of how far it went.
//!
//! [`TrailVerifier`] is pure and takes records as they come, from a database or from lines of an export; only the records of one chain
//! have to come in their order. Nothing here says who did it: a hash proves that something was changed, not by whom.

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
    deployment::Deployment,
    identity::Caller,
    organization::{handle::Organization, seen},
    permit::Permit,
    policy::{self, DeploymentPermit},
    store::{CommitError, Comparison, Condition, Reader, Select, Unavailable},
    table::{
        audit::{AuditRecord, SignedHead},
        declare::{Columns as _, TableRow as _},
    },
};

/// What is wrong at a place of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The record's hash isn't that of its fields: it was changed.
    Changed,
    /// Records before it are missing: removed, or moved elsewhere.
    Missing,
    /// It doesn't carry the hash of the record before it: one of the two was replaced.
    Unlinked,
    /// The chain went on from here once: its end was cut off.
    CutOff,
    /// There was another record here when the head was signed, or last seen: the chain was rewritten, or an older one put back and
    /// continued.
    Replaced,
    /// The signature of the head is wrong.
    SignatureWrong,
    /// The head is signed with a key that the chain doesn't name, or that isn't trusted.
    SignerUnknown,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// In whose chain.
    pub writer: Uuid,
    /// At which place.
    pub sequence: i64,
    /// What.
    pub fault: Fault,
}

/// One writer's chain, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Whose.
    pub writer: Uuid,
    /// How many records there are.
    pub records: u64,
    /// The place of the first; more than 1 if the old end was cut off by retention.
    pub first: i64,
    /// The place of the last.
    pub last: i64,
    /// The hash of the last.
    pub last_hash: [u8; 32],
    /// The last head with a right signature; 0 if there is none.
    pub signed: i64,
    /// The keys that signed, as the chain names them.
    pub public_keys: Vec<[u8; 32]>,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The chains, by writer.
    pub chains: Vec<Chain>,
    /// The first faults, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many faults there are.
    pub faults: u64,
}

/// A trail with more faults is told by their number.
pub const FINDINGS_MAX: usize = 100;

/// Verifies a trail.
#[derive(Default)]
pub struct TrailVerifier {
    heads: HashMap<(Uuid, i64), Vec<SignedHead>>,
    known: Vec<(Uuid, i64, [u8; 32])>,
    trusted: Vec<[u8; 32]>,
    chains: BTreeMap<Uuid, Walked>,
    findings: BTreeSet<Finding>,
    faults: u64,
}

struct Walked {
    chain: Chain,
    /// The hash that the first record carries of the one before it.
    before: [u8; 32],
    /// What lies before the first record was removed by retention, up to this place, as records say.
    cut_through: i64,
    /// The heads that were signed as they are, and by which keys. Whose keys those are the chain may say before or, once its old end was
    /// cut off, after them.
    signed: Vec<(i64, [u8; 32])>,
}

impl TrailVerifier {
    /// A verifier that knows these heads, which have to be there before the records. With `trusted` keys, only heads of theirs count; without
    /// any, those of every key that the chain itself names.
    #[must_use]
    pub fn new(heads: Vec<SignedHead>, trusted: Vec<[u8; 32]>) -> Self {
        let mut verifier = TrailVerifier { trusted, ..TrailVerifier::default() };
        for head in heads {
            verifier.expect(head);
        }
        verifier
    }

    /// A head that was signed. It has to be known before its record is taken.
    fn expect(&mut self, head: SignedHead) {
        self.heads.entry((head.writer, head.sequence)).or_default().push(head);
    }

    /// Forgets the heads whose records have not come.
    fn forget_heads(&mut self) {
        self.heads.clear();
    }

    /// The place of the last record that was taken of each chain.
    fn ends(&self) -> Vec<(Uuid, i64)> {
        self.chains.iter().map(|(writer, walked)| (*writer, walked.chain.last)).collect()
    }

    /// Something that is known from elsewhere: the chain of this writer once had a record with this hash at this place. What begins right
    /// after it, as a second file of a trail does, misses nothing.
    pub fn know(&mut self, writer: Uuid, sequence: i64, hash: [u8; 32]) {
        self.known.push((writer, sequence, hash));
    }

    /// Takes the next record of its chain.
    pub fn take(&mut self, record: &AuditRecord) {
        let AuditRecord { writer, sequence, hash, .. } = *record;
        let mut found = Vec::new();
        let digest = record.digest();
        if digest != hash {
            found.push(Fault::Changed);
        }
        let walked = self.chains.entry(writer).or_insert_with(|| Walked {
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
        // What the fields make, so that a changed record isn't followed by one that is called unlinked, nor a hash believed.
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

    /// What all of it comes to, when every record was taken.
    #[must_use]
    pub fn finish(mut self) -> Verified {
        let ends: BTreeMap<Uuid, (i64, i64)> =
            self.chains.iter().map(|(writer, walked)| (*writer, (walked.chain.first, walked.chain.last))).collect();
        let later_than_the_end =
            |writer: &Uuid, sequence: i64| ends.get(writer).is_none_or(|(_, last)| sequence > *last);
        let mut found: BTreeSet<Finding> = BTreeSet::new();
        let cut_off = |writer, sequence| Finding { writer, sequence, fault: Fault::CutOff };
        for (writer, sequence, _) in &self.known {
            if later_than_the_end(writer, *sequence) {
                found.insert(cut_off(*writer, *sequence));
            }
        }
        // A head is worth as much as its signature.
        for head in self.heads.values().flatten() {
            let is_later = later_than_the_end(&head.writer, head.sequence);
            if is_later && head.verifies() && is_trusted(&self.trusted, head) {
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
            // What is known of the record before the first one vouches for all that came before it.
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

/// A look at a whole trail as it is at one moment, under way. It holds a snapshot: take its steps, or drop it.
///
/// It needs no permission, since what it finds can be read only through [`Found::tell`].
pub struct TrailWalk {
    snapshot: Arc<dyn Reader>,
    verifier: TrailVerifier,
    after: Option<(Uuid, i64)>,
    writers: BTreeSet<Uuid>,
}

impl TrailWalk {
    /// Begins a look at an organization's trail, with what the configuration database knows of it.
    ///
    /// # Errors
    /// If a database doesn't answer.
    pub async fn of_organization(deployment: &Deployment, organization: &Organization) -> Result<Self, Unavailable> {
        let known = seen::known_heads(deployment, organization).await?;
        Ok(Self::of(organization.store.snapshot().await?, known))
    }

    /// Begins a look at the deployment's own trail.
    ///
    /// # Errors
    /// If the database doesn't answer.
    pub async fn of_deployment(deployment: &Deployment) -> Result<Self, Unavailable> {
        Ok(Self::of(deployment.ports.configuration.snapshot().await?, Vec::new()))
    }

    fn of(snapshot: Arc<dyn Reader>, known: Vec<(Uuid, i64, [u8; 32])>) -> Self {
        let mut verifier = TrailVerifier::default();
        for (writer, sequence, hash) in known {
            verifier.know(writer, sequence, hash);
        }
        TrailWalk { snapshot, verifier, after: None, writers: BTreeSet::new() }
    }

    /// Looks at some more records, and the heads that were signed of them. Answers with the whole walk until it is over. However long the
    /// trail is, a step holds one page of it.
    ///
    /// # Errors
    /// If the database doesn't answer, or holds a row that isn't a record.
    pub async fn step(mut self) -> Result<Looked, Unavailable> {
        const PAGE: u32 = 500;
        let key =
            |(writer, sequence)| [AuditRecord::writer().holding(writer), AuditRecord::sequence().holding(sequence)];
        let rows = self.after.map_or(Condition::EVERYTHING, |last| Condition::later(key(last)));
        let page = Select {
            order: vec![AuditRecord::writer().ascending(), AuditRecord::sequence().ascending()],
            limit: PAGE,
            ..AuditRecord::whole().select(rows)
        };
        let rows = self.snapshot.select(page).await?;
        let is_last = rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        let records = rows.into_iter().map(|row| AuditRecord::whole().values(row)).collect::<Result<Vec<_>, _>>()?;
        let mut spans: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
        for record in &records {
            let span = spans.entry(record.writer).or_insert((record.sequence, record.sequence));
            span.1 = span.1.max(record.sequence);
        }
        for (writer, (first, last)) in &spans {
            let within = sequence(Comparison::GreaterOrEqual, *first).and(sequence(Comparison::LessOrEqual, *last));
            for head in self.heads(of_writer(*writer).and(within)).await? {
                self.verifier.expect(head);
            }
        }
        for record in &records {
            self.verifier.take(record);
        }
        // A head between two records that follow each other stands for nothing: that one is missing is found by itself.
        self.verifier.forget_heads();
        self.writers.extend(spans.into_keys());
        if let Some(last) = records.last() {
            self.after = Some((last.writer, last.sequence));
        }
        if is_last { self.finish().await.map(Looked::Over) } else { Ok(Looked::Further(self)) }
    }

    /// What is signed beyond the end of each chain, and of chains that are gone, was cut off.
    async fn finish(mut self) -> Result<Found, Unavailable> {
        for (writer, last) in self.verifier.ends() {
            for head in self.heads(of_writer(writer).and(sequence(Comparison::Greater, last))).await? {
                self.verifier.expect(head);
            }
        }
        let known = self.writers.iter().map(|writer| of_writer(*writer)).collect();
        for head in self.heads(Condition::Any(known).negated()).await? {
            self.verifier.expect(head);
        }
        Ok(Found(self.verifier.finish()))
    }

    async fn heads(&self, rows: Condition) -> Result<Vec<SignedHead>, Unavailable> {
        let heads = Select { limit: HEADS_MAX, ..SignedHead::whole().select(rows) };
        let heads = self.snapshot.select(heads).await?.into_iter();
        Ok(heads.map(|row| SignedHead::whole().values(row)).collect::<Result<_, _>>()?)
    }
}

/// The most heads that are read at once. A page has no more records than this, and of what was cut off the first ones tell enough.
const HEADS_MAX: u32 = 10_000;

/// The condition that a signed head is in this chain.
fn of_writer(writer: Uuid) -> Condition {
    SignedHead::writer().is(writer)
}

/// The condition that the place of a signed head compares so with this one.
fn sequence(comparison: Comparison, sequence: i64) -> Condition {
    SignedHead::sequence().compares(comparison, sequence)
}

/// How far a walk is.
pub enum Looked {
    /// There is more to look at.
    Further(TrailWalk),
    /// It is over.
    Over(Found),
}

/// What a look at a trail found. Several callers may be told of one look.
#[derive(Clone, Debug)]
pub struct Found(Verified);

impl Found {
    /// Tells a caller what was found in an organization's trail. Recorded there.
    ///
    /// # Errors
    /// If it can't be recorded; nothing is told then.
    pub async fn tell(
        self,
        deployment: &Deployment,
        permit: Permit<policy::ReadAuditTrail>,
    ) -> Result<Verified, CommitError> {
        let Found(verified) = self;
        let organization = permit.organization();
        organization.record(entry(deployment, permit.caller(), organization.resource_name(), &verified)).await?;
        Ok(verified)
    }

    /// Tells a caller what was found in the deployment's own trail. Recorded there.
    ///
    /// # Errors
    /// If it can't be recorded; nothing is told then.
    pub async fn tell_of_deployment(
        self,
        deployment: &Deployment,
        permit: DeploymentPermit<policy::ReadAuditTrail>,
    ) -> Result<Verified, CommitError> {
        let Found(verified) = self;
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

    /// A chain of so many records, the first of which names the key.
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
            verifier.know(WRITER, sequence, hash);
        }
        records.iter().for_each(|record| verifier.take(record));
        verifier.finish().findings.into_iter().map(|finding| (finding.sequence, finding.fault)).collect()
    }

    /// Hashes and links made anew, as somebody who can write to the database would.
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
        // The record behind the last signed head can go unseen, unless it is known from elsewhere.
        assert_eq!(changed(|records| records.truncate(5)), []);
        assert_eq!(found(&records[..5], vec![], Some((6, records[5].hash))), [(6, CutOff)]);
        // Rewritten as a whole: only the signature, or what is known from elsewhere, tells.
        let mut forged = records.clone();
        forged[2].subject.push('x');
        let forged = rewritten(forged);
        assert_eq!(found(&forged, vec![], None), []);
        assert_eq!(found(&forged, vec![head.clone()], None), [(5, Replaced)]);
        assert_eq!(found(&forged, vec![], Some((6, records[5].hash))), [(6, Replaced)]);
        // With a head of his own.
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
