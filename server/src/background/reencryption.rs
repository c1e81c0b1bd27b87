//! The re-encryption worker: runs one step after the other until none is left, the server drains or the key is missing.
//!
//! `sealward_core::key::reencrypt` decides on the steps. After a crash or a drain, the next start resumes the re-encryption.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sealward_core::{
    deployment::Deployment,
    key::{
        KeyError,
        reencrypt::{Advance, Reencryption, is_running},
        retire::{is_healed, keeps_former_keys, retire},
    },
    organization::{
        Organization,
        seen::check_rollback,
        work::{KeyWork, WorkError},
    },
};
use tracing::Instrument as _;

use crate::{
    call,
    config::limits::Limits,
    drain::Drain,
    telemetry::traces::{current, table},
};

/// The pause before a failed step is retried.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Runs steps until none is left.
pub(crate) async fn run(deployment: &Deployment, limits: &Limits, drain: &Drain, work: KeyWork) {
    let organization = work.organization().name.to_string();
    let mut steps = 0_u64;
    let mut reencryption = Reencryption::of(deployment, &work);
    while !drain.has_begun() {
        if work.is_lost() {
            tracing::warn!(organization, "re-encryption left to the server that has taken the organization's lock");
            return;
        }
        let begun = Instant::now();
        let has_failed = |advance: &Result<Advance, _>| advance.is_err().then_some("failed");
        match current::in_new(&table::KEY_REENCRYPT, has_failed, reencryption.advance()).await {
            Ok(Advance::Worked) => {
                steps += 1;
                rest(drain, limits.reencryption_rest(begun.elapsed())).await;
            }
            // A step without cells costs other callers nothing, so it needs no rest.
            Ok(Advance::More) => steps += 1,
            Ok(Advance::Idle) => {
                if steps > 0 {
                    tracing::info!(organization, "re-encryption done");
                }
                if let Err(error) = check_rollback(deployment, work.organization()).await {
                    tracing::warn!(organization, %error, "database state not saved");
                }
                return;
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(organization, %error, cause, "re-encryption step failed; retrying");
                rest(drain, RETRY_AFTER).await;
            }
        }
    }
    drop(reencryption);
    work.hand_over().await;
    tracing::info!(
        organization,
        "re-encryption interrupted by shutdown; another server, or the next start, continues it"
    );
}

/// Resumes a re-encryption that a former process left unfinished, if there is one. An organization without work isn't locked.
pub(crate) fn resume(deployment: &Arc<Deployment>, limits: Limits, drain: &Drain, organization: Arc<Organization>) {
    if !is_running(&organization) {
        return;
    }
    let deployment = Arc::clone(deployment);
    let (spawning, drain) = (drain, drain.clone());
    let span = tracing::info_span!("resume_reencryption", organization = organization.name.as_str());
    let work = async move {
        match KeyWork::begin(&deployment, organization).await {
            Ok(work) => run(&deployment, &limits, &drain, work).await,
            Err(error) => tracing::warn!(%error, "re-encryption not resumed"),
        }
    };
    spawning.spawn(work.instrument(span));
}

/// Continues the work of a server that is gone. Without work, only releases the lock.
pub(crate) fn take_over(deployment: &Arc<Deployment>, limits: Limits, drain: &Drain, organization: Arc<Organization>) {
    let deployment = Arc::clone(deployment);
    let (spawning, drain) = (drain, drain.clone());
    let span = tracing::info_span!("resume_reencryption", organization = organization.name.as_str());
    let work = async move {
        match KeyWork::begin(&deployment, organization).await {
            Ok(work) => {
                tracing::info!("lock of a server that is gone taken over");
                run(&deployment, &limits, &drain, work).await;
            }
            // Another server was faster.
            Err(WorkError::Busy) => {}
            Err(error) => tracing::warn!(%error, "lock of a server that is gone not taken over; retrying"),
        }
    };
    spawning.spawn(work.instrument(span));
}

/// After a write that may have replaced the last unreadable cell of a data key: destroys the key material that was kept for it.
pub(crate) fn retire_healed(deployment: &Arc<Deployment>, drain: &Drain, organization: &Arc<Organization>) {
    if !keeps_former_keys(organization) {
        return;
    }
    let (deployment, organization) = (Arc::clone(deployment), Arc::clone(organization));
    let (spawning, drain) = (drain, drain.clone());
    let span = tracing::info_span!("destroy_unused_data_key", organization = organization.name.as_str());
    let work = async move {
        while !drain.has_begun() {
            let retired = match is_healed(&organization).await {
                Ok(false) => return,
                Ok(true) => match KeyWork::begin(&deployment, Arc::clone(&organization)).await {
                    Ok(work) => retire(&deployment, &work).await.map_err(KeyError::from),
                    // The other work may have checked before this write was made.
                    Err(error) => Err(error.into()),
                },
                Err(error) => Err(error.into()),
            };
            match retired {
                Ok(()) => {}
                Err(KeyError::AlreadyRunning) => rest(&drain, RETRY_AFTER).await,
                Err(error) => {
                    tracing::warn!(%error, "unused data key not destroyed; the next start retries");
                    return;
                }
            }
        }
    };
    spawning.spawn(call::in_current(work.instrument(span)));
}

#[expect(clippy::disallowed_methods, reason = "a pause between steps, which the drain cuts short")]
async fn rest(drain: &Drain, pause: Duration) {
    if pause.is_zero() {
        tokio::task::yield_now().await;
        return;
    }
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = drain.begun() => {}
    }
}
