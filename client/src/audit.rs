//! AuditService: audit trails, listed and verified.

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
    /// Lists the records of the trail of `organizations/contoso`, or with "" of the deployment's own, the newest first. `page_size` 0 and
    /// `page_token` "" are the contract's defaults, and the filter "" is every record.
    ///
    /// # Errors
    /// See the contract.
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

    /// Verifies the trail of `organizations/contoso`, or with "" the deployment's own. What is wrong is in the answer.
    ///
    /// # Errors
    /// See the contract.
    pub async fn verify_audit_trail(&self, organization: impl Into<String>) -> Result<VerifyAuditTrailResponse, Error> {
        let request = VerifyAuditTrailRequest { organization: organization.into() };
        decode(&self.unary(&Method::of(methods::VerifyAuditTrail), Encoded::of(&request)).await?)
    }
}
