//! Resource names: `organizations/{organization}`, `organizations/{organization}/{collection}/{id}`.
//!
//! Reading one says nothing about whether the resource exists.

use sealward_core::{
    id::RecordId,
    organization::create::is_organization_name,
    schema::Entity,
    violation::{Problem, Violation},
};

/// The organization of a name of any resource, as far as the text has one. For deciding permission before the rest is looked at.
pub(crate) fn organization_of(name: &str) -> Option<&str> {
    let organization = name.strip_prefix("organizations/")?.split('/').next()?;
    is_organization_name(organization).then_some(organization)
}

/// Reads `organizations/{organization}`, from the request's field of this name.
pub(crate) fn organization<'a>(field: &str, name: &'a str) -> Result<&'a str, Violation> {
    organization_of(name)
        .filter(|organization| name == format!("organizations/{organization}"))
        .ok_or_else(|| Violation::new(field, Problem::NotAName { form: "organizations/{organization}".to_owned() }))
}

/// Reads the id out of `organizations/{organization}/{collection}/{id}`.
pub(crate) fn record(field: &str, name: &str, organization: &str, entity: &Entity) -> Result<RecordId, Violation> {
    id_in(name, organization, &entity.collection).and_then(|id| id.parse().ok()).ok_or_else(|| {
        let form = format!("organizations/{{organization}}/{}/{{id}}", entity.collection);
        Violation::new(field, Problem::NotAName { form })
    })
}

/// The id in the name of a record of this collection in this organization, as an attribute refers to it: the letters of the id may be of
/// either case.
pub(crate) fn reference(name: &str, organization: &str, collection: &str) -> Option<RecordId> {
    RecordId::from_reference(id_in(name, organization, collection)?)
}

fn id_in<'a>(name: &'a str, organization: &str, collection: &str) -> Option<&'a str> {
    let mut parts = name.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("organizations"), Some(in_organization), Some(in_collection), Some(id), None)
            if in_organization == organization && in_collection == collection =>
        {
            Some(id)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506";

    #[test]
    fn a_reference_stays_in_its_organization_and_collection() {
        let name = format!("organizations/contoso/mailboxes/{ID}");
        assert!(reference(&name, "contoso", "mailboxes").is_some());
        assert!(reference(&name, "fabrikam", "mailboxes").is_none());
        assert!(reference(&name, "contoso", "queues").is_none());
        assert!(reference(&format!("{name}/x"), "contoso", "mailboxes").is_none());
        assert!(reference(&name.to_uppercase(), "contoso", "mailboxes").is_none());
        let upper = format!("organizations/contoso/mailboxes/{}", ID.to_uppercase());
        assert_eq!(reference(&upper, "contoso", "mailboxes"), reference(&name, "contoso", "mailboxes"));
    }

    #[test]
    fn malformed_organization_name_is_refused() {
        assert_eq!(organization_of("organizations/contoso/mailboxes/1"), Some("contoso"));
        for wrong in ["", "organizations/", "organizations/Contoso", "organizations/-a", "contoso"] {
            assert_eq!(organization_of(wrong), None, "{wrong}");
        }
        assert!(organization("name", "organizations/contoso").is_ok());
        assert!(organization("name", "organizations/contoso/").is_err());
    }
}
