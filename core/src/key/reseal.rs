//! Re-seal: once another root key is the first, seal every key text again under it, so that the former one can be given up.
//!
//! Done at a start, for every organization that the configuration database holds texts of, whether it is served or not. A crash leaves
//! texts sealed under both, which both root keys at hand open; the next start goes on. A former root key's check value is forgotten
//! last: until then no server starts without that root key.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    audit::entry::{AuditAction, AuditEntry},
    configuration::root_key_failed,
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

/// What was done to seal every key text under the first root key.
#[derive(Debug)]
pub struct Resealed {
    /// The organizations that had a text sealed otherwise.
    pub organizations: Vec<ResealedOrganization>,
    /// How many former root keys were found to be of no use any more, and can be given up; or why they are still wanted.
    pub root_keys_retired: Result<usize, Unavailable>,
}

/// What was done with the texts of one organization.
#[derive(Debug)]
pub struct ResealedOrganization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name; `None` if none is known.
    pub name: Option<OrganizationName>,
    /// How many texts were sealed again, or why none was.
    pub texts: Result<usize, ResealError>,
    /// The texts that no root key at hand opens. They count as missing.
    pub unopened: Vec<UnopenedText>,
}

impl ResealedOrganization {
    /// Its name or, if none is known, its id.
    #[must_use]
    pub fn shown(&self) -> String {
        self.name.as_ref().map_or_else(|| self.id.to_string(), ToString::to_string)
    }
}

/// A text that no root key at hand opens.
#[derive(Debug)]
pub struct UnopenedText {
    /// Which key it is the text of: that one would have to be restored.
    pub wanted: Fingerprint,
    /// Why it doesn't open.
    pub error: RootKeyError,
}

/// Why an organization's texts are sealed as before. The next start tries again.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// Somebody holds the organization's lock.
    #[error("its lock is held by somebody else")]
    Locked,
    /// The configuration database, the root key or the lock's keeper doesn't answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A newer version sealed a text.
    #[error("a key text has format {format}, which a newer version wrote")]
    NewerFormat {
        /// The format as stored.
        format: u8,
    },
    /// The commit failed.
    #[error("its texts can't be written")]
    Commit(#[from] CommitError),
}

/// Seals every key text again that is not sealed under the first root key.
///
/// # Errors
/// If the configuration database doesn't answer.
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
    // A text that doesn't open keeps no root key: none at hand is of use to it.
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
            // A root key at hand may be the one that opens it: none is retired.
            Err(RootKeyError::NewerFormat { format }) => return Err(ResealError::NewerFormat { format }),
            Err(error) => unopened.push(UnopenedText { wanted: text.check.fingerprint(), error }),
        }
    }
    let count = steps.len();
    if count > 0 {
        let subject = name.map_or_else(|| format!("organizations/{id}"), OrganizationName::resource_name);
        steps.push(Step::Audit(AuditEntry::done(deployment.now(), AuditAction::ResealKeyTexts, subject)));
        ports.configuration.commit(Commit::of(steps)).await?;
        deployment.reached(FailPoint::TextsResealed);
    }
    Ok(count)
}

/// Gives the rows of organizations the MAC of the first root key. One that isn't authentic stays as it is.
async fn remake_row_macs(deployment: &Deployment) -> Result<(), Unavailable> {
    let ports = &deployment.ports;
    let mut steps = Vec::new();
    for listed in row::read_all(&*ports.configuration).await?.organizations {
        steps.extend(listed.under_first_root_key(&*ports.root_key)?);
    }
    if steps.is_empty() {
        return Ok(());
    }
    ports.configuration.commit(Commit::of(steps)).await.map_err(|error| Unavailable(Cause(error.into())))
}

/// Forgets the check values of all root keys but the first: how many.
async fn retire(deployment: &Deployment) -> Result<usize, Unavailable> {
    let ports = &deployment.ports;
    let current = ports.root_key.check_value().map_err(root_key_failed)?.to_vec();
    let known = read_each(&*ports.configuration, RootKeyRow::check_value(), Condition::EVERYTHING).await?;
    let retired = known.iter().filter(|known| known.as_ref() != Ok(&current)).count();
    if retired > 0 {
        // Nothing that they open stays in the files.
        ports.configuration.scrub().await?;
        let other = |comparison| RootKeyRow::check_value().compares(comparison, current.clone());
        let forget = RootKeyRow::delete(Condition::Any(vec![other(Comparison::Less), other(Comparison::Greater)]));
        ports.configuration.commit(Commit::of(vec![forget])).await.map_err(|error| Unavailable(Cause(error.into())))?;
        deployment.reached(FailPoint::RootKeysRetired);
    }
    Ok(retired)
}

/// A key text as the configuration database holds it.
struct SealedText {
    organization: OrganizationId,
    check: KeyCheckValue,
    sealed: Vec<u8>,
}

impl SealedText {
    /// The step that puts the text, sealed under the first root key, in the place of this; `None` if it is sealed so already.
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
    // What is none of ours is found by no ring either.
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
