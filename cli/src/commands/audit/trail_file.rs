//! Audit trails as JSON lines: written to a file, and verified without a server. An export has one trail; the copy that a server writes has all
//! trails.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader},
    path::Path,
};

use data_encoding::HEXLOWER_PERMISSIVE;
use prost::Name as _;
use prost_reflect::DynamicMessage;
use sealward_client::{
    built_in_pool,
    v1::{AuditChain, AuditFinding, AuditRecord, VerifyAuditTrailResponse, audit_finding},
};
use sealward_core::{
    audit::{
        self, SignedHead,
        verify::{Fault, TrailVerifier, Verified},
    },
    id::Timestamp,
};
use uuid::Uuid;

use crate::{
    failure::Failure,
    output::{self, new_file::Destination, stderr},
};

/// Writes the records, one JSON object per line.
pub(crate) fn write(mut destination: Destination, records: &[AuditRecord]) -> Result<(), Failure> {
    for record in records {
        destination.write(format!("{}\n", output::message(record)).as_bytes())?;
    }
    destination.finish()
}

/// Verifies all trails in a file. `keys` are trusted public keys in hex; `heads` are records from earlier verifications.
pub(crate) fn verify(path: &Path, keys: &[String], heads: &[String]) -> Result<VerifyAuditTrailResponse, Failure> {
    let keys = keys.iter().map(|text| {
        parse_32_bytes(text).ok_or_else(|| Failure::usage(format!("invalid public key {text}: expected 64 hex digits")))
    });
    let keys = keys.collect::<Result<Vec<[u8; 32]>, _>>()?;
    let heads = heads.iter().map(|text| {
        KnownHead::parse(text).ok_or_else(|| {
            Failure::usage(format!(
                "invalid head {text}: expected WRITER:SEQUENCE:HASH or ORGANIZATION/WRITER:SEQUENCE:HASH"
            ))
        })
    });
    let heads = heads.collect::<Result<Vec<_>, _>>()?;

    let mut trails: BTreeMap<String, Trail> = BTreeMap::new();
    for line in read(path)? {
        trails.entry(line.organization_uid).or_default().lines.push((line.record, line.head));
    }
    for KnownHead { organization_uid, head } in heads {
        let only = trails.keys().next().filter(|_| trails.len() == 1).cloned().unwrap_or_default();
        let trail = match organization_uid {
            // An export of an earlier version doesn't name the organization of its trail.
            Some(uid) if trails.contains_key(&uid) || trails.len() != 1 || !only.is_empty() => uid,
            Some(_) | None => only,
        };
        trails.entry(trail).or_default().known_heads.push(head);
    }
    let mut response = VerifyAuditTrailResponse { intact: true, ..VerifyAuditTrailResponse::default() };
    for (organization_uid, trail) in trails {
        let verified = trail.verify(keys.clone());
        response.intact &= verified.faults == 0;
        response.faults = response.faults.saturating_add(i64::try_from(verified.faults).unwrap_or(i64::MAX));
        response.chains.extend(verified.chains.into_iter().map(|chain| AuditChain {
            writer: chain.writer.to_string(),
            records: i64::try_from(chain.records).unwrap_or(i64::MAX),
            first_sequence: chain.first,
            last_sequence: chain.last,
            last_hash: chain.last_hash.to_vec(),
            signed_sequence: chain.signed,
            public_keys: chain.public_keys.into_iter().map(|key| key.to_vec()).collect(),
            organization_uid: organization_uid.clone(),
        }));
        response.findings.extend(verified.findings.into_iter().map(|finding| AuditFinding {
            writer: finding.writer.to_string(),
            sequence: finding.sequence,
            fault: wire_fault(finding.fault).into(),
            organization_uid: organization_uid.clone(),
        }));
    }
    Ok(response)
}

/// One trail of a file.
#[derive(Default)]
struct Trail {
    lines: Vec<(audit::AuditRecord, Option<SignedHead>)>,
    known_heads: Vec<(Uuid, i64, [u8; 32])>,
}

impl Trail {
    fn verify(mut self, keys: Vec<[u8; 32]>) -> Verified {
        let signed = self.lines.iter_mut().filter_map(|(_, head)| head.take()).collect();
        let mut records: Vec<_> = self.lines.into_iter().map(|(record, _)| record).collect();
        records.sort_by_key(|record| (record.writer, record.sequence));
        // A server that crashed may have written a record twice.
        records.dedup();
        let mut verifier = TrailVerifier::new(signed, keys);
        for (writer, sequence, hash) in self.known_heads {
            verifier.expect_record(writer, sequence, hash);
        }
        records.iter().for_each(|record| verifier.take(record));
        verifier.finish()
    }
}

fn wire_fault(fault: Fault) -> audit_finding::Fault {
    match fault {
        Fault::Changed => audit_finding::Fault::Changed,
        Fault::Missing => audit_finding::Fault::Missing,
        Fault::Unlinked => audit_finding::Fault::Unlinked,
        Fault::CutOff => audit_finding::Fault::CutOff,
        Fault::Replaced => audit_finding::Fault::Replaced,
        Fault::SignatureWrong => audit_finding::Fault::SignatureWrong,
        Fault::SignerUnknown => audit_finding::Fault::SignerUnknown,
    }
}

/// A line of a file.
struct Line {
    organization_uid: String,
    record: audit::AuditRecord,
    head: Option<SignedHead>,
}

fn read(path: &Path) -> Result<Vec<Line>, Failure> {
    let name = path.display();
    let failed = |error: io::Error| Failure::usage(format!("can't read {name}: {error}"));
    let text: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(fs::File::open(path).map_err(failed)?))
    };
    let pool = built_in_pool();
    let kind = pool.get_message_by_name(&AuditRecord::full_name()).ok_or_else(|| Failure::usage("no such message"))?;
    let mut lines = Vec::new();
    for (number, text) in (1_usize..).zip(text.lines()) {
        let text = text.map_err(failed)?;
        if text.trim().is_empty() {
            continue;
        }
        let invalid = || Failure::usage(format!("{name}, line {number}: not an audit record"));
        let mut json = serde_json::Deserializer::from_str(&text);
        match DynamicMessage::deserialize(kind.clone(), &mut json) {
            Ok(message) => {
                let record: AuditRecord = message.transcode_to().map_err(|_| invalid())?;
                lines.push(parse_record(record).ok_or_else(invalid)?);
            }
            // A crash or a full disk truncates a line. The record follows again, or the verification finds it missing.
            Err(error) if error.is_eof() => {
                stderr::warning(&format!("skipped {name}, line {number}: the line is truncated"));
            }
            Err(_) => return Err(invalid()),
        }
    }
    Ok(lines)
}

fn parse_record(record: AuditRecord) -> Option<Line> {
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let writer: Uuid = record.writer.parse().ok()?;
    let hash: [u8; 32] = record.hash.try_into().ok()?;
    let organization_uid = record.organization_uid;
    let head = match record.signature {
        None => None,
        Some(signature) => Some(SignedHead {
            writer,
            sequence: record.sequence,
            hash,
            time: micros(signature.time)?,
            public_key: signature.public_key.try_into().ok()?,
            signature: signature.signature.try_into().ok()?,
        }),
    };
    let record = audit::AuditRecord {
        writer,
        sequence: record.sequence,
        previous_hash: record.previous_hash.try_into().ok()?,
        time: micros(record.time)?,
        identity: text(record.identity),
        peer: text(record.peer),
        call_id: text(record.call_id),
        action: record.action,
        outcome: record.outcome,
        subject: record.subject,
        attributes: text(record.attributes.join(",")),
        purpose: text(record.purpose),
        fingerprint: text(record.fingerprint),
        key_version: Some(record.key_version).filter(|version| *version != 0),
        details: text(record.details),
        records: text(record.records.join(",")),
        hop: text(record.hop),
        format: record.format,
        hash,
    };
    Some(Line { organization_uid, record, head })
}

fn micros(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    let prost_types::Timestamp { seconds, nanos } = time?;
    Some(Timestamp::from_unix_micros(seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1_000))?))
}

/// A record from an earlier verification: writer, sequence and hash, with the organization of its trail if given.
struct KnownHead {
    organization_uid: Option<String>,
    head: (Uuid, i64, [u8; 32]),
}

impl KnownHead {
    fn parse(text: &str) -> Option<Self> {
        let (organization_uid, head) = match text.split_once('/') {
            Some((uid, head)) => (Some(uid.parse::<Uuid>().ok()?.to_string()), head),
            None => (None, text),
        };
        let mut parts = head.split(':');
        let head = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parse_32_bytes(parts.next()?)?);
        parts.next().is_none().then_some(Self { organization_uid, head })
    }
}

/// Parses 64 hex digits, in lower or upper case.
fn parse_32_bytes(text: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}
