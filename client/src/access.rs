//! AccessService: the caller's identity, explanations of access decisions, and bindings.

use sealward::methods;

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    method::Method,
    records::Page,
    v1::{
        Binding, ExplainAccessRequest, ExplainAccessResponse, ListBindingsRequest, ListBindingsResponse, WhoAmIRequest,
        WhoAmIResponse,
    },
};

impl Client {
    /// Returns this client's identity as the server sees it, its credentials, and its roles and privileges.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn who_am_i(&self) -> Result<WhoAmIResponse, Error> {
        decode(&self.unary(&Method::of(methods::WhoAmI), Encoded::of(&WhoAmIRequest {})).await?)
    }

    /// Explains whether `identity` may call `method` in `organization`. An empty `identity` is the caller's own, and an empty `organization` is
    /// the deployment. `method` is a full name, such as `sealward.mail.v1.MailboxService/GetMailbox`.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn explain_access(
        &self,
        identity: impl Into<String>,
        method: impl Into<String>,
        organization: impl Into<String>,
    ) -> Result<ExplainAccessResponse, Error> {
        let request = ExplainAccessRequest {
            identity: identity.into(),
            method: method.into(),
            organization: organization.into(),
        };
        decode(&self.unary(&Method::of(methods::ExplainAccess), Encoded::of(&request)).await?)
    }

    /// Lists the bindings of `identity`, in the order of the server's configuration. An empty `identity` lists all bindings. `page_size` 0 is
    /// the server's default; an empty `page_token` is the first page.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn list_bindings(
        &self,
        identity: impl Into<String>,
        page_size: i32,
        page_token: impl Into<String>,
    ) -> Result<Page<Binding>, Error> {
        let request = ListBindingsRequest { page_size, page_token: page_token.into(), identity: identity.into() };
        let answer = self.unary(&Method::of(methods::ListBindings), Encoded::of(&request)).await?;
        let response: ListBindingsResponse = decode(&answer)?;
        Ok(Page { records: response.bindings, next_page_token: response.next_page_token, total_size: None })
    }
}
