//! Sealed key texts in the configuration database: read and opened, and written.

use crate::{
    configuration::{of_organization, root_key_failed},
    crypto::{
        kek::KeyCheckValue,
        root_key::RootKeyError,
        secret::{Kek, KeyText},
    },
    deployment::Deployment,
    id::OrganizationId,
    layout::{FINGERPRINT, KEY_TEXT},
    organization::keys::Obstacle,
    store::{Condition, Datum, Expect, Step, Unavailable, rows},
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
    let condition =
        of_organization(organization).and(Condition::equal("key_check_value", Datum::Bytes(check.as_bytes().to_vec())));
    let found = rows(&*deployment.ports.configuration, KEY_TEXT, &["sealed"], condition).await?;
    let Some([Datum::Bytes(sealed)]) = found.first().map(Vec::as_slice) else { return Ok(None) };
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
    let now = Datum::Time(deployment.now());
    let ports = &deployment.ports;
    let sealed = ports.root_key.seal_key(text, kek, organization, check, &*ports.random).map_err(root_key_failed)?;
    let check_bytes = Datum::Bytes(check.as_bytes().to_vec());
    let fingerprint = Datum::Text(check.fingerprint().to_string());
    let replace = |table: &'static str, key: (&'static str, Datum), rest: Option<(&'static str, Datum)>| {
        let mut row = vec![("organization".into(), Datum::Uuid(organization.uuid())), (key.0.into(), key.1.clone())];
        row.extend(rest.map(|(column, datum)| (column.into(), datum)));
        row.push((if table == KEY_TEXT { "create_time".into() } else { "time".into() }, now.clone()));
        let same = of_organization(organization).and(Condition::equal(key.0, key.1));
        [
            Step::Delete { table: table.into(), rows: same, expect: Expect::Any },
            Step::Insert { table: table.into(), row },
        ]
    };
    let mut steps =
        Vec::from(replace(KEY_TEXT, ("key_check_value", check_bytes), Some(("sealed", Datum::Bytes(sealed)))));
    steps.extend(replace(FINGERPRINT, ("fingerprint", fingerprint), None));
    Ok(steps)
}
