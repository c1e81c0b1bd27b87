//! DataEncryptionService: encryption keys and re-encryption.

use sealward::methods;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroize as _;

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    method::Method,
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

/// The operation of [`Client::set_data_encryption_key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOperation {
    /// Sets a new key. The server re-encrypts all values in the background.
    Change,
    /// Restores the key that the data is encrypted with. Encryption becomes active again.
    Restore,
}

/// An organization's encryption key. `Debug` shows only the fingerprint.
#[derive(Debug)]
pub struct RetrievedKey {
    /// The key text, unchanged.
    pub encryption_key: SecretString,
    /// The public id of the key. Store it with the text.
    pub fingerprint: String,
}

impl Client {
    /// Returns whether data encryption is active in an organization, such as `organizations/contoso`, and the states of its key and its
    /// re-encryption.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn is_data_encryption_active(
        &self,
        organization: impl Into<String>,
    ) -> Result<IsDataEncryptionActiveResponse, Error> {
        let request = IsDataEncryptionActiveRequest { organization: organization.into() };
        decode(&self.unary(&Method::of(methods::IsDataEncryptionActive), Encoded::of(&request)).await?)
    }

    /// Returns the encryption key of an organization. The audit trail records it.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn retrieve_data_encryption_key(&self, organization: impl Into<String>) -> Result<RetrievedKey, Error> {
        let request = RetrieveDataEncryptionKeyRequest { organization: organization.into() };
        let answer = self.unary(&Method::of(methods::RetrieveDataEncryptionKey), Encoded::of(&request)).await?;
        let response: RetrieveDataEncryptionKeyResponse = decode(&answer)?;
        Ok(RetrievedKey { encryption_key: response.encryption_key.into(), fingerprint: response.fingerprint })
    }

    /// Changes the encryption key. Never retried automatically: another caller could change the key in between, and a retry would change it
    /// back. If the outcome is unknown, call this method again with the same key: a change to the current key changes nothing.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn change_key(
        &self,
        organization: impl Into<String>,
        encryption_key: &SecretString,
    ) -> Result<SetDataEncryptionKeyResponse, Error> {
        self.set_data_encryption_key(organization, encryption_key, KeyOperation::Change, false).await
    }

    /// Restores the encryption key of an inactive organization. Never retried automatically, because attempts count against a limit.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn restore_key(
        &self,
        organization: impl Into<String>,
        encryption_key: &SecretString,
    ) -> Result<SetDataEncryptionKeyResponse, Error> {
        self.set_data_encryption_key(organization, encryption_key, KeyOperation::Restore, false).await
    }

    /// Changes or restores the encryption key. With `validate_only`, validates the request and changes nothing.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
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
        decode(&self.unary(&Method::of(methods::SetDataEncryptionKey), encoded).await?)
    }

    /// Lists the cells that the last re-encryption couldn't decrypt. `page_size` 0 is the server's default; an empty `page_token` is the first
    /// page.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
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

    /// Lists the keys of an organization, newest first. `page_size` 0 is the server's default; an empty `page_token` is the first page.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
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

    /// Clears all values that the lost key with this fingerprint has encrypted, and sets a new key. With `validate_only`, validates the request
    /// and changes nothing.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
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

    /// Follows the re-encryption after a key change.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract. Neither the call nor a broken stream is retried.
    pub async fn watch_reencryption(&self, organization: impl Into<String>) -> Result<ReencryptionStream, Error> {
        let request = WatchReencryptionRequest { organization: organization.into() };
        let stream = self.server_stream(&Method::of(methods::WatchReencryption), Encoded::of(&request)).await?;
        Ok(MessageStream::new(Method::of(methods::WatchReencryption), stream))
    }

    /// Decrypts every cell of an organization, and reports the cells that can't be decrypted.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract. Neither the call nor a broken stream is retried.
    pub async fn verify_cells(
        &self,
        organization: impl Into<String>,
    ) -> Result<MessageStream<VerifyCellsResponse>, Error> {
        let request = VerifyCellsRequest { organization: organization.into() };
        let stream = self.server_stream(&Method::of(methods::VerifyCells), Encoded::of(&request)).await?;
        Ok(MessageStream::new(Method::of(methods::VerifyCells), stream))
    }
}

/// The progress of a re-encryption, with at least one message per second. The re-encryption continues if the stream ends.
pub type ReencryptionStream = MessageStream<Reencryption>;
