//! AuditService: lists and verifies audit trails.

use sealward::methods;

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    method::Method,
    records::Page,
    v1::{
        AuditRecord, ListAuditRecordsRequest, ListAuditRecordsResponse, VerifyAuditTrailRequest,
        VerifyAuditTrailResponse,
    },
};

impl Client {
    /// Lists the audit records of an organization, such as `organizations/contoso`, newest first. An empty `organization` is the deployment's
    /// trail. An empty `filter` matches all records, `page_size` 0 is the server's default, and an empty `page_token` is the first page.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn list_audit_records(
        &self,
        organization: impl Into<String>,
        filter: impl Into<String>,
        page_size: i32,
        page_token: impl Into<String>,
    ) -> Result<Page<AuditRecord>, Error> {
        let request = ListAuditRecordsRequest {
            organization: organization.into(),
            page_size,
            page_token: page_token.into(),
            filter: filter.into(),
        };
        let answer = self.unary(&Method::of(methods::ListAuditRecords), Encoded::of(&request)).await?;
        let response: ListAuditRecordsResponse = decode(&answer)?;
        Ok(Page { records: response.audit_records, next_page_token: response.next_page_token, total_size: None })
    }

    /// Verifies the trail of an organization, such as `organizations/contoso`, or the deployment's trail if `organization` is empty. The
    /// response has the faults of the trail; they aren't errors.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn verify_audit_trail(&self, organization: impl Into<String>) -> Result<VerifyAuditTrailResponse, Error> {
        let request = VerifyAuditTrailRequest { organization: organization.into() };
        decode(&self.unary(&Method::of(methods::VerifyAuditTrail), Encoded::of(&request)).await?)
    }
}
