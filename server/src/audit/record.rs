//! Encodes audit records as messages of the contract, and as lines of JSON.
//!
//! A line is the message in the JSON mapping of proto3, the format of `sealward audit export`, so the same tools verify both. This module
//! doesn't know where lines are written.

use std::sync::LazyLock;

use data_encoding::BASE64;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use sealward::v1::{AuditRecord as Message, AuditSignature};
use sealward_core::{
    audit::{AuditRecord, SignedHead, follow::TrailPosition},
    id::OrganizationId,
    organization::Organization,
};
use serde::Deserialize;
use uuid::Uuid;

use crate::schema::timestamp_to_proto;

/// The owner of a trail, as records name it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrailOwner {
    organization: String,
    uid: String,
}

impl TrailOwner {
    /// The trail of an organization. `None` is the deployment's own trail.
    pub(crate) fn of(organization: Option<&Organization>) -> Self {
        organization.map_or_else(TrailOwner::default, |organization| TrailOwner {
            organization: organization.resource_name(),
            uid: organization.id.to_string(),
        })
    }

    /// The organization's UUID, or an empty text for the deployment's own trail.
    pub(crate) fn uid(&self) -> &str {
        &self.uid
    }
}

/// A record as a message, with the signature if it is a signed head.
pub(crate) fn message(owner: &TrailOwner, record: AuditRecord, head: Option<SignedHead>) -> Message {
    Message {
        writer: record.writer.to_string(),
        sequence: record.sequence,
        time: Some(timestamp_to_proto(record.time)),
        identity: record.identity.unwrap_or_default(),
        peer: record.peer.unwrap_or_default(),
        call_id: record.call_id.unwrap_or_default(),
        action: record.action,
        outcome: record.outcome,
        subject: record.subject,
        attributes: record.attributes.map(|names| names.split(',').map(str::to_owned).collect()).unwrap_or_default(),
        purpose: record.purpose.unwrap_or_default(),
        fingerprint: record.fingerprint.unwrap_or_default(),
        key_version: record.key_version.unwrap_or_default(),
        details: record.details.unwrap_or_default(),
        records: record.records.map(|ids| ids.split(',').map(str::to_owned).collect()).unwrap_or_default(),
        format: record.format,
        previous_hash: record.previous_hash.to_vec(),
        hash: record.hash.to_vec(),
        hop: record.hop.unwrap_or_default(),
        signature: head.map(|head| AuditSignature {
            time: Some(timestamp_to_proto(head.time)),
            public_key: head.public_key.to_vec(),
            signature: head.signature.to_vec(),
        }),
        organization: owner.organization.clone(),
        organization_uid: owner.uid.clone(),
    }
}

/// Records as lines.
pub(crate) fn lines(owner: &TrailOwner, records: Vec<AuditRecord>) -> Vec<u8> {
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    let mut lines = Vec::new();
    for record in records {
        let encoded = message(owner, record, None).encode_to_vec();
        let message = DynamicMessage::decode(KIND.clone(), encoded.as_slice()).expect("the message was just encoded");
        let mut json = serde_json::Serializer::new(&mut lines);
        message.serialize_with_options(&mut json, &options).expect("every message has a JSON form");
        lines.push(b'\n');
    }
    lines
}

/// The position of a line's record: the trail, the writer and the place. `None` if the line has no record.
pub(crate) fn place_in(line: &[u8]) -> Option<(Option<OrganizationId>, Uuid, TrailPosition)> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(default)]
        organization_uid: &'a str,
        writer: &'a str,
        sequence: &'a str,
        hash: &'a str,
    }
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let trail = match line.organization_uid {
        "" => None,
        uid => Some(uid.parse().ok()?),
    };
    let hash = BASE64.decode(line.hash.as_bytes()).ok()?.try_into().ok()?;
    Some((trail, line.writer.parse().ok()?, TrailPosition { sequence: line.sequence.parse().ok()?, hash }))
}

static KIND: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let pool =
        DescriptorPool::decode(sealward::PLATFORM_DESCRIPTOR_SET).expect("the build generates a valid descriptor set");
    pool.get_message_by_name("sealward.v1.AuditRecord").expect("AuditRecord is in the contract")
});

#[cfg(test)]
pub(crate) mod tests {
    use sealward_core::id::Timestamp;

    use super::*;

    pub(crate) fn record(sequence: i64) -> AuditRecord {
        AuditRecord {
            writer: Uuid::from_bytes([1; 16]),
            sequence,
            previous_hash: [0; 32],
            time: Timestamp::from_unix_micros(1),
            identity: Some("cn:\"ada\"\n".to_owned()),
            peer: None,
            call_id: None,
            action: "retrieve-key".to_owned(),
            outcome: "done".to_owned(),
            subject: "organizations/a".to_owned(),
            attributes: None,
            purpose: None,
            fingerprint: None,
            key_version: None,
            details: None,
            records: None,
            hop: None,
            format: 4,
            hash: [7; 32],
        }
    }

    #[test]
    fn record_is_one_line_with_its_position() {
        let id = OrganizationId::from_bytes([9; 16]);
        let owner = TrailOwner { organization: "organizations/a".to_owned(), uid: id.to_string() };
        let lines = lines(&owner, vec![record(3), record(4)]);
        let lines: Vec<_> = lines.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
        let places: Vec<_> = lines.iter().map(|line| place_in(line)).collect();
        let expected =
            |sequence| Some((Some(id), Uuid::from_bytes([1; 16]), TrailPosition { sequence, hash: [7; 32] }));
        assert_eq!(places, [expected(3), expected(4)]);
    }

    #[test]
    fn line_that_is_not_a_record_has_no_position() {
        let line = lines(&TrailOwner::default(), vec![record(3)]);
        assert!(place_in(&line).is_some());
        for other in [&line[..line.len() / 2], b"", b"{}", b"null", b"\xff", &b"{\"writer\":1}"[..]] {
            assert_eq!(place_in(other), None);
        }
    }
}
