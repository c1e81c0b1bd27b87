//! MetadataService: the entities and attributes of an organization, and the changes of audited attributes.

use sealward::methods;

use crate::{
    client::{Client, decode},
    codec::Encoded,
    entities::field_mask,
    error::Error,
    method::Method,
    records::Page,
    v1::{
        AttributeChange, AttributeMetadata, EntityMetadata, GetEntityMetadataRequest, ListAttributeChangesRequest,
        ListAttributeChangesResponse, ListEntityMetadataRequest, ListEntityMetadataResponse,
        UpdateAttributeMetadataRequest,
    },
};

impl Client {
    /// Lists the entities of an organization, such as `organizations/contoso`, with their attributes. `page_size` 0 is the server's default; an
    /// empty `page_token` is the first page.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn list_entity_metadata(
        &self,
        organization: impl Into<String>,
        page_size: i32,
        page_token: impl Into<String>,
    ) -> Result<Page<EntityMetadata>, Error> {
        let request =
            ListEntityMetadataRequest { parent: organization.into(), page_size, page_token: page_token.into() };
        let answer = self.unary(&Method::of(methods::ListEntityMetadata), Encoded::of(&request)).await?;
        let response: ListEntityMetadataResponse = decode(&answer)?;
        Ok(Page { records: response.entity_metadata, next_page_token: response.next_page_token, total_size: None })
    }

    /// Returns an entity by its name, such as `organizations/contoso/entityMetadata/Mailbox`.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn get_entity_metadata(&self, name: impl Into<String>) -> Result<EntityMetadata, Error> {
        let request = GetEntityMetadataRequest { name: name.into() };
        decode(&self.unary(&Method::of(methods::GetEntityMetadata), Encoded::of(&request)).await?)
    }

    /// Updates the fields in `update_mask` of an attribute. A field of the mask without a value is reset to the schema's value. Without a mask,
    /// all fields with a value are updated. With `validate_only`, validates the request and changes nothing.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn update_attribute_metadata(
        &self,
        attribute: AttributeMetadata,
        update_mask: impl IntoIterator<Item = impl Into<String>>,
        validate_only: bool,
    ) -> Result<AttributeMetadata, Error> {
        let request = UpdateAttributeMetadataRequest {
            attribute_metadata: Some(attribute),
            update_mask: field_mask(update_mask.into_iter().map(Into::into).collect()),
            validate_only,
        };
        decode(&self.unary(&Method::of(methods::UpdateAttributeMetadata), Encoded::of(&request)).await?)
    }

    /// Lists the changes of audited attributes, newest first. `parent` is an organization, a record, or an attribute, such as
    /// `organizations/contoso/entityMetadata/Mailbox/attributes/email_address`. An empty `filter` matches all changes.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn list_attribute_changes(
        &self,
        parent: impl Into<String>,
        filter: impl Into<String>,
        page_size: i32,
        page_token: impl Into<String>,
    ) -> Result<Page<AttributeChange>, Error> {
        let request = ListAttributeChangesRequest {
            parent: parent.into(),
            page_size,
            page_token: page_token.into(),
            filter: filter.into(),
        };
        let answer = self.unary(&Method::of(methods::ListAttributeChanges), Encoded::of(&request)).await?;
        let response: ListAttributeChangesResponse = decode(&answer)?;
        Ok(Page { records: response.attribute_changes, next_page_token: response.next_page_token, total_size: None })
    }
}
