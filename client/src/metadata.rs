//! MetadataService: entities and attributes as an organization has them, and what audited attributes recorded.

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
    /// Lists the entities of `organizations/contoso` with their attributes. `page_size` 0 and `page_token` "" are the contract's defaults.
    ///
    /// # Errors
    /// See the contract.
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

    /// Describes the entity of this name, `organizations/contoso/entityMetadata/Mailbox`.
    ///
    /// # Errors
    /// See the contract.
    pub async fn get_entity_metadata(&self, name: impl Into<String>) -> Result<EntityMetadata, Error> {
        let request = GetEntityMetadataRequest { name: name.into() };
        decode(&self.unary(&Method::of(methods::GetEntityMetadata), Encoded::of(&request)).await?)
    }

    /// Changes the fields that `update_mask` names of the attribute that is named in `attribute`; one that is absent becomes as the schema has
    /// it. Without a mask, what is present is changed. With `validate_only`, nothing is.
    ///
    /// # Errors
    /// See the contract.
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

    /// Lists what changes of audited attributes recorded, the newest first: of `organizations/contoso`, of one record, or of one attribute,
    /// `organizations/contoso/entityMetadata/Mailbox/attributes/email_address`. The filter "" is every change.
    ///
    /// # Errors
    /// See the contract.
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
