//! SecretAccessService: reveals and compares values of encrypted attributes.

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

/// The value of an encrypted attribute. Wiped on drop. `Debug` doesn't show it.
#[derive(Debug)]
pub enum SecretValue {
    /// The value of a string attribute.
    Text(SecretString),
    /// The value of a bytes attribute.
    Data(SecretSlice<u8>),
}

impl SecretValue {
    /// Returns the value as bytes; text is UTF-8.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.expose_secret().as_bytes(),
            Self::Data(data) => data.expose_secret(),
        }
    }

    /// Returns the value as text; `None` for a bytes attribute.
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
    /// Returns whether an encrypted attribute of the record `name` equals `value`. The audit trail records it. Comparisons are limited, to
    /// prevent guessing, so the call is never retried automatically.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
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

    /// Returns the values of encrypted attributes of the record `name`, by attribute, without null attributes. The audit trail records
    /// `purpose`, which must not contain secrets. Never retried automatically, because each call is recorded.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
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
