//! The codec of the entity services: decodes requests to drafts of records, and encodes records, by plans that are compiled from the
//! descriptors of each method at start.
//!
//! Handlers use the types of `message`, so that decoding can change without changing them. The value of an encrypted attribute is copied
//! from the bytes of the request to a secret type, and has only one owner.

#[cfg(any(test, fuzzing))]
pub(crate) mod compare;
mod decode;
mod encode;
mod message;
#[cfg(any(test, fuzzing))]
mod reference;
mod wire;

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use sealward_core::{mask::ReadMask, name::OrganizationName};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

pub(crate) use self::{
    decode::CodecBounds,
    message::{
        BatchGetRequest, BatchItem, BatchRequest, CreateRequest, DeleteRequest, EntityReply, EntityRequest, GetRequest,
        ImportRequest, ListRequest, UpdateRequest, WriteOptions,
    },
};
use self::{
    decode::RequestPlan,
    encode::{PageWriter, ReplyPlan},
};
use crate::{schema::EntityMethod, status};

/// The codec of one method.
pub(crate) struct EntityCodec {
    request: RequestPlan,
    reply: Arc<ReplyPlan>,
}

/// The codec of a stream of messages: of an import.
#[derive(Clone)]
pub(crate) struct StreamCodec {
    codec: Arc<EntityCodec>,
    /// The organization, which the first message names.
    parent: Option<OrganizationName>,
}

impl EntityCodec {
    /// Compiles the plans of a method.
    pub(crate) fn new(method: &EntityMethod, bounds: CodecBounds) -> Self {
        EntityCodec { request: RequestPlan::new(method, bounds), reply: Arc::new(ReplyPlan::new(method)) }
    }

    /// Decodes a request. The result contains violations of fields.
    ///
    /// # Errors
    /// The bytes aren't a message of the expected type.
    pub(crate) fn decode(&self, message: &[u8]) -> Result<EntityRequest, Status> {
        self.request.decode(message, &mut None).map_err(|_| status::message_invalid())
    }

    /// Encodes an answer. `begin` creates the buffer for an answer of this length.
    pub(crate) fn encode(&self, reply: EntityReply, begin: impl FnOnce(usize) -> BytesMut) -> Bytes {
        if let EntityReply::Page(message) = reply {
            return message.into();
        }
        let mut buffer = BytesMut::new();
        self.reply.encode(&reply, &mut buffer, |buffer, length| *buffer = begin(length));
        buffer.freeze()
    }

    /// Begins a page of records with the selected fields, in the organization of this name, in a buffer that is kept. The
    /// records have at most `bytes_max` bytes, except for a single one.
    pub(crate) fn page(
        &self,
        organization: OrganizationName,
        mask: ReadMask,
        buffer: Vec<u8>,
        bytes_max: usize,
    ) -> PageWriter {
        PageWriter::new(Arc::clone(&self.reply), organization, mask, buffer, bytes_max)
    }
}

impl StreamCodec {
    pub(crate) fn new(codec: Arc<EntityCodec>) -> Self {
        StreamCodec { codec, parent: None }
    }
}

impl Codec for StreamCodec {
    type Encode = EntityReply;
    type Decode = EntityRequest;
    type Encoder = StreamCodec;
    type Decoder = StreamCodec;

    fn encoder(&mut self) -> Self::Encoder {
        self.clone()
    }

    fn decoder(&mut self) -> Self::Decoder {
        self.clone()
    }
}

impl Decoder for StreamCodec {
    type Item = EntityRequest;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Self::Error> {
        let message = source.copy_to_bytes(source.remaining());
        let request = self.codec.request.decode(&message, &mut self.parent);
        request.map(Some).map_err(|_| status::message_invalid())
    }
}

impl Encoder for StreamCodec {
    type Item = EntityReply;
    type Error = Status;

    fn encode(&mut self, reply: Self::Item, destination: &mut EncodeBuf<'_>) -> Result<(), Self::Error> {
        self.codec.reply.encode(&reply, destination, |destination, length| destination.reserve(length));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use sealward::mail::v1::{BatchCreateMailboxesRequest, CreateMailboxRequest, ImportMailboxesResponse, Mailbox};
    use sealward_core::{
        id::RecordId,
        record::Given,
        schema::Value,
        violation::{Problem, Violation},
    };
    use tonic::Code;

    use super::*;

    const BOUNDS: CodecBounds = CodecBounds { mask_paths_max: 2, batch_items_max: 2 };
    const PROFILE: &str = "organizations/contoso/emailServerProfiles/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506";

    fn method(name: &str) -> EntityMethod {
        let served = crate::schema::read(sealward::FILE_DESCRIPTOR_SET).unwrap();
        served.methods.into_iter().find(|method| method.path.ends_with(&format!("/{name}"))).unwrap()
    }

    fn create(parent: &str) -> CreateMailboxRequest {
        let mailbox = Mailbox { email_server_profile: Some(PROFILE.to_owned()), ..Mailbox::default() };
        CreateMailboxRequest { parent: parent.to_owned(), mailbox: Some(mailbox), ..CreateMailboxRequest::default() }
    }

    fn decoded(method: &EntityMethod, bytes: &[u8]) -> Result<EntityRequest, Status> {
        EntityCodec::new(method, BOUNDS).decode(bytes)
    }

    fn batch(bytes: &[u8]) -> BatchRequest<CreateRequest> {
        let request = decoded(&method("BatchCreateMailboxes"), bytes).unwrap();
        let EntityRequest::BatchCreate(batch) = request else { panic!("another request") };
        batch
    }

    #[test]
    fn items_are_read_in_the_organization_of_their_batch_wherever_it_is() {
        let items = BatchCreateMailboxesRequest {
            requests: vec![create(""), create("organizations/fabrikam")],
            ..BatchCreateMailboxesRequest::default()
        };
        let rest = BatchCreateMailboxesRequest {
            parent: "organizations/contoso".to_owned(),
            validate_only: true,
            ..BatchCreateMailboxesRequest::default()
        };
        let (items, rest) = (items.encode_to_vec(), rest.encode_to_vec());
        for bytes in [[items.clone(), rest.clone()].concat(), [rest, items].concat()] {
            let batch = batch(&bytes);
            assert!(batch.parent.resource.is_ok() && batch.write.validate_only);
            let items = batch.items.unwrap();
            let found: Vec<_> = items.iter().map(|item| item.violations.len()).collect();
            assert_eq!(found, [0, 1]);
            for item in &items {
                let given: Vec<_> = item.request.draft.given.values().collect();
                assert!(matches!(given[..], [Given::Clear(Value::Reference(_))]));
            }
        }
    }

    #[test]
    fn too_many_items_are_a_violation_without_being_decoded() {
        // The items aren't messages.
        let item = [0x12, 0x01, 0xff];
        let batch = batch(&item.repeat(3));
        let problem = Problem::TooMany { limit: 2 };
        assert_eq!(batch.items.err().unwrap(), Violation::new("requests", problem));
        assert!(decoded(&method("BatchCreateMailboxes"), &item.repeat(2)).is_err());
    }

    #[test]
    fn bytes_that_are_no_batch_are_refused() {
        for name in ["BatchGetMailboxes", "BatchCreateMailboxes", "ImportMailboxes"] {
            let method = method(name);
            assert!(decoded(&method, &[]).is_ok(), "{name}");
            // A length beyond the end, a wrong wire type, a truncated key, a name that isn't UTF-8.
            for bytes in
                [&[0x12, 0x05, 0x0a][..], &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x0a], &[0x80], &[0x0a, 1, 0xff]]
            {
                let error = decoded(&method, bytes).err().unwrap();
                assert_eq!(error.code(), Code::InvalidArgument, "{name} {bytes:?}");
            }
        }
    }

    #[test]
    fn results_of_an_import_are_names_and_errors_with_their_details() {
        let organization: OrganizationName = "contoso".parse().unwrap();
        let id = RecordId::from_bytes([7; 16]);
        let refused = status::invalid(vec![Violation::new("mailbox.display_name", Problem::Required)]);
        let mut bytes = Vec::new();
        let reply = EntityReply::Imported(organization, vec![Ok(id), Err(refused.clone())]);
        let mut announced = 0;
        ReplyPlan::new(&method("ImportMailboxes")).encode(&reply, &mut bytes, |_, length| announced = length);
        assert_eq!(announced, bytes.len());
        let response = ImportMailboxesResponse::decode(bytes.as_slice()).unwrap();
        let [created, error] = &response.results[..] else { panic!("{response:?}") };
        use sealward::mail::v1::import_mailboxes_result::Result as Case;
        let name = format!("organizations/contoso/mailboxes/{id}");
        assert_eq!(created.result, Some(Case::Name(name)));
        let Some(Case::Error(error)) = &error.result else { panic!("{error:?}") };
        assert_eq!((error.code, error.message.as_str()), (refused.code() as i32, refused.message()));
        assert_eq!(error.encode_to_vec(), refused.details());
    }
}
