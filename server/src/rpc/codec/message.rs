//! The decoded requests and the answers of the standard methods: what handlers see instead of messages.

use sealward_core::{
    id::RecordId,
    mask::ReadMask,
    name::OrganizationName,
    record::{Draft, Record, Touched, update::Updated},
    violation::Violation,
};
use tonic::Status;

use crate::rpc::name::ParsedName;

/// A request to one of the standard methods.
pub(crate) enum EntityRequest {
    Create(CreateRequest),
    Get(GetRequest),
    List(ListRequest),
    Update(UpdateRequest),
    Delete(DeleteRequest),
    BatchGet(BatchGetRequest),
    BatchCreate(BatchRequest<CreateRequest>),
    BatchUpdate(BatchRequest<UpdateRequest>),
    BatchDelete(BatchRequest<DeleteRequest>),
    Import(ImportRequest),
}

impl EntityRequest {
    /// The organization; `None` if the request names none.
    pub(crate) fn organization(&self) -> Option<&OrganizationName> {
        match self {
            EntityRequest::Create(CreateRequest { parent, .. })
            | EntityRequest::List(ListRequest { parent, .. })
            | EntityRequest::BatchGet(BatchGetRequest { parent, .. })
            | EntityRequest::BatchCreate(BatchRequest { parent, .. })
            | EntityRequest::BatchUpdate(BatchRequest { parent, .. })
            | EntityRequest::BatchDelete(BatchRequest { parent, .. })
            | EntityRequest::Import(ImportRequest { parent: Some(parent), .. }) => parent.organization.as_ref().ok(),
            EntityRequest::Get(GetRequest { name, .. })
            | EntityRequest::Update(UpdateRequest { name, .. })
            | EntityRequest::Delete(DeleteRequest { name, .. }) => name.organization.as_ref().ok(),
            EntityRequest::Import(ImportRequest { parent: None, .. }) => None,
        }
    }
}

/// A record to create.
pub(crate) struct CreateRequest {
    /// The organization.
    pub(crate) parent: ParsedName<OrganizationName>,
    /// Whether the request names the organization. An item of a batch can leave that to the batch.
    pub(crate) parent_is_given: bool,
    /// The record's id; empty if the service generates it.
    pub(crate) id: String,
    /// The given attributes.
    pub(crate) draft: Draft,
    /// The options of the write.
    pub(crate) write: WriteOptions,
}

/// A record to read.
pub(crate) struct GetRequest {
    /// The record.
    pub(crate) name: ParsedName<RecordId>,
    /// The fields of the answer, or the violations of the mask.
    pub(crate) read_mask: Result<ReadMask, Vec<Violation>>,
}

/// A page of records to read.
pub(crate) struct ListRequest {
    /// The organization.
    pub(crate) parent: ParsedName<OrganizationName>,
    /// The requested number of records.
    pub(crate) page_size: i32,
    /// The token of the page; empty for the first page.
    pub(crate) page_token: String,
    /// The filter.
    pub(crate) filter: String,
    /// The order.
    pub(crate) order_by: String,
    /// The fields of the answer, or the violations of the mask.
    pub(crate) read_mask: Result<ReadMask, Vec<Violation>>,
    /// Whether to count the records of all pages.
    pub(crate) return_total_size: bool,
}

/// A record to change.
pub(crate) struct UpdateRequest {
    /// The record.
    pub(crate) name: ParsedName<RecordId>,
    /// The etag that the caller expects; empty if there is none.
    pub(crate) etag: String,
    /// The given attributes.
    pub(crate) draft: Draft,
    /// The attributes to change: those in the mask or, without a mask, the given ones.
    pub(crate) touched: Touched,
    /// The violations of the mask.
    pub(crate) mask_violations: Vec<Violation>,
    /// The options of the write.
    pub(crate) write: WriteOptions,
}

/// A record to delete.
pub(crate) struct DeleteRequest {
    /// The record.
    pub(crate) name: ParsedName<RecordId>,
    /// The etag that the caller expects; empty if there is none.
    pub(crate) etag: String,
    /// The options of the write.
    pub(crate) write: WriteOptions,
}

/// Records to read.
pub(crate) struct BatchGetRequest {
    /// The organization.
    pub(crate) parent: ParsedName<OrganizationName>,
    /// The records, or the violation if there are too many.
    pub(crate) names: Result<Vec<ParsedName<RecordId>>, Violation>,
    /// The fields of the answer, or the violations of the mask.
    pub(crate) read_mask: Result<ReadMask, Vec<Violation>>,
}

/// Records to write, all or none.
pub(crate) struct BatchRequest<T> {
    /// The organization.
    pub(crate) parent: ParsedName<OrganizationName>,
    /// The single requests, or the violation if there are too many.
    pub(crate) items: Result<Vec<BatchItem<T>>, Violation>,
    /// The options of the write.
    pub(crate) write: WriteOptions,
}

/// A single request of a batch or an import.
pub(crate) struct BatchItem<T> {
    pub(crate) request: T,
    /// The violations of fields that belong to the batch.
    pub(crate) violations: Vec<Violation>,
    /// The size of the encoded request.
    pub(crate) bytes: usize,
}

/// A message of an import.
pub(crate) struct ImportRequest {
    /// The organization; `None` if the message doesn't name one.
    pub(crate) parent: Option<ParsedName<OrganizationName>>,
    /// The records to create, or the violation if there are too many.
    pub(crate) items: Result<Vec<BatchItem<CreateRequest>>, Violation>,
    /// Whether the import is a dry run.
    pub(crate) validate_only: bool,
}

/// The options of every write.
pub(crate) struct WriteOptions {
    /// Whether the write is only validated (dry run).
    pub(crate) validate_only: bool,
    /// The idempotency key; empty if there is none.
    pub(crate) request_id: String,
}

/// An answer.
pub(crate) enum EntityReply {
    /// A record, in the organization of this name.
    Record(OrganizationName, Record),
    /// A record that was updated, in the organization of this name.
    Updated(OrganizationName, Updated),
    /// The selected fields of a record, in the organization of this name.
    Read(OrganizationName, Record, ReadMask),
    /// A page of records: the encoded message, in the form that [`EntityCodec::encode`](super::EntityCodec::encode) returns.
    Page(Vec<u8>),
    /// The selected fields of the records of a batch, in the organization of this name.
    Batch(OrganizationName, Vec<Record>, ReadMask),
    /// The records of a batch that were updated, in the organization of this name.
    BatchUpdated(OrganizationName, Vec<Updated>),
    /// The results of the next records of an import, in the organization of this name.
    Imported(OrganizationName, Vec<Result<RecordId, Status>>),
    /// Nothing.
    Empty,
}
