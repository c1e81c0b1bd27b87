//! The place of a record: its organization, its entity and its id.

use std::sync::Arc;

use crate::{
    id::RecordId, metadata::setting::OrganizationSchema, name::RecordName, organization::handle::Organization,
    schema::entity::Entity,
};

/// Where a record is: its organization, its entity, its id.
#[derive(Clone)]
pub struct RecordPlace {
    /// The organization.
    pub organization: Arc<Organization>,
    /// The entity, as the organization has it.
    pub entity: Arc<Entity>,
    /// The id.
    pub id: RecordId,
    /// What the organization made of the schema: what is done at this place goes by it.
    pub(crate) schema: Arc<OrganizationSchema>,
}

impl RecordPlace {
    /// The place of a record of this entity, by the schema as the organization has it now. Callers get it from a permit.
    pub(crate) fn new(organization: &Arc<Organization>, entity: &Arc<Entity>, id: RecordId) -> Self {
        let schema = organization.schema();
        RecordPlace { organization: Arc::clone(organization), entity: schema.entity(entity), id, schema }
    }

    /// The place of a record of this entity in the same organization.
    pub(crate) fn beside(&self, entity: &Arc<Entity>, id: RecordId) -> Self {
        RecordPlace::new(&self.organization, entity, id)
    }

    /// The same place, by the schema as the organization has it now.
    pub(crate) fn renewed(&self) -> Self {
        RecordPlace::new(&self.organization, &self.entity, self.id)
    }

    /// The record's name.
    #[must_use]
    pub fn name(&self) -> RecordName<'_> {
        let (organization, collection) = (self.organization.name.clone(), &self.entity.collection);
        RecordName { organization, collection, id: self.id }
    }

    /// The resource name.
    #[must_use]
    pub fn resource_name(&self) -> String {
        self.name().to_string()
    }
}
