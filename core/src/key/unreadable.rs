//! Unreadable cells: cells that a re-encryption couldn't open and has set aside unchanged.
//!
//! A cell that doesn't verify can be repaired by restoring its original bytes. Therefore the ring keeps the data key of
//! that version. Overwriting, clearing or deleting the cell removes its entry in the same write. When no entry needs a
//! kept data key, [`retire`](crate::key::retire::retire) destroys it, after the same full scan as in a re-encryption.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    cells::{CellColumn, StoredCell},
    crypto::{
        cell::{self, CellError, CellFormatError},
        ring::KeyRing,
    },
    deployment::Deployment,
    id::{KeyVersion, RecordId},
    list::page_token::{self, PageContext},
    permit::Permit,
    policy,
    store::{Condition, Datum, Direction, Reader, Row, Select, Step, StoreFailure, Unavailable},
    table::{
        cell::UnreadableCellRow,
        declare::{Columns as _, Damage, TableRow as _},
        record::RecordColumns,
    },
};

/// Why a cell can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The ring doesn't contain the data key of its version.
    UnknownKeyVersion,
    /// The cell was changed or moved, or its data key was replaced.
    DoesNotVerify,
    /// The bytes aren't a cell.
    Malformed,
    /// A newer version sealed the cell.
    NewerFormat,
}

impl Reason {
    /// All reasons.
    const ALL: [Reason; 4] = [Reason::UnknownKeyVersion, Reason::DoesNotVerify, Reason::Malformed, Reason::NewerFormat];

    /// Returns the stored name.
    fn code(self) -> &'static str {
        match self {
            Reason::UnknownKeyVersion => "unknown-key-version",
            Reason::DoesNotVerify => "does-not-verify",
            Reason::Malformed => "malformed",
            Reason::NewerFormat => "newer-format",
        }
    }
}

impl From<&CellError> for Reason {
    fn from(error: &CellError) -> Self {
        match error {
            CellError::Malformed(CellFormatError::NewerFormat { .. }) => Reason::NewerFormat,
            CellError::Malformed(_) => Reason::Malformed,
            CellError::UnknownKeyVersion(_) => Reason::UnknownKeyVersion,
            CellError::DoesNotVerify => Reason::DoesNotVerify,
        }
    }
}

/// A cell that can't be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableCell {
    /// The table of the entity.
    pub table: String,
    /// The column of the attribute.
    pub column: String,
    /// The id of the record.
    pub record: RecordId,
    /// Why the cell can't be opened.
    pub reason: Reason,
    /// The key version in the header; `None` if the header is malformed.
    pub key_version: Option<KeyVersion>,
    /// The hash of the stored cell.
    pub sha256: [u8; 32],
}

impl UnreadableCell {
    /// Returns the entry for a cell that can't be opened because of `error`.
    pub(crate) fn new(CellColumn { table, column }: &CellColumn, cell: &StoredCell, error: &CellError) -> Self {
        UnreadableCell {
            table: table.clone(),
            column: column.clone(),
            record: cell.record,
            reason: error.into(),
            key_version: cell::version_of(&cell.bytes).ok(),
            sha256: Sha256::digest(&cell.bytes).into(),
        }
    }

    /// Returns the steps that set the cell aside, on the condition that it is unchanged.
    pub(crate) fn set_aside(&self, cell: &[u8]) -> Vec<Step> {
        let is_there =
            RecordColumns::id().is(self.record).and(Condition::equal(self.column.clone(), Datum::Bytes(cell.to_vec())));
        let row = UnreadableCellRow {
            table_name: self.table.clone(),
            column_name: self.column.clone(),
            id: self.record,
            reason: self.reason.code().to_owned(),
            key_version: self.key_version.map(|version| version.get().into()),
            sha256: self.sha256,
        };
        vec![
            Step::Require { table: self.table.clone().into(), rows: is_there },
            forget(&self.table, &self.column, self.record),
            row.insert(),
        ]
    }

    fn place(&self) -> (String, String, Uuid) {
        (self.table.clone(), self.column.clone(), self.record.uuid())
    }
}

/// Returns the step that removes the entry of a cell.
pub(crate) fn forget(table: &str, column: &str, record: RecordId) -> Step {
    let rows = UnreadableCellRow::table_name()
        .is(table.to_owned())
        .and(UnreadableCellRow::column_name().is(column.to_owned()))
        .and(UnreadableCellRow::id().is(record));
    UnreadableCellRow::delete(rows)
}

/// Returns the step that removes all entries.
pub(crate) fn forget_all() -> Step {
    UnreadableCellRow::delete(Condition::EVERYTHING)
}

fn parse(row: Row) -> Result<UnreadableCell, Damage> {
    let row = UnreadableCellRow::all_columns().values(row)?;
    let reason = Reason::ALL.into_iter().find(|known| known.code() == row.reason);
    let version = row.key_version.and_then(|version| u32::try_from(version).ok());
    Ok(UnreadableCell {
        table: row.table_name,
        column: row.column_name,
        record: row.id,
        reason: reason.ok_or_else(|| UnreadableCellRow::reason().damaged())?,
        key_version: version.and_then(KeyVersion::new),
        sha256: row.sha256,
    })
}

/// The cells that are set aside.
pub(crate) struct SetAside(BTreeMap<(String, String, Uuid), UnreadableCell>);

impl SetAside {
    pub(crate) async fn read(store: &dyn Reader) -> Result<SetAside, Unavailable> {
        let found = store.select(UnreadableCellRow::all_columns().select(Condition::EVERYTHING)).await?;
        let cells = found.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        Ok(SetAside(cells.into_iter().map(|cell| (cell.place(), cell)).collect()))
    }

    /// Returns whether exactly this cell is among them.
    pub(crate) fn holds(&self, CellColumn { table, column }: &CellColumn, cell: &StoredCell) -> bool {
        let place = (table.clone(), column.clone(), cell.record.uuid());
        self.0.get(&place).is_some_and(|aside| aside.sha256[..] == Sha256::digest(&cell.bytes)[..])
    }

    /// Returns the data keys of this ring that one of the cells may still need. These are all keys if a newer version
    /// sealed one of the cells, because its header can't be read.
    pub(crate) fn needed(&self, ring: &KeyRing) -> BTreeSet<KeyVersion> {
        if self.0.values().any(|cell| cell.reason == Reason::NewerFormat) {
            return ring.stored().keys.iter().map(|key| key.version).collect();
        }
        let unverified = self.0.values().filter(|cell| cell.reason == Reason::DoesNotVerify);
        unverified.filter_map(|cell| cell.key_version).collect()
    }
}

/// A page of the cells that are set aside.
pub struct UnreadableCells {
    /// The cells, ordered by table, column and record.
    pub cells: Vec<UnreadableCell>,
    /// The token of the next page; empty on the last page.
    pub next_page_token: String,
}

/// Lists the cells that the last re-encryption couldn't open and that weren't overwritten since. Returns `None` if the
/// page token isn't valid for this list.
///
/// # Errors
/// If a database is unavailable.
pub async fn list(
    deployment: &Deployment,
    permit: Permit<policy::ReadKeyStatus>,
    method: &str,
    size: u32,
    token: &str,
) -> Result<Option<UnreadableCells>, StoreFailure> {
    let (organization, identity) = (permit.organization(), &*permit.caller().identity);
    let root_key = &*deployment.ports.root_key;
    let parent = organization.resource_name();
    let context = PageContext { method, parent: &parent, filter: "", order_by: "", identity };
    let rows = if token.is_empty() {
        Condition::EVERYTHING
    } else {
        match page_token::cursor(root_key, &context, token).map_err(StoreFailure::internal)?.as_deref().and_then(after)
        {
            Some(rows) => rows,
            None => return Ok(None),
        }
    };
    let order = UnreadableCellRow::key().into_iter().map(|name| (name, Direction::Ascending)).collect();
    let limit = size.saturating_add(1);
    let select = Select { order, limit, ..UnreadableCellRow::all_columns().select(rows) };
    let found = organization.store.select(select).await?;
    let cells = found.into_iter().map(parse).collect::<Result<Vec<_>, _>>();
    let mut cells = cells.map_err(Unavailable::from)?;
    let mut bytes = 0_usize;
    let fits = cells.iter().take_while(|_| {
        bytes = bytes.saturating_add(CELL_BYTES);
        bytes <= deployment.page_bytes_max
    });
    let shown = fits.count().max(1).min(usize::try_from(size).unwrap_or(usize::MAX));
    let has_more = cells.len() > shown;
    cells.truncate(shown);
    let next_page_token = match cells.last() {
        Some(last) if has_more => {
            page_token::token(root_key, &context, &cursor(last)).map_err(StoreFailure::internal)?
        }
        Some(_) | None => String::new(),
    };
    Ok(Some(UnreadableCells { cells, next_page_token }))
}

/// The maximum size of a cell in a page in bytes: its name, attribute and hash.
const CELL_BYTES: usize = 512;

/// Returns the position of a cell in bytes: the id, the table, a zero byte and the column.
fn cursor(cell: &UnreadableCell) -> Vec<u8> {
    [&cell.record.uuid().as_bytes()[..], cell.table.as_bytes(), b"\0", cell.column.as_bytes()].concat()
}

/// Returns the condition for rows after the cell of this cursor.
fn after(cursor: &[u8]) -> Option<Condition> {
    let (id, names) = cursor.split_first_chunk::<16>()?;
    let (table, column) = std::str::from_utf8(names).ok()?.split_once('\0')?;
    Some(Condition::later([
        UnreadableCellRow::table_name().holding(table.to_owned()),
        UnreadableCellRow::column_name().holding(column.to_owned()),
        UnreadableCellRow::id().holding(RecordId::from_bytes(*id)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_is_followed_by_the_cells_of_later_places() {
        let cell = UnreadableCell {
            table: "Mailbox".to_owned(),
            column: "password".to_owned(),
            record: RecordId::from_bytes([7; 16]),
            reason: Reason::Malformed,
            key_version: None,
            sha256: [0; 32],
        };
        let Some(Condition::All(both)) = after(&cursor(&cell)) else { panic!("a cursor is a place") };
        let [_range_of_an_index, Condition::Any(later)] = &both[..] else { panic!("{both:?}") };
        assert_eq!(later.len(), 3);
        assert_eq!(
            later[1],
            Condition::All(vec![
                Condition::equal("table_name", Datum::Text("Mailbox".to_owned())),
                Condition::greater("column_name", Datum::Text("password".to_owned())),
            ])
        );
        assert_eq!(after(b"too short"), None);
    }

    #[test]
    fn every_reason_parses_from_its_name() {
        for reason in Reason::ALL {
            assert_eq!(Reason::ALL.into_iter().find(|known| known.code() == reason.code()), Some(reason));
        }
    }
}
