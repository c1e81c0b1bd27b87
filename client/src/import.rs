//! Imports of records: a stream of requests, and the result of each. The methods are in [`entities`](crate::entities) and
//! [`dynamic`](crate::dynamic).

use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _};
use tonic::{Code, Status, Streaming};

use crate::{
    codec::Answer,
    error::{CallError, Error},
    method::Method,
    schema::{SchemaError, schema_error},
    v1,
};

/// The results of an import, in the order of its requests.
pub struct ImportResults {
    method: Method,
    stream: Streaming<Answer>,
    read: Box<ReadResults>,
}

/// The result of one request of an import: the resource name of the created record, or why it wasn't created.
pub type ImportResult = Result<String, Error>;

/// Reads the results in a response.
type ReadResults = dyn Fn(&Answer) -> Result<Vec<ReadResult>, Error> + Send + Sync;

/// A result as it was received.
pub(crate) type ReadResult = Result<String, v1::ItemStatus>;

impl ImportResults {
    pub(crate) fn new(
        method: Method,
        stream: Streaming<Answer>,
        read: impl Fn(&Answer) -> Result<Vec<ReadResult>, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { method, stream, read: Box::new(read) }
    }

    /// Waits for the next results: one or several. `None` after the result of the last request.
    ///
    /// # Errors
    /// [`Error`] if the stream fails. Requests without a result may have been executed: repeat them with the same `request_id`.
    pub async fn next(&mut self) -> Result<Option<Vec<ImportResult>>, Error> {
        let answer = self.stream.message().await;
        let answer = answer.map_err(|status| CallError::from_status(&self.method, status).after_answer())?;
        let Some(answer) = answer else { return Ok(None) };
        let results = (self.read)(&answer)?.into_iter();
        Ok(Some(results.map(|result| result.map_err(|status| self.item_error(&status))).collect()))
    }

    #[expect(clippy::disallowed_methods, reason = "restores the status that the server sent")]
    fn item_error(&self, status: &v1::ItemStatus) -> Error {
        let details = status.encode_to_vec().into();
        let status = Status::with_details(Code::from_i32(status.code), status.message.as_str(), details);
        CallError::from_status(&self.method, status).into()
    }
}

/// Reads the results in a response whose type is known by its descriptor only.
pub(crate) fn read_results(descriptor: &MessageDescriptor, answer: &Answer) -> Result<Vec<ReadResult>, Error> {
    let response = DynamicMessage::decode(descriptor.clone(), answer.as_slice()).map_err(CallError::unreadable)?;
    let invalid = || schema_error(descriptor.full_name(), "the response isn't that of an import");
    let results = response.get_field_by_name("results").ok_or_else(invalid)?;
    let results = results.as_list().ok_or_else(invalid)?.iter();
    let results = results.map(|result| read_result(result.as_message().ok_or_else(invalid)?, invalid));
    Ok(results.collect::<Result<_, SchemaError>>()?)
}

fn read_result(result: &DynamicMessage, invalid: impl Fn() -> SchemaError) -> Result<ReadResult, SchemaError> {
    let error = result.descriptor().get_field_by_name("error").ok_or_else(&invalid)?;
    if !result.has_field(&error) {
        let name = result.get_field_by_name("name").ok_or_else(&invalid)?;
        return Ok(Ok(name.as_str().ok_or_else(&invalid)?.to_owned()));
    }
    let error = result.get_field(&error);
    let status = error.as_message().ok_or_else(&invalid)?;
    Ok(Err(status.transcode_to().map_err(|_| invalid())?))
}
