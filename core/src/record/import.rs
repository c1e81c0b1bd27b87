//! Imports records: creates many of them in groups, each record accepted or refused on its own.
//!
//! A group is one commit. It is tried as a whole first, without a read. If the store refuses it, the records that can't
//! be created are found and left out, and the rest is tried again. A record with a request id is created once, as by a
//! single create with the same request id.

use std::{collections::BTreeSet, future::Future, sync::Arc};

use crate::{
    deployment::Deployment,
    id::{RecordId, RequestId},
    identity::Identity,
    permit::Permit,
    policy,
    port::KeyUse,
    record::{
        create::{Checked, Creation, NewRecord, content, refusals},
        error::{RecordError, exhausted},
        idempotency::{EarlierRequest, IdempotencyKey, Items, RequestContent, Shape, Verb},
        mode::Mode,
        place::RecordPlace,
        plan::{ATTEMPTS, Refusal, Refused},
        seal::sealing_ring,
    },
};

/// A record to import.
pub struct ImportItem {
    /// The record.
    pub record: NewRecord,
    /// The request id, if the caller set one.
    pub request_id: Option<RequestId>,
}

/// The result of one record: its id, or why it wasn't created.
pub type Imported = Result<RecordId, RecordError>;

/// An import of records into one organization, which the caller may write.
pub struct Import {
    permit: Permit<policy::WriteRecords>,
    is_dry_run: bool,
}

impl Import {
    /// Begins an import. A dry run checks each record on its own.
    #[must_use]
    pub fn begin(permit: Permit<policy::WriteRecords>, is_dry_run: bool) -> Self {
        Import { permit, is_dry_run }
    }

    /// Returns the location of a record of the entity in the organization.
    #[must_use]
    pub fn place(&self) -> RecordPlace {
        self.permit.record(RecordId::from_bytes([0; 16]))
    }

    /// Returns the identity of the caller.
    #[must_use]
    pub fn identity(&self) -> &Arc<Identity> {
        &self.permit.caller().identity
    }

    /// Creates these records, at most [`AMONG_MAX`](crate::store::AMONG_MAX), in one commit without those that are
    /// refused, and returns the result of each.
    ///
    /// `earlier` resolves when the groups before this one are complete, because a record may refer to a record of an
    /// earlier group.
    ///
    /// # Errors
    /// If the records can't be written for a reason that isn't theirs. Some of them may have been created.
    pub async fn group(
        &self,
        deployment: &Deployment,
        items: Vec<ImportItem>,
        earlier: impl Future<Output = ()> + Send,
    ) -> Result<Vec<Imported>, RecordError> {
        let place = self.place();
        let mut group = Group { import: self, results: Vec::new(), open: Vec::new(), place };
        let mut invalid = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            group.results.push(None);
            invalid.extend(group.take(deployment, index, item)?);
        }
        group.refuse_invalid(deployment, invalid).await?;
        group.create(deployment, earlier).await?;
        group.results.into_iter().map(|result| result.ok_or_else(exhausted)).collect()
    }
}

/// A group of records.
struct Group<'a> {
    import: &'a Import,
    /// The results by index; `None` while a record is open.
    results: Vec<Option<Imported>>,
    /// The records without a result.
    open: Vec<Open>,
    place: RecordPlace,
}

/// A record that is valid and has no result yet.
struct Open {
    index: usize,
    record: Checked,
    key: Option<IdempotencyKey>,
}

/// A record that is invalid.
struct Invalid {
    index: usize,
    error: RecordError,
    key: Option<IdempotencyKey>,
}

impl Group<'_> {
    /// Checks a record and opens it. An invalid record is returned with its violations.
    fn take(
        &mut self,
        deployment: &Deployment,
        index: usize,
        ImportItem { record, request_id }: ImportItem,
    ) -> Result<Option<Invalid>, RecordError> {
        let place = &self.place;
        let mode = match request_id {
            Some(id) if !self.import.is_dry_run => Mode::ExecuteOnce(id),
            Some(_) | None => Mode::Execute,
        };
        let key = IdempotencyKey::of(deployment, mode, self.import.permit.caller(), || {
            let items = Items::of(Shape::Single, vec![content(place, &record)]);
            RequestContent { verb: Verb::Create, organization: place.organization.id, entity: &place.entity, items }
        })?;
        let mut record = Checked::unchecked(record);
        match record.check(&place.entity) {
            Ok(()) => {
                self.open.push(Open { index, record, key });
                Ok(None)
            }
            Err(error) => Ok(Some(Invalid { index, error, key })),
        }
    }

    /// Sets the results of invalid records: their violations, unless an earlier request created the record.
    async fn refuse_invalid(&mut self, deployment: &Deployment, invalid: Vec<Invalid>) -> Result<(), RecordError> {
        let keys: Vec<&IdempotencyKey> = invalid.iter().filter_map(|invalid| invalid.key.as_ref()).collect();
        let earlier = IdempotencyKey::earlier_writes(deployment, &self.place, &keys).await?;
        for Invalid { index, error, key } in invalid {
            let result = match key.and_then(|key| earlier.get(&key.id()).copied()) {
                Some(EarlierRequest::Same(id)) => Ok(id),
                // The violations are more useful than the reused id.
                Some(EarlierRequest::Different) | None => Err(error),
            };
            self.set(index, result);
        }
        Ok(())
    }

    /// Creates the open records, in one commit unless ids are repeated in the group.
    async fn create(
        &mut self,
        deployment: &Deployment,
        earlier: impl Future<Output = ()> + Send,
    ) -> Result<(), RecordError> {
        let mut earlier = Some(Box::pin(earlier));
        while !self.open.is_empty() {
            // A repeated id belongs to the first record that is created with it.
            let repeated = self.split_repeated();
            let mut attempts = 0;
            while !self.open.is_empty() {
                if attempts == ATTEMPTS {
                    return Err(exhausted());
                }
                attempts += 1;
                let Some((item, error)) = self.attempt(deployment).await? else { continue };
                if let Some(earlier) = earlier.take() {
                    earlier.await;
                }
                self.refuse(deployment, item, error).await?;
            }
            self.open = repeated;
        }
        Ok(())
    }

    /// Takes out the open records whose id or request id another open record has.
    fn split_repeated(&mut self) -> Vec<Open> {
        let (mut ids, mut requests) = (BTreeSet::new(), BTreeSet::new());
        let (first, repeated) = std::mem::take(&mut self.open).into_iter().partition(|open| {
            let is_first_request = open.key.as_ref().is_none_or(|key| requests.insert(key.id()));
            let is_first = ids.insert(open.record.id);
            is_first_request && is_first
        });
        self.open = first;
        repeated
    }

    /// Tries to create the open records. Sets their results if it succeeds. Returns the first refused record and its
    /// error; `None` if the attempt succeeded, or must be repeated.
    async fn attempt(&mut self, deployment: &Deployment) -> Result<Option<(usize, RecordError)>, RecordError> {
        let seals = self.open.iter().any(|open| open.record.seals());
        let ring =
            match if seals { sealing_ring(deployment, &self.place.organization).await.map(Some) } else { Ok(None) } {
                Ok(ring) => ring,
                Err(error) => {
                    self.refuse_sealed(error)?;
                    return Ok(None);
                }
            };
        let (import, place) = (self.import, self.place.clone());
        let mode = if import.is_dry_run { Mode::ValidateOnly } else { Mode::Execute };
        let mut creation = Creation::begin(deployment, &place, import.permit.caller(), ring.as_ref());
        let keys = self.open.iter().filter_map(|open| open.key.as_ref());
        if let Some(key) = keys.clone().next() {
            key.forget(&mut creation.plan, keys.count());
        }
        creation.require();
        let sealing = if seals { deployment.begin(KeyUse::Seal) } else { None };
        for (position, open) in self.open.iter().enumerate() {
            if let Some(key) = &open.key {
                creation.plan.begin_item(position);
                key.insert(&mut creation.plan, &[open.record.id], &[]);
            }
            creation.add(position, &open.record)?;
        }
        drop(sealing);
        match creation.finish(mode)?.commit(&place.organization, mode).await? {
            None => {
                for open in std::mem::take(&mut self.open) {
                    self.set(open.index, Ok(open.record.id));
                }
            }
            Some(Refused { refusal: Refusal::StaleRing, .. }) => {
                place.organization.load_keys(deployment).await?;
            }
            Some(Refused { refusal: Refusal::StaleSchema, .. }) => {
                place.organization.load_schema(deployment).await?;
                self.place = place.renewed();
                self.check_again();
            }
            Some(Refused { refusal: Refusal::Moved, .. }) => {}
            Some(Refused { refusal: Refusal::Answer(error), item: Some(position) }) => {
                return Ok(Some((position, error)));
            }
            Some(Refused { refusal: Refusal::Answer(error), item: None }) => return Err(error),
        }
        Ok(None)
    }

    /// Sets the results of all open records that can't be created, at least that of the refused one.
    async fn refuse(&mut self, deployment: &Deployment, refused: usize, error: RecordError) -> Result<(), RecordError> {
        let keys: Vec<&IdempotencyKey> = self.open.iter().filter_map(|open| open.key.as_ref()).collect();
        let earlier = IdempotencyKey::earlier_writes(deployment, &self.place, &keys).await?;
        let refusals = refusals(&self.place, self.open.iter().map(|open| &open.record).enumerate()).await?;
        let mut results: Vec<Option<Imported>> = self.open.iter().map(|_| None).collect();
        for (position, error) in refusals {
            if let Some(result) = results.get_mut(position) {
                *result = Some(Err(error));
            }
        }
        // A repetition is recognized before any other check.
        for (open, result) in self.open.iter().zip(&mut results) {
            match open.key.as_ref().and_then(|key| earlier.get(&key.id())) {
                Some(EarlierRequest::Same(id)) => *result = Some(Ok(*id)),
                Some(EarlierRequest::Different) => *result = Some(Err(RecordError::RequestIdReused)),
                None => {}
            }
        }
        if results.iter().all(Option::is_none)
            && let Some(result) = results.get_mut(refused)
        {
            *result = Some(Err(error));
        }
        for (open, result) in std::mem::take(&mut self.open).into_iter().zip(results) {
            match result {
                Some(result) => self.set(open.index, result),
                None => self.open.push(open),
            }
        }
        Ok(())
    }

    /// Refuses the records with values to seal, if the key is missing. Other errors are those of the group.
    fn refuse_sealed(&mut self, error: RecordError) -> Result<(), RecordError> {
        let refusal: Box<dyn Fn() -> RecordError> = if let RecordError::Inactive { wanted } = error {
            Box::new(move || RecordError::Inactive { wanted })
        } else if matches!(error, RecordError::RingDamaged) {
            Box::new(|| RecordError::RingDamaged)
        } else {
            return Err(error);
        };
        for open in std::mem::take(&mut self.open) {
            if open.record.seals() {
                self.set(open.index, Err(refusal()));
            } else {
                self.open.push(open);
            }
        }
        Ok(())
    }

    /// Checks the open records with other metadata.
    fn check_again(&mut self) {
        for mut open in std::mem::take(&mut self.open) {
            match open.record.check(&self.place.entity) {
                Ok(()) => self.open.push(open),
                Err(error) => self.set(open.index, Err(error)),
            }
        }
    }

    fn set(&mut self, index: usize, result: Imported) {
        if let Some(slot) = self.results.get_mut(index) {
            *slot = Some(result);
        }
    }
}
