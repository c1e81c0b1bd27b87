//! Verification of an audit trail: its hashes, links and signatures, and its end as known from elsewhere.
//!
//! [`TrailVerifier`] is pure: [`walk`](super::walk) reads the records of a database. It accepts records from a database or from an export, and requires order only within a
//! chain. Verification shows that a trail was changed, not by whom.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use crate::{
    audit::{entry::AuditAction, retention::cut_through, sign::named_key},
    table::audit::{AuditRecord, SignedHead},
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

/// What the verification of a chain needs of a record, besides the hash of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) writer: Uuid,
    pub(super) sequence: i64,
    pub(super) previous_hash: [u8; 32],
    pub(super) hash: [u8; 32],
    pub(super) says: Says,
}

/// What a record says about its trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Nothing,
    /// Heads are signed with this key from now on.
    Signs([u8; 32]),
    /// Retention has removed the records up to this position.
    CutThrough(i64),
}

impl Says {
    pub(super) fn of(action: &str, details: Option<&str>) -> Self {
        let says = if action == AuditAction::UseSigningKey.name() {
            details.and_then(named_key).map(Says::Signs)
        } else if action == AuditAction::CutAuditTrail.name() {
            details.and_then(cut_through).map(Says::CutThrough)
        } else {
            None
        };
        says.unwrap_or(Says::Nothing)
    }
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
    pub(super) fn expect_head(&mut self, head: SignedHead) {
        self.heads.entry((head.writer, head.sequence)).or_default().push(head);
    }

    /// Removes the heads whose records were not added.
    pub(super) fn forget_heads(&mut self) {
        self.heads.clear();
    }

    /// Returns the position of the last record of each chain.
    pub(super) fn ends(&self) -> Vec<(Uuid, i64)> {
        self.chains.iter().map(|(writer, walked)| (*writer, walked.chain.last)).collect()
    }

    /// Adds a fact from elsewhere: the chain of this writer once had a record with this hash at this position. Records
    /// that begin right after it, as in the second file of an export, are then complete.
    pub fn expect_record(&mut self, writer: Uuid, sequence: i64, hash: [u8; 32]) {
        self.known.push((writer, sequence, hash));
    }

    /// Adds the next record of its chain.
    pub fn take(&mut self, record: &AuditRecord) {
        let (action, details) = (&record.action, record.details.as_deref());
        let AuditRecord { writer, sequence, previous_hash, hash, .. } = *record;
        self.take_link(
            &Link { writer, sequence, previous_hash, hash, says: Says::of(action, details) },
            record.digest(),
        );
    }

    /// Adds the next record of its chain, with the hash that was computed of its fields.
    pub(super) fn take_link(&mut self, link: &Link, digest: [u8; 32]) {
        let Link { writer, sequence, previous_hash, hash, says } = *link;
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
                last_hash: if sequence == 1 { [0; 32] } else { previous_hash },
                signed: 0,
                public_keys: Vec::new(),
            },
            before: previous_hash,
            cut_through: 0,
            signed: Vec::new(),
        });
        let chain = &mut walked.chain;
        if sequence != chain.last.saturating_add(1) {
            found.push(Fault::Missing);
        } else if previous_hash != chain.last_hash {
            found.push(Fault::Unlinked);
        }
        chain.records += 1;
        chain.last = chain.last.max(sequence);
        // The stored hash, so that a changed record doesn't make the next record unlinked. This hides nothing: the two
        // hashes differ only in a record that is reported as changed.
        chain.last_hash = hash;
        match says {
            Says::Nothing => {}
            Says::Signs(key) => chain.public_keys.push(key),
            Says::CutThrough(through) => walked.cut_through = walked.cut_through.max(through),
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

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::{
        audit::{
            entry::{AuditAction, AuditEntry},
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
