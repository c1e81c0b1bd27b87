//! Reads, opens and writes sealed key texts in the configuration database.

use crate::{
    configuration::{has_listed_root_keys, require_root_key, root_key_failed},
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

/// Why a stored key text can't be used.
#[derive(Debug)]
pub(crate) enum ReadTextError {
    /// A database or the root key is unavailable.
    Unavailable(Unavailable),
    /// Another server may be able to open it.
    Inaccessible(Obstacle, Restorable),
}

/// Whether the text of a key that this server can't use may be restored here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restorable {
    /// It may: this server's text replaces one that only another version of the server opens, or none.
    Yes,
    /// It must not: another server has changed the root key since this one started, and can open the text.
    No,
}

impl From<Unavailable> for ReadTextError {
    fn from(error: Unavailable) -> Self {
        ReadTextError::Unavailable(error)
    }
}

/// Reads the key text and its KEK for this key-check value from the configuration database. A damaged text counts as
/// missing, and a restore replaces it.
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
            Err(ReadTextError::Inaccessible(Obstacle::NewerKeyText { format }, Restorable::Yes))
        }
        Err(RootKeyError::UnknownRootKey { id }) => {
            let has_all = has_listed_root_keys(configuration, &*deployment.ports.root_key).await?;
            let restorable = if has_all { Restorable::Yes } else { Restorable::No };
            Err(ReadTextError::Inaccessible(Obstacle::UnknownRootKey { id }, restorable))
        }
        Err(error @ RootKeyError::Unavailable(_)) => Err(root_key_failed(error).into()),
        Err(RootKeyError::Malformed | RootKeyError::DoesNotVerify) => Ok(None),
    }
}

/// Returns the steps that store a sealed text and its fingerprint in the configuration database. Refused if the root key
/// was retired.
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
        require_root_key(&*ports.root_key)?,
        KeyTextRow::delete(is_text(organization, check)),
        text.insert(),
        FingerprintRow::delete(FingerprintRow::organization().is(organization).and(same_fingerprint)),
        fingerprint.insert(),
    ])
}

/// Returns the condition for the row of this organization's key text with this key-check value.
pub(crate) fn is_text(organization: OrganizationId, check: &KeyCheckValue) -> Condition {
    let same_key = KeyTextRow::key_check_value().is(check.as_bytes().to_vec());
    KeyTextRow::organization().is(organization).and(same_key)
}
