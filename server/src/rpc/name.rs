//! Resource names in requests, each parsed once.
//!
//! Permission depends only on the organization in a name, and is checked before the rest of the name. So a violation of the whole name is
//! kept until then.

use std::sync::Arc;

use sealward_core::{
    id::RecordId,
    name::{OrganizationName, RecordName},
    schema::{Entity, Schema},
    violation::{Problem, Violation},
};

/// A parsed resource name of a request.
pub(crate) struct ParsedName<T> {
    /// The organization at the beginning of the text, or the violation if there is none. The rest of the text may be invalid.
    pub(crate) organization: Result<OrganizationName, Violation>,
    /// The resource that the whole text names, or the violation.
    pub(crate) resource: Result<T, Violation>,
}

impl<T> ParsedName<T> {
    /// The name in the request's field `field`, with the expected form `form`. `resource` is the named resource, if the text is valid.
    pub(crate) fn new(field: &str, text: &str, form: impl FnOnce() -> String, resource: Option<T>) -> Self {
        let not_a_name = |form| Violation::new(field, Problem::NotAName { form });
        ParsedName {
            organization: OrganizationName::in_resource_name(text)
                .ok_or_else(|| not_a_name("organizations/{organization}…".to_owned())),
            resource: resource.ok_or_else(|| not_a_name(form())),
        }
    }
}

/// Parses `organizations/{organization}`.
pub(crate) fn organization(field: &str, text: &str) -> ParsedName<OrganizationName> {
    let form = || "organizations/{organization}".to_owned();
    ParsedName::new(field, text, form, OrganizationName::from_resource_name(text))
}

/// Parses `organizations/{organization}/{collection}/{id}`, the name of a record of this entity.
pub(crate) fn record(field: &str, text: &str, entity: &Entity) -> ParsedName<RecordId> {
    let form = || format!("organizations/{{organization}}/{}/{{id}}", entity.collection);
    match RecordName::parse(text).filter(|name| name.collection == entity.collection) {
        Some(name) => ParsedName { organization: Ok(name.organization), resource: Ok(name.id) },
        None => ParsedName::new(field, text, form, None),
    }
}

/// Parses `organizations/{organization}/{collection}/{id}`, the name of a record of any entity of the schema.
pub(crate) fn record_of_any<'a>(
    field: &str,
    text: &str,
    schema: &'a Schema,
) -> ParsedName<(&'a Arc<Entity>, RecordId)> {
    match text.split('/').nth(2).and_then(|collection| schema.by_collection(collection)) {
        Some(entity) => {
            let ParsedName { organization, resource } = record(field, text, entity);
            ParsedName { organization, resource: resource.map(|id| (entity, id)) }
        }
        None => ParsedName::new(field, text, || "organizations/{organization}/{collection}/{id}".to_owned(), None),
    }
}

/// The id in the name of a record of this collection in this organization, as an attribute refers to it.
pub(crate) fn reference(text: &str, organization: &OrganizationName, collection: &str) -> Option<RecordId> {
    RecordName::parse_reference(text)?.id_in(organization, collection)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506";

    #[test]
    fn a_reference_stays_in_its_organization_and_collection() {
        let (contoso, fabrikam) = ("contoso".parse().unwrap(), "fabrikam".parse().unwrap());
        let name = format!("organizations/contoso/mailboxes/{ID}");
        assert!(reference(&name, &contoso, "mailboxes").is_some());
        assert!(reference(&name, &fabrikam, "mailboxes").is_none());
        assert!(reference(&name, &contoso, "queues").is_none());
        assert!(reference(&format!("{name}/x"), &contoso, "mailboxes").is_none());
        assert!(reference(&name.to_uppercase(), &contoso, "mailboxes").is_none());
        let upper = format!("organizations/contoso/mailboxes/{}", ID.to_uppercase());
        assert_eq!(reference(&upper, &contoso, "mailboxes"), reference(&name, &contoso, "mailboxes"));
    }

    #[test]
    fn malformed_organization_name_is_refused() {
        let begins_with = |text: &str| organization("name", text).organization.ok();
        assert_eq!(begins_with("organizations/contoso/mailboxes/1"), Some("contoso".parse().unwrap()));
        for wrong in ["", "organizations/", "organizations/Contoso", "organizations/-a", "contoso"] {
            assert_eq!(begins_with(wrong), None, "{wrong}");
        }
        assert!(organization("name", "organizations/contoso").resource.is_ok());
        assert!(organization("name", "organizations/contoso/").resource.is_err());
    }
}
