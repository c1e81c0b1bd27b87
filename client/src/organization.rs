//! OrganizationService: the organizations (tenants) of a deployment.

use sealward::methods;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_stream::{Stream, StreamExt as _};
use zeroize::Zeroize as _;

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
    /// Creates `organizations/<organization_id>`. Data encryption is active with a generated key.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn create_organization(&self, organization_id: impl Into<String>) -> Result<Organization, Error> {
        let request = CreateOrganizationRequest { organization_id: organization_id.into() };
        decode(&self.unary(&Method::of(methods::CreateOrganization), Encoded::of(&request)).await?)
    }

    /// Returns an organization by its name, such as `organizations/contoso`.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn get_organization(&self, name: impl Into<String>) -> Result<Organization, Error> {
        let request = GetOrganizationRequest { name: name.into() };
        decode(&self.unary(&Method::of(methods::GetOrganization), Encoded::of(&request)).await?)
    }

    /// Lists the organizations that the caller has access to. `page_size` 0 is the server's default; an empty `page_token` is the first page.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
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

    /// Deletes an organization, such as `organizations/contoso`, with all its data. This can't be undone: confirm it with the user first.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn delete_organization(&self, name: impl Into<String>) -> Result<(), Error> {
        let name = name.into();
        let request = DeleteOrganizationRequest { confirm_name: name.clone(), name };
        self.unary(&Method::of(methods::DeleteOrganization), Encoded::of(&request)).await.map(drop)
    }

    /// Exports a snapshot of an organization, such as `organizations/contoso`, as chunks of a file. The file is complete if the stream ends
    /// without an error.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract. Neither the call nor a broken stream is retried.
    pub async fn export_organization(
        &self,
        name: impl Into<String>,
    ) -> Result<MessageStream<ExportOrganizationResponse>, Error> {
        let request = ExportOrganizationRequest { name: name.into() };
        let stream = self.server_stream(&Method::of(methods::ExportOrganization), Encoded::of(&request)).await?;
        Ok(MessageStream::new(Method::of(methods::ExportOrganization), stream))
    }

    /// Imports an organization from the chunks of an exported file. A chunk must be smaller than the maximum message size. An empty
    /// `organization_id` keeps the id in the file. An incomplete stream imports nothing.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract. Never retried automatically.
    pub async fn import_organization(
        &self,
        organization_id: impl Into<String>,
        file: impl Stream<Item = Vec<u8>> + Send + 'static,
    ) -> Result<Organization, Error> {
        let first = ImportOrganizationRequest { organization_id: organization_id.into(), ..Default::default() };
        self.import_file(Encoded::of(&first), file).await
    }

    /// Imports a copy of an organization from the chunks of an exported file: an active organization with a new UUID and a new key, which can
    /// exist beside its source. `source_key` is the key of the file. Without a `new_key`, the server generates one;
    /// [`retrieve_data_encryption_key`](Self::retrieve_data_encryption_key) returns it. See
    /// [`import_organization`](Self::import_organization) for the rest.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract. Never retried automatically: wrong keys count against a limit.
    pub async fn import_organization_as_copy(
        &self,
        organization_id: impl Into<String>,
        source_key: &SecretString,
        new_key: Option<&SecretString>,
        file: impl Stream<Item = Vec<u8>> + Send + 'static,
    ) -> Result<Organization, Error> {
        let mut first = ImportOrganizationRequest {
            organization_id: organization_id.into(),
            as_copy: true,
            source_encryption_key: source_key.expose_secret().to_owned(),
            encryption_key: new_key.map(|key| key.expose_secret().to_owned()).unwrap_or_default(),
            chunk: Vec::new(),
        };
        let encoded = Encoded::of(&first);
        first.source_encryption_key.zeroize();
        first.encryption_key.zeroize();
        self.import_file(encoded, file).await
    }

    async fn import_file(
        &self,
        first: Encoded,
        file: impl Stream<Item = Vec<u8>> + Send + 'static,
    ) -> Result<Organization, Error> {
        let rest = file.map(|chunk| Encoded::of(&ImportOrganizationRequest { chunk, ..Default::default() }));
        let requests = tokio_stream::once(first).chain(rest);
        decode(&self.client_stream(&Method::of(methods::ImportOrganization), requests).await?)
    }
}
