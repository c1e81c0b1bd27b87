//! Attempts to open a file with a text of its key, counted durably in the configuration database by the UUID in the file.
//!
//! An attempt is counted before the key is derived, so that the quota limits guesses. A right text takes back only its own
//! attempt: the ring in a file isn't trusted, so a forged file with a known key must not reset the count of the guesses at
//! a real one.

use crate::{
    deployment::Deployment,
    fail_point::FailPoint,
    id::OrganizationId,
    key::{
        error::KeyError,
        quota::{RESTORE_INTERVAL_SECONDS, quota},
    },
    store::{Commit, CommitError, Comparison},
    table::{
        configuration::CopyAttemptRow,
        declare::{TableRow as _, read_each},
    },
};

/// A counted attempt.
pub(super) struct Attempt {
    source: OrganizationId,
    number: i64,
}

impl Attempt {
    /// Counts an attempt, if the quota allows one.
    ///
    /// # Errors
    /// [`KeyError::RestoreQuota`], [`KeyError::Store`].
    pub(super) async fn count(deployment: &Deployment, source: OrganizationId) -> Result<Attempt, KeyError> {
        let limit = deployment.key_limits.restores_per_quarter_hour;
        let configuration = &*deployment.ports.configuration;
        loop {
            let columns = (CopyAttemptRow::number(), CopyAttemptRow::time());
            let counted = read_each(configuration, columns, CopyAttemptRow::source().is(source)).await?;
            let (numbers, times): (Vec<_>, Vec<_>) = counted.into_iter().flatten().unzip();
            // After the read, so that no counted attempt is later: those of the future don't count.
            let now = deployment.now();
            quota(&times, now, limit, RESTORE_INTERVAL_SECONDS)
                .map_err(|retry_after_seconds| KeyError::RestoreQuota { limit, retry_after_seconds })?;
            let number = numbers.into_iter().fold(0, i64::max).saturating_add(1);
            let expired = deployment.seconds_ago(RESTORE_INTERVAL_SECONDS.into());
            let steps = vec![
                CopyAttemptRow::delete(CopyAttemptRow::time().compares(Comparison::Less, expired)),
                CopyAttemptRow { source, number, time: now }.insert(),
            ];
            match configuration.commit(Commit::of(steps)).await {
                Ok(()) => {
                    deployment.reached(FailPoint::CopyCounted);
                    return Ok(Attempt { source, number });
                }
                // Another import of the same file has counted its attempt in between.
                Err(CommitError::Refused { .. }) => {}
                Err(error @ (CommitError::Unavailable(_) | CommitError::Unknown(_))) => return Err(error.into()),
            }
        }
    }

    /// Takes the attempt back, because its text was right.
    ///
    /// # Errors
    /// [`KeyError::Store`].
    pub(super) async fn take_back(self, deployment: &Deployment) -> Result<(), KeyError> {
        let Attempt { source, number } = self;
        let own = CopyAttemptRow::source().is(source).and(CopyAttemptRow::number().is(number));
        deployment.ports.configuration.commit(Commit::of(vec![CopyAttemptRow::delete(own)])).await?;
        deployment.reached(FailPoint::CopyOpened);
        Ok(())
    }
}
