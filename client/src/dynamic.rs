//! Records of any entity, by its descriptors: the standard methods with dynamic messages. The content of records is up to the caller.

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ReflectMessage as _, Value,
};
use tokio_stream::{Stream, StreamExt as _};
use zeroize::Zeroize as _;

use crate::{
    client::Client,
    codec::{Answer, Encoded},
    error::{CallError, Error},
    import::{ImportResults, read_results},
    method::Method,
    records::{ListOptions, Page, Pages},
    schema::{self, EntityType, SchemaError, schema_error},
    write::{ResolvedWrite, WriteOptions},
};

/// The methods for records of one entity, by its [`EntityType`].
#[derive(Clone, Copy, Debug)]
pub struct DynamicRecords<'a> {
    client: &'a Client,
    entity: &'a EntityType,
}

impl Client {
    /// Returns the methods for records of an entity that is known by its descriptors.
    #[must_use]
    pub fn records<'a>(&'a self, entity: &'a EntityType) -> DynamicRecords<'a> {
        DynamicRecords { client: self, entity }
    }
}

impl<'a> DynamicRecords<'a> {
    /// Creates a record in the organization `parent`, and returns the stored record. `id` is the record's UUID; `None` lets the server generate
    /// one. Retries take effect once. The text of the record is wiped after it is encoded.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn create(
        &self,
        parent: &str,
        record: DynamicMessage,
        id: Option<&str>,
    ) -> Result<DynamicMessage, Error> {
        self.create_with(parent, record, id, WriteOptions::default()).await
    }

    /// As [`create`](Self::create), with options: a dry run, or an idempotency key.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn create_with(
        &self,
        parent: &str,
        record: DynamicMessage,
        id: Option<&str>,
        options: WriteOptions,
    ) -> Result<DynamicMessage, Error> {
        let method = &self.entity.create;
        let singular = &self.entity.options.singular;
        let mut request = DynamicMessage::new(method.input());
        set(&mut request, "parent", Value::String(parent.to_owned()))?;
        set(&mut request, singular, Value::Message(record))?;
        if let Some(id) = id {
            set(&mut request, &format!("{singular}_id"), Value::String(id.to_owned()))?;
        }
        self.write(method, request, options).await
    }

    /// Returns a record by its resource name.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn get(&self, name: &str) -> Result<DynamicMessage, Error> {
        self.get_fields(name, &[]).await
    }

    /// Returns some fields of a record, and `name`. An empty `read_mask` means all fields.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn get_fields(&self, name: &str, read_mask: &[String]) -> Result<DynamicMessage, Error> {
        let method = &self.entity.get;
        let mut request = DynamicMessage::new(method.input());
        set(&mut request, "name", Value::String(name.to_owned()))?;
        set_mask(&mut request, "read_mask", read_mask)?;
        self.call(method, schema::method(method), request).await
    }

    /// Lists one page of the records of the organization `parent`.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract; [`SchemaError`] if the entity's service doesn't support an option.
    pub async fn list(&self, parent: &str, options: ListOptions) -> Result<Page<DynamicMessage>, Error> {
        let method = &self.entity.list;
        let mut request = DynamicMessage::new(method.input());
        set(&mut request, "parent", Value::String(parent.to_owned()))?;
        set(&mut request, "page_size", Value::I32(options.page_size))?;
        set(&mut request, "page_token", Value::String(options.page_token))?;
        // Set only if present: the service of a custom schema may lack the field.
        for (field, text) in [("filter", options.filter), ("order_by", options.order_by)] {
            if !text.is_empty() {
                set(&mut request, field, Value::String(text))?;
            }
        }
        if options.total_size {
            set(&mut request, "return_total_size", Value::Bool(true))?;
        }
        set_mask(&mut request, "read_mask", &options.read_mask)?;
        self.page(&mut self.call(method, schema::method(method), request).await?)
    }

    /// Updates the attributes in `update_mask` of the record with the name in `record`, and returns the stored record. An attribute of the mask
    /// without a value becomes null. Retries take effect once. The text of the record is wiped after it is encoded.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn update(&self, record: DynamicMessage, update_mask: &[String]) -> Result<DynamicMessage, Error> {
        self.update_with(record, update_mask, WriteOptions::default()).await
    }

    /// As [`update`](Self::update), with options: a dry run, or an idempotency key.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn update_with(
        &self,
        record: DynamicMessage,
        update_mask: &[String],
        options: WriteOptions,
    ) -> Result<DynamicMessage, Error> {
        let method = &self.entity.update;
        let mut request = DynamicMessage::new(method.input());
        let mut mask = DynamicMessage::new(message_of_field(&request, "update_mask")?);
        let paths = update_mask.iter().cloned().map(Value::String).collect();
        set(&mut mask, "paths", Value::List(paths))?;
        set(&mut request, &self.entity.options.singular, Value::Message(record))?;
        set(&mut request, "update_mask", Value::Message(mask))?;
        self.write(method, request, options).await
    }

    /// Deletes a record. An empty `etag` deletes any revision. Retries take effect once.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn delete(&self, name: &str, etag: &str) -> Result<(), Error> {
        self.delete_with(name, etag, WriteOptions::default()).await
    }

    /// As [`delete`](Self::delete), with options: a dry run, or an idempotency key.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn delete_with(&self, name: &str, etag: &str, options: WriteOptions) -> Result<(), Error> {
        let method = &self.entity.delete;
        let mut request = DynamicMessage::new(method.input());
        set(&mut request, "name", Value::String(name.to_owned()))?;
        set(&mut request, "etag", Value::String(etag.to_owned()))?;
        self.write(method, request, options).await.map(drop)
    }

    /// Returns records of the organization `parent` by their names, in this order: all of them, or an error. At most 1,000 by default. An
    /// empty `read_mask` means all fields.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract; [`SchemaError`] if the entity's service lacks the method.
    pub async fn batch_get(
        &self,
        parent: &str,
        names: &[String],
        read_mask: &[String],
    ) -> Result<Vec<DynamicMessage>, Error> {
        let method = self.entity.batch_get.as_ref().ok_or_else(|| self.lacks("BatchGet"))?;
        let mut request = DynamicMessage::new(method.input());
        set(&mut request, "parent", Value::String(parent.to_owned()))?;
        set(&mut request, "names", Value::List(names.iter().cloned().map(Value::String).collect()))?;
        set_mask(&mut request, "read_mask", read_mask)?;
        self.records(method, &mut self.call(method, schema::method(method), request).await?)
    }

    /// Creates any number of records in the organization `parent`, each on its own, from messages with up to 1,000 records by default. A dry
    /// run creates nothing. Read the results while the records are sent. Each record with an idempotency key can be sent again after an error.
    /// The text of the records is wiped after it is encoded.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract; [`SchemaError`] if the entity's service lacks the method. Never retried
    /// automatically.
    pub async fn import(
        &self,
        parent: &str,
        validate_only: bool,
        messages: impl Stream<Item = Vec<NewRecord>> + Send + 'static,
    ) -> Result<ImportResults, Error> {
        let descriptor = self.entity.import.clone().ok_or_else(|| self.lacks("Import"))?;
        let singular = self.entity.options.singular.clone();
        let mut first = DynamicMessage::new(descriptor.input());
        set(&mut first, "parent", Value::String(parent.to_owned()))?;
        set(&mut first, "validate_only", Value::Bool(validate_only))?;
        let request = message_of_field(&first, "requests")?;
        let input = descriptor.input();
        // The descriptors are checked with an empty record before the first message is sent.
        import_request(&request, &singular, NewRecord::empty(&self.entity.message))?;
        let messages = messages.filter_map(move |records| {
            let requests = records.into_iter().map(|record| import_request(&request, &singular, record));
            let requests: Vec<_> = requests.collect::<Result<_, _>>().ok()?;
            let mut message = DynamicMessage::new(input.clone());
            set(&mut message, "requests", Value::List(requests.into_iter().map(Value::Message).collect())).ok()?;
            let encoded = Encoded::of(&message);
            wipe_message(&mut message);
            Some(encoded)
        });
        let messages = tokio_stream::once(Encoded::of(&first)).chain(messages);
        let method = schema::method(&descriptor);
        let stream = self.client.bidirectional_stream(&method, messages).await?;
        let output = descriptor.output();
        Ok(ImportResults::new(method, stream, move |answer| read_results(&output, answer)))
    }

    fn lacks(&self, method: &str) -> SchemaError {
        schema_error(self.entity.message.full_name(), format!("its service has no method {method}"))
    }

    /// Sends a write. If the service of a custom schema has no field `request_id`, none is generated, and the call isn't retried.
    async fn write(
        &self,
        method: &MethodDescriptor,
        mut request: DynamicMessage,
        mut options: WriteOptions,
    ) -> Result<DynamicMessage, Error> {
        if options.request_id.is_none() && method.input().get_field_by_name(REQUEST_ID).is_none() {
            options.request_id = Some(String::new());
        }
        let ResolvedWrite { validate_only, request_id, retry_safety } = self.client.write(options);
        if validate_only {
            set(&mut request, "validate_only", Value::Bool(true))?;
        }
        if !request_id.is_empty() {
            set(&mut request, REQUEST_ID, Value::String(request_id))?;
        }
        self.call(method, schema::method(method).with_retry_safety(retry_safety), request).await
    }

    /// Iterates over the pages of the records of the organization `parent`.
    #[must_use]
    pub fn pages(&self, parent: &str, options: ListOptions) -> Pages<'a, DynamicMessage> {
        let (records, parent) = (*self, parent.to_owned());
        Pages::new(options, move |options| {
            let parent = parent.clone();
            Box::pin(async move { records.list(&parent, options).await })
        })
    }

    async fn call(
        &self,
        descriptor: &MethodDescriptor,
        method: Method,
        mut request: DynamicMessage,
    ) -> Result<DynamicMessage, Error> {
        let encoded = Encoded::of(&request);
        wipe_message(&mut request);
        let answer = self.client.unary(&method, encoded).await?;
        decode(descriptor.output(), &answer)
    }

    /// Takes the records from the response of a list or a batch.
    fn records(&self, method: &MethodDescriptor, response: &mut DynamicMessage) -> Result<Vec<DynamicMessage>, Error> {
        let invalid = || schema_error(method.full_name(), "the response contains no records");
        let is_of_records = |field: &FieldDescriptor| {
            field.is_list() && field.kind().as_message().is_some_and(|message| *message == self.entity.message)
        };
        let field = response.descriptor().fields().find(is_of_records).ok_or_else(invalid)?;
        let records = response.get_field_mut(&field).as_list_mut().ok_or_else(invalid)?;
        let records =
            std::mem::take(records).into_iter().map(|record| record.as_message().cloned().ok_or_else(invalid));
        Ok(records.collect::<Result<_, _>>()?)
    }

    fn page(&self, response: &mut DynamicMessage) -> Result<Page<DynamicMessage>, Error> {
        let invalid =
            || schema_error(self.entity.list.full_name(), "the response isn't that of a standard List method");
        let token = response.get_field_by_name("next_page_token").ok_or_else(invalid)?;
        let next_page_token = token.as_str().ok_or_else(invalid)?.to_owned();
        let records = self.records(&self.entity.list, response)?;
        let total_size =
            response.descriptor().get_field_by_name("total_size").filter(|field| response.has_field(field));
        let total_size = total_size.and_then(|field| response.get_field(&field).as_i64());
        Ok(Page { records, next_page_token, total_size })
    }
}

/// A record to import.
#[derive(Clone)]
pub struct NewRecord {
    /// The record.
    pub record: DynamicMessage,
    /// The record's UUID; `None` lets the server generate one.
    pub id: Option<String>,
    /// The idempotency key; `None` if the record isn't sent again.
    pub request_id: Option<String>,
}

impl NewRecord {
    fn empty(message: &MessageDescriptor) -> Self {
        NewRecord { record: DynamicMessage::new(message.clone()), id: None, request_id: None }
    }
}

fn import_request(
    request: &MessageDescriptor,
    singular: &str,
    NewRecord { record, id, request_id }: NewRecord,
) -> Result<DynamicMessage, SchemaError> {
    let mut message = DynamicMessage::new(request.clone());
    set(&mut message, singular, Value::Message(record))?;
    if let Some(id) = id {
        set(&mut message, &format!("{singular}_id"), Value::String(id))?;
    }
    if let Some(request_id) = request_id {
        set(&mut message, REQUEST_ID, Value::String(request_id))?;
    }
    Ok(message)
}

fn set(message: &mut DynamicMessage, field: &str, value: Value) -> Result<(), SchemaError> {
    let element = message.descriptor().full_name().to_owned();
    message.try_set_field_by_name(field, value).map_err(|error| schema_error(&element, error.to_string()))
}

/// Sets a field mask, unless it is empty.
fn set_mask(message: &mut DynamicMessage, field: &str, paths: &[String]) -> Result<(), SchemaError> {
    if paths.is_empty() {
        return Ok(());
    }
    let mut mask = DynamicMessage::new(message_of_field(message, field)?);
    set(&mut mask, "paths", Value::List(paths.iter().cloned().map(Value::String).collect()))?;
    set(message, field, Value::Message(mask))
}

fn message_of_field(message: &DynamicMessage, field: &str) -> Result<MessageDescriptor, SchemaError> {
    let descriptor = message.descriptor();
    let kind = descriptor.get_field_by_name(field).map(|field| field.kind());
    let inner = kind.as_ref().and_then(Kind::as_message).cloned();
    inner.ok_or_else(|| schema_error(descriptor.full_name(), format!("no message field {field}")))
}

fn decode(descriptor: MessageDescriptor, answer: &Answer) -> Result<DynamicMessage, Error> {
    DynamicMessage::decode(descriptor, answer.as_slice()).map_err(|error| CallError::unreadable(error).into())
}

const REQUEST_ID: &str = "request_id";

/// Wipes all strings in a message, and all bytes that aren't shared.
fn wipe_message(message: &mut DynamicMessage) {
    message.fields_mut().for_each(|(_, value)| wipe(value));
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Bytes(bytes) => {
            if let Ok(mut bytes) = std::mem::take(bytes).try_into_mut() {
                bytes.as_mut().zeroize();
            }
        }
        Value::Message(message) => wipe_message(message),
        Value::List(values) => values.iter_mut().for_each(wipe),
        Value::Map(values) => values.values_mut().for_each(wipe),
        Value::Bool(_)
        | Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::U64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::EnumNumber(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::built_in_pool;

    #[test]
    fn request_is_wiped_at_any_depth() {
        let descriptor = built_in_pool().get_message_by_name("sealward.mail.v1.CreateMailboxRequest").unwrap();
        let mut mailbox =
            DynamicMessage::new(message_of_field(&DynamicMessage::new(descriptor.clone()), "mailbox").unwrap());
        set(&mut mailbox, "password", Value::String("canary-1".to_owned())).unwrap();
        let mut request = DynamicMessage::new(descriptor);
        set(&mut request, "mailbox", Value::Message(mailbox)).unwrap();
        assert!(format!("{request:?}").contains("canary-1"));
        wipe_message(&mut request);
        assert!(!format!("{request:?}").contains("canary-1"));
    }

    #[test]
    fn missing_request_field_is_reported() {
        let descriptor = built_in_pool().get_message_by_name("sealward.mail.v1.GetMailboxRequest").unwrap();
        let error = set(&mut DynamicMessage::new(descriptor), "parent", Value::String(String::new())).unwrap_err();
        assert!(error.to_string().contains("sealward.mail.v1.GetMailboxRequest"), "{error}");
    }
}
