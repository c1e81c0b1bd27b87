//! The worker: takes the steps of a re-encryption one after the other until there is none, the server drains or the key is gone.
//!
//! It decides nothing: see `sealward_core::key::reencrypt`. What a crash or a drain cuts short is taken up at the next start.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sealward_core::{
    deployment::Deployment,
    key::{
        KeyError,
        reencrypt::{Advance, advance, is_under_way},
        retire::{is_healed, keeps_former_keys, retire},
    },
    organization::{Organization, seen::look, work::KeyWork},
};
use tracing::Instrument as _;

use crate::{config::limits::Limits, drain::Drain};

/// How long to wait before a step that failed is taken again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Takes steps until there are none.
pub(crate) async fn run(deployment: &Deployment, limits: &Limits, drain: &Drain, work: KeyWork) {
    let organization = work.organization().name.to_string();
    let mut steps = 0_u64;
    while !drain.has_begun() {
        let begun = Instant::now();
        match advance(deployment, &work).await {
            Ok(Advance::Worked) => {
                steps += 1;
                rest(drain, limits.reencryption_rest(begun.elapsed())).await;
            }
            // A step without cells takes nothing from anybody that a rest would give back.
            Ok(Advance::More) => steps += 1,
            Ok(Advance::Rest) => {
                if steps > 0 {
                    tracing::info!(organization, "re-encryption done");
                }
                if let Err(error) = look(deployment, work.organization()).await {
                    tracing::warn!(organization, %error, "what the database is now could not be remembered");
                }
                return;
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(organization, %error, cause, "a step of the re-encryption failed and will be taken again");
                rest(drain, RETRY_AFTER).await;
            }
        }
    }
    tracing::info!(organization, "re-encryption interrupted by the drain; the next start goes on with it");
}

/// Takes up what a former process left unfinished, if it did: the lock of an organization at rest is nobody's.
pub(crate) fn take_up(deployment: &Arc<Deployment>, limits: Limits, drain: &Drain, organization: Arc<Organization>) {
    if !is_under_way(&organization) {
        return;
    }
    let deployment = Arc::clone(deployment);
    let tracker = drain.tasks().clone();
    let drain = drain.clone();
    let span = tracing::info_span!("take_up", organization = organization.name.as_str());
    let work = async move {
        match KeyWork::begin(&deployment, organization).await {
            Ok(work) => run(&deployment, &limits, &drain, work).await,
            Err(error) => tracing::warn!(%error, "what was left of a re-encryption was not taken up"),
        }
    };
    tracker.spawn(work.instrument(span));
}

/// After a write that may have healed the last unreadable cell of a data key: destroys what was kept for it.
pub(crate) fn retire_healed(deployment: &Arc<Deployment>, drain: &Drain, organization: &Arc<Organization>) {
    if !keeps_former_keys(organization) {
        return;
    }
    let (deployment, organization) = (Arc::clone(deployment), Arc::clone(organization));
    let tracker = drain.tasks().clone();
    let drain = drain.clone();
    let span = tracing::info_span!("retire_healed", organization = organization.name.as_str());
    let work = async move {
        while !drain.has_begun() {
            let retired = match is_healed(&organization).await {
                Ok(false) => return,
                Ok(true) => match KeyWork::begin(&deployment, Arc::clone(&organization)).await {
                    Ok(work) => retire(&deployment, &work).await.map_err(KeyError::from),
                    // Whoever works there may have looked before this write was made.
                    Err(error) => Err(error.into()),
                },
                Err(error) => Err(error.into()),
            };
            match retired {
                Ok(()) => {}
                Err(KeyError::AlreadyRunning) => rest(&drain, RETRY_AFTER).await,
                Err(error) => {
                    tracing::warn!(%error, "a data key that nothing needs any more could not be destroyed; the next start tries again");
                    return;
                }
            }
        }
    };
    tracker.spawn(work.instrument(span));
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
