//! What is generated from the table of metrics: the reference, the rules of Prometheus with their tests, and the dashboard of Grafana.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{
    alerts::{ALERTS, Alert, EXAMPLE_MINUTES, Series},
    panels::{Panel, ROWS},
    table::{LABELS, METRICS, Metric},
};

/// `docs/metrics.md`: every metric with its type, unit, labels and meaning, and the alerts and panels with it.
pub(crate) fn reference() -> String {
    let mut text = String::from(REFERENCE);
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
        let is_of_organization = metric.labels.iter().any(|label| label.name == "organization");
        let alerts =
            ALERTS.iter().filter(|alert| names(alert.expression, metric)).map(|alert| format!("`{}`", alert.name));
        let panels = panels().filter(|panel| panel.queries.iter().any(|(query, _)| names(query, metric)));
        let cells = [
            format!("`{}`", metric.shown()),
            metric.kind.name().to_owned(),
            metric.unit.unwrap_or_default().to_owned(),
            labels.join(", "),
            metric.help.trim_start().to_owned(),
            if is_of_organization { metric.combined.name().to_owned() } else { String::new() },
            alerts.collect::<Vec<_>>().join(", "),
            panels.map(|panel| panel.title).collect::<Vec<_>>().join(", "),
        ];
        let _infallible = writeln!(text, "| {} |", cells.join(" | "));
    }
    text.push_str("\n## Labels\n\n| label | of | values |\n|---|---|---|\n");
    for label in LABELS {
        let with = METRICS.iter().filter(|metric| metric.labels.iter().any(|other| std::ptr::eq(*other, *label)));
        let with: Vec<String> = with.map(|metric| format!("`{}`", metric.shown())).collect();
        let values = label.values.trim_start();
        let _infallible = writeln!(text, "| `{}` | {} | {values} |", label.name, with.join(", "));
    }
    text
}

/// `deploy/monitoring/sealward-rules.yaml`: the alerts.
pub(crate) fn rules() -> String {
    let mut text = format!("{GENERATED}groups:\n  - name: sealward\n    rules:\n");
    for Alert { name, expression, minutes, severity, meaning, remedy, .. } in ALERTS {
        let lines = [
            format!("      - alert: {name}"),
            format!("        expr: {}", quoted(expression)),
            format!("        for: {minutes}m"),
            "        labels:".to_owned(),
            format!("          severity: {}", severity.name()),
            "        annotations:".to_owned(),
            format!("          summary: {}", quoted(meaning)),
            format!("          action: {}", quoted(remedy)),
        ];
        let _infallible = writeln!(text, "{}", lines.join("\n"));
    }
    text
}

/// `deploy/monitoring/sealward-rules-test.yaml`: for each alert, that it fires for its example and not on a healthy server.
pub(crate) fn rules_test() -> String {
    let mut text = format!("{GENERATED}rule_files:\n  - sealward-rules.yaml\nevaluation_interval: 1m\ntests:\n");
    for alert in ALERTS {
        test(&mut text, alert, "fires", alert.fires.series, true);
        test(&mut text, alert, "does not fire when healthy", alert.healthy, false);
    }
    text
}

fn test(text: &mut String, alert: &Alert, what: &str, series: &[Series], fires: bool) {
    let Alert { name, severity, meaning, remedy, .. } = alert;
    let mut line = |line: &str| {
        let _infallible = writeln!(text, "{line}");
    };
    line(&format!("  - name: {name} {what}"));
    line("    interval: 1m");
    line("    input_series:");
    for (series, values) in series {
        line(&format!("      - series: {}", quoted(series)));
        line(&format!("        values: {}", quoted(values)));
    }
    line("    alert_rule_test:");
    line(&format!("      - eval_time: {EXAMPLE_MINUTES}m"));
    line(&format!("        alertname: {name}"));
    if !fires {
        return line("        exp_alerts: []");
    }
    line("        exp_alerts:");
    line("          - exp_labels:");
    line(&format!("              severity: {}", severity.name()));
    for (label, value) in alert.fires.labels {
        line(&format!("              {label}: {}", quoted(value)));
    }
    line("            exp_annotations:");
    line(&format!("              summary: {}", quoted(meaning)));
    line(&format!("              action: {}", quoted(remedy)));
}

/// `deploy/monitoring/sealward-dashboard.json`: the dashboard.
pub(crate) fn dashboard() -> String {
    const WIDTH: usize = 8;
    const HEIGHT: usize = 8;
    let (mut panels, mut top) = (Vec::new(), 0);
    for row in ROWS {
        let id = panels.len() + 1;
        panels.push(json!({
            "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": top, "w": 3 * WIDTH, "h": 1 },
        }));
        top += 1;
        for (index, panel) in row.panels.iter().enumerate() {
            let place = json!({ "x": index % 3 * WIDTH, "y": top + index / 3 * HEIGHT, "w": WIDTH, "h": HEIGHT });
            panels.push(chart(panels.len() + 1, panel, place));
        }
        top += row.panels.len().div_ceil(3) * HEIGHT;
    }
    let dashboard = json!({
        "uid": "sealward",
        "title": "Sealward",
        "description": "Generated by `cargo xtask generate` from server/src/telemetry/metrics/panels.rs.",
        "tags": ["sealward"],
        "schemaVersion": 39,
        "editable": true,
        "refresh": "1m",
        "time": { "from": "now-6h", "to": "now" },
        "templating": { "list": [{
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1,
        }] },
        "panels": panels,
    });
    format!("{dashboard:#}\n")
}

fn chart(id: usize, panel: &Panel, place: Value) -> Value {
    let source = json!({ "type": "prometheus", "uid": "${datasource}" });
    let references = ('A'..='Z').map(String::from);
    let target = |(reference, (query, legend)): (String, &(&str, &str))| json!({ "refId": reference, "datasource": source.clone(), "expr": query, "legendFormat": legend });
    let targets: Vec<Value> = references.zip(panel.queries).map(target).collect();
    json!({
        "id": id, "type": "timeseries", "title": panel.title, "datasource": source, "gridPos": place,
        "fieldConfig": { "defaults": { "unit": panel.unit, "min": null }, "overrides": [] },
        "options": {
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
            "tooltip": { "mode": "multi", "sort": "desc" },
        },
        "targets": targets,
    })
}

fn panels() -> impl Iterator<Item = &'static Panel> {
    ROWS.iter().flat_map(|row| row.panels)
}

/// Whether an expression names a sample of the metric.
fn names(expression: &str, metric: &Metric) -> bool {
    let samples = metric.samples();
    words(expression).any(|word| samples.iter().any(|sample| sample == word))
}

/// The words of an expression, outside of its texts.
fn words(expression: &str) -> impl Iterator<Item = &str> {
    let outside = expression.split('"').step_by(2);
    outside.flat_map(|text| text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_'))
}

/// A text in YAML, with the quotes and escapes of JSON, which YAML includes.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

const GENERATED: &str = "# Generated by `cargo xtask generate`. Edit server/src/telemetry/metrics/alerts.rs.\n";

const REFERENCE: &str = r#"# Metrics

<!-- Generated by `cargo xtask generate`. Edit server/src/telemetry/metrics/table.rs. -->

`listen.metrics_address` serves these metrics at `/metrics`; see [operations](operations.md#metrics) for access, formats and alerts.
`deploy/monitoring` has the alerts as rules of Prometheus, and a dashboard for Grafana.

* Values come from memory, and from organizations' databases that are open and have changed since the last scrape. A scrape opens no database:
  the cells, the re-encryption and the quotas of an organization are missing until its database is opened for a call, and keep their last values
  after it is closed.
* A metric without values is missing from a scrape. Both metrics of the audit copy need an `[audit]` section.
* A gauge whose meaning begins with "Whether" is 1 or 0. A code of a failure (UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS) is reported even at 0.
* The oldest `limits.metrics_organizations_max` organizations have a label. The values of all others are combined under the label
  `other_organizations`; the column *others* tells how.
* No label is an identity, an address, a purpose or anything else that a caller chooses. Histograms have fixed buckets.

| metric | type | unit | labels | meaning | others | alerts | panels |
|---|---|---|---|---|---|---|---|
"#;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;
    use crate::reference::rows_of_operations;

    #[test]
    fn generated_documents_are_current() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (path, text) in [
            ("docs/metrics.md", reference()),
            ("deploy/monitoring/sealward-rules.yaml", rules()),
            ("deploy/monitoring/sealward-rules-test.yaml", rules_test()),
            ("deploy/monitoring/sealward-dashboard.json", dashboard()),
        ] {
            let written = fs::read_to_string(root.join(path)).unwrap_or_default();
            assert!(written == text, "{path} is stale: run `cargo xtask generate`");
        }
    }

    #[test]
    fn alerts_and_panels_name_metrics_of_the_table_and_each_metric_is_shown() {
        // Prometheus itself adds `up`.
        let mut known: BTreeSet<String> = ["up".to_owned()].into();
        known.extend(METRICS.iter().flat_map(|metric| metric.samples()));
        let queries: Vec<&str> = panels().flat_map(|panel| panel.queries.iter().map(|(query, _)| *query)).collect();
        let expressions = ALERTS.iter().map(|alert| alert.expression).chain(queries.iter().copied());
        for expression in expressions {
            let named: Vec<&str> = words(expression)
                .filter(|word| word.starts_with("sealward_") || word.starts_with("process_") || *word == "up")
                .collect();
            assert!(!named.is_empty(), "{expression}");
            for name in named {
                assert!(known.contains(name), "{name} is not in the table: {expression}");
            }
        }
        for metric in METRICS {
            assert!(queries.iter().any(|query| names(query, metric)), "no panel shows {}", metric.name);
        }
    }

    #[test]
    fn examples_have_labels_of_the_table() {
        for alert in ALERTS {
            for (series, _) in alert.fires.series.iter().chain(alert.healthy) {
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let Some(metric) = METRICS.iter().find(|metric| metric.samples().iter().any(|sample| sample == name))
                else {
                    assert_eq!(name, "up", "{}", alert.name);
                    continue;
                };
                let labels = labels.split("\",").filter_map(|label| Some(label.split_once("=\"")?.0));
                for label in labels.filter(|label| !["instance", "job", "le"].contains(label)) {
                    assert!(metric.labels.iter().any(|known| known.name == label), "{}: {label}", alert.name);
                }
            }
        }
    }

    #[test]
    fn operations_reference_explains_every_alert() {
        let rows: BTreeSet<String> = ALERTS
            .iter()
            .map(|Alert { name, severity, meaning, remedy, .. }| {
                format!("| `{name}` | {} | {meaning} | {remedy} |", severity.name())
            })
            .collect();
        assert_eq!(rows_of_operations("Alerts"), rows);
    }

    #[test]
    fn panels_of_the_dashboard_do_not_overlap() {
        let dashboard: Value = serde_json::from_str(&dashboard()).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let (mut places, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels {
            assert!(ids.insert(panel["id"].as_u64().unwrap()));
            let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            assert!(side("x") + side("w") <= 24, "{panel}");
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    assert!(places.insert((x, y)), "{panel}");
                }
            }
            let targets = panel["targets"].as_array().map_or(0, Vec::len);
            assert_eq!(targets > 0, panel["type"] == "timeseries", "{panel}");
        }
    }
}
