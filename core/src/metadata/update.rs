//! Changes an attribute's metadata in one organization.

use crate::{
    audit::entry::AuditEntry,
    deployment::Deployment,
    metadata::setting::{
        OrganizationSchema, Setting, create_index, index_name, length_within, name_problem, of_attribute, resource_name,
    },
    permit::Permit,
    policy::{self, Recorded as _},
    schema::{
        check::check_value,
        entity::{Attribute, Entity, INDEXED_CHARS_MAX},
    },
    store::{CommitError, Step, StoreFailure, Unavailable},
    table::{declare::TableRow as _, metadata::AttributeSettingRow},
    violation::{Problem, Violation},
};

/// Whether a record must have a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredLevel {
    /// A value isn't required.
    None,
    /// A value is required, by the organization, or by the schema with this level in Dynamics 365.
    ApplicationRequired,
    /// A value is required by the schema.
    SystemRequired,
}

impl RequiredLevel {
    /// Returns the level of an attribute from its definitions in the schema and in the organization.
    #[must_use]
    pub fn of(in_schema: &Attribute, in_organization: &Attribute) -> Self {
        match (in_schema.required, in_organization.required) {
            (true, _) if in_schema.application_required => RequiredLevel::ApplicationRequired,
            (true, _) => RequiredLevel::SystemRequired,
            (false, true) => RequiredLevel::ApplicationRequired,
            (false, false) => RequiredLevel::None,
        }
    }
}

/// The changes of an attribute's metadata. The outer `None` keeps a setting, and the inner `None` resets it to the
/// schema.
#[derive(Clone, Debug, Default)]
pub struct Customization {
    /// The display name.
    pub display_name: Option<Option<String>>,
    /// The maximum length.
    pub max_length: Option<Option<i64>>,
    /// Whether a record must have a value.
    pub required_level: Option<Option<RequiredLevel>>,
    /// Whether its changes are recorded.
    pub audited: Option<Option<bool>>,
    /// Whether it has an index.
    pub indexed: Option<Option<bool>>,
}

/// Why the metadata wasn't changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateMetadataError {
    /// The attribute is encrypted.
    #[error("the attribute is encrypted")]
    Encrypted,
    /// Settings are invalid. The list is complete.
    #[error("the request is invalid")]
    Invalid(Vec<Violation>),
    /// A database, the root key or the audit trail failed.
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

impl From<Unavailable> for UpdateMetadataError {
    fn from(error: Unavailable) -> Self {
        UpdateMetadataError::Store(error.into())
    }
}

/// Changes the metadata of the attribute with these names in the schema. Returns the attribute with the new metadata.
/// The change applies to all later writes, and stored values stay unchanged. An index is created or removed before the
/// call returns, and writes of the organization wait for that.
///
/// # Errors
/// See [`UpdateMetadataError`].
pub async fn update(
    deployment: &Deployment,
    permit: Permit<policy::CustomizeAttributes>,
    (entity, attribute): (&Entity, &Attribute),
    customization: &Customization,
    validate_only: bool,
) -> Result<Attribute, UpdateMetadataError> {
    let organization = permit.organization();
    for _ in 0..ATTEMPTS {
        let present = organization.load_schema(deployment).await?;
        let before = present.schema.by_storage_name(&entity.storage_name);
        let before = before.and_then(|entity| entity.attribute(&attribute.name)).unwrap_or(attribute);
        let setting = customized(entity, attribute, before, customization)?;
        let after = setting.applied_to(attribute);
        let changes = describe_changes(attribute, before, &after);
        if changes.is_empty() || validate_only {
            return Ok(after);
        }
        let entry = AuditEntry {
            caller: Some(permit.caller().clone()),
            attributes: Some(format!("{}.{}", entity.name, attribute.name)),
            details: Some(changes.join("; ")),
            ..AuditEntry::done(
                deployment.now(),
                policy::CustomizeAttributes::AUDIT,
                resource_name(&organization.name, entity, attribute),
            )
        };
        let revision = present.revision.checked_add(1).ok_or(UpdateMetadataError::Store(StoreFailure::Unavailable(
            "no revisions of attribute settings are left".into(),
        )))?;
        let setting = Setting { revision, ..setting };
        let steps = steps(&present, entity, before, &after, setting, entry);
        match organization.commit(steps).await {
            Ok(()) => {
                // If it can't be read now, the next write detects the old revision.
                let _later = organization.load_schema(deployment).await;
                return Ok(after);
            }
            // Another change was first.
            Err(CommitError::Refused { .. }) => {}
            Err(CommitError::Unavailable(cause)) => {
                return Err(UpdateMetadataError::Store(StoreFailure::Unavailable(cause)));
            }
            Err(CommitError::Unknown(cause)) => {
                let _later = organization.load_schema(deployment).await;
                return Err(UpdateMetadataError::Store(StoreFailure::Unknown(cause)));
            }
        }
    }
    Err(UpdateMetadataError::Store(StoreFailure::Unavailable("the metadata kept changing".into())))
}

/// The maximum number of attempts of an update, if the metadata changes concurrently.
const ATTEMPTS: usize = 32;

fn steps(
    present: &OrganizationSchema,
    entity: &Entity,
    before: &Attribute,
    after: &Attribute,
    setting: Setting,
    entry: AuditEntry,
) -> Vec<Step> {
    let mut steps = vec![
        present.require(),
        AttributeSettingRow::delete(of_attribute(entity, after)),
        AttributeSettingRow::from(setting).insert(),
    ];
    match (before.is_indexed, after.is_indexed) {
        (false, true) => steps.push(create_index(entity, after)),
        (true, false) => steps.push(Step::DropIndex { name: index_name(entity, after) }),
        (false, false) | (true, true) => {}
    }
    steps.push(Step::Audit(entry));
    steps
}

/// Returns the new setting of an attribute, which is `before` in the organization and `attribute` in the schema.
fn customized(
    entity: &Entity,
    attribute: &Attribute,
    before: &Attribute,
    customization: &Customization,
) -> Result<Setting, UpdateMetadataError> {
    if attribute.encrypted {
        return Err(UpdateMetadataError::Encrypted);
    }
    let Customization { display_name, max_length, required_level, audited, indexed } = customization;
    let mut violations = Vec::new();
    let mut wrong = |field: &str, problem| violations.push(Violation::new(format!("{FIELD}.{field}"), problem));
    let mut setting = Setting {
        table: entity.storage_name.to_string(),
        column: attribute.storage_name.to_string(),
        display_name: (before.display_name != attribute.display_name).then(|| before.display_name.clone()),
        max_length: before.max_length.filter(|_| before.max_length != attribute.max_length),
        longest: before.longest.filter(|_| before.longest > attribute.max_length),
        is_required: before.required && !attribute.required,
        is_audited: before.is_audited,
        is_indexed: before.is_indexed,
        revision: 0,
    };
    if let Some(name) = display_name {
        if let Some(problem) = name.as_deref().and_then(name_problem) {
            wrong("display_name", problem);
        }
        setting.display_name.clone_from(name);
    }
    if let Some(length) = max_length {
        match length.map(|length| length_within(attribute, length)).transpose() {
            Ok(length) => {
                setting.max_length = length;
                setting.longest = setting.longest.max(length.filter(|_| length > attribute.max_length));
            }
            Err(problem) => wrong("max_length", problem),
        }
    }
    if let Some(level) = required_level {
        match required(attribute, *level) {
            Ok(is_required) => setting.is_required = is_required,
            Err(problem) => wrong("required_level", problem),
        }
    }
    if let Some(audited) = audited {
        setting.is_audited = audited.unwrap_or(false);
        if setting.is_audited && !attribute.is_auditable() {
            wrong("audited", Problem::NotAuditable);
        }
    }
    if let Some(indexed) = indexed {
        setting.is_indexed = indexed.unwrap_or(false);
    }
    let after = setting.applied_to(attribute);
    if setting.is_indexed && !after.is_indexable() {
        let field = if before.is_indexed { "max_length" } else { "indexed" };
        wrong(field, Problem::NotIndexable { limit: INDEXED_CHARS_MAX });
    }
    if let Some(problem) = after.default.as_ref().and_then(|default| check_value(&after, default)) {
        wrong("max_length", problem);
    }
    if violations.is_empty() { Ok(setting) } else { Err(UpdateMetadataError::Invalid(violations)) }
}

/// Returns whether the organization requires a value, in addition to the schema.
fn required(attribute: &Attribute, level: Option<RequiredLevel>) -> Result<bool, Problem> {
    let in_schema = RequiredLevel::of(attribute, attribute);
    match (level, attribute.required) {
        (Some(level), true) if level == in_schema => Ok(false),
        (None, _) | (Some(RequiredLevel::None), false) => Ok(false),
        (Some(RequiredLevel::SystemRequired), true) => Err(Problem::NotRequirable),
        (Some(RequiredLevel::None | RequiredLevel::ApplicationRequired), true) => Err(Problem::SystemRequired),
        (Some(RequiredLevel::ApplicationRequired), false) if attribute.can_be_required() => Ok(true),
        (Some(RequiredLevel::ApplicationRequired | RequiredLevel::SystemRequired), false) => {
            Err(Problem::NotRequirable)
        }
    }
}

/// Returns the changes as texts for the trail.
fn describe_changes(in_schema: &Attribute, before: &Attribute, after: &Attribute) -> Vec<String> {
    let length = |attribute: &Attribute| attribute.max_length.map_or("none".to_owned(), |length| length.to_string());
    let level = |attribute: &Attribute| format!("{:?}", RequiredLevel::of(in_schema, attribute));
    let texts = |attribute: &Attribute| {
        [
            ("display_name", attribute.display_name.clone()),
            ("max_length", length(attribute)),
            ("required_level", level(attribute)),
            ("audited", attribute.is_audited.to_string()),
            ("indexed", attribute.is_indexed.to_string()),
        ]
    };
    let pairs = texts(before).into_iter().zip(texts(after));
    pairs
        .filter(|((_, before), (_, after))| before != after)
        .map(|((name, before), (_, after))| format!("{name}: {before} -> {after}"))
        .collect()
}

/// The field of the request.
const FIELD: &str = "attribute_metadata";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{testing::thing, value::Value};

    fn update_of(name: &str, customization: &Customization) -> Result<Setting, Vec<(String, String)>> {
        let entity = thing();
        let attribute = entity.attribute(name).unwrap();
        customized(&entity, attribute, attribute, customization).map_err(|error| match &error {
            UpdateMetadataError::Invalid(violations) => violations
                .iter()
                .map(|violation| (violation.field.clone(), violation.problem.reason().to_owned()))
                .collect(),
            UpdateMetadataError::Encrypted | UpdateMetadataError::Store(_) => {
                vec![(String::new(), error.to_string())]
            }
        })
    }

    fn refused(name: &str, customization: &Customization) -> Vec<String> {
        let violations = update_of(name, customization).expect_err(name);
        violations.into_iter().map(|(field, reason)| format!("{field} {reason}")).collect()
    }

    #[test]
    fn every_setting_of_an_encrypted_attribute_is_refused() {
        for customization in [
            Customization::default(),
            Customization { audited: Some(Some(true)), ..Customization::default() },
            Customization { indexed: Some(Some(true)), ..Customization::default() },
            Customization { display_name: Some(Some("Word".to_owned())), ..Customization::default() },
        ] {
            assert_eq!(refused("secret", &customization), [" the attribute is encrypted"]);
        }
    }

    #[test]
    fn all_invalid_settings_are_reported_together() {
        let customization = Customization {
            display_name: Some(Some(String::new())),
            max_length: Some(Some(4)),
            required_level: Some(Some(RequiredLevel::ApplicationRequired)),
            audited: Some(Some(true)),
            indexed: Some(Some(true)),
        };
        let violations = refused("is_secret_set", &customization);
        let wanted = [
            "display_name REQUIRED",
            "max_length HAS_NO_LENGTH",
            "required_level NOT_REQUIRABLE",
            "audited NOT_AUDITABLE",
            "indexed NOT_INDEXABLE",
        ];
        assert_eq!(violations, wanted.map(|problem| format!("attribute_metadata.{problem}")));
    }

    #[test]
    fn maximum_length_is_from_1_to_4000() {
        let length = |length| Customization { max_length: Some(Some(length)), ..Customization::default() };
        for within in [1, 4_000] {
            assert!(update_of("name_1", &length(within)).is_ok(), "{within}");
        }
        for beyond in [i64::MIN, 0, 4_001, i64::MAX] {
            assert_eq!(refused("name_1", &length(beyond)), ["attribute_metadata.max_length OUT_OF_RANGE"]);
        }
    }

    #[test]
    fn display_name_has_1_to_100_characters() {
        let name = |name: &str| Customization { display_name: Some(Some(name.to_owned())), ..Customization::default() };
        assert!(update_of("small", &name(&"é".repeat(100))).is_ok());
        for (wrong, reason) in
            [("é".repeat(101), "TOO_LONG"), (" ".to_owned(), "REQUIRED"), ("a\n".to_owned(), "HAS_CONTROL")]
        {
            assert_eq!(refused("small", &name(&wrong)), [format!("attribute_metadata.display_name {reason}")]);
        }
    }

    #[test]
    fn attribute_required_by_the_schema_stays_required() {
        let level = |level| Customization { required_level: Some(level), ..Customization::default() };
        let entity = thing();
        let strict = Attribute { required: true, ..entity.attribute("name_1").unwrap().clone() };
        for weaker in [RequiredLevel::None, RequiredLevel::ApplicationRequired] {
            let refused = customized(&entity, &strict, &strict, &level(Some(weaker)));
            let Err(UpdateMetadataError::Invalid(violations)) = refused else { panic!("{weaker:?}") };
            assert_eq!(violations[0].problem, Problem::SystemRequired);
        }
        assert!(customized(&entity, &strict, &strict, &level(Some(RequiredLevel::SystemRequired))).is_ok());
        assert!(customized(&entity, &strict, &strict, &level(None)).is_ok());
        assert_eq!(
            refused("name_1", &level(Some(RequiredLevel::SystemRequired))),
            ["attribute_metadata.required_level NOT_REQUIRABLE"]
        );
    }

    #[test]
    fn only_short_text_is_indexed_and_indexed_text_stays_short() {
        let indexed = Customization { indexed: Some(Some(true)), ..Customization::default() };
        assert!(update_of("name_1", &indexed).is_ok());
        assert_eq!(refused("endless", &indexed), ["attribute_metadata.indexed NOT_INDEXABLE"]);
        let entity = thing();
        let attribute = entity.attribute("name_1").unwrap();
        let has_index = Attribute { is_indexed: true, ..attribute.clone() };
        let longer = Customization { max_length: Some(Some(501)), ..Customization::default() };
        let refused = customized(&entity, attribute, &has_index, &longer);
        let Err(UpdateMetadataError::Invalid(violations)) = refused else {
            panic!("the text is too long for an index")
        };
        assert_eq!(violations[0].field, "attribute_metadata.max_length");
        let shorter = Customization { max_length: Some(Some(500)), ..Customization::default() };
        assert!(customized(&entity, attribute, &has_index, &shorter).is_ok());
    }

    #[test]
    fn default_stays_within_the_maximum_length() {
        let entity = thing();
        let mut attribute = entity.attribute("name_1").unwrap().clone();
        attribute.default = Some(Value::Text("abc".to_owned()));
        let length = |length| Customization { max_length: Some(Some(length)), ..Customization::default() };
        assert!(customized(&entity, &attribute, &attribute, &length(3)).is_ok());
        assert!(customized(&entity, &attribute, &attribute, &length(2)).is_err());
    }

    #[test]
    fn omitted_settings_are_kept_and_cleared_ones_follow_the_schema() {
        let entity = thing();
        let attribute = entity.attribute("name_1").unwrap();
        let customization = Customization {
            display_name: Some(Some("First".to_owned())),
            max_length: Some(Some(9)),
            audited: Some(Some(true)),
            ..Customization::default()
        };
        let first = customized(&entity, attribute, attribute, &customization).unwrap().applied_to(attribute);
        let again = customized(&entity, attribute, &first, &Customization::default()).unwrap();
        assert_eq!(describe_changes(attribute, &first, &again.applied_to(attribute)), Vec::<String>::new());
        let cleared = Customization { display_name: Some(None), max_length: Some(None), ..Customization::default() };
        let after = customized(&entity, attribute, &first, &cleared).unwrap().applied_to(attribute);
        assert_eq!(
            describe_changes(attribute, &first, &after),
            ["display_name: First -> Name 1", "max_length: 9 -> 250"]
        );
        assert!(after.is_audited);
    }
}
