//! AccessService: whom the server takes a caller for, who may do what, and why.

use sealward::methods;

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    method::Method,
    v1::{ExplainAccessRequest, ExplainAccessResponse, WhoAmIRequest, WhoAmIResponse},
};

impl Client {
    /// Answers whom the server takes this client for: the identity, what proved it, and its roles and privileges.
    ///
    /// # Errors
    /// See the contract.
    pub async fn who_am_i(&self) -> Result<WhoAmIResponse, Error> {
        decode(&self.unary(&Method::of(methods::WhoAmI), Encoded::of(&WhoAmIRequest {})).await?)
    }

    /// Explains whether `identity` (the caller's own if it is empty) may call `method`, such as `sealward.mail.v1.MailboxService/GetMailbox`,
    /// in `organization` (in none if it is empty).
    ///
    /// # Errors
    /// See the contract.
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
