//! Read masks: which fields of a record an answer has.
//!
//! A mask names fields as the contract does: attributes, `etag`, `create_time`, `update_time`, and `name`, which every answer has. The
//! mask of everything costs nothing to make, to ask and to copy.

use std::sync::Arc;

use crate::{
    record::{Problem, Record, Violation},
    schema::{Attribute, Entity, Kind},
};

/// How many paths a mask may have: many times what the largest entity has fields.
pub const PATHS_MAX: usize = 256;

/// Which fields of a record are wanted. The default is all of them.
#[derive(Clone, Debug, Default)]
pub struct ReadMask(Option<Arc<Fields>>);

#[derive(Debug, Default)]
struct Fields {
    etag: bool,
    create_time: bool,
    update_time: bool,
    /// By index of the entity's attributes: whether it is wanted.
    wanted: Vec<bool>,
    /// By index of the entity's attributes: whether its column has to be read, for itself or for the attribute that reports on it.
    read: Vec<bool>,
}

impl ReadMask {
    /// The mask of these paths; of none, or of `*`, all fields.
    ///
    /// # Errors
    /// Everything that is wrong with the paths. A path that names nothing is the caller's text and isn't repeated.
    pub fn parse<'a>(
        paths: impl ExactSizeIterator<Item = &'a str>,
        entity: &Entity,
    ) -> Result<ReadMask, Vec<Violation>> {
        if paths.len() > PATHS_MAX {
            return Err(vec![Violation::new(FIELD, Problem::TooMany { limit: PATHS_MAX })]);
        }
        let mut everything = paths.len() == 0;
        let mut violations = Vec::new();
        let mut fields = Fields { wanted: vec![false; entity.attributes.len()], ..Fields::default() };
        for path in paths {
            let attribute = entity.attributes.iter().zip(&mut fields.wanted).find(|(known, _)| known.name == path);
            match (path, attribute) {
                ("*", _) => everything = true,
                ("name", _) => {}
                ("etag", _) => fields.etag = true,
                ("create_time", _) => fields.create_time = true,
                ("update_time", _) => fields.update_time = true,
                (_, Some((attribute, wanted))) if !attribute.encrypted => *wanted = true,
                (_, Some((attribute, _))) => {
                    note(&mut violations, Problem::encrypted(entity, attribute));
                }
                (_, None) => note(&mut violations, Problem::NoSuchField),
            }
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        if everything {
            return Ok(ReadMask::default());
        }
        let is_wanted = |other: &Attribute| {
            entity.attributes.iter().zip(&fields.wanted).any(|(attribute, wanted)| {
                let reports = matches!(&attribute.kind, Kind::ReportsSet { attribute } if *attribute == other.name);
                *wanted && (reports || attribute.name == other.name)
            })
        };
        fields.read = entity.attributes.iter().map(is_wanted).collect();
        Ok(ReadMask(Some(Arc::new(fields))))
    }

    /// Whether the etag is wanted.
    #[must_use]
    pub fn has_etag(&self) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.etag)
    }

    /// Whether the time of the creation is wanted.
    #[must_use]
    pub fn has_create_time(&self) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.create_time)
    }

    /// Whether the time of the last change is wanted.
    #[must_use]
    pub fn has_update_time(&self) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.update_time)
    }

    /// Whether the column of the attribute with this index has to be read.
    pub(crate) fn reads(&self, index: usize) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.read.get(index).copied().unwrap_or_default())
    }

    /// Takes the values out of a record that are not wanted.
    pub(crate) fn apply(&self, record: &mut Record) {
        if let Some(fields) = &self.0 {
            for (value, _) in record.values.iter_mut().zip(&fields.wanted).filter(|(_, wanted)| !**wanted) {
                *value = None;
            }
        }
    }
}

/// Each problem once, so that the answer to a mask is no longer than the schema.
fn note(violations: &mut Vec<Violation>, problem: Problem) {
    if violations.iter().all(|violation| violation.problem != problem) {
        violations.push(Violation::new(FIELD, problem));
    }
}

const FIELD: &str = "read_mask";
