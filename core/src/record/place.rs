//! The location of a record: its organization, its entity and its id.

use std::sync::Arc;

use crate::{
    id::RecordId, metadata::setting::OrganizationSchema, name::RecordName, organization::handle::Organization,
    schema::entity::Entity,
};

/// The location of a record: its organization, its entity and its id.
#[derive(Clone)]
pub struct RecordPlace {
    /// The organization.
    pub organization: Arc<Organization>,
    /// The entity with the customizations of the organization.
    pub entity: Arc<Entity>,
    /// The id.
    pub id: RecordId,
    /// The schema of the organization, which all operations on the record use.
    pub(crate) schema: Arc<OrganizationSchema>,
}

impl RecordPlace {
    /// Creates the location of a record of this entity with the current schema of the organization. Callers get it from
    /// a permit.
    pub(crate) fn new(organization: &Arc<Organization>, entity: &Arc<Entity>, id: RecordId) -> Self {
        let schema = organization.schema();
        RecordPlace { organization: Arc::clone(organization), entity: schema.entity(entity), id, schema }
    }

    /// Returns the location of a record of another entity in the same organization.
    pub(crate) fn beside(&self, entity: &Arc<Entity>, id: RecordId) -> Self {
        RecordPlace::new(&self.organization, entity, id)
    }

    /// Returns the location of another record of the entity.
    pub(crate) fn at(&self, id: RecordId) -> Self {
        RecordPlace { id, ..self.clone() }
    }

    /// Returns the resource name of the collection: `organizations/contoso/mailboxes`.
    pub(crate) fn collection_name(&self) -> String {
        format!("{}/{}", self.organization.resource_name(), self.entity.collection)
    }

    /// Returns the same location with the current schema of the organization.
    pub(crate) fn renewed(&self) -> Self {
        RecordPlace::new(&self.organization, &self.entity, self.id)
    }

    /// Returns the name of the record.
    #[must_use]
    pub fn name(&self) -> RecordName<'_> {
        let (organization, collection) = (self.organization.name.clone(), &self.entity.collection);
        RecordName { organization, collection, id: self.id }
    }

    /// Returns the resource name.
    #[must_use]
    pub fn resource_name(&self) -> String {
        self.name().to_string()
    }
}
