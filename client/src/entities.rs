//! The four mail entities with their generated types: the standard methods each.
//!
//! [`dynamic`](crate::dynamic) has the same methods for entities that are known only at run time.

use prost_types::FieldMask;
use sealward::methods;
use tokio_stream::{Stream, StreamExt as _};
use zeroize::Zeroize as _;

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    import::ImportResults,
    mail_v1,
    method::Method,
    records::{ListOptions, Page, Pages, Records},
    write::{ResolvedWrite, WriteOptions},
};

macro_rules! entities {
    ($(
        $accessor:ident: $Entity:ident {
            $singular:ident, $id:ident, $plural:ident, encrypted: [$($encrypted:ident),+],
            $Create:ident($CreateRequest:ident), $Get:ident($GetRequest:ident),
            $List:ident($ListRequest:ident, $ListResponse:ident),
            $Update:ident($UpdateRequest:ident), $Delete:ident($DeleteRequest:ident),
            $BatchGet:ident($BatchGetRequest:ident, $BatchGetResponse:ident),
            $BatchCreate:ident($BatchCreateRequest:ident, $BatchCreateResponse:ident),
            $BatchUpdate:ident($BatchUpdateRequest:ident, $BatchUpdateResponse:ident),
            $BatchDelete:ident($BatchDeleteRequest:ident),
            $Import:ident($ImportRequest:ident, $ImportResponse:ident, $import_result:ident),
        }
    )+) => {
        impl Client {
            $(
                #[doc = concat!("Returns the methods for records of the entity [`", stringify!($Entity), "`](mail_v1::", stringify!($Entity), ").")]
                #[must_use]
                pub fn $accessor(&self) -> Records<'_, mail_v1::$Entity> {
                    Records::new(self)
                }
            )+
        }

        $(impl<'a> Records<'a, mail_v1::$Entity> {
            /// Creates a record in the organization `parent`, and returns the stored record. `id` is the record's UUID; `None` lets the
            /// server generate one. Retries take effect once.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn create(
                &self,
                parent: impl Into<String>,
                record: mail_v1::$Entity,
                id: Option<String>,
            ) -> Result<mail_v1::$Entity, Error> {
                self.create_with(parent, record, id, WriteOptions::default()).await
            }

            /// As [`create`](Self::create), with options: a dry run, or an idempotency key.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn create_with(
                &self,
                parent: impl Into<String>,
                record: mail_v1::$Entity,
                id: Option<String>,
                options: WriteOptions,
            ) -> Result<mail_v1::$Entity, Error> {
                let ResolvedWrite { validate_only, request_id, retry_safety } = self.client.write(options);
                let mut request = mail_v1::$CreateRequest {
                    parent: parent.into(),
                    $singular: Some(record),
                    $id: id.unwrap_or_default(),
                    validate_only,
                    request_id,
                };
                let encoded = Encoded::of(&request);
                request.$singular.iter_mut().for_each(Self::wipe);
                decode(&self.client.unary(&Method::of(methods::$Create).with_retry_safety(retry_safety), encoded).await?)
            }

            /// Returns a record by its resource name.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn get(&self, name: impl Into<String>) -> Result<mail_v1::$Entity, Error> {
                self.get_fields(name, [""; 0]).await
            }

            /// Returns some fields of a record, and `name`. An empty `read_mask` means all fields.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn get_fields(
                &self,
                name: impl Into<String>,
                read_mask: impl IntoIterator<Item = impl Into<String>>,
            ) -> Result<mail_v1::$Entity, Error> {
                let paths = read_mask.into_iter().map(Into::into).collect();
                let request = mail_v1::$GetRequest { name: name.into(), read_mask: field_mask(paths) };
                decode(&self.client.unary(&Method::of(methods::$Get), Encoded::of(&request)).await?)
            }

            /// Lists one page of the records of the organization `parent`.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn list(
                &self,
                parent: impl Into<String>,
                options: ListOptions,
            ) -> Result<Page<mail_v1::$Entity>, Error> {
                let request = mail_v1::$ListRequest {
                    parent: parent.into(),
                    page_size: options.page_size,
                    page_token: options.page_token,
                    filter: options.filter,
                    order_by: options.order_by,
                    read_mask: field_mask(options.read_mask),
                    return_total_size: options.total_size,
                };
                let answer = self.client.unary(&Method::of(methods::$List), Encoded::of(&request)).await?;
                let response: mail_v1::$ListResponse = decode(&answer)?;
                Ok(Page {
                    records: response.$plural,
                    next_page_token: response.next_page_token,
                    total_size: response.total_size,
                })
            }

            /// Iterates over the pages of the records of the organization `parent`.
            #[must_use]
            pub fn pages(&self, parent: impl Into<String>, options: ListOptions) -> Pages<'a, mail_v1::$Entity> {
                let (client, parent) = (self.client, parent.into());
                Pages::new(options, move |options| {
                    let parent = parent.clone();
                    Box::pin(async move { Self::new(client).list(parent, options).await })
                })
            }

            /// Updates the attributes in `update_mask` of the record `record.name`, and returns the stored record. An attribute of the
            /// mask without a value becomes null. An empty mask means all attributes that have a value. Retries take effect once.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn update(
                &self,
                record: mail_v1::$Entity,
                update_mask: impl IntoIterator<Item = impl Into<String>>,
            ) -> Result<mail_v1::$Entity, Error> {
                self.update_with(record, update_mask, WriteOptions::default()).await
            }

            /// As [`update`](Self::update), with options: a dry run, or an idempotency key.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn update_with(
                &self,
                record: mail_v1::$Entity,
                update_mask: impl IntoIterator<Item = impl Into<String>>,
                options: WriteOptions,
            ) -> Result<mail_v1::$Entity, Error> {
                let ResolvedWrite { validate_only, request_id, retry_safety } = self.client.write(options);
                let paths = update_mask.into_iter().map(Into::into).collect();
                let mut request = mail_v1::$UpdateRequest {
                    $singular: Some(record),
                    update_mask: Some(FieldMask { paths }),
                    validate_only,
                    request_id,
                };
                let encoded = Encoded::of(&request);
                request.$singular.iter_mut().for_each(Self::wipe);
                decode(&self.client.unary(&Method::of(methods::$Update).with_retry_safety(retry_safety), encoded).await?)
            }

            /// Deletes a record. An empty `etag` deletes any revision. Retries take effect once.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn delete(&self, name: impl Into<String>, etag: impl Into<String>) -> Result<(), Error> {
                self.delete_with(name, etag, WriteOptions::default()).await
            }

            /// As [`delete`](Self::delete), with options: a dry run, or an idempotency key.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn delete_with(
                &self,
                name: impl Into<String>,
                etag: impl Into<String>,
                options: WriteOptions,
            ) -> Result<(), Error> {
                let ResolvedWrite { validate_only, request_id, retry_safety } = self.client.write(options);
                let request = mail_v1::$DeleteRequest { name: name.into(), etag: etag.into(), validate_only, request_id };
                let method = Method::of(methods::$Delete).with_retry_safety(retry_safety);
                decode(&self.client.unary(&method, Encoded::of(&request)).await?)
            }

            /// Returns records of the organization `parent` by their names, in this order: all of them, or an error. At most 1,000 by
            /// default. An empty `read_mask` means all fields.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn batch_get(
                &self,
                parent: impl Into<String>,
                names: impl IntoIterator<Item = impl Into<String>>,
                read_mask: impl IntoIterator<Item = impl Into<String>>,
            ) -> Result<Vec<mail_v1::$Entity>, Error> {
                let names = names.into_iter().map(Into::into).collect();
                let paths = read_mask.into_iter().map(Into::into).collect();
                let request = mail_v1::$BatchGetRequest { parent: parent.into(), names, read_mask: field_mask(paths) };
                let answer = self.client.unary(&Method::of(methods::$BatchGet), Encoded::of(&request)).await?;
                let response: mail_v1::$BatchGetResponse = decode(&answer)?;
                Ok(response.$plural)
            }

            /// Creates records in the organization `parent`, all or none, and returns them in this order. At most 1,000 by default.
            /// `parent`, `validate_only` and `request_id` of the single requests stay empty. Retries take effect once.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn batch_create(
                &self,
                parent: impl Into<String>,
                requests: Vec<mail_v1::$CreateRequest>,
                options: WriteOptions,
            ) -> Result<Vec<mail_v1::$Entity>, Error> {
                let ResolvedWrite { validate_only, request_id, retry_safety } = self.client.write(options);
                let mut request =
                    mail_v1::$BatchCreateRequest { parent: parent.into(), requests, validate_only, request_id };
                let encoded = Encoded::of(&request);
                request.requests.iter_mut().filter_map(|request| request.$singular.as_mut()).for_each(Self::wipe);
                let method = Method::of(methods::$BatchCreate).with_retry_safety(retry_safety);
                let response: mail_v1::$BatchCreateResponse = decode(&self.client.unary(&method, encoded).await?)?;
                Ok(response.$plural)
            }

            /// Updates records of the organization `parent`, all or none, and returns them in this order. At most 1,000 by default.
            /// `validate_only` and `request_id` of the single requests stay empty. Retries take effect once.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn batch_update(
                &self,
                parent: impl Into<String>,
                requests: Vec<mail_v1::$UpdateRequest>,
                options: WriteOptions,
            ) -> Result<Vec<mail_v1::$Entity>, Error> {
                let ResolvedWrite { validate_only, request_id, retry_safety } = self.client.write(options);
                let mut request =
                    mail_v1::$BatchUpdateRequest { parent: parent.into(), requests, validate_only, request_id };
                let encoded = Encoded::of(&request);
                request.requests.iter_mut().filter_map(|request| request.$singular.as_mut()).for_each(Self::wipe);
                let method = Method::of(methods::$BatchUpdate).with_retry_safety(retry_safety);
                let response: mail_v1::$BatchUpdateResponse = decode(&self.client.unary(&method, encoded).await?)?;
                Ok(response.$plural)
            }

            /// Deletes records of the organization `parent`, all or none. At most 1,000 by default. `validate_only` and `request_id` of
            /// the single requests stay empty. Retries take effect once.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract.
            pub async fn batch_delete(
                &self,
                parent: impl Into<String>,
                requests: Vec<mail_v1::$DeleteRequest>,
                options: WriteOptions,
            ) -> Result<(), Error> {
                let ResolvedWrite { validate_only, request_id, retry_safety } = self.client.write(options);
                let request =
                    mail_v1::$BatchDeleteRequest { parent: parent.into(), requests, validate_only, request_id };
                let method = Method::of(methods::$BatchDelete).with_retry_safety(retry_safety);
                decode(&self.client.unary(&method, Encoded::of(&request)).await?)
            }

            /// Creates any number of records in the organization `parent`, each on its own, from messages with up to 1,000 requests by
            /// default. A dry run creates nothing. Read the results while the requests are sent. Give each request a `request_id`, so that
            /// you can repeat those without a result after an error.
            ///
            /// # Errors
            /// [`Error`], with the reasons of the rpc in the contract. Never retried automatically.
            pub async fn import(
                &self,
                parent: impl Into<String>,
                validate_only: bool,
                messages: impl Stream<Item = Vec<mail_v1::$CreateRequest>> + Send + 'static,
            ) -> Result<ImportResults, Error> {
                let message = |requests| mail_v1::$ImportRequest { requests, ..Default::default() };
                let first = mail_v1::$ImportRequest { parent: parent.into(), validate_only, requests: Vec::new() };
                let messages = tokio_stream::once(first).chain(messages.map(message)).map(|mut message| {
                    let encoded = Encoded::of(&message);
                    message.requests.iter_mut().filter_map(|request| request.$singular.as_mut()).for_each(Self::wipe);
                    encoded
                });
                let method = Method::of(methods::$Import);
                let stream = self.client.bidirectional_stream(&method, messages).await?;
                Ok(ImportResults::new(method, stream, |answer| {
                    let response: mail_v1::$ImportResponse = decode(answer)?;
                    let results = response.results.into_iter().map(|result| match result.result {
                        Some(mail_v1::$import_result::Result::Name(name)) => Ok(name),
                        Some(mail_v1::$import_result::Result::Error(status)) => Err(status),
                        None => Err(crate::v1::ItemStatus::default()),
                    });
                    Ok(results.collect())
                }))
            }

            /// Wipes the encrypted attributes of a record that was encoded.
            fn wipe(record: &mut mail_v1::$Entity) {
                $(record.$encrypted.zeroize();)+
            }
        })+

        /// Every method above, for the test of completeness.
        #[cfg(test)]
        pub(crate) const METHODS: &[Method] = &[$(
            Method::of(methods::$Create),
            Method::of(methods::$Get),
            Method::of(methods::$List),
            Method::of(methods::$Update),
            Method::of(methods::$Delete),
            Method::of(methods::$BatchGet),
            Method::of(methods::$BatchCreate),
            Method::of(methods::$BatchUpdate),
            Method::of(methods::$BatchDelete),
            Method::of(methods::$Import),
        )+];

        /// Every attribute that is wiped from a request, for the test of completeness.
        #[cfg(test)]
        const WIPED: &[(&str, &[&str])] = &[$((stringify!($Entity), &[$(stringify!($encrypted)),+])),+];
    };
}

/// A mask, or `None` without paths, which means all fields.
pub(crate) fn field_mask(paths: Vec<String>) -> Option<FieldMask> {
    (!paths.is_empty()).then_some(FieldMask { paths })
}

entities! {
    email_server_profiles: EmailServerProfile {
        email_server_profile, email_server_profile_id, email_server_profiles,
        encrypted: [incoming_password, outgoing_password],
        CreateEmailServerProfile(CreateEmailServerProfileRequest), GetEmailServerProfile(GetEmailServerProfileRequest),
        ListEmailServerProfiles(ListEmailServerProfilesRequest, ListEmailServerProfilesResponse),
        UpdateEmailServerProfile(UpdateEmailServerProfileRequest),
        DeleteEmailServerProfile(DeleteEmailServerProfileRequest),
        BatchGetEmailServerProfiles(BatchGetEmailServerProfilesRequest, BatchGetEmailServerProfilesResponse),
        BatchCreateEmailServerProfiles(BatchCreateEmailServerProfilesRequest, BatchCreateEmailServerProfilesResponse),
        BatchUpdateEmailServerProfiles(BatchUpdateEmailServerProfilesRequest, BatchUpdateEmailServerProfilesResponse),
        BatchDeleteEmailServerProfiles(BatchDeleteEmailServerProfilesRequest),
        ImportEmailServerProfiles(ImportEmailServerProfilesRequest, ImportEmailServerProfilesResponse, import_email_server_profiles_result),
    }
    mailboxes: Mailbox {
        mailbox, mailbox_id, mailboxes, encrypted: [password],
        CreateMailbox(CreateMailboxRequest), GetMailbox(GetMailboxRequest),
        ListMailboxes(ListMailboxesRequest, ListMailboxesResponse),
        UpdateMailbox(UpdateMailboxRequest), DeleteMailbox(DeleteMailboxRequest),
        BatchGetMailboxes(BatchGetMailboxesRequest, BatchGetMailboxesResponse),
        BatchCreateMailboxes(BatchCreateMailboxesRequest, BatchCreateMailboxesResponse),
        BatchUpdateMailboxes(BatchUpdateMailboxesRequest, BatchUpdateMailboxesResponse),
        BatchDeleteMailboxes(BatchDeleteMailboxesRequest),
        ImportMailboxes(ImportMailboxesRequest, ImportMailboxesResponse, import_mailboxes_result),
    }
    queues: Queue {
        queue, queue_id, queues, encrypted: [email_password],
        CreateQueue(CreateQueueRequest), GetQueue(GetQueueRequest),
        ListQueues(ListQueuesRequest, ListQueuesResponse),
        UpdateQueue(UpdateQueueRequest), DeleteQueue(DeleteQueueRequest),
        BatchGetQueues(BatchGetQueuesRequest, BatchGetQueuesResponse),
        BatchCreateQueues(BatchCreateQueuesRequest, BatchCreateQueuesResponse),
        BatchUpdateQueues(BatchUpdateQueuesRequest, BatchUpdateQueuesResponse),
        BatchDeleteQueues(BatchDeleteQueuesRequest),
        ImportQueues(ImportQueuesRequest, ImportQueuesResponse, import_queues_result),
    }
    user_settings: UserSettings {
        user_settings, user_settings_id, user_settings, encrypted: [email_password],
        CreateUserSettings(CreateUserSettingsRequest), GetUserSettings(GetUserSettingsRequest),
        ListUserSettings(ListUserSettingsRequest, ListUserSettingsResponse),
        UpdateUserSettings(UpdateUserSettingsRequest), DeleteUserSettings(DeleteUserSettingsRequest),
        BatchGetUserSettings(BatchGetUserSettingsRequest, BatchGetUserSettingsResponse),
        BatchCreateUserSettings(BatchCreateUserSettingsRequest, BatchCreateUserSettingsResponse),
        BatchUpdateUserSettings(BatchUpdateUserSettingsRequest, BatchUpdateUserSettingsResponse),
        BatchDeleteUserSettings(BatchDeleteUserSettingsRequest),
        ImportUserSettings(ImportUserSettingsRequest, ImportUserSettingsResponse, import_user_settings_result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{EntityType, built_in_pool};

    #[test]
    fn every_encrypted_attribute_is_wiped_from_requests() {
        let entities = EntityType::all(&built_in_pool()).unwrap();
        for entity in &entities {
            let encrypted: Vec<&str> =
                entity.attributes.iter().filter(|attribute| attribute.options.encrypted).map(|a| a.name()).collect();
            let (_, wiped) = WIPED.iter().find(|(name, _)| *name == entity.message.name()).unwrap();
            assert_eq!(*wiped, encrypted.as_slice());
        }
        assert_eq!(entities.len(), WIPED.len());
    }
}
