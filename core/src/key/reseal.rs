//! Re-seals all key texts under a new first root key, so that the former one can be removed.
//!
//! Runs at each start, for all organizations with texts in the configuration database, whether they are served or not.
//! After a crash, some texts are sealed under the new root key and some under the former one. Both keys are configured
//! and open them, and the next start continues. The check value of a former root key is deleted last. Until then, no
//! server starts without that root key.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    audit::entry::{AuditAction, AuditEntry},
    configuration::{require_root_key, root_key_failed},
    crypto::{
        kek::{Fingerprint, KeyCheckValue},
        root_key::{RootKey, RootKeyError},
    },
    deployment::Deployment,
    fail_point::FailPoint,
    id::OrganizationId,
    name::OrganizationName,
    organization::{key_text::is_text, row},
    random::Random,
    store::{Cause, Commit, CommitError, Comparison, Condition, Expect, Reader, Step, Unavailable},
    table::{
        configuration::{KeyTextRow, ListedRow, RootKeyRow},
        declare::{TableRow as _, read_each},
    },
};

/// The result of re-sealing.
#[derive(Debug)]
pub struct Resealed {
    /// The organizations with a text that was sealed under another root key.
    pub organizations: Vec<ResealedOrganization>,
    /// The number of former root keys that are no longer needed and can be removed, or why they are still needed.
    pub root_keys_retired: Result<usize, Unavailable>,
}

/// The result for the texts of one organization.
#[derive(Debug)]
pub struct ResealedOrganization {
    /// The id of the organization.
    pub id: OrganizationId,
    /// The name of the organization; `None` if it isn't known.
    pub name: Option<OrganizationName>,
    /// The number of re-sealed texts, or why there are none.
    pub texts: Result<usize, ResealError>,
    /// The texts that no configured root key opens. They count as missing.
    pub unopened: Vec<UnopenedText>,
}

impl ResealedOrganization {
    /// Returns the name or, if it isn't known, the id.
    #[must_use]
    pub fn shown(&self) -> String {
        self.name.as_ref().map_or_else(|| self.id.to_string(), ToString::to_string)
    }
}

/// A text that no configured root key opens.
#[derive(Debug)]
pub struct UnopenedText {
    /// The fingerprint of the key, which must be restored.
    pub wanted: Fingerprint,
    /// Why the text can't be opened.
    pub error: RootKeyError,
}

/// Why an organization's texts weren't re-sealed. The next start tries again.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// Another process holds the organization's lock.
    #[error("another process holds its lock")]
    Locked,
    /// The configuration database, the root key or the lock is unavailable.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A newer version sealed a text.
    #[error("a key text has format {format}, which a newer version wrote")]
    NewerFormat {
        /// The stored format.
        format: u8,
    },
    /// The commit failed.
    #[error("its texts can't be written")]
    Commit(#[from] CommitError),
}

/// Re-seals all key texts that aren't sealed under the first root key.
///
/// # Errors
/// If the configuration database is unavailable.
pub async fn reseal(deployment: &Deployment) -> Result<Resealed, Unavailable> {
    let configuration = &*deployment.ports.configuration;
    let names = read_names(configuration).await?;
    let stale: BTreeSet<OrganizationId> = read_texts(configuration, Condition::EVERYTHING)
        .await?
        .into_iter()
        .filter(|text| !deployment.ports.root_key.is_current(&text.sealed))
        .map(|text| text.organization)
        .collect();
    let mut organizations = Vec::new();
    for id in stale {
        let name = names.get(&id).cloned();
        let mut unopened = Vec::new();
        let texts = reseal_organization(deployment, id, name.as_ref(), &mut unopened).await;
        organizations.push(ResealedOrganization { id, name, texts, unopened });
    }
    // A text that can't be opened keeps no root key in use, because no configured key opens it.
    let all_done = organizations.iter().all(|organization| organization.texts.is_ok());
    remake_row_macs(deployment).await?;
    let root_keys_retired = if all_done { retire(deployment).await } else { Ok(0) };
    Ok(Resealed { organizations, root_keys_retired })
}

async fn reseal_organization(
    deployment: &Deployment,
    id: OrganizationId,
    name: Option<&OrganizationName>,
    unopened: &mut Vec<UnopenedText>,
) -> Result<usize, ResealError> {
    let ports = &deployment.ports;
    let _lock = ports.databases.try_lock(id).await?.ok_or(ResealError::Locked)?;
    let mut steps = Vec::new();
    for text in read_texts(&*ports.configuration, KeyTextRow::organization().is(id)).await? {
        match text.resealed(&*ports.root_key, &*ports.random) {
            Ok(step) => steps.extend(step),
            Err(error @ RootKeyError::Unavailable(_)) => return Err(root_key_failed(error).into()),
            // A configured root key may open it, so none is retired.
            Err(RootKeyError::NewerFormat { format }) => return Err(ResealError::NewerFormat { format }),
            Err(error) => unopened.push(UnopenedText { wanted: text.check.fingerprint(), error }),
        }
    }
    let count = steps.len();
    if count > 0 {
        steps.push(require_root_key(&*ports.root_key)?);
        let subject = name.map_or_else(|| format!("organizations/{id}"), OrganizationName::resource_name);
        steps.push(Step::Audit(AuditEntry::done(deployment.now(), AuditAction::ResealKeyTexts, subject)));
        ports.configuration.commit(Commit::under_lock(id, steps)).await?;
        deployment.reached(FailPoint::TextsResealed);
    }
    Ok(count)
}

/// Replaces the MACs of the organizations' rows with MACs under the first root key. Rows that aren't authentic stay
/// unchanged.
async fn remake_row_macs(deployment: &Deployment) -> Result<(), Unavailable> {
    let ports = &deployment.ports;
    loop {
        let mut steps = Vec::new();
        for listed in row::read_all(&*ports.configuration).await?.organizations {
            steps.extend(listed.under_first_root_key(&*ports.root_key)?);
        }
        if steps.is_empty() {
            return Ok(());
        }
        steps.push(require_root_key(&*ports.root_key)?);
        let last = steps.len() - 1;
        match ports.configuration.commit(Commit::of(steps)).await {
            // Another server has changed a row in between: read again.
            Err(CommitError::Refused { step }) if step < last => {}
            outcome => return outcome.map_err(|error| Unavailable(Cause(error.into()))),
        }
    }
}

/// Deletes the check values of all root keys except the first. Returns their number.
async fn retire(deployment: &Deployment) -> Result<usize, Unavailable> {
    let ports = &deployment.ports;
    let current = ports.root_key.check_value().map_err(root_key_failed)?.to_vec();
    let known = read_each(&*ports.configuration, RootKeyRow::check_value(), Condition::EVERYTHING).await?;
    let retired = known.iter().filter(|known| known.as_ref() != Ok(&current)).count();
    if retired > 0 {
        // Removes data sealed under them from the files.
        ports.configuration.scrub().await?;
        let other = |comparison| RootKeyRow::check_value().compares(comparison, current.clone());
        let forget = RootKeyRow::delete(Condition::Any(vec![other(Comparison::Less), other(Comparison::Greater)]));
        ports.configuration.commit(Commit::of(vec![forget])).await.map_err(|error| Unavailable(Cause(error.into())))?;
        deployment.reached(FailPoint::RootKeysRetired);
    }
    Ok(retired)
}

/// A key text in the configuration database.
struct SealedText {
    organization: OrganizationId,
    check: KeyCheckValue,
    sealed: Vec<u8>,
}

impl SealedText {
    /// Returns the step that replaces this text with one sealed under the first root key; `None` if it already is.
    fn resealed(&self, root_key: &dyn RootKey, random: &dyn Random) -> Result<Option<Step>, RootKeyError> {
        if root_key.is_current(&self.sealed) {
            return Ok(None);
        }
        let (text, kek) = root_key.open_key(&self.sealed, self.organization, &self.check)?;
        let sealed = root_key.seal_key(&text, &kek, self.organization, &self.check, random)?;
        let unmoved = is_text(self.organization, &self.check).and(KeyTextRow::sealed().is(self.sealed.clone()));
        Ok(Some(KeyTextRow::update(unmoved, vec![KeyTextRow::sealed().set(sealed)], Expect::One)))
    }
}

async fn read_texts(configuration: &dyn Reader, condition: Condition) -> Result<Vec<SealedText>, Unavailable> {
    let columns = (KeyTextRow::organization(), KeyTextRow::key_check_value(), KeyTextRow::sealed());
    let found = read_each(configuration, columns, condition).await?;
    // A text of an unknown format belongs to no ring either.
    let text = |(organization, check, sealed): (_, Vec<u8>, _)| {
        Some(SealedText { organization, check: KeyCheckValue::from_bytes(check.try_into().ok()?), sealed })
    };
    Ok(found.into_iter().flatten().filter_map(text).collect())
}

async fn read_names(configuration: &dyn Reader) -> Result<BTreeMap<OrganizationId, OrganizationName>, Unavailable> {
    let found = read_each(configuration, (ListedRow::id(), ListedRow::name()), Condition::EVERYTHING).await?;
    Ok(found.into_iter().flatten().filter_map(|(id, name)| Some((id, name.parse().ok()?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::{
            root_key::RootKeySet,
            secret::{Kek, KeyText, RootKeyBytes},
        },
        random::testing::SeededRandom,
        store::{Assignment, Datum},
    };

    const ORGANIZATION: OrganizationId = OrganizationId::from_bytes([0xA1; 16]);
    const CHECK: KeyCheckValue = KeyCheckValue::from_bytes([0xC4; 32]);

    fn set(first: u8, others: &[u8]) -> RootKeySet {
        let root = |byte: u8| RootKeyBytes::from_slice(&[byte; 32]).unwrap();
        RootKeySet::new(root(first), others.iter().copied().map(root).collect())
    }

    fn sealed_by(root_key: &RootKeySet) -> SealedText {
        let (text, kek) = (KeyText::new("a key text".to_owned()), Kek::from_bytes(&[7; 32]));
        let sealed = root_key.seal_key(&text, &kek, ORGANIZATION, &CHECK, &SeededRandom::new(1)).unwrap();
        SealedText { organization: ORGANIZATION, check: CHECK, sealed }
    }

    #[test]
    fn text_under_a_former_root_key_is_resealed_under_the_first() {
        let old = sealed_by(&set(1, &[]));
        let step = old.resealed(&set(2, &[1]), &SeededRandom::new(2)).unwrap().unwrap();
        let Step::Update { rows, set: assignments, expect: Expect::One, .. } = step else { panic!("no update") };
        let Condition::All(conditions) = rows else { panic!("{rows:?}") };
        assert!(conditions.contains(&Condition::equal("sealed", Datum::Bytes(old.sealed))));
        let [Assignment::Set(_, Datum::Bytes(sealed))] = &assignments[..] else { panic!("{assignments:?}") };
        let (text, kek) = set(2, &[]).open_key(sealed, ORGANIZATION, &CHECK).unwrap();
        assert_eq!((text.expose(), kek.expose()), ("a key text", &[7; 32]));
    }

    #[test]
    fn text_under_the_first_root_key_is_unchanged() {
        let root_key = set(2, &[1]);
        assert!(sealed_by(&root_key).resealed(&root_key, &SeededRandom::new(2)).unwrap().is_none());
    }

    #[test]
    fn text_that_no_root_key_opens_is_unchanged() {
        let resealed = |text: SealedText| text.resealed(&set(2, &[1]), &SeededRandom::new(2)).unwrap_err();
        assert!(matches!(resealed(sealed_by(&set(3, &[]))), RootKeyError::UnknownRootKey { .. }));
        let mut changed = sealed_by(&set(1, &[]));
        *changed.sealed.last_mut().unwrap() ^= 1;
        assert!(matches!(resealed(changed), RootKeyError::DoesNotVerify));
        let cut = SealedText { organization: ORGANIZATION, check: CHECK, sealed: Vec::new() };
        assert!(matches!(resealed(cut), RootKeyError::Malformed));
    }
}
