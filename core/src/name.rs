//! Resource names: `organizations/{organization}` and `organizations/{organization}/{collection}/{id}`.
//!
//! A name is parsed once, where it enters the system. This file doesn't know whether a resource exists.

use std::{fmt, str::FromStr, sync::Arc};

use crate::id::RecordId;

/// The name of an organization: 1 to 63 lower-case letters, digits and hyphens, without a hyphen at the start or end.
/// Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrganizationName(Arc<str>);

impl OrganizationName {
    /// Returns the name without a prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the resource name of the organization: `organizations/{organization}`.
    #[must_use]
    pub fn resource_name(&self) -> String {
        format!("{COLLECTION}/{self}")
    }

    /// Returns the organization in the name of any resource, whatever follows it. It determines the permission before
    /// the rest is checked.
    #[must_use]
    pub fn in_resource_name(name: &str) -> Option<Self> {
        let (collection, rest) = name.split_once('/')?;
        let organization = rest.split('/').next()?;
        if collection == COLLECTION { organization.parse().ok() } else { None }
    }

    /// Parses `organizations/{organization}`.
    #[must_use]
    pub fn from_resource_name(name: &str) -> Option<Self> {
        let (collection, organization) = name.split_once('/')?;
        if collection == COLLECTION { organization.parse().ok() } else { None }
    }
}

/// The text isn't a valid name of an organization. The error doesn't contain the text, which may be any input of a
/// caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the name of an organization (1 to 63 lower-case letters, digits and hyphens, with no hyphen at the beginning or end)"
)]
pub struct InvalidOrganizationName;

impl FromStr for OrganizationName {
    type Err = InvalidOrganizationName;

    fn from_str(text: &str) -> Result<Self, InvalidOrganizationName> {
        let is_valid = (1..=63).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if is_valid { Ok(Self(text.into())) } else { Err(InvalidOrganizationName) }
    }
}

/// Formats the name without a prefix.
impl fmt::Display for OrganizationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a record. Its text form is the resource name: `organizations/{organization}/{collection}/{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordName<'a> {
    /// The organization.
    pub organization: OrganizationName,
    /// The collection of the record's entity.
    pub collection: &'a str,
    /// The id of the record.
    pub id: RecordId,
}

impl<'a> RecordName<'a> {
    /// Parses the name of a record. The id must be in canonical form.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        Self::parse_with(name, |id| id.parse().ok())
    }

    /// Parses the name of a record as used in attributes and filters, where the id may be in upper or lower case.
    #[must_use]
    pub fn parse_reference(name: &'a str) -> Option<Self> {
        Self::parse_with(name, RecordId::from_reference)
    }

    fn parse_with(name: &'a str, parse_id: impl FnOnce(&str) -> Option<RecordId>) -> Option<Self> {
        let mut parts = name.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(COLLECTION), Some(organization), Some(collection), Some(id), None) => {
                Some(RecordName { organization: organization.parse().ok()?, collection, id: parse_id(id)? })
            }
            _ => None,
        }
    }

    /// Returns the id if the record is in this collection of this organization.
    #[must_use]
    pub fn id_in(&self, organization: &OrganizationName, collection: &str) -> Option<RecordId> {
        (self.organization == *organization && self.collection == collection).then_some(self.id)
    }
}

impl fmt::Display for RecordName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{COLLECTION}/{}/{}/{}", self.organization, self.collection, self.id)
    }
}

/// The first segment of each resource name.
const COLLECTION: &str = "organizations";

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506";

    #[test]
    fn organization_name_has_1_to_63_lower_case_letters_digits_and_hyphens() {
        for name in ["a", "contoso", "0", "a-1", &"a".repeat(63)] {
            let parsed: OrganizationName = name.parse().unwrap();
            assert_eq!(
                (parsed.to_string(), parsed.resource_name()),
                (name.to_owned(), format!("organizations/{name}"))
            );
        }
        for wrong in ["", "-a", "a-", "Contoso", "a_b", "a/b", "a b", "é", &"a".repeat(64)] {
            assert_eq!(wrong.parse::<OrganizationName>(), Err(InvalidOrganizationName), "{wrong}");
        }
    }

    #[test]
    fn organization_is_found_in_a_name_whatever_follows() {
        let contoso: OrganizationName = "contoso".parse().unwrap();
        for name in ["organizations/contoso", "organizations/contoso/", "organizations/contoso/mailboxes/1"] {
            assert_eq!(OrganizationName::in_resource_name(name), Some(contoso.clone()), "{name}");
            let whole = OrganizationName::from_resource_name(name);
            assert_eq!(whole.is_some(), name == "organizations/contoso", "{name}");
        }
        for wrong in
            ["", "organizations", "organizations/", "organizations/Contoso", "organizations/-a", "contoso", "x/a"]
        {
            assert_eq!(OrganizationName::in_resource_name(wrong), None, "{wrong}");
            assert_eq!(OrganizationName::from_resource_name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn record_name_is_written_as_it_was_parsed() {
        let name = format!("organizations/contoso/mailboxes/{ID}");
        assert_eq!(RecordName::parse(&name).unwrap().to_string(), name);
        let upper = format!("organizations/contoso/mailboxes/{}", ID.to_uppercase());
        assert_eq!(RecordName::parse(&upper), None);
        assert_eq!(RecordName::parse_reference(&upper).unwrap().to_string(), name);
        for wrong in [format!("{name}/x"), format!("/{name}"), name.replace("contoso", "Contoso"), name.to_uppercase()]
        {
            assert_eq!(RecordName::parse_reference(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn record_of_another_organization_or_collection_has_no_id_here() {
        let name = format!("organizations/contoso/mailboxes/{ID}");
        let name = RecordName::parse(&name).unwrap();
        let (contoso, fabrikam) = ("contoso".parse().unwrap(), "fabrikam".parse().unwrap());
        assert!(name.id_in(&contoso, "mailboxes").is_some());
        assert!(name.id_in(&fabrikam, "mailboxes").is_none());
        assert!(name.id_in(&contoso, "queues").is_none());
    }
}
