//! Tables of records, and lists of the fields of one record.
//!
//! They are made from the same JSON that programs get. All text is escaped: see [`escape`].

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Row, Table, presets};
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use crate::output::{color::HEADING, escape};

/// A table with one line per row. The first `full_columns` columns are never truncated, so that they can be copied. The others are truncated to
/// fit `width`.
pub(crate) fn rows(headings: &[&str], rows: &[Vec<String>], full_columns: usize, width: Option<u16>) -> String {
    let mut table = table(width);
    table.set_header(one_line(headings.iter().copied()));
    for row in rows {
        table.add_row(one_line(row.iter().map(|value| escape::line(value))));
    }
    for column in table.column_iter_mut().take(full_columns) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    let mut lines = lines(&table);
    if let Some(heading) = lines.first_mut() {
        *heading = format!("{HEADING}{heading}{HEADING:#}");
    }
    lines.join("\n")
}

/// The number of columns that fit `width`, where truncated columns have at least [`TRUNCATED_WIDTH_MIN`] characters.
pub(crate) fn fitting(headings: &[&str], rows: &[Vec<String>], full_columns: usize, width: Option<u16>) -> usize {
    let Some(width) = width else { return headings.len() };
    let width_of = |(index, heading): (usize, &&str)| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| escape::line(cell).width());
        let content = cells.chain([heading.width()]).max().unwrap_or_default();
        if index < full_columns { content } else { content.min(TRUNCATED_WIDTH_MIN) }
    };
    let ends = headings.iter().enumerate().map(width_of).scan(0, |end, column_width| {
        *end += column_width + GAP;
        Some(*end)
    });
    ends.take_while(|end| *end <= usize::from(width)).count().max(full_columns.min(headings.len()))
}

/// Minimum width of a truncated column, in terminal columns.
const TRUNCATED_WIDTH_MIN: usize = 6;

/// Space between two columns.
const GAP: usize = 2;

/// A list with a name and its value per line; long values are wrapped.
pub(crate) fn fields(fields: &[(String, String)], width: Option<u16>) -> String {
    let mut table = table(width);
    for (name, value) in fields {
        table.add_row([escape::line(name), escape::text(value)]);
    }
    if let Some(first) = table.column_mut(0) {
        first.set_constraint(ColumnConstraint::ContentWidth);
    }
    // Names are ASCII, so a byte is a terminal column.
    let name_width = fields.iter().map(|(name, _)| escape::line(name).len()).max().unwrap_or_default();
    let coloured = |line: String| match line.split_at_checked(name_width) {
        Some((name, value)) if !name.trim().is_empty() => format!("{HEADING}{name}{HEADING:#}{value}"),
        Some(_) | None => line,
    };
    lines(&table).into_iter().map(coloured).collect::<Vec<_>>().join("\n")
}

/// The fields of an answer as `outer.inner`, without empty fields.
pub(crate) fn flat(answer: &Value) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    flatten("", answer, &mut fields);
    fields
}

fn flatten(path: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    let Value::Object(inner) = value else {
        return match text(path, value) {
            text if text.is_empty() => {}
            text => fields.push((path.to_owned(), text)),
        };
    };
    for (name, value) in inner {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        flatten(&path, value, fields);
    }
}

/// A value as readable text.
pub(crate) fn text(name: &str, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if name == "time" || name.ends_with("_time") => time(text),
        Value::String(text) if name.ends_with("state") && text.starts_with("STATE_") => {
            text.trim_start_matches("STATE_").to_ascii_lowercase().replace('_', " ")
        }
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("{:.1}", number.as_f64().unwrap_or_default()),
        Value::Array(items) => items.iter().map(|item| text(name, item)).collect::<Vec<_>>().join("\n"),
        Value::Object(inner) => {
            let of_field = |(name, value): (&String, &Value)| format!("{name} {}", inline(name, value));
            inner.iter().map(of_field).collect::<Vec<_>>().join(", ")
        }
        Value::Number(_) => value.to_string(),
    }
}

/// A value inside a value, on the same line: `[one, two]` or `(name one)`.
fn inline(name: &str, value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| inline(name, item)).collect::<Vec<_>>().join(", "))
        }
        Value::Object(_) => format!("({})", text(name, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => text(name, value),
    }
}

/// `2026-01-31T12:00:00.123Z` as `2026-01-31 12:00:00 UTC`; other text is unchanged.
pub(crate) fn time(given: &str) -> String {
    let readable = || {
        let (date, time) = given.strip_suffix('Z')?.split_once('T')?;
        let (seconds, _fraction) = time.split_once('.').unwrap_or((time, ""));
        Some(format!("{date} {seconds} UTC"))
    };
    readable().unwrap_or_else(|| given.to_owned())
}

fn table(width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_truncation_indicator("…");
    if let Some(width) = width {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

fn one_line(cells: impl Iterator<Item = impl ToString>) -> Row {
    let mut row = Row::from(cells.map(Cell::new).collect::<Vec<_>>());
    row.max_height(1);
    row
}

/// The lines of a table without padding at the start and the end.
fn lines(table: &Table) -> Vec<String> {
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn three(width: Option<u16>) -> String {
        let shown = [["0191e2a4", "Sales", "set"], ["0191e2a5", "営業 and more words", "not set"]];
        let shown: Vec<Vec<String>> = shown.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        plain(&rows(&["id", "display_name", "password"], &shown, 1, width))
    }

    #[test]
    fn columns_are_aligned_and_wide_letters_count_as_two() {
        assert_eq!(
            three(None),
            "id        display_name         password\n\
             0191e2a4  Sales                set\n\
             0191e2a5  営業 and more words  not set"
        );
    }

    #[test]
    fn narrow_terminal_gets_one_value_per_line_and_whole_ids() {
        let narrow = three(Some(32));
        assert_eq!(narrow.lines().count(), 3, "{narrow}");
        for line in narrow.lines() {
            assert!(line.width() <= 32, "{narrow}");
        }
        assert!(narrow.contains("0191e2a5") && narrow.contains('…'), "{narrow}");
    }

    #[test]
    fn audit_record_fits_80_columns_with_identity_and_action_whole() {
        let headings = ["time", "identity", "action", "outcome", "subject", "purpose", "details"];
        let row = [
            "2026-01-31 12:00:00 UTC",
            "cn:connector",
            "write-encrypted-attributes",
            "done",
            "organizations/default/mailboxes/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506",
            "fetch mail",
            "cleared password",
        ];
        let row: Vec<String> = row.into_iter().map(str::to_owned).collect();
        let all = [row.clone()];
        assert_eq!(fitting(&headings, &all, 4, None), 7);
        assert_eq!(fitting(&headings, &all, 4, Some(200)), 7);
        let fit = fitting(&headings, &all, 4, Some(80));
        assert_eq!(fit, 4);
        let shown = plain(&rows(&headings[..fit], &[row[..fit].to_vec()], 4, Some(80)));
        assert!(shown.contains("cn:connector  write-encrypted-attributes  done"), "{shown}");
        assert!(shown.lines().all(|line| line.width() <= 80), "{shown}");
    }

    #[test]
    fn long_values_are_wrapped_beside_names() {
        let shown = fields(
            &[("name".to_owned(), "n".to_owned()), ("description".to_owned(), "many words that take lines".to_owned())],
            Some(30),
        );
        let shown = plain(&shown);
        assert!(shown.starts_with("name         n\ndescription  many words"), "{shown}");
        assert!(shown.lines().all(|line| line.width() <= 30), "{shown}");
    }

    #[test]
    fn list_inside_a_list_stays_on_its_line() {
        let value = json!([{ "file": "ca.pem", "names": ["a", "b"], "key": { "bits": 256 } }, { "file": "b.pem", "names": [] }]);
        assert_eq!(text("cas", &value), "file ca.pem, names [a, b], key (bits 256)\nfile b.pem, names []");
    }

    #[test]
    fn unsafe_characters_in_tables_are_escaped() {
        let shown = rows(&["id"], &[vec!["\u{1b}]0;x\u{61c}\u{2028}\nb".to_owned()]], 1, None);
        assert!(plain(&shown).contains("\\u{1b}]0;x\\u{61c}\\u{2028}\\nb"), "{shown:?}");
        let shown = fields(&[("na\u{202e}me".to_owned(), "\u{9b}2J".to_owned())], None);
        assert!(plain(&shown).contains("na\\u{202e}me  \\u{9b}2J"), "{shown:?}");
    }

    #[test]
    fn answer_is_flattened_with_readable_times_and_states() {
        let answer = json!({
            "is_active": true, "fingerprint": "", "key_change_time": "2026-01-31T12:00:00.123Z",
            "reencryption": {"state": "STATE_DONE_WITH_UNREADABLE_CELLS", "cells_total": "5", "cells_per_second": 708.1767},
            "cell_counts": [{"entity": "Mailbox", "cells": "3"}, {"entity": "Queue", "cells": "2"}],
            "unreadable_cells": [],
        });
        let fields: Vec<String> = flat(&answer).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            fields,
            [
                "is_active=yes",
                "key_change_time=2026-01-31 12:00:00 UTC",
                "reencryption.state=done with unreadable cells",
                "reencryption.cells_total=5",
                "reencryption.cells_per_second=708.2",
                "cell_counts=entity Mailbox, cells 3\nentity Queue, cells 2"
            ]
        );
        assert_eq!(time("yesterday"), "yesterday");
    }
}
