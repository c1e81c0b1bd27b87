//! SecretAccessService: the one narrow path from an encrypted attribute back to its value.

use std::collections::BTreeMap;

use sealward::methods;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use zeroize::Zeroize as _;

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    method::Method,
    v1::{
        self, CompareAttributeRequest, CompareAttributeResponse, RevealAttributesRequest, RevealAttributesResponse,
        secret_value::Value,
    },
};

/// The value of an encrypted attribute, wiped when it is dropped. Debug shows none of it.
#[derive(Debug)]
pub enum SecretValue {
    /// Of a string attribute.
    Text(SecretString),
    /// Of a bytes attribute.
    Data(SecretSlice<u8>),
}

impl SecretValue {
    /// The value as bytes; UTF-8 if it is text.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.expose_secret().as_bytes(),
            Self::Data(data) => data.expose_secret(),
        }
    }

    /// The value as text, if it is text.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.expose_secret()),
            Self::Data(_) => None,
        }
    }
}

impl From<Value> for SecretValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text.into()),
            Value::Data(data) => Self::Data(data.into()),
        }
    }
}

impl Client {
    /// Tells whether an encrypted attribute of the record `name` has exactly this value. Recorded, and limited against guessing. Never
    /// repeated by itself: each call counts.
    ///
    /// # Errors
    /// See the contract.
    pub async fn compare_attribute(
        &self,
        name: impl Into<String>,
        attribute: impl Into<String>,
        value: &SecretString,
        purpose: impl Into<String>,
    ) -> Result<bool, Error> {
        let text = value.expose_secret().to_owned();
        let mut request = CompareAttributeRequest {
            name: name.into(),
            attribute: attribute.into(),
            value: Some(v1::SecretValue { value: Some(Value::Text(text)) }),
            purpose: purpose.into(),
        };
        let encoded = Encoded::of(&request);
        if let Some(v1::SecretValue { value: Some(Value::Text(text)) }) = &mut request.value {
            text.zeroize();
        }
        let answer = self.unary(&Method::of(methods::CompareAttribute), encoded).await?;
        Ok(decode::<CompareAttributeResponse>(&answer)?.equal)
    }

    /// Answers with the values of encrypted attributes of the record `name`, of any entity, by attribute; one that is null is absent.
    /// The audit trail has the purpose, so it can't be a secret. Never repeated by itself: each call leaves an audit record.
    ///
    /// # Errors
    /// See the contract.
    pub async fn reveal_attributes(
        &self,
        name: impl Into<String>,
        attributes: impl IntoIterator<Item = impl Into<String>>,
        purpose: impl Into<String>,
    ) -> Result<BTreeMap<String, SecretValue>, Error> {
        let request = RevealAttributesRequest {
            name: name.into(),
            attributes: attributes.into_iter().map(Into::into).collect(),
            purpose: purpose.into(),
        };
        let answer = self.unary(&Method::of(methods::RevealAttributes), Encoded::of(&request)).await?;
        let response: RevealAttributesResponse = decode(&answer)?;
        let values = response.values.into_iter();
        Ok(values.filter_map(|(attribute, secret)| Some((attribute, SecretValue::from(secret.value?)))).collect())
    }
}
