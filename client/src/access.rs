//! AccessService: who may do what, and why.

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    method,
    v1::{ExplainAccessRequest, ExplainAccessResponse},
};

impl Client {
    /// Explains whether `identity` (the caller's own if it is empty) may call `method`, such as `fieldseal.v1.MailboxService/GetMailbox`,
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
        decode(&self.unary(&method::EXPLAIN_ACCESS, Encoded::of(&request)).await?)
    }
}
