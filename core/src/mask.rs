//! Masks: the fields that a response contains, and errors for paths that an update mask can't contain.
//!
//! A mask uses the field names of the contract: attributes, `etag`, `create_time`, `update_time`, `created_by`,
//! `modified_by` and `name`. Every response contains `name`. The mask of all fields needs no allocation.

use std::sync::Arc;

use crate::{
    record::content::Record,
    schema::entity::{Attribute, Entity},
    violation::{Problem, Violation},
};

/// The fields of a record that the caller requested. The default is all of them.
#[derive(Clone, Debug, Default)]
pub struct ReadMask(Option<Arc<Fields>>);

#[derive(Debug, Default)]
struct Fields {
    etag: bool,
    create_time: bool,
    update_time: bool,
    created_by: bool,
    modified_by: bool,
    /// Whether the attribute is requested, by index in the entity.
    requested: Vec<bool>,
    /// Whether the column of the attribute must be read, for itself or for the attribute that reports on it. By index
    /// in the entity.
    read: Vec<bool>,
}

impl ReadMask {
    /// Parses at most `paths_max` paths. No paths, or the path `*`, mean all fields.
    ///
    /// # Errors
    /// All problems of the paths.
    pub fn parse<'a>(
        paths: impl ExactSizeIterator<Item = &'a str>,
        paths_max: usize,
        entity: &Entity,
    ) -> Result<ReadMask, Vec<Violation>> {
        if paths.len() > paths_max {
            return Err(vec![Violation::new(FIELD, Problem::TooMany { limit: paths_max })]);
        }
        let mut everything = paths.len() == 0;
        let mut violations = Vec::new();
        let mut fields = Fields { requested: vec![false; entity.attributes.len()], ..Fields::default() };
        for path in paths {
            let attribute = entity.attributes.iter().zip(&mut fields.requested).find(|(known, _)| known.name == path);
            match (path, attribute) {
                ("*", _) => everything = true,
                ("name", _) => {}
                ("etag", _) => fields.etag = true,
                ("create_time", _) => fields.create_time = true,
                ("update_time", _) => fields.update_time = true,
                ("created_by", _) => fields.created_by = true,
                ("modified_by", _) => fields.modified_by = true,
                (CLEARED_ATTRIBUTES, None) if has_cleared_attributes(entity) => {}
                // An encrypted attribute is null in every response. It is a valid path, and its column isn't read.
                (_, Some((attribute, requested))) => *requested = !attribute.encrypted,
                (_, None) => note(&mut violations, Problem::no_such_field(path, fields_of(entity))),
            }
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        if everything {
            return Ok(ReadMask::default());
        }
        let is_wanted = |other: &Attribute| {
            entity.attributes.iter().zip(&fields.requested).any(|(attribute, requested)| {
                *requested && (attribute.name == other.name || attribute.reports_set() == Some(&other.name))
            })
        };
        fields.read = entity.attributes.iter().map(is_wanted).collect();
        Ok(ReadMask(Some(Arc::new(fields))))
    }

    /// Returns whether all fields are requested.
    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// Returns whether the etag is requested.
    #[must_use]
    pub fn has_etag(&self) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.etag)
    }

    /// Returns whether the time of creation is requested.
    #[must_use]
    pub fn has_create_time(&self) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.create_time)
    }

    /// Returns whether the time of the last change is requested.
    #[must_use]
    pub fn has_update_time(&self) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.update_time)
    }

    /// Returns whether the identity that created the record is requested.
    #[must_use]
    pub fn has_created_by(&self) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.created_by)
    }

    /// Returns whether the identity that last changed the record is requested.
    #[must_use]
    pub fn has_modified_by(&self) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.modified_by)
    }

    /// Returns whether the column of the attribute with this index must be read.
    pub(crate) fn reads(&self, index: usize) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.read.get(index).copied().unwrap_or_default())
    }

    /// Returns whether the attribute with this index is requested.
    pub(crate) fn requests(&self, index: usize) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.requested.get(index).copied().unwrap_or_default())
    }

    /// Removes values that weren't requested from a record.
    pub(crate) fn apply(&self, record: &mut Record) {
        if let Some(fields) = &self.0 {
            for (value, _) in record.values.iter_mut().zip(&fields.requested).filter(|(_, requested)| !**requested) {
                *value = None;
            }
        }
    }
}

/// Returns the problem of an update mask's path that doesn't name an attribute of the entity.
#[must_use]
pub fn not_settable(path: &str, entity: &Entity) -> Violation {
    let of_field = |problem| Violation::new(format!("{}.{path}", entity.singular), problem);
    match path {
        "name" => of_field(Problem::Immutable),
        CLEARED_ATTRIBUTES if has_cleared_attributes(entity) => of_field(Problem::OutputOnly),
        _ if SYSTEM_FIELDS.contains(&path) => of_field(Problem::OutputOnly),
        _ => {
            let attributes = entity.attributes.iter().map(|attribute| attribute.name.as_str());
            Violation::new("update_mask", Problem::no_such_field(path, attributes))
        }
    }
}

/// Returns whether an update of this entity can clear attributes that the caller didn't name.
fn has_cleared_attributes(entity: &Entity) -> bool {
    entity.attributes.iter().any(|attribute| !attribute.sent_to.is_empty())
}

/// Returns every field that a mask can contain.
fn fields_of(entity: &Entity) -> impl Iterator<Item = &str> {
    let attributes = entity.attributes.iter().map(|attribute| attribute.name.as_str());
    SYSTEM_FIELDS.into_iter().chain(attributes)
}

/// The field that lists the attributes that an update cleared. It is empty in the response to a read.
const CLEARED_ATTRIBUTES: &str = "cleared_attributes";

/// The fields that every record has in addition to its attributes.
const SYSTEM_FIELDS: [&str; 6] = ["name", "etag", "create_time", "update_time", "created_by", "modified_by"];

/// Adds each problem once.
fn note(violations: &mut Vec<Violation>, problem: Problem) {
    if violations.iter().all(|violation| violation.problem != problem) {
        violations.push(Violation::new(FIELD, problem));
    }
}

const FIELD: &str = "read_mask";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{RecordId, Timestamp},
        schema::{testing::thing, value::Value},
    };

    fn parse(paths: &[&str]) -> Result<ReadMask, Vec<Problem>> {
        let parsed = ReadMask::parse(paths.iter().copied(), 256, &thing());
        parsed.map_err(|violations| violations.into_iter().map(|violation| violation.problem).collect())
    }

    /// Returns the names of the attributes whose columns are read, and of those that have a value after the mask is
    /// applied.
    fn attributes(mask: &ReadMask) -> [Vec<String>; 2] {
        let entity = thing();
        let names = |is: &dyn Fn(usize) -> bool| {
            let indexes = (0..entity.attributes.len()).filter(|index| is(*index));
            indexes.map(|index| entity.attributes[index].name.clone()).collect()
        };
        let time = Timestamp::from_unix_micros(0);
        let mut record = Record {
            id: RecordId::from_bytes([0; 16]),
            revision: 1,
            create_time: time,
            update_time: time,
            created_by: None,
            modified_by: None,
            values: vec![Some(Value::Boolean(true)); entity.attributes.len()],
        };
        mask.apply(&mut record);
        [names(&|index| mask.reads(index)), names(&|index| record.values[index].is_some())]
    }

    #[test]
    fn empty_mask_and_star_select_everything() {
        for paths in [&[][..], &["*"], &["name_1", "*"]] {
            let mask = parse(paths).unwrap();
            let [read, shown] = attributes(&mask);
            assert_eq!((read.len(), shown.len()), (thing().attributes.len(), thing().attributes.len()));
            assert!(mask.has_etag() && mask.has_create_time() && mask.has_update_time());
            assert!(mask.has_created_by() && mask.has_modified_by());
        }
    }

    #[test]
    fn mask_reads_only_its_fields() {
        let mask = parse(&["name", "etag", "name_1", "name_1"]).unwrap();
        assert_eq!(attributes(&mask), [["name_1"], ["name_1"]]);
        assert!(mask.has_etag() && !mask.has_create_time() && !mask.has_update_time());
        assert!(!mask.has_created_by() && !mask.has_modified_by());
        let identities = parse(&["created_by", "modified_by"]).unwrap();
        assert!(identities.has_created_by() && identities.has_modified_by() && !identities.has_etag());
        assert_eq!(attributes(&parse(&["name"]).unwrap()), [[""; 0], [""; 0]]);
    }

    #[test]
    fn mask_reads_whether_a_secret_is_set_without_the_secret() {
        let mask = parse(&["is_secret_set"]).unwrap();
        assert_eq!(attributes(&mask), [["secret", "is_secret_set"].as_slice(), &["is_secret_set"]]);
    }

    #[test]
    fn each_wrong_path_is_reported_once_with_a_suggestion() {
        let wrong = parse(&["nothing", "", "nothing", "thing.name_1", "createTime", "a b", "*"]).unwrap_err();
        let texts: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        let wanted = [
            "`nothing` is not a field of this resource",
            "this path, which doesn't look like a name, is not a field of this resource",
            "`thing.name_1` is not a field of this resource; did you mean `name_1`?",
            "`createTime` is not a field of this resource; did you mean `create_time`?",
        ];
        assert_eq!(texts, wanted);
    }

    #[test]
    fn an_encrypted_attribute_is_a_valid_path_and_reads_nothing() {
        let mask = parse(&["secret", "name_1"]).unwrap();
        assert_eq!(attributes(&mask), [["name_1"], ["name_1"]]);
        assert_eq!(attributes(&parse(&["secret"]).unwrap()), [[""; 0], [""; 0]]);
    }

    #[test]
    fn mask_may_name_the_field_of_an_update_where_the_entity_has_one() {
        let mut entity = thing();
        let parse = |entity: &Entity| ReadMask::parse([CLEARED_ATTRIBUTES].into_iter(), 256, entity);
        assert!(parse(&entity).is_err());
        let secret = entity.position("secret").unwrap();
        entity.attributes[secret].sent_to = vec!["name_1".to_owned()];
        assert!(!parse(&entity).unwrap().has_etag());
    }

    #[test]
    fn output_only_fields_are_not_reported_as_unknown_paths() {
        let mut entity = thing();
        let reason = |entity: &Entity, path: &str| {
            let Violation { field, problem } = not_settable(path, entity);
            (field, problem.reason().to_owned())
        };
        for path in SYSTEM_FIELDS {
            let wanted = if path == "name" { "IMMUTABLE" } else { "OUTPUT_ONLY" };
            assert_eq!(reason(&entity, path), (format!("thing.{path}"), wanted.to_owned()));
        }
        let unknown = ("update_mask".to_owned(), "NO_SUCH_FIELD".to_owned());
        for path in ["nothing", "", "*", "thing.etag", CLEARED_ATTRIBUTES] {
            assert_eq!(reason(&entity, path), unknown, "{path}");
        }
        let secret = entity.position("secret").unwrap();
        entity.attributes[secret].sent_to = vec!["name_1".to_owned()];
        assert_eq!(reason(&entity, CLEARED_ATTRIBUTES).1, "OUTPUT_ONLY");
    }

    #[test]
    fn mask_is_limited_in_paths() {
        assert!(parse(&["name"; 256]).is_ok());
        assert_eq!(parse(&["name"; 257]).unwrap_err(), [Problem::TooMany { limit: 256 }]);
    }
}
