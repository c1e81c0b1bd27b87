//! The contract suite: the behaviour of every store, one named check for each promise.
//!
//! A store implements [`Subject`] for [`contract_tests`]. The checks use only the store port; other promises of a store
//! (files, locks, plans) are tested beside it.

use std::sync::Arc;

use sealward_core::{
    audit::{AuditAction, AuditEntry, AuditRecord, OUTCOME_DONE},
    id::Timestamp,
    store::{
        Column, ColumnScan, ColumnType, Commit, CommitError, Comparison, Condition, Datum, Direction, Index, Name,
        Pending, Row, Select, Source, Step, Store, Table, Tally,
    },
    table::TableRow as _,
};
use uuid::Uuid;

pub(crate) mod callers;
pub(crate) mod filters;
pub(crate) mod reads;
pub(crate) mod steps;
pub(crate) mod values;

/// A database that a check opens, closes and opens again.
pub(crate) trait Subject: Send + Sync {
    /// Opens the database, which is empty the first time. It isn't open elsewhere.
    fn open(&self) -> Pending<'_, Arc<dyn Store>>;
}

/// Makes a test of every check. The expression creates a subject for each.
macro_rules! contract_tests {
    ($subject:expr) => {
        $crate::contract::contract_tests! { $subject;
            steps:
                a_commit_without_steps_is_applied
                commit_is_atomic
                a_refusal_names_the_first_step_that_failed
                step_reads_the_changes_of_earlier_steps
                a_repeated_check_reads_the_last_state
                existing_key_is_not_inserted_again
                omitted_column_is_null
                a_key_is_never_null
                an_update_touches_one_row_if_one_is_expected
                an_update_reads_the_values_from_before_it
                an_update_to_a_key_that_exists_is_refused
                an_integer_grows_and_does_not_overflow
                a_delete_takes_one_row_if_one_is_expected
                prune_removes_rows_up_to_its_limit
                tally_counts_each_changed_row
                refused_commit_changes_no_counter
                values_are_rewritten_where_they_are_unchanged
                rewritten_rows_change_as_a_whole
                malformed_rewrite_is_refused
                rows_are_inserted_from_other_rows
                missing_required_row_refuses_the_commit
                existing_forbidden_row_refuses_the_commit
                commit_with_only_conditions_changes_nothing
                existing_table_is_not_created_again
                table_of_a_refused_commit_can_be_created_again
                a_table_may_have_a_key_of_several_columns
                index_is_not_unique_and_changes_no_result
                index_is_added_and_dropped_without_changing_results
                column_is_added_to_existing_rows
                existing_column_or_missing_table_is_refused;
            values:
                every_value_is_read_unchanged
                large_value_is_read_unchanged
                text_with_u_0000_is_refused
                value_of_another_type_is_refused
                malformed_name_is_refused;
            reads:
                columns_are_returned_in_the_requested_order
                row_is_looked_up_by_its_key
                lookup_reads_the_last_commit
                lookup_of_a_missing_column_or_by_another_type_is_unavailable
                text_is_ordered_by_code_point
                text_is_compared_case_sensitively
                a_prefix_matches_code_point_by_code_point
                a_list_has_whole_elements_only
                a_value_is_among_up_to_a_thousand_others
                numbers_and_times_are_ordered_by_value
                bytes_and_uuids_are_ordered_by_their_bytes
                nulls_come_first_and_in_reverse_last
                null_meets_no_comparison
                a_row_meets_a_condition_or_its_negation
                empty_all_meets_every_row_and_empty_any_meets_no_row
                pages_follow_each_other_without_gap_or_repetition
                limit_is_applied
                rows_are_counted
                a_scan_ends_with_the_row_that_exceeds_its_bytes
                rows_are_passed_to_a_sink_until_it_has_enough
                scan_fails_with_the_error_of_its_sink
                a_column_is_scanned_in_parts_without_gap_or_repetition
                a_column_scan_leaves_out_a_header
                missing_table_or_column_is_unavailable;
            filters:
                filter_finds_the_same_rows_as_in_memory;
            callers:
                committed_values_are_read_next
                committed_values_survive_reopening
                one_of_many_conflicting_commits_succeeds
                refused_commit_does_not_affect_others
                commit_continues_without_its_caller
                an_audit_chain_has_no_gap_under_a_thousand_callers
                audit_chain_continues_after_reopening
                a_commit_has_as_many_audit_records_as_it_names
                scrub_keeps_all_rows
                snapshot_does_not_change;
        }
    };
    ($subject:expr; $($part:ident: $($check:ident)+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                $crate::contract::$part::$check(&$subject).await;
            }
        )+)+
    };
}
pub(crate) use contract_tests;

const THING: &str = "Thing";

/// A table with a column of each type.
fn thing() -> Table {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: name != "id" };
    Table {
        name: THING.into(),
        columns: vec![
            column("id", ColumnType::Uuid),
            column("flag", ColumnType::Boolean),
            column("number", ColumnType::Integer),
            column("name", ColumnType::Text),
            column("data", ColumnType::Bytes),
            column("link", ColumnType::Uuid),
            column("time", ColumnType::Time),
        ],
        key: vec!["id".into()],
        indexes: vec![Index { name: "Thing_by_number".into(), columns: vec!["number".into(), "name".into()] }],
    }
}

/// The database, with a table of things and one for an audit trail.
async fn opened(subject: &dyn Subject) -> Arc<dyn Store> {
    let store = subject.open().await;
    apply(&*store, vec![Step::CreateTable(thing()), Step::CreateTable(AuditRecord::table())]).await;
    store
}

async fn commit(store: &dyn Store, steps: Vec<Step>) -> Result<(), CommitError> {
    store.commit(Commit::of(steps)).await
}

async fn apply(store: &dyn Store, steps: Vec<Step>) {
    commit(store, steps).await.unwrap();
}

/// The step that was refused.
async fn refused(store: &dyn Store, steps: Vec<Step>) -> usize {
    match commit(store, steps).await {
        Err(CommitError::Refused { step }) => step,
        other => panic!("not refused: {other:?}"),
    }
}

/// Asserts that the commit was unavailable and changed nothing.
async fn impossible(store: &dyn Store, steps: Vec<Step>) {
    let before = everything(store).await;
    match commit(store, steps).await {
        Err(CommitError::Unavailable(_)) => assert_eq!(everything(store).await, before),
        other => panic!("not unavailable: {other:?}"),
    }
}

fn id(number: u128) -> Datum {
    Datum::Uuid(Uuid::from_u128(number))
}

fn text(text: &str) -> Datum {
    Datum::Text(text.to_owned())
}

fn insert(number: u128, values: impl IntoIterator<Item = (&'static str, Datum)>) -> Step {
    let mut row: Vec<(Name, Datum)> = vec![("id".into(), id(number))];
    row.extend(values.into_iter().map(|(column, datum)| (column.into(), datum)));
    Step::Insert { table: THING.into(), row }
}

fn with_id(number: u128) -> Condition {
    Condition::equal("id", id(number))
}

fn compare(column: &'static str, comparison: Comparison, value: Datum) -> Condition {
    Condition::Compare { column: column.into(), comparison, value }
}

fn things(columns: &[&'static str], rows: Condition, order: &[(&'static str, Direction)]) -> Select {
    Select {
        table: THING.into(),
        columns: columns.iter().map(|&name| name.into()).collect(),
        rows,
        order: order.iter().map(|&(name, direction)| (name.into(), direction)).collect(),
        limit: 1_000,
    }
}

/// A scan of the data of all things.
fn all_data() -> ColumnScan {
    ColumnScan {
        table: THING.into(),
        key: "id".into(),
        column: "data".into(),
        after: None,
        except_header: None,
        limit: u32::MAX,
        bytes_max: usize::MAX,
    }
}

/// One column of the things that meet a condition, by id.
async fn column(store: &dyn Store, name: &'static str, rows: Condition) -> Vec<Datum> {
    let rows = store.select(things(&[name], rows, &[("id", Direction::Ascending)])).await.unwrap();
    rows.into_iter().flatten().collect()
}

/// The ids of the things that meet a condition, as numbers and in order.
async fn ids(store: &dyn Store, rows: Condition) -> Vec<u128> {
    column(store, "id", rows).await.into_iter().map(number).collect()
}

fn number(datum: Datum) -> u128 {
    let Datum::Uuid(uuid) = datum else { panic!("no id: {datum:?}") };
    uuid.as_u128()
}

async fn everything(store: &dyn Store) -> Vec<Row> {
    let all = ["id", "flag", "number", "name", "data", "link", "time"];
    store.select(things(&all, Condition::EVERYTHING, &[("id", Direction::Ascending)])).await.unwrap()
}

fn entry(subject: &str) -> AuditEntry {
    AuditEntry {
        time: Timestamp::from_unix_micros(1),
        caller: None,
        action: AuditAction::RevealAttributes,
        outcome: OUTCOME_DONE,
        subject: subject.to_owned(),
        attributes: None,
        purpose: None,
        fingerprint: None,
        key_version: None,
        details: None,
        records: None,
    }
}

/// The number of audit records. Asserts that each follows the previous one.
pub(crate) async fn chain_length(store: &dyn Store) -> i64 {
    let rows = store
        .select(Select {
            table: AuditRecord::TABLE.into(),
            columns: ["sequence", "previous_hash", "hash"].map(Name::from).to_vec(),
            rows: Condition::EVERYTHING,
            order: vec![("sequence".into(), Direction::Ascending)],
            limit: u32::MAX,
        })
        .await
        .unwrap();
    let mut length = 0;
    let mut last = Datum::Bytes(vec![0; 32]);
    for row in rows {
        length += 1;
        assert_eq!(row[0], Datum::Integer(length));
        assert_eq!(row[1], last, "record {length} doesn't follow the one before");
        last = row[2].clone();
    }
    length
}
