//! OrganizationService: the tenants of a deployment.

use sealward::methods;
use tokio_stream::{Stream, StreamExt as _};

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    method::Method,
    records::Page,
    stream::MessageStream,
    v1::{
        CreateOrganizationRequest, DeleteOrganizationRequest, ExportOrganizationRequest, ExportOrganizationResponse,
        GetOrganizationRequest, ImportOrganizationRequest, ListOrganizationsRequest, ListOrganizationsResponse,
        Organization,
    },
};

impl Client {
    /// Creates `organizations/<organization_id>`, with data encryption active under a generated key.
    ///
    /// # Errors
    /// See the contract.
    pub async fn create_organization(&self, organization_id: impl Into<String>) -> Result<Organization, Error> {
        let request = CreateOrganizationRequest { organization_id: organization_id.into() };
        decode(&self.unary(&Method::of(methods::CreateOrganization), Encoded::of(&request)).await?)
    }

    /// Answers with one organization, `organizations/contoso`.
    ///
    /// # Errors
    /// See the contract.
    pub async fn get_organization(&self, name: impl Into<String>) -> Result<Organization, Error> {
        let request = GetOrganizationRequest { name: name.into() };
        decode(&self.unary(&Method::of(methods::GetOrganization), Encoded::of(&request)).await?)
    }

    /// Lists the organizations that the caller may see. `page_size` 0 and `page_token` "" are the contract's defaults.
    ///
    /// # Errors
    /// See the contract.
    pub async fn list_organizations(
        &self,
        page_size: i32,
        page_token: impl Into<String>,
    ) -> Result<Page<Organization>, Error> {
        let request = ListOrganizationsRequest { page_size, page_token: page_token.into() };
        let answer = self.unary(&Method::of(methods::ListOrganizations), Encoded::of(&request)).await?;
        let response: ListOrganizationsResponse = decode(&answer)?;
        Ok(Page { records: response.organizations, next_page_token: response.next_page_token, total_size: None })
    }

    /// Deletes an organization, `organizations/contoso`, with everything in it. The caller has made sure that it is meant.
    ///
    /// # Errors
    /// See the contract.
    pub async fn delete_organization(&self, name: impl Into<String>) -> Result<(), Error> {
        let name = name.into();
        let request = DeleteOrganizationRequest { confirm_name: name.clone(), name };
        self.unary(&Method::of(methods::DeleteOrganization), Encoded::of(&request)).await.map(drop)
    }

    /// Exports an organization, `organizations/contoso`, as it is now: a file in chunks, which is whole if the stream ends without an error.
    ///
    /// # Errors
    /// See the contract. Opening the stream isn't repeated, and neither is a stream that breaks.
    pub async fn export_organization(
        &self,
        name: impl Into<String>,
    ) -> Result<MessageStream<ExportOrganizationResponse>, Error> {
        let request = ExportOrganizationRequest { name: name.into() };
        let stream = self.server_stream(&Method::of(methods::ExportOrganization), Encoded::of(&request)).await?;
        Ok(MessageStream::new(Method::of(methods::ExportOrganization), stream))
    }

    /// Imports an organization from the chunks of an exported file, each far smaller than a message may be. `organization_id` is what it is
    /// to be called; empty: as it was. A stream that ends too early imports nothing.
    ///
    /// # Errors
    /// See the contract. Never repeated by itself.
    pub async fn import_organization(
        &self,
        organization_id: impl Into<String>,
        file: impl Stream<Item = Vec<u8>> + Send + 'static,
    ) -> Result<Organization, Error> {
        let first = ImportOrganizationRequest { organization_id: organization_id.into(), chunk: Vec::new() };
        let rest = file.map(|chunk| ImportOrganizationRequest { organization_id: String::new(), chunk });
        let requests = tokio_stream::once(first).chain(rest).map(|request| Encoded::of(&request));
        decode(&self.client_stream(&Method::of(methods::ImportOrganization), requests).await?)
    }
}
