//! The only maker of `tonic::Status`: every error that leaves the server gets its code, its reason and its words here.
//!
//! A status carries `google.rpc.ErrorInfo` with a reason of the contract and its domain; if a limit caused it, it also names
//! the limit. Its source has the internal cause, which the trace layer logs and no caller sees. The id of the call isn't known
//! here: [`complete`] adds it on the way out, and details for the errors that the gRPC framework makes.
//!
//! Every status has a bounded size, whatever a request or a file contains: clients refuse longer headers, and a refusal must cost less
//! than what it refuses. No control or invisible character leaves in one. `builder` and `text` see to that; each other module has the
//! errors of one family.

mod builder;
mod failure;
mod framework;
mod key;
mod organization;
mod reason;
mod record;
mod refusal;
#[cfg(test)]
mod tests;
mod text;
mod violation;

pub(crate) use self::{
    failure::{audit_copy_unavailable, audit_unavailable, broken, internal, unavailable},
    framework::{answer_too_large, complete, is_complete, message_invalid},
    key::{bound_of_key_error, key},
    organization::{create_organization, import_organization, not_entered},
    reason::{Reason, reason_name},
    record::{
        BatchFields, COMPARISONS, batch, encrypted_attribute, listing, metadata_not_found, page_token_invalid, record,
        update_metadata,
    },
    refusal::{
        BrokenMessage, MetadataTooLarge, PrivilegeRefusal, Refusal, TransferLimit, broken_message, broken_request,
        refused_by_application,
    },
    violation::{bound_of_violation, invalid},
};
