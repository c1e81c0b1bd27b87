//! Loads an organization's schema and keys from the databases into memory.

use std::sync::Arc;

use crate::{
    crypto::ring::{
        KeyRing, RingError,
        stored::{RingUnread, StoredRing},
    },
    deployment::Deployment,
    metadata::setting::OrganizationSchema,
    organization::{
        handle::Organization,
        key_text::{ReadTextError, Restorable, read_text},
        keys::{Keys, Obstacle},
        ring_rows::{self, RingRows},
    },
    store::Unavailable,
};

impl Organization {
    /// Reads the organization's customizations of the schema.
    ///
    /// # Errors
    /// If the database is unavailable.
    pub async fn load_schema(&self, deployment: &Deployment) -> Result<Arc<OrganizationSchema>, Unavailable> {
        let schema = Arc::new(OrganizationSchema::read(&*self.store, &deployment.schema).await?);
        self.set_schema(&schema);
        Ok(schema)
    }

    /// Like [`load_schema`](Self::load_schema). Returns whether the schema in memory was outdated, because another server
    /// has changed the customizations.
    ///
    /// # Errors
    /// If the database is unavailable.
    pub async fn refresh_schema(&self, deployment: &Deployment) -> Result<bool, Unavailable> {
        let before = self.schema();
        let now = self.load_schema(deployment).await?;
        Ok(!before.is_as_new_as(&now))
    }

    /// Reads the ring again, and opens it with its text from the configuration database.
    ///
    /// # Errors
    /// If a database is unavailable, which is never treated as a missing key.
    pub async fn load_keys(&self, deployment: &Deployment) -> Result<Keys, Unavailable> {
        Ok(self.load_keys_with_rows(deployment).await?.0)
    }

    /// Like [`load_keys`](Self::load_keys), and returns the rows of the ring too.
    pub(crate) async fn load_keys_with_rows(&self, deployment: &Deployment) -> Result<(Keys, RingRows), Unavailable> {
        let rows = RingRows::read(&*self.store).await?;
        let keys = match rows.parse() {
            Ok(stored) => self.open_ring(deployment, stored).await?,
            Err(RingUnread::Newer { format }) => {
                self.set_keys(Keys::Inaccessible(Obstacle::NewerRing { format }, None))
            }
            Err(RingUnread::Damaged(_)) => self.set_keys(Keys::Damaged),
        };
        Ok((keys, rows))
    }

    async fn open_ring(&self, deployment: &Deployment, stored: StoredRing) -> Result<Keys, Unavailable> {
        if let Some(Keys::Active(ring)) = self.keys()
            && ring.revision() == stored.revision
        {
            return Ok(Keys::Active(ring));
        }
        let keys = match read_text(deployment, self.id, &stored.check).await {
            Ok(None) => Keys::Inactive(Arc::new(stored)),
            Ok(Some((_, kek))) => match KeyRing::open(&stored, self.id, &kek) {
                Ok(ring) => Keys::Active(Arc::new(ring)),
                Err(RingError::Newer { format }) => Keys::Inaccessible(Obstacle::NewerRing { format }, None),
                // The text was sealed for this key-check value, so a mismatch is damage too.
                Err(RingError::KeyMismatch | RingError::Damaged(_)) => Keys::Damaged,
            },
            Err(ReadTextError::Inaccessible(obstacle, Restorable::Yes)) => {
                Keys::Inaccessible(obstacle, Some(Arc::new(stored)))
            }
            Err(ReadTextError::Inaccessible(obstacle, Restorable::No)) => Keys::Inaccessible(obstacle, None),
            Err(ReadTextError::Unavailable(error)) => return Err(error),
        };
        Ok(self.set_keys(keys))
    }

    /// Like [`load_keys`](Self::load_keys), but keeps the ring in memory if the revision in the database is unchanged.
    /// Used by frequent callers.
    pub(crate) async fn refresh_keys(&self, deployment: &Deployment) -> Result<Keys, Unavailable> {
        if let Some(Keys::Active(ring)) = self.keys()
            && ring_rows::has(&*self.store, ring.revision()).await?
        {
            return Ok(Keys::Active(ring));
        }
        self.load_keys(deployment).await
    }
}
