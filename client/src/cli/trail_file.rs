//! An exported audit trail: a JSON object a line, written and verified without a server.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    path::Path,
};

use fieldseal_client::{
    built_in_pool,
    v1::{AuditChain, AuditFinding, AuditRecord, VerifyAuditTrailResponse, audit_finding::Fault as Told},
};
use fieldseal_core::{
    audit::{
        self,
        sign::SignedHead,
        verify::{Fault, TrailVerifier},
    },
    hex::unhex,
    id::Timestamp,
};
use prost_reflect::DynamicMessage;
use uuid::Uuid;

use super::{failure::Failure, output, transfer::Target};

/// Writes the records to a file of the caller's own, or to stdout.
pub(super) fn write(path: &Path, records: &[AuditRecord]) -> Result<(), Failure> {
    let mut target = Target::begin(path)?;
    for record in records {
        target.write(format!("{}\n", output::message("AuditRecord", record)).as_bytes())?;
    }
    target.finish()
}

/// Verifies a file, with keys and records that are known from elsewhere.
pub(super) fn verify(path: &Path, keys: &[String], heads: &[String]) -> Result<VerifyAuditTrailResponse, Failure> {
    let keys = keys.iter().map(|text| {
        bytes(text).ok_or_else(|| Failure::usage(format!("{text} is no public key: it has 64 hexadecimal digits")))
    });
    let keys = keys.collect::<Result<Vec<[u8; 32]>, _>>()?;
    let known = heads.iter().map(|text| {
        known(text).ok_or_else(|| Failure::usage(format!("{text} isn't of the form WRITER:SEQUENCE:HASH")))
    });
    let known = known.collect::<Result<Vec<_>, _>>()?;

    let mut records = read(path)?;
    records.sort_by_key(|(record, _)| (record.writer, record.sequence));
    let signed = records.iter_mut().filter_map(|(_, head)| head.take()).collect();
    let mut verifier = TrailVerifier::new(signed, keys);
    for (writer, sequence, hash) in known {
        verifier.know(writer, sequence, hash);
    }
    records.iter().for_each(|(record, _)| verifier.take(record));
    let verified = verifier.finish();
    Ok(VerifyAuditTrailResponse {
        intact: verified.faults == 0,
        chains: verified
            .chains
            .into_iter()
            .map(|chain| AuditChain {
                writer: chain.writer.to_string(),
                records: i64::try_from(chain.records).unwrap_or(i64::MAX),
                first_sequence: chain.first,
                last_sequence: chain.last,
                last_hash: chain.last_hash.to_vec(),
                signed_sequence: chain.signed,
                public_keys: chain.public_keys.into_iter().map(|key| key.to_vec()).collect(),
            })
            .collect(),
        findings: verified
            .findings
            .into_iter()
            .map(|finding| AuditFinding {
                writer: finding.writer.to_string(),
                sequence: finding.sequence,
                fault: told(finding.fault).into(),
            })
            .collect(),
        faults: i64::try_from(verified.faults).unwrap_or(i64::MAX),
    })
}

fn told(fault: Fault) -> Told {
    match fault {
        Fault::Changed => Told::Changed,
        Fault::Missing => Told::Missing,
        Fault::Unlinked => Told::Unlinked,
        Fault::CutOff => Told::CutOff,
        Fault::Replaced => Told::Replaced,
        Fault::SignatureWrong => Told::SignatureWrong,
        Fault::SignerUnknown => Told::SignerUnknown,
    }
}

fn read(path: &Path) -> Result<Vec<(audit::AuditRecord, Option<SignedHead>)>, Failure> {
    let name = path.display();
    let failed = |error: io::Error| Failure::usage(format!("{name} can't be read: {error}"));
    let lines: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(fs::File::open(path).map_err(failed)?))
    };
    let pool = built_in_pool();
    let kind = pool.get_message_by_name("fieldseal.v1.AuditRecord").ok_or_else(|| Failure::usage("no such message"))?;
    let mut records = Vec::new();
    for (number, line) in (1_usize..).zip(lines.lines()) {
        let line = line.map_err(failed)?;
        if line.trim().is_empty() {
            continue;
        }
        let wrong = || Failure::usage(format!("{name}, line {number}: this is no audit record"));
        let mut json = serde_json::Deserializer::from_str(&line);
        let message = DynamicMessage::deserialize(kind.clone(), &mut json).map_err(|_| wrong())?;
        let record: AuditRecord = message.transcode_to().map_err(|_| wrong())?;
        records.push(parsed(record).ok_or_else(wrong)?);
    }
    Ok(records)
}

fn parsed(record: AuditRecord) -> Option<(audit::AuditRecord, Option<SignedHead>)> {
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let writer: Uuid = record.writer.parse().ok()?;
    let hash: [u8; 32] = record.hash.try_into().ok()?;
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
        format: record.format,
        hash,
    };
    Some((record, head))
}

fn micros(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    let prost_types::Timestamp { seconds, nanos } = time?;
    Some(Timestamp::from_unix_micros(seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1_000))?))
}

fn known(text: &str) -> Option<(Uuid, i64, [u8; 32])> {
    let mut parts = text.split(':');
    let known = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, bytes(parts.next()?)?);
    parts.next().is_none().then_some(known)
}

/// 32 bytes; digits in capitals are taken too, as people copy them.
fn bytes(text: &str) -> Option<[u8; 32]> {
    unhex(&text.to_ascii_lowercase())?.try_into().ok()
}
