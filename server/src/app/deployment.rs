//! Core's deployment, with the limits that core applies.

use std::sync::Arc;

use sealward_core::{
    deployment::{Deployment, KeyLimits, Ports},
    filter,
    schema::Schema,
};

use crate::config::limits::Limits;

/// Creates a deployment whose organizations are not open yet.
pub(super) fn deployment(ports: Ports, schema: &Arc<Schema>, limits: &Limits) -> Arc<Deployment> {
    let deployment = Deployment::new(ports, Arc::clone(schema), key_limits(limits))
        .with_filter_bounds(filter_bounds(limits))
        .with_page_bytes_max(limits.page_bytes_max());
    Arc::new(deployment)
}

fn key_limits(limits: &Limits) -> KeyLimits {
    KeyLimits {
        changes_per_hour: limits.key_changes_per_hour,
        restores_per_quarter_hour: limits.wrong_key_restores_per_15_minutes,
        comparisons_per_quarter_hour: limits.comparisons_per_15_minutes,
        change_due_days: limits.key_change_due_days,
        reencryption_batch_cells: limits.reencryption_batch_cells,
        reencryption_batch_ms: limits.reencryption_batch_ms,
    }
}

fn filter_bounds(limits: &Limits) -> filter::Bounds {
    let number = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
    filter::Bounds {
        length_max_bytes: number(limits.filter_length_max_bytes),
        depth_max: number(limits.filter_depth_max),
        comparisons_max: number(limits.filter_comparisons_max),
    }
}
