//! Sealed key texts in the configuration database: read and opened, and written.

use crate::{
    configuration::root_key_failed,
    crypto::{
        kek::KeyCheckValue,
        root_key::RootKeyError,
        secret::{Kek, KeyText},
    },
    deployment::Deployment,
    id::OrganizationId,
    organization::keys::Obstacle,
    store::{Condition, Step, Unavailable},
    table::{
        configuration::{FingerprintRow, KeyTextRow},
        declare::{TableRow as _, read_each},
    },
};

/// Why a key text that is there isn't given.
#[derive(Debug)]
pub(crate) enum ReadTextError {
    /// A database or the root key doesn't answer.
    Unavailable(Unavailable),
    /// Another server could open it.
    Inaccessible(Obstacle),
}

impl From<Unavailable> for ReadTextError {
    fn from(error: Unavailable) -> Self {
        ReadTextError::Unavailable(error)
    }
}

/// The key text, and its KEK, that the configuration database holds for this key-check value. One that is damaged counts as missing: a
/// restore puts it back.
pub(crate) async fn read_text(
    deployment: &Deployment,
    organization: OrganizationId,
    check: &KeyCheckValue,
) -> Result<Option<(KeyText, Kek)>, ReadTextError> {
    let configuration = &*deployment.ports.configuration;
    let found = read_each(configuration, KeyTextRow::sealed(), is_text(organization, check)).await?;
    let Some(Ok(sealed)) = found.first() else { return Ok(None) };
    match deployment.ports.root_key.open_key(sealed, organization, check) {
        Ok(opened) => Ok(Some(opened)),
        Err(RootKeyError::NewerFormat { format }) => {
            Err(ReadTextError::Inaccessible(Obstacle::NewerKeyText { format }))
        }
        Err(RootKeyError::UnknownRootKey { id }) => Err(ReadTextError::Inaccessible(Obstacle::UnknownRootKey { id })),
        Err(error @ RootKeyError::Unavailable(_)) => Err(root_key_failed(error).into()),
        Err(RootKeyError::Malformed | RootKeyError::DoesNotVerify) => Ok(None),
    }
}

/// The steps that put a text into the configuration database, sealed, and remember its fingerprint.
pub(crate) fn write_text(
    deployment: &Deployment,
    organization: OrganizationId,
    check: &KeyCheckValue,
    text: &KeyText,
    kek: &Kek,
) -> Result<Vec<Step>, Unavailable> {
    let now = deployment.now();
    let ports = &deployment.ports;
    let sealed = ports.root_key.seal_key(text, kek, organization, check, &*ports.random).map_err(root_key_failed)?;
    let text = KeyTextRow { organization, key_check_value: check.as_bytes().to_vec(), sealed, create_time: now };
    let fingerprint = FingerprintRow { organization, fingerprint: check.fingerprint().to_string(), time: now };
    let same_fingerprint = FingerprintRow::fingerprint().is(fingerprint.fingerprint.clone());
    Ok(vec![
        KeyTextRow::delete(is_text(organization, check)),
        text.insert(),
        FingerprintRow::delete(FingerprintRow::organization().is(organization).and(same_fingerprint)),
        fingerprint.insert(),
    ])
}

/// The condition that a row is this organization's text of the key with this key-check value.
pub(crate) fn is_text(organization: OrganizationId, check: &KeyCheckValue) -> Condition {
    let same_key = KeyTextRow::key_check_value().is(check.as_bytes().to_vec());
    KeyTextRow::organization().is(organization).and(same_key)
}
