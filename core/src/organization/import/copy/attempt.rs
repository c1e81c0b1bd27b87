//! Attempts to open a file with a text of its key, counted durably in the configuration database by the UUID in the file.
//!
//! An attempt is counted before the key is derived, so that the quota limits guesses. A right text takes back only its own
//! attempt: the ring in a file isn't trusted, so a forged file with a known key must not reset the count of the guesses at
//! a real one.
//!
//! Imports of the same file may count at the same time, and take attempts back meanwhile. So each checks the quota again after it has
//! counted: the last of them sees all others.

use crate::{
    deployment::Deployment,
    fail_point::FailPoint,
    id::{OrganizationId, Timestamp},
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
        let quota = |times: &[Timestamp], limit_of_times| {
            quota(times, deployment.now(), limit_of_times, RESTORE_INTERVAL_SECONDS)
                .map_err(|retry_after_seconds| KeyError::RestoreQuota { limit, retry_after_seconds })
        };
        loop {
            let (numbers, times) = counted(deployment, source).await?;
            quota(&times, limit)?;
            let attempt = Attempt { source, number: numbers.into_iter().fold(0, i64::max).saturating_add(1) };
            match attempt.store(deployment).await {
                Ok(()) => {
                    deployment.reached(FailPoint::CopyCounted);
                    let (_, times) = counted(deployment, source).await?;
                    // One more, because this attempt is among them. 0 means no limit.
                    let with_this = if limit == 0 { 0 } else { limit.saturating_add(1) };
                    if let Err(error) = quota(&times, with_this) {
                        attempt.take_back(deployment).await?;
                        return Err(error);
                    }
                    return Ok(attempt);
                }
                // Another import of the same file has counted its attempt in between.
                Err(CommitError::Refused { .. }) => {}
                Err(error @ (CommitError::Unavailable(_) | CommitError::Unknown(_))) => return Err(error.into()),
            }
        }
    }

    async fn store(&self, deployment: &Deployment) -> Result<(), CommitError> {
        let expired = deployment.seconds_ago(RESTORE_INTERVAL_SECONDS.into());
        let row = CopyAttemptRow { source: self.source, number: self.number, time: deployment.now() };
        let steps =
            vec![CopyAttemptRow::delete(CopyAttemptRow::time().compares(Comparison::Less, expired)), row.insert()];
        deployment.ports.configuration.commit(Commit::of(steps)).await
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

/// The numbers and times of the attempts that are counted.
async fn counted(deployment: &Deployment, source: OrganizationId) -> Result<(Vec<i64>, Vec<Timestamp>), KeyError> {
    let columns = (CopyAttemptRow::number(), CopyAttemptRow::time());
    let rows = read_each(&*deployment.ports.configuration, columns, CopyAttemptRow::source().is(source)).await?;
    Ok(rows.into_iter().flatten().unzip())
}
