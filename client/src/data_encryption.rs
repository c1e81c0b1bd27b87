//! DataEncryptionService: an organization's encryption key.

use sealward::methods;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroize as _;

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    method::{Method, Repetition},
    records::Page,
    stream::MessageStream,
    v1::{
        AbandonEncryptedDataRequest, AbandonEncryptedDataResponse, IsDataEncryptionActiveRequest,
        IsDataEncryptionActiveResponse, KeyChange, ListKeyChangesRequest, ListKeyChangesResponse,
        ListUnreadableCellsRequest, ListUnreadableCellsResponse, Reencryption, RetrieveDataEncryptionKeyRequest,
        RetrieveDataEncryptionKeyResponse, SetDataEncryptionKeyRequest, SetDataEncryptionKeyResponse, UnreadableCell,
        VerifyCellsRequest, VerifyCellsResponse, WatchReencryptionRequest,
    },
};

/// What a SetDataEncryptionKey does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOperation {
    /// Gives the organization a new key; everything is encrypted anew, in the background.
    Change,
    /// Proves the key that the data is encrypted with, which makes encryption active again.
    Restore,
}

/// An organization's encryption key. Debug shows the fingerprint only.
#[derive(Debug)]
pub struct RetrievedKey {
    /// The text, character for character.
    pub encryption_key: SecretString,
    /// The key's public id. Keep it beside the text.
    pub fingerprint: String,
}

impl Client {
    /// Tells whether data encryption is active in `organizations/contoso`, with which key, and how far a re-encryption is.
    ///
    /// # Errors
    /// See the contract.
    pub async fn is_data_encryption_active(
        &self,
        organization: impl Into<String>,
    ) -> Result<IsDataEncryptionActiveResponse, Error> {
        let request = IsDataEncryptionActiveRequest { organization: organization.into() };
        decode(&self.unary(&Method::of(methods::IsDataEncryptionActive), Encoded::of(&request)).await?)
    }

    /// Answers with the encryption key, so that it can be kept somewhere safe.
    ///
    /// # Errors
    /// See the contract.
    pub async fn retrieve_data_encryption_key(&self, organization: impl Into<String>) -> Result<RetrievedKey, Error> {
        let request = RetrieveDataEncryptionKeyRequest { organization: organization.into() };
        let answer = self.unary(&Method::of(methods::RetrieveDataEncryptionKey), Encoded::of(&request)).await?;
        let response: RetrieveDataEncryptionKeyResponse = decode(&answer)?;
        Ok(RetrievedKey { encryption_key: response.encryption_key.into(), fingerprint: response.fingerprint })
    }

    /// Changes the encryption key. Repeated with the same text after failures that pass; one that was made is answered the same.
    ///
    /// # Errors
    /// See the contract.
    pub async fn change_key(
        &self,
        organization: impl Into<String>,
        encryption_key: &SecretString,
    ) -> Result<SetDataEncryptionKeyResponse, Error> {
        self.set_data_encryption_key(organization, encryption_key, KeyOperation::Change, false).await
    }

    /// Restores the encryption key of an organization that is inactive. Never repeated by itself: each wrong try counts.
    ///
    /// # Errors
    /// See the contract.
    pub async fn restore_key(
        &self,
        organization: impl Into<String>,
        encryption_key: &SecretString,
    ) -> Result<SetDataEncryptionKeyResponse, Error> {
        self.set_data_encryption_key(organization, encryption_key, KeyOperation::Restore, false).await
    }

    /// Changes or restores the encryption key, or with `validate_only` finds out whether that would be possible.
    ///
    /// # Errors
    /// See the contract.
    pub async fn set_data_encryption_key(
        &self,
        organization: impl Into<String>,
        encryption_key: &SecretString,
        operation: KeyOperation,
        validate_only: bool,
    ) -> Result<SetDataEncryptionKeyResponse, Error> {
        let mut request = SetDataEncryptionKeyRequest {
            organization: organization.into(),
            encryption_key: encryption_key.expose_secret().to_owned(),
            change_encryption_key: operation == KeyOperation::Change,
            validate_only,
        };
        let encoded = Encoded::of(&request);
        request.encryption_key.zeroize();
        let method = match operation {
            KeyOperation::Change => Method::of(methods::SetDataEncryptionKey).repeated(Repetition::Recognised),
            KeyOperation::Restore => Method::of(methods::SetDataEncryptionKey),
        };
        decode(&self.unary(&method, encoded).await?)
    }

    /// Lists the cells that the last re-encryption could not open. `page_size` 0 and `page_token` "" are the contract's defaults.
    ///
    /// # Errors
    /// See the contract.
    pub async fn list_unreadable_cells(
        &self,
        organization: impl Into<String>,
        page_size: i32,
        page_token: impl Into<String>,
    ) -> Result<Page<UnreadableCell>, Error> {
        let request =
            ListUnreadableCellsRequest { organization: organization.into(), page_size, page_token: page_token.into() };
        let answer = self.unary(&Method::of(methods::ListUnreadableCells), Encoded::of(&request)).await?;
        let response: ListUnreadableCellsResponse = decode(&answer)?;
        Ok(Page { records: response.unreadable_cells, next_page_token: response.next_page_token, total_size: None })
    }

    /// Lists the keys that an organization has had, the youngest first. `page_size` 0 and `page_token` "" are the contract's defaults.
    ///
    /// # Errors
    /// See the contract.
    pub async fn list_key_changes(
        &self,
        organization: impl Into<String>,
        page_size: i32,
        page_token: impl Into<String>,
    ) -> Result<Page<KeyChange>, Error> {
        let request =
            ListKeyChangesRequest { organization: organization.into(), page_size, page_token: page_token.into() };
        let answer = self.unary(&Method::of(methods::ListKeyChanges), Encoded::of(&request)).await?;
        let response: ListKeyChangesResponse = decode(&answer)?;
        Ok(Page { records: response.key_changes, next_page_token: response.next_page_token, total_size: None })
    }

    /// Gives up what the key of this fingerprint has sealed, because it is lost, and begins anew under another key; with `validate_only`
    /// finds out whether that would be possible.
    ///
    /// # Errors
    /// See the contract.
    pub async fn abandon_encrypted_data(
        &self,
        organization: impl Into<String>,
        confirm_fingerprint: impl Into<String>,
        encryption_key: &SecretString,
        validate_only: bool,
    ) -> Result<AbandonEncryptedDataResponse, Error> {
        let mut request = AbandonEncryptedDataRequest {
            organization: organization.into(),
            confirm_fingerprint: confirm_fingerprint.into(),
            encryption_key: encryption_key.expose_secret().to_owned(),
            validate_only,
        };
        let encoded = Encoded::of(&request);
        request.encryption_key.zeroize();
        decode(&self.unary(&Method::of(methods::AbandonEncryptedData), encoded).await?)
    }

    /// Follows the re-encryption that a change began.
    ///
    /// # Errors
    /// See the contract. Opening the stream isn't repeated, and neither is a stream that breaks.
    pub async fn watch_reencryption(&self, organization: impl Into<String>) -> Result<ReencryptionStream, Error> {
        let request = WatchReencryptionRequest { organization: organization.into() };
        let stream = self.server_stream(&Method::of(methods::WatchReencryption), Encoded::of(&request)).await?;
        Ok(MessageStream::new(Method::of(methods::WatchReencryption), stream))
    }

    /// Opens every cell of an organization and tells of those that don't open.
    ///
    /// # Errors
    /// See the contract. Opening the stream isn't repeated, and neither is a stream that breaks.
    pub async fn verify_cells(
        &self,
        organization: impl Into<String>,
    ) -> Result<MessageStream<VerifyCellsResponse>, Error> {
        let request = VerifyCellsRequest { organization: organization.into() };
        let stream = self.server_stream(&Method::of(methods::VerifyCells), Encoded::of(&request)).await?;
        Ok(MessageStream::new(Method::of(methods::VerifyCells), stream))
    }
}

/// The progress of a re-encryption: at least one message a second while it runs. It goes on whatever becomes of the stream.
pub type ReencryptionStream = MessageStream<Reencryption>;
