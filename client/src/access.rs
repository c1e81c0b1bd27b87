//! AccessService: the caller's identity, and explanations of access decisions.

use sealward::methods;

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    method::Method,
    v1::{ExplainAccessRequest, ExplainAccessResponse, WhoAmIRequest, WhoAmIResponse},
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
}
