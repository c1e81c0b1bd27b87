//! Writes the values of a scrape as text: OpenMetrics 1.0, or the older text format of Prometheus.

use std::fmt::Write;

use super::{
    format::Format,
    samples::{Samples, Value},
    table::{Kind, Metric},
};

/// The text of a scrape.
pub(super) fn text(samples: &Samples, format: Format) -> String {
    let mut text = String::new();
    for (metric, values) in samples.in_order() {
        describe(&mut text, metric, format);
        for (labels, value) in values {
            let labels: Vec<String> =
                metric.labels.iter().zip(labels).map(|(label, value)| pair(label.name, value)).collect();
            sample(&mut text, metric, &labels, value);
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

/// The older format names a counter as its samples, and has no units.
fn describe(text: &mut String, metric: &Metric, format: Format) {
    let (name, help, kind) = (metric.name, metric.help.trim_start(), metric.kind.name());
    let suffix = if metric.kind == Kind::Counter && format == Format::Plain { "_total" } else { "" };
    let _infallible = write!(text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
    if let (Some(unit), Format::OpenMetrics) = (metric.unit, format) {
        let _infallible = writeln!(text, "# UNIT {name} {unit}");
    }
}

fn sample(text: &mut String, metric: &Metric, labels: &[String], value: &Value) {
    let mut line = |suffix: &str, more: Option<String>, value: &str| {
        let labels: Vec<&str> = labels.iter().chain(&more).map(String::as_str).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _infallible = writeln!(text, "{}{suffix}{labels} {value}", metric.name);
    };
    let suffix = if metric.kind == Kind::Counter { "_total" } else { "" };
    match value {
        Value::Integer(number) => line(suffix, None, &number.to_string()),
        Value::Float(number) => line(suffix, None, &float(*number)),
        Value::Histogram(buckets) => {
            for (end, count) in &buckets.cumulative {
                line("_bucket", Some(pair("le", &float(*end))), &count.to_string());
            }
            line("_sum", None, &float(buckets.sum));
            line("_count", None, &buckets.count().to_string());
        }
    }
}

fn pair(name: &str, value: &str) -> String {
    let mut pair = format!("{name}=\"");
    for character in value.chars() {
        match character {
            '\\' => pair.push_str("\\\\"),
            '"' => pair.push_str("\\\""),
            '\n' => pair.push_str("\\n"),
            _ => pair.push(character),
        }
    }
    pair.push('"');
    pair
}

/// A float, with a decimal point also if it is whole.
fn float(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = number.to_string();
    if number.fract() == 0.0 { format!("{text}.0") } else { text }
}

#[cfg(test)]
mod tests {
    use super::{
        super::table::{AVAILABLE_BYTES, CALLS, CERTIFICATE_NOT_AFTER, PROCESS_CPU, STORE_COMMITS},
        *,
    };
    use crate::telemetry::histogram::Buckets;

    #[test]
    fn formats_differ_in_counters_units_and_the_end() {
        let mut samples = Samples::default();
        samples.count(&CALLS, &["a.B/C", "OK"], 3);
        samples.count(&AVAILABLE_BYTES, &[], 5);
        samples.add(&PROCESS_CPU, &[], Value::Float(2.0));
        let open_metrics = "# HELP sealward_calls Ended calls.\n\
            # TYPE sealward_calls counter\n\
            sealward_calls_total{rpc=\"a.B/C\",code=\"OK\"} 3\n\
            # HELP sealward_data_dir_available_bytes Space that is left in the data folder.\n\
            # TYPE sealward_data_dir_available_bytes gauge\n\
            # UNIT sealward_data_dir_available_bytes bytes\n\
            sealward_data_dir_available_bytes 5\n\
            # HELP process_cpu_seconds Processor time of the process, in user and system mode.\n\
            # TYPE process_cpu_seconds counter\n\
            # UNIT process_cpu_seconds seconds\n\
            process_cpu_seconds_total 2.0\n\
            # EOF\n";
        assert_eq!(text(&samples, Format::OpenMetrics), open_metrics);
        let plain = "# HELP sealward_calls_total Ended calls.\n\
            # TYPE sealward_calls_total counter\n\
            sealward_calls_total{rpc=\"a.B/C\",code=\"OK\"} 3\n\
            # HELP sealward_data_dir_available_bytes Space that is left in the data folder.\n\
            # TYPE sealward_data_dir_available_bytes gauge\n\
            sealward_data_dir_available_bytes 5\n\
            # HELP process_cpu_seconds_total Processor time of the process, in user and system mode.\n\
            # TYPE process_cpu_seconds_total counter\n\
            process_cpu_seconds_total 2.0\n";
        assert_eq!(text(&samples, Format::Plain), plain);
    }

    #[test]
    fn histogram_has_buckets_sum_and_count() {
        let mut samples = Samples::default();
        let buckets = Buckets { cumulative: vec![(32e-6, 1), (1.0, 2), (f64::INFINITY, 4)], sum: 2.5 };
        samples.add(&STORE_COMMITS, &["configuration"], Value::Histogram(buckets));
        let lines = "sealward_store_transaction_commits_bucket{store=\"configuration\",le=\"0.000032\"} 1\n\
            sealward_store_transaction_commits_bucket{store=\"configuration\",le=\"1.0\"} 2\n\
            sealward_store_transaction_commits_bucket{store=\"configuration\",le=\"+Inf\"} 4\n\
            sealward_store_transaction_commits_sum{store=\"configuration\"} 2.5\n\
            sealward_store_transaction_commits_count{store=\"configuration\"} 4\n";
        assert!(text(&samples, Format::Plain).ends_with(lines));
    }

    #[test]
    fn value_of_a_label_cannot_end_its_line() {
        let mut samples = Samples::default();
        samples.count(&CERTIFICATE_NOT_AFTER, &["tls.client_ca", "CN=\"a\\b\"\n"], 1);
        let line = "{setting=\"tls.client_ca\",subject=\"CN=\\\"a\\\\b\\\"\\n\"} 1\n";
        assert!(text(&samples, Format::Plain).ends_with(line));
    }
}
