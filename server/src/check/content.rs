//! Checks everything in a database at rest: opens each cell, compares the census with the cells, and verifies the audit trail.

use std::sync::Arc;

use sealward_core::{
    audit::{
        verify::Verified,
        walk::{TrailWalk, WalkProgress},
    },
    crypto::ring::KeyRing,
    id::OrganizationId,
    key::verify::Verification,
    port::Computation,
    store::{Reader, Unavailable},
};

use super::report::{Report, counted};
use crate::{error_chain, ports::computation::ComputationThreads};

const FROM_ANOTHER: &str =
    "use another backup, or compare it with the server: sealward key verify, sealward audit verify";

/// Opens each cell, and compares the census with the cells.
pub(super) async fn cells(
    subject: &str,
    id: OrganizationId,
    copy: &Arc<dyn Reader>,
    ring: KeyRing,
    report: &mut Report,
) {
    match count_cells(id, copy, ring).await {
        Ok(Cells { checked, unreadable: 0, miscounts: 0 }) => {
            report.fact(subject, format!("cells opened: {checked}, unreadable: 0"));
        }
        Ok(Cells { checked, unreadable, miscounts }) => {
            if unreadable > 0 {
                report.error(
                    subject,
                    format!("{unreadable} of {} can't be opened", counted(checked, "cell", "cells")),
                    FROM_ANOTHER,
                );
            }
            if miscounts > 0 {
                let problem =
                    format!("the census has {}", counted(miscounts, "wrong count of cells", "wrong counts of cells"));
                report.error(subject, problem, FROM_ANOTHER);
            }
        }
        Err(error) => report.error(subject, format!("can't read its cells: {error}"), FROM_ANOTHER),
    }
}

struct Cells {
    checked: u64,
    unreadable: usize,
    miscounts: usize,
}

async fn count_cells(id: OrganizationId, copy: &Arc<dyn Reader>, ring: KeyRing) -> Result<Cells, String> {
    let computation = Arc::new(ComputationThreads);
    let begun = Verification::of_copy(Arc::clone(copy), computation, id, ring).await;
    let mut verification = begun.map_err(|error| error_chain::text(&error))?;
    let mut cells = Cells { checked: 0, unreadable: 0, miscounts: 0 };
    while let Some(step) = verification.step().await.map_err(|error| error_chain::text(&error))? {
        cells.checked = step.cells_checked;
        cells.unreadable += step.unreadable.len();
        cells.miscounts += step.census.map_or(0, |miscounts| miscounts.len());
    }
    Ok(cells)
}

/// Verifies the audit trail: its hashes, links and signatures, and for that of an organization the end that the configuration database knows.
pub(super) async fn trail(
    subject: &str,
    copy: &Arc<dyn Reader>,
    organization: Option<(OrganizationId, &dyn Reader)>,
    report: &mut Report,
) {
    match walk(copy, organization).await {
        Ok(Verified { chains, faults: 0, .. }) => {
            let records: u64 = chains.iter().map(|chain| chain.records).sum();
            report.fact(subject, format!("audit records verified: {records}, faults: 0"));
        }
        Ok(Verified { faults, .. }) => {
            report.error(subject, format!("its audit trail has {}", counted(faults, "fault", "faults")), FROM_ANOTHER);
        }
        Err(error) => {
            let problem = format!("can't read its audit trail: {}", error_chain::text(&error));
            report.error(subject, problem, FROM_ANOTHER);
        }
    }
}

async fn walk(
    copy: &Arc<dyn Reader>,
    organization: Option<(OrganizationId, &dyn Reader)>,
) -> Result<Verified, Unavailable> {
    let computation: Arc<dyn Computation> = Arc::new(ComputationThreads);
    let mut walk = TrailWalk::of_copy(Arc::clone(copy), &computation, organization).await?;
    loop {
        match walk.step().await? {
            WalkProgress::Continue(next) => walk = *next,
            WalkProgress::Done(result) => return Ok(result.of_copy()),
        }
    }
}
