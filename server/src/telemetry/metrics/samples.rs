//! The values of one scrape, by metric and labels.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, btree_map::Entry},
};

use super::table::{Combined, METRICS, Metric};
use crate::telemetry::histogram::Buckets;

/// A value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Integer(i64),
    Float(f64),
    Histogram(Buckets),
}

/// The values of each metric, by those of its labels.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<&'static str, BTreeMap<Vec<String>, Value>>);

impl Samples {
    /// Adds a value. The labels are in the order of the table. A second value with the same labels is combined with the first.
    pub(super) fn add(&mut self, metric: &'static Metric, labels: &[&str], value: Value) {
        debug_assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        match self.0.entry(metric.name).or_default().entry(labels) {
            Entry::Vacant(vacant) => drop(vacant.insert(value)),
            Entry::Occupied(mut occupied) => occupied.get_mut().combine(value, metric.combined),
        }
    }

    /// Adds a whole number. A number out of range is reported as the largest.
    pub(super) fn count(&mut self, metric: &'static Metric, labels: &[&str], count: impl TryInto<i64>) {
        self.add(metric, labels, Value::Integer(count.try_into().unwrap_or(i64::MAX)));
    }

    /// The metrics with their values, in the order of the table. A metric without values is left out.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&'static Metric, &BTreeMap<Vec<String>, Value>)> {
        METRICS.iter().filter_map(|metric| Some((*metric, self.0.get(metric.name)?)))
    }
}

impl Value {
    fn combine(&mut self, other: Self, how: Combined) {
        let is_less = match (&*self, &other) {
            (Self::Integer(one), Self::Integer(other)) => other.cmp(one) == Ordering::Less,
            (one, other) => other.as_float() < one.as_float(),
        };
        match (how, &mut *self, &other) {
            (Combined::Sum, Self::Integer(one), Self::Integer(other)) => *one = one.saturating_add(*other),
            (Combined::Sum, Self::Float(one), other) => *one += other.as_float(),
            (Combined::Least, _, _) if is_less => *self = other,
            (Combined::Most, _, _) if !is_less => *self = other,
            // Each histogram has its own labels.
            (Combined::Sum, Self::Integer(_) | Self::Histogram(_), _) | (Combined::Least | Combined::Most, _, _) => {}
        }
    }

    fn as_float(&self) -> f64 {
        match self {
            Self::Integer(number) => *number as f64,
            Self::Float(number) => *number,
            Self::Histogram(buckets) => buckets.sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::table::{CELLS, ENCRYPTION_ACTIVE, KEY_CHANGE_DUE, REENCRYPTION_RATE},
        *,
    };

    #[test]
    fn values_with_the_same_labels_are_combined_as_the_table_says() {
        let mut samples = Samples::default();
        for (cells, flag, rate) in [(5, 1, 0.5), (7, 0, 1.0), (1, 1, 2.0)] {
            samples.count(&CELLS, &["other_organizations", "1"], cells);
            samples.count(&ENCRYPTION_ACTIVE, &["other_organizations"], flag);
            samples.count(&KEY_CHANGE_DUE, &["other_organizations"], flag);
            samples.add(&REENCRYPTION_RATE, &["other_organizations"], Value::Float(rate));
        }
        samples.count(&CELLS, &["a", "1"], 100);
        let values: Vec<_> = samples
            .in_order()
            .flat_map(|(metric, values)| values.iter().map(|(labels, value)| (metric.name, &*labels[0], value.clone())))
            .collect();
        assert_eq!(
            values,
            [
                ("sealward_encryption_active", "other_organizations", Value::Integer(0)),
                ("sealward_key_change_due", "other_organizations", Value::Integer(1)),
                ("sealward_cells", "a", Value::Integer(100)),
                ("sealward_cells", "other_organizations", Value::Integer(13)),
                ("sealward_reencryption_cells_per_second", "other_organizations", Value::Float(3.5)),
            ]
        );
    }
}
