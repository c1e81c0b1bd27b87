//! Fields that single requests and batches have in common.

use sealward_core::{
    deployment::Deployment,
    id::{RecordId, RequestId},
    random::Random,
    record::{Mode, create::IdOrigin},
    schema::Entity,
    violation::{Problem, Violation},
};

use crate::rpc::codec::WriteOptions;

/// The given id, or a new one if the entity allows to omit it. `random` is the deployment's, or a pool of it.
pub(super) fn new_id(
    deployment: &Deployment,
    random: &dyn Random,
    entity: &Entity,
    given: &str,
) -> Result<(RecordId, IdOrigin), Violation> {
    let field = || format!("{}_id", entity.singular);
    if !given.is_empty() {
        let id = given.parse().map_err(|_| Violation::new(field(), Problem::NotAUuid))?;
        return Ok((id, IdOrigin::Caller));
    }
    if entity.id_required {
        return Err(Violation::new(field(), Problem::Required));
    }
    Ok((RecordId::new_v7(deployment.now(), random), IdOrigin::Service))
}

/// The idempotency key; `None` without one.
pub(super) fn request_id(given: &str) -> Result<Option<RequestId>, Violation> {
    if given.is_empty() {
        return Ok(None);
    }
    given.parse().map(Some).map_err(|_| Violation::new("request_id", Problem::NotAUuid))
}

/// The mode of a write. A dry run ignores the idempotency key.
pub(super) fn mode(write: &WriteOptions) -> Result<Mode, Violation> {
    let WriteOptions { validate_only, request_id } = write;
    if *validate_only {
        return Ok(Mode::ValidateOnly);
    }
    Ok(self::request_id(request_id)?.map_or(Mode::Execute, Mode::ExecuteOnce))
}

/// The revision in an etag; `None` without an etag.
pub(super) fn revision(field: &str, etag: &str) -> Result<Option<i64>, Violation> {
    if etag.is_empty() {
        return Ok(None);
    }
    match etag.parse::<i64>() {
        Ok(revision) if revision > 0 && revision.to_string() == etag => Ok(Some(revision)),
        Ok(_) | Err(_) => Err(Violation::new(field, Problem::NotAnEtag)),
    }
}
