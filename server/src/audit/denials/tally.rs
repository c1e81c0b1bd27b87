//! Counts refused calls until they are in a trail, and decides which are recorded at once.
//!
//! It is pure: it has no clock, trail or database. Every refusal is counted. A budget per identity bounds the number of records, so a
//! caller can neither flood a trail nor displace another caller's refusals.

use std::collections::{BTreeMap, HashMap, HashSet};

use sealward_core::{
    audit::AuditAction,
    identity::{Caller, Identity},
    name::OrganizationName,
};

/// The number of identities that are counted separately within an interval. All further identities share one entry and one budget. The
/// number is far above the identities of a deployment; each takes about a kilobyte.
pub(super) const IDENTITIES_MAX: usize = 10_000;

/// The number of counts per identity and interval for trails of organizations, one for each action in each organization. Beyond it,
/// refusals are counted in the deployment's trail only.
pub(super) const ORGANIZATION_COUNTS_MAX: usize = 256;

/// The number of subjects that a count names. It is enough to see what a caller attempted, and keeps a record below about a kilobyte.
pub(super) const SUBJECTS_MAX: usize = 8;

/// A refused call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The caller.
    pub(crate) caller: Caller,
    /// The attempted action.
    pub(crate) action: AuditAction,
    /// The reason of the returned error.
    pub(crate) outcome: &'static str,
    /// The target: an organization, a record or a method.
    pub(crate) subject: String,
    /// The organization, if it exists.
    pub(crate) organization: Option<OrganizationName>,
    /// Further details for the record.
    pub(crate) details: String,
}

/// Counted refusals that are not in a trail yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repeated {
    /// The organization whose trail gets the record. `None` for the deployment's own trail.
    pub(super) organization: Option<OrganizationName>,
    /// The last of them. It has no caller if several identities share the count.
    pub(super) last: Refused,
    /// Whether the count belongs to one identity.
    pub(super) is_of_one_identity: bool,
    /// The number of refusals.
    pub(super) count: u64,
    /// Some of their subjects.
    pub(super) subjects: Vec<String>,
    /// The number of refusals with other subjects.
    pub(super) others: u64,
}

impl Repeated {
    /// The subject of the record: the common subject, or the resource that contains all subjects.
    pub(super) fn subject(&self) -> String {
        match (&self.organization, self.subjects.as_slice()) {
            (_, [subject]) if self.others == 0 => subject.clone(),
            (Some(organization), _) => organization.resource_name(),
            (None, _) => "organizations".to_owned(),
        }
    }

    /// The details of the record.
    pub(super) fn details(&self) -> String {
        let mut details = format!("{}; repeated {} times", self.last.details, self.count);
        if self.subjects.len() > 1 || self.others > 0 {
            details.push_str(": ");
            details.push_str(&self.subjects.join(", "));
        }
        if self.others > 0 {
            details.push_str(&format!(" and {} more calls", self.others));
        }
        if !self.is_of_one_identity {
            details.push_str(&format!("; of identities beyond the first {IDENTITIES_MAX}"));
        }
        details
    }
}

/// How a refusal was handled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is the first of its kind: record it now.
    Record(Box<Refused>),
    /// It was counted, because its kind is already recorded.
    Counted,
    /// It was counted, because its identity has used up its budget.
    OverBudget,
}

/// Refusals since the last [`Tallies::take_all`].
#[derive(Debug)]
pub(super) struct Tallies {
    budget: u32,
    /// By identity; `None` for all beyond the first [`IDENTITIES_MAX`].
    identities: HashMap<Option<Identity>, OfIdentity>,
}

#[derive(Debug)]
struct OfIdentity {
    /// The remaining budget of immediate records.
    left: u32,
    /// The kinds that were recorded at once, limited by the budget.
    recorded: HashSet<(&'static str, &'static str, String)>,
    counts: BTreeMap<Kind, Repeated>,
    organization_counts: usize,
}

/// The trail, the action and the reason.
type Kind = (Option<OrganizationName>, &'static str, &'static str);

impl Tallies {
    /// An empty tally. Each identity has a budget of `budget` immediate records per interval.
    pub(super) fn new(budget: u32) -> Self {
        Tallies { budget, identities: HashMap::new() }
    }

    /// Adds a refusal.
    pub(super) fn take(&mut self, refused: Refused) -> Taken {
        let of = self.of(&refused.caller.identity);
        let kind = (refused.action.name(), refused.outcome, refused.subject.clone());
        if of.recorded.contains(&kind) {
            of.count(refused);
            return Taken::Counted;
        }
        if of.left == 0 {
            of.count(refused);
            return Taken::OverBudget;
        }
        of.left -= 1;
        of.recorded.insert(kind);
        Taken::Record(Box::new(refused))
    }

    /// Counts a refusal that can't be recorded now.
    pub(super) fn count(&mut self, refused: Refused) {
        self.of(&refused.caller.identity).count(refused);
    }

    /// Returns refusals that could not be recorded to the count.
    pub(super) fn put_back(&mut self, repeated: Repeated) {
        let of = self.of(&repeated.last.caller.identity);
        let kind = (repeated.organization.clone(), repeated.last.action.name(), repeated.last.outcome);
        match of.counts.get_mut(&kind) {
            None => {
                of.organization_counts += usize::from(repeated.organization.is_some());
                of.counts.insert(kind, repeated);
            }
            Some(known) => {
                known.count = known.count.saturating_add(repeated.count);
                known.others = known.others.saturating_add(repeated.others);
                for subject in repeated.subjects {
                    known.name(subject);
                }
            }
        }
    }

    /// Takes all counts, and starts a new interval.
    pub(super) fn take_all(&mut self) -> Vec<Repeated> {
        std::mem::take(&mut self.identities).into_values().flat_map(|of| of.counts.into_values()).collect()
    }

    fn of(&mut self, identity: &Identity) -> &mut OfIdentity {
        let key = Some(identity.clone());
        let has_place = self.identities.len() < IDENTITIES_MAX || self.identities.contains_key(&key);
        let budget = self.budget;
        let new =
            || OfIdentity { left: budget, recorded: HashSet::new(), counts: BTreeMap::new(), organization_counts: 0 };
        self.identities.entry(key.filter(|_| has_place)).or_insert_with(new)
    }
}

impl OfIdentity {
    /// Counts a refusal for the deployment's trail, and for the organization's trail if it exists.
    fn count(&mut self, refused: Refused) {
        if let Some(organization) = refused.organization.clone() {
            let kind = (Some(organization), refused.action.name(), refused.outcome);
            if self.organization_counts < ORGANIZATION_COUNTS_MAX || self.counts.contains_key(&kind) {
                self.organization_counts += usize::from(!self.counts.contains_key(&kind));
                self.count_as(kind, refused.clone());
            }
        }
        self.count_as((None, refused.action.name(), refused.outcome), refused);
    }

    fn count_as(&mut self, kind: Kind, refused: Refused) {
        let organization = kind.0.clone();
        let repeated = self.counts.entry(kind).or_insert_with(|| Repeated {
            organization,
            last: refused.clone(),
            is_of_one_identity: true,
            count: 0,
            subjects: Vec::new(),
            others: 0,
        });
        repeated.count = repeated.count.saturating_add(1);
        repeated.is_of_one_identity &= repeated.last.caller.identity == refused.caller.identity;
        repeated.name(refused.subject.clone());
        repeated.last = refused;
    }
}

impl Repeated {
    fn name(&mut self, subject: String) {
        if self.subjects.contains(&subject) {
            return;
        }
        if self.subjects.len() < SUBJECTS_MAX {
            self.subjects.push(subject);
        } else {
            self.others = self.others.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(identity: &str, subject: &str, organization: Option<&str>) -> Refused {
        Refused {
            caller: Caller {
                identity: identity.parse::<Identity>().unwrap().into(),
                peer: None,
                hop: None,
                call_id: subject.into(),
            },
            action: AuditAction::RevealAttributes,
            outcome: "PRIVILEGE_MISSING",
            subject: subject.to_owned(),
            organization: organization.map(|name| name.parse().unwrap()),
            details: "lacks prvRevealAttributes".to_owned(),
        }
    }

    #[test]
    fn first_refusal_of_a_kind_is_recorded_and_repeats_are_counted() {
        let mut tallies = Tallies::new(20);
        let first = refused("cn:a", "organizations/x", None);
        assert_eq!(tallies.take(first.clone()), Taken::Record(Box::new(first.clone())));
        for _ in 0..5 {
            assert_eq!(tallies.take(first.clone()), Taken::Counted);
        }
        let all = tallies.take_all();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].count, all[0].subject().as_str()), (5, "organizations/x"));
        assert_eq!(all[0].details(), "lacks prvRevealAttributes; repeated 5 times");
        assert_eq!(tallies.take_all(), []);
        assert_eq!(tallies.take(first.clone()), Taken::Record(Box::new(first)));
    }

    #[test]
    fn invented_names_do_not_hide_a_refusal() {
        let mut tallies = Tallies::new(20);
        let names = (0..30_000).map(|number| format!("organizations/made-up-{number}"));
        let recorded = names.filter(|name| matches!(tallies.take(refused("cn:a", name, None)), Taken::Record(_)));
        assert_eq!(recorded.count(), 20);
        // Another caller has its own budget.
        let other = refused("cn:b", "organizations/real", Some("real"));
        assert_eq!(tallies.take(other.clone()), Taken::Record(Box::new(other)));
        // The same caller has no budget left, but is still counted in the organization's trail.
        assert_eq!(tallies.take(refused("cn:a", "organizations/real", Some("real"))), Taken::OverBudget);
        let all = tallies.take_all();
        let of = |organization: Option<&str>| {
            all.iter()
                .find(|repeated| repeated.organization.as_ref().map(OrganizationName::as_str) == organization)
                .unwrap()
        };
        assert_eq!(all.len(), 2);
        assert_eq!((of(Some("real")).count, of(Some("real")).subject().as_str()), (1, "organizations/real"));
        let own = of(None);
        assert_eq!(
            (own.count, own.subjects.len(), own.others, own.subject().as_str()),
            (29_981, 8, 29_973, "organizations")
        );
        assert!(own.details().ends_with(" and 29973 more calls") && own.details().len() < 1_000, "{}", own.details());
    }

    #[test]
    fn identities_beyond_the_limit_share_one_count() {
        let mut tallies = Tallies::new(1);
        for number in 0..IDENTITIES_MAX {
            assert!(matches!(tallies.take(refused(&format!("cn:{number}"), "s", None)), Taken::Record(_)));
        }
        assert!(matches!(tallies.take(refused("cn:x", "s", None)), Taken::Record(_)));
        assert_eq!(tallies.take(refused("cn:y", "s", None)), Taken::Counted);
        assert_eq!(tallies.take(refused("cn:x", "s", None)), Taken::Counted);
        let all = tallies.take_all();
        assert_eq!((all.len(), all[0].count, all[0].is_of_one_identity), (1, 2, false));
        assert!(all[0].details().ends_with("; of identities beyond the first 10000"));
    }

    #[test]
    fn organization_trail_gets_limited_counts_and_deployment_trail_all() {
        let mut tallies = Tallies::new(0);
        for number in 0..=ORGANIZATION_COUNTS_MAX {
            tallies.take(refused("cn:a", &format!("organizations/o{number}"), Some(&format!("o{number}"))));
        }
        let all = tallies.take_all();
        let of_organizations = all.iter().filter(|repeated| repeated.organization.is_some()).count();
        assert_eq!(of_organizations, ORGANIZATION_COUNTS_MAX);
        let own = all.iter().find(|repeated| repeated.organization.is_none()).unwrap();
        assert_eq!(usize::try_from(own.count).unwrap(), ORGANIZATION_COUNTS_MAX + 1);
    }

    #[test]
    fn counts_that_were_not_recorded_are_added_to_later_ones() {
        let mut tallies = Tallies::new(0);
        for number in 0..10 {
            tallies.take(refused("cn:a", &format!("s{number}"), None));
        }
        let failed = tallies.take_all().remove(0);
        tallies.take(refused("cn:a", "s0", None));
        tallies.put_back(failed);
        let all = tallies.take_all();
        assert_eq!((all.len(), all[0].count, all[0].subjects.len()), (1, 11, 8));
    }
}
