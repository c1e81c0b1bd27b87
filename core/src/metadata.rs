//! Metadata: the schema as an organization has it.
//!
//! An organization may give an attribute another name for people and another greatest length, demand a value where the schema demands none,
//! have each change recorded, and have an index made. What it chose is in its database, a row an attribute, and travels with it. Every write
//! of a record goes by one state of the schema and holds it against the database in its own commit, so that a choice counts for every write
//! that is made after it.
//!
//! What a row asks for that its attribute can't have is ignored, whoever wrote the row: an encrypted attribute is never recorded, indexed
//! or otherwise customized.

pub mod changes;
pub mod update;

use std::{collections::HashMap, sync::Arc};

use sha2::{Digest, Sha256};

use crate::{
    crypto::encoding::Encoding,
    hex::hex,
    layout::ATTRIBUTE_SETTING,
    schema::{Attribute, Entity, Schema},
    store::{Condition, Datum, Index, Name, Reader, Row, Step, Unavailable, rows},
};

/// The schema as an organization has it.
#[derive(Clone, Debug)]
pub struct OrganizationSchema {
    /// The entities, with what was customized.
    pub schema: Arc<Schema>,
    /// That of the last change of metadata it holds; 0 if there was none.
    revision: i64,
}

impl OrganizationSchema {
    /// The deployment's schema, as it is where nothing was customized.
    pub(crate) fn of(schema: &Arc<Schema>) -> Self {
        OrganizationSchema { schema: Arc::clone(schema), revision: 0 }
    }

    /// Reads what an organization has customized of the deployment's schema.
    ///
    /// # Errors
    /// If the store doesn't answer.
    pub(crate) async fn read(store: &dyn Reader, schema: &Arc<Schema>) -> Result<Self, Unavailable> {
        let found = rows(store, ATTRIBUTE_SETTING, &COLUMNS, Condition::EVERYTHING).await?;
        if found.is_empty() {
            return Ok(OrganizationSchema::of(schema));
        }
        let settings: Vec<Setting> = found.into_iter().filter_map(Setting::from_row).collect();
        let revision = settings.iter().map(|setting| setting.revision).max().unwrap_or_default();
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

    /// The entity as the organization has it.
    #[must_use]
    pub fn entity(&self, entity: &Arc<Entity>) -> Arc<Entity> {
        Arc::clone(self.schema.by_storage_name(&entity.storage_name).unwrap_or(entity))
    }

    /// Whether it was read no earlier than the other.
    pub(crate) fn is_as_new_as(&self, other: &Self) -> bool {
        self.revision >= other.revision
    }

    /// The step that refuses a commit where metadata has changed since.
    pub(crate) fn require(&self) -> Step {
        let later = Condition::greater("revision", Datum::Integer(self.revision));
        Step::Forbid { table: ATTRIBUTE_SETTING.into(), rows: later }
    }

    /// The steps that make every index it wants, for a database that was just filled.
    pub(crate) fn make_indexes(&self) -> Vec<Step> {
        let indexed = self.schema.entities().iter().flat_map(|entity| {
            let indexed = entity.attributes.iter().filter(|attribute| attribute.is_indexed);
            indexed.map(move |attribute| make_index(entity, attribute))
        });
        indexed.collect()
    }
}

/// What an organization chose for an attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Setting {
    /// The entity's storage name.
    table: String,
    /// The attribute's storage name.
    column: String,
    /// `None` as in the schema.
    display_name: Option<String>,
    /// `None` as in the schema.
    max_length: Option<u32>,
    /// Whether a record must have a value, beside what the schema demands.
    is_required: bool,
    is_audited: bool,
    is_indexed: bool,
    /// Grows with each change of metadata in the organization. Rows stay for ever, so that it never falls.
    revision: i64,
}

const COLUMNS: [&str; 8] =
    ["table_name", "column_name", "display_name", "max_length", "required", "audited", "indexed", "revision"];

impl Setting {
    fn from_row(row: Row) -> Option<Self> {
        let [
            Datum::Text(table),
            Datum::Text(column),
            display_name,
            max_length,
            Datum::Boolean(is_required),
            Datum::Boolean(is_audited),
            Datum::Boolean(is_indexed),
            Datum::Integer(revision),
        ] = <[Datum; 8]>::try_from(row).ok()?
        else {
            return None;
        };
        let display_name = if let Datum::Text(name) = display_name { Some(name) } else { None };
        let max_length = if let Datum::Integer(length) = max_length { Some(u32::try_from(length).ok()?) } else { None };
        Some(Setting { table, column, display_name, max_length, is_required, is_audited, is_indexed, revision })
    }

    fn into_row(self) -> Vec<(Name, Datum)> {
        let data = [
            Datum::Text(self.table),
            Datum::Text(self.column),
            self.display_name.map_or(Datum::Null, Datum::Text),
            self.max_length.map_or(Datum::Null, |length| Datum::Integer(length.into())),
            Datum::Boolean(self.is_required),
            Datum::Boolean(self.is_audited),
            Datum::Boolean(self.is_indexed),
            Datum::Integer(self.revision),
        ];
        COLUMNS.map(Name::from).into_iter().zip(data).collect()
    }

    /// The attribute with what it can have of this.
    fn applied_to(&self, attribute: &Attribute) -> Attribute {
        let mut customized = attribute.clone();
        if attribute.is_customizable() {
            if let Some(name) = &self.display_name {
                customized.display_name.clone_from(name);
            }
            customized.max_length = self.max_length.or(attribute.max_length);
            customized.required |= self.is_required && attribute.can_be_required();
        }
        customized.is_audited = self.is_audited && customized.is_auditable();
        customized.is_indexed = self.is_indexed && customized.is_indexable();
        customized
    }
}

/// The condition that a row of settings is that of this attribute.
fn of_attribute(entity: &Entity, attribute: &Attribute) -> Condition {
    Condition::equal("table_name", Datum::Text(entity.storage_name.clone()))
        .and(Condition::equal("column_name", Datum::Text(attribute.storage_name.clone())))
}

/// The step that makes an attribute's index.
fn make_index(entity: &Entity, attribute: &Attribute) -> Step {
    // The id comes last in every order of records.
    let columns = vec![attribute.storage_name.clone().into(), "id".into()];
    let index = Index { name: index_name(entity, attribute), columns };
    Step::CreateIndex { table: entity.storage_name.clone().into(), index }
}

/// The name of an attribute's index: the same in every database, and never longer than a name may be.
#[must_use]
pub fn index_name(entity: &Entity, attribute: &Attribute) -> Name {
    let names = Encoding::new("fieldseal index v1");
    let names = names.part(entity.storage_name.as_bytes()).part(attribute.storage_name.as_bytes()).into_bytes();
    let digest = Sha256::digest(names);
    format!("fieldseal_by_{}", hex(digest.get(..8).unwrap_or_default())).into()
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
            is_required: true,
            is_audited: true,
            is_indexed: true,
            revision: 3,
        }
    }

    #[test]
    fn a_setting_is_written_and_read_back() {
        for setting in [everything("stored_name_1"), Setting::default()] {
            let row = setting.clone().into_row().into_iter().map(|(_, datum)| datum).collect();
            assert_eq!(Setting::from_row(row), Some(setting));
        }
    }

    #[test]
    fn whatever_a_row_asks_for_an_encrypted_attribute_stays_as_the_schema_has_it() {
        for attribute in thing().attributes {
            let customized = everything(&attribute.storage_name).applied_to(&attribute);
            let is_secret = attribute.name == "secret";
            assert_eq!(customized.is_audited, attribute.stored() && !is_secret, "{}", attribute.name);
            assert_eq!(customized.required, attribute.stored() && !is_secret, "{}", attribute.name);
            assert_eq!(customized.max_length == Some(7), !is_secret, "{}", attribute.name);
            assert_eq!(customized.display_name == "Another name", !is_secret, "{}", attribute.name);
            let is_indexed = !["secret", "is_secret_set", "data"].contains(&&*attribute.name);
            assert_eq!(customized.is_indexed, is_indexed, "{}", attribute.name);
        }
    }

    #[test]
    fn each_attribute_has_an_index_of_its_own_with_a_name_that_fits() {
        let named = |table: &str, column: &str| {
            let entity = Entity::new(table, "things", "thing", Vec::new());
            index_name(&entity, &Attribute::new(column, crate::schema::Kind::Text))
        };
        assert_ne!(named("A_B", "C"), named("A", "B_C"));
        assert!(named(&"t".repeat(63), &"c".repeat(63)).len() <= 63);
    }
}
