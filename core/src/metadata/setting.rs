//! Metadata: the schema with the customizations of an organization.
//!
//! An organization may change the display name and the maximum length of an attribute, require a value, audit its
//! changes, and index it. These settings are in its database, one row per attribute, and move with it. Each write of a
//! record uses one revision of the settings and requires in its own commit that it is current. A setting therefore
//! applies to all later writes.
//!
//! Settings that an attribute doesn't support are ignored, regardless of their origin. An encrypted attribute is never
//! audited, indexed or otherwise customized.

use std::{collections::HashMap, sync::Arc};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::{
    crypto::encoding::Encoding,
    name::OrganizationName,
    schema::{
        Schema,
        check::line_problem,
        entity::{Attribute, Entity, Kind},
    },
    store::{Condition, Datum, Index, Name, Reader, Row, Step, Unavailable},
    table::{
        declare::{Columns as _, TableRow as _},
        metadata::AttributeSettingRow,
        record::RecordColumns,
    },
    violation::Problem,
};

/// The schema of an organization.
#[derive(Clone, Debug)]
pub struct OrganizationSchema {
    /// The entities with the customizations of the organization.
    pub schema: Arc<Schema>,
    /// The revision of the last change of metadata; 0 if there was none.
    pub(super) revision: i64,
}

impl OrganizationSchema {
    /// Returns the schema of the deployment without customizations.
    pub(crate) fn of(schema: &Arc<Schema>) -> Self {
        OrganizationSchema { schema: Arc::clone(schema), revision: 0 }
    }

    /// Reads an organization's customizations of the deployment's schema.
    ///
    /// # Errors
    /// If the store is unavailable.
    pub(crate) async fn read(store: &dyn Reader, schema: &Arc<Schema>) -> Result<Self, Unavailable> {
        let columns = AttributeSettingRow::all_columns();
        let found = store.select(columns.select(Condition::EVERYTHING)).await?;
        if found.is_empty() {
            return Ok(OrganizationSchema::of(schema));
        }
        // The revision of a malformed row counts too.
        let revision = |row: &Row| match AttributeSettingRow::revision().datum_in(row) {
            Some(Datum::Integer(revision)) => *revision,
            Some(_) | None => 0,
        };
        let revision = found.iter().map(revision).max().unwrap_or_default();
        let settings: Vec<Setting> =
            found.into_iter().filter_map(|row| Some(columns.values(row).ok()?.into())).collect();
        let of_column: HashMap<(&str, &str), &Setting> =
            settings.iter().map(|setting| ((setting.table.as_str(), setting.column.as_str()), setting)).collect();
        let customized = schema.customized(|entity| {
            if settings.iter().all(|setting| setting.table != entity.storage_name) {
                return Arc::clone(entity);
            }
            let mut entity = Entity::clone(entity);
            for attribute in &mut entity.attributes {
                if let Some(setting) = of_column.get(&(&*entity.storage_name, &*attribute.storage_name)) {
                    *attribute = setting.applied_to(attribute);
                }
            }
            Arc::new(entity)
        });
        Ok(OrganizationSchema { schema: Arc::new(customized), revision })
    }

    /// Returns the entity with the customizations of the organization.
    #[must_use]
    pub fn entity(&self, entity: &Arc<Entity>) -> Arc<Entity> {
        Arc::clone(self.schema.by_storage_name(&entity.storage_name).unwrap_or(entity))
    }

    /// Returns whether it is at least as new as the other.
    pub(crate) fn is_as_new_as(&self, other: &Self) -> bool {
        self.revision >= other.revision
    }

    /// Returns the step that requires that the metadata is unchanged.
    pub(crate) fn require(&self) -> Step {
        AttributeSettingRow::forbid(AttributeSettingRow::revision().exceeds(self.revision))
    }

    /// Returns the steps that create all indexes in a database that was just filled.
    pub(crate) fn create_indexes(&self) -> Vec<Step> {
        let indexed = self.schema.entities().iter().flat_map(|entity| {
            let indexed = entity.attributes.iter().filter(|attribute| attribute.is_indexed);
            indexed.map(move |attribute| create_index(entity, attribute))
        });
        indexed.collect()
    }
}

/// The settings of an organization for an attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The storage name of the entity.
    pub(super) table: String,
    /// The storage name of the attribute.
    pub(super) column: String,
    /// `None` for the value of the schema.
    pub(super) display_name: Option<String>,
    /// `None` for the value of the schema.
    pub(super) max_length: Option<u32>,
    /// The greatest maximum length that was ever set; `None` if that is the one of the schema.
    pub(super) longest: Option<u32>,
    /// Whether the organization requires a value, in addition to the schema.
    pub(super) is_required: bool,
    pub(super) is_audited: bool,
    pub(super) is_indexed: bool,
    /// The revision, which increases with each change of metadata in the organization. Rows are never deleted, so that
    /// it never decreases.
    pub(super) revision: i64,
}

impl From<AttributeSettingRow> for Setting {
    fn from(row: AttributeSettingRow) -> Self {
        let length = |length: Option<i64>| length.and_then(|length| u32::try_from(length).ok());
        Setting {
            table: row.table_name,
            column: row.column_name,
            display_name: row.display_name,
            max_length: length(row.max_length),
            longest: length(row.longest),
            is_required: row.required,
            is_audited: row.audited,
            is_indexed: row.indexed,
            revision: row.revision,
        }
    }
}

impl From<Setting> for AttributeSettingRow {
    fn from(setting: Setting) -> Self {
        AttributeSettingRow {
            table_name: setting.table,
            column_name: setting.column,
            display_name: setting.display_name,
            max_length: setting.max_length.map(i64::from),
            longest: setting.longest.map(i64::from),
            required: setting.is_required,
            audited: setting.is_audited,
            indexed: setting.is_indexed,
            revision: setting.revision,
        }
    }
}

impl Setting {
    /// Returns the attribute with the settings that it supports.
    pub(super) fn applied_to(&self, attribute: &Attribute) -> Attribute {
        let mut customized = attribute.clone();
        if attribute.is_customizable() {
            if let Some(name) = self.display_name.as_ref().filter(|name| name_problem(name).is_none()) {
                customized.display_name.clone_from(name);
            }
            let length = |length: u32| length_within(attribute, length.into()).ok();
            customized.max_length = self.max_length.and_then(length).or(attribute.max_length);
            customized.longest = self.longest.and_then(length).max(attribute.max_length);
            customized.required |= self.is_required && attribute.can_be_required();
        }
        customized.is_audited = self.is_audited && customized.is_auditable();
        customized.is_indexed = self.is_indexed && customized.is_indexable();
        customized
    }
}

/// The maximum length of a display name in Unicode scalar values.
pub(crate) const DISPLAY_NAME_MAX: u32 = 100;

/// The greatest maximum length that an organization can set for a text or bytes attribute with a smaller one in the
/// schema.
pub const LENGTH_MAX: u32 = 4_000;

/// Returns the violation of a display name.
pub(crate) fn name_problem(name: &str) -> Option<Problem> {
    line_problem(name, DISPLAY_NAME_MAX)
}

/// Checks a requested maximum length of an attribute.
pub(crate) fn length_within(attribute: &Attribute, requested: i64) -> Result<u32, Problem> {
    if !matches!(attribute.kind, Kind::Text | Kind::Bytes) || attribute.is_uuid() {
        return Err(Problem::HasNoLength);
    }
    let maximum = attribute.max_length.unwrap_or(LENGTH_MAX).max(LENGTH_MAX);
    u32::try_from(requested)
        .ok()
        .filter(|length| (1..=maximum).contains(length))
        .ok_or(Problem::OutOfRange { minimum: 1, maximum: maximum.into() })
}

/// Returns the resource name of an attribute's metadata in an organization.
pub(crate) fn resource_name(organization: &OrganizationName, entity: &Entity, attribute: &Attribute) -> String {
    format!("{}/entityMetadata/{}/attributes/{}", organization.resource_name(), entity.name, attribute.name)
}

/// Returns the condition for the row of settings of this attribute.
pub(crate) fn of_attribute(entity: &Entity, attribute: &Attribute) -> Condition {
    AttributeSettingRow::table_name()
        .is(entity.storage_name.to_string())
        .and(AttributeSettingRow::column_name().is(attribute.storage_name.to_string()))
}

/// Returns the step that creates the index of an attribute.
pub(crate) fn create_index(entity: &Entity, attribute: &Attribute) -> Step {
    // The id is the last column in each order of records.
    let columns = vec![attribute.storage_name.clone(), RecordColumns::id().name()];
    let index = Index { name: index_name(entity, attribute), columns };
    Step::CreateIndex { table: entity.storage_name.clone(), index }
}

/// Returns the name of an attribute's index. It is the same in all databases, and its length is within the limit of
/// names.
#[must_use]
pub fn index_name(entity: &Entity, attribute: &Attribute) -> Name {
    let names = Encoding::new("sealward index v1");
    let names = names.part(entity.storage_name.as_bytes()).part(attribute.storage_name.as_bytes()).into_bytes();
    let digest = Sha256::digest(names);
    format!("sealward_by_{}", HEXLOWER.encode(digest.get(..8).unwrap_or_default())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::testing::thing;

    fn everything(column: &str) -> Setting {
        Setting {
            table: "Thing".to_owned(),
            column: column.to_owned(),
            display_name: Some("Another name".to_owned()),
            max_length: Some(7),
            longest: Some(700),
            is_required: true,
            is_audited: true,
            is_indexed: true,
            revision: 3,
        }
    }

    #[test]
    fn setting_is_written_and_read_back() {
        for setting in [everything("stored_name_1"), Setting::default()] {
            let row = AttributeSettingRow::from(setting.clone()).into_row();
            let row = row.into_iter().map(|(_, datum)| datum).collect();
            assert_eq!(AttributeSettingRow::all_columns().values(row).map(Setting::from), Ok(setting));
        }
    }

    #[test]
    fn stored_setting_never_changes_an_encrypted_attribute() {
        for attribute in thing().attributes {
            let customized = everything(&attribute.storage_name).applied_to(&attribute);
            let is_secret = attribute.name == "secret";
            assert_eq!(customized.is_audited, attribute.stored() && !is_secret, "{}", attribute.name);
            assert_eq!(customized.required, attribute.can_be_required() && !is_secret, "{}", attribute.name);
            let has_length = matches!(attribute.kind, Kind::Text | Kind::Bytes) && !is_secret;
            assert_eq!(customized.max_length == Some(7), has_length, "{}", attribute.name);
            assert_eq!(customized.display_name == "Another name", !is_secret, "{}", attribute.name);
            // Texts of up to 700 characters may be stored.
            let is_indexed = !matches!(attribute.kind, Kind::Text | Kind::Bytes | Kind::ReportsSet { .. });
            assert_eq!(customized.is_indexed, is_indexed, "{}", attribute.name);
        }
    }

    #[test]
    fn invalid_stored_setting_is_ignored() {
        let entity = thing();
        let attribute = entity.attribute("name_1").unwrap();
        for (name, length) in [("", 0), ("a\u{1b}", 4_001), (&*"x".repeat(101), u32::MAX)] {
            let setting = Setting {
                display_name: Some(name.to_owned()),
                max_length: Some(length),
                longest: Some(length),
                is_indexed: true,
                ..Setting::default()
            };
            let wanted = Attribute { is_indexed: true, longest: attribute.max_length, ..attribute.clone() };
            assert_eq!(format!("{:?}", setting.applied_to(attribute)), format!("{wanted:?}"));
        }
    }

    #[test]
    fn text_that_was_longer_before_stays_without_index_and_order() {
        let entity = thing();
        let attribute = entity.attribute("name_1").unwrap();
        let setting = |longest| Setting { max_length: Some(7), longest, is_indexed: true, ..Setting::default() };
        assert!(setting(None).applied_to(attribute).is_indexed);
        assert!(setting(Some(500)).applied_to(attribute).is_indexed);
        assert!(!setting(Some(501)).applied_to(attribute).is_indexed);
        assert_eq!(setting(Some(501)).applied_to(attribute).length_stored(), Some(501));
    }

    #[test]
    fn each_attribute_has_a_separate_index_with_a_valid_name() {
        let named = |table: &str, column: &str| {
            let entity = Entity::new(table, "things", "thing", Vec::new());
            index_name(&entity, &Attribute::new(column, Kind::Text))
        };
        assert_ne!(named("A_B", "C"), named("A", "B_C"));
        assert!(named(&"t".repeat(63), &"c".repeat(63)).len() <= 63);
    }
}
