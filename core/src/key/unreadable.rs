//! Unreadable cells: those that a re-encryption could not open and has set aside as they are.
//!
//! One that merely doesn't verify may yet be mended, by putting back the bytes that were there; the data key that it names is kept in the
//! ring for that. Overwriting, clearing or deleting it heals it: the write itself forgets it, and once nothing needs a kept data key any
//! more, [`retire`](crate::key::retire::retire) destroys it, by the same full scan as a re-encryption.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
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

/// Why a cell doesn't open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It names a data key that the ring doesn't hold.
    UnknownKeyVersion,
    /// It was changed, or belongs elsewhere, or its data key is another one.
    DoesNotVerify,
    /// The bytes are no cell's.
    Malformed,
    /// A newer version sealed it.
    NewerFormat,
}

impl Reason {
    /// Every reason.
    const ALL: [Reason; 4] = [Reason::UnknownKeyVersion, Reason::DoesNotVerify, Reason::Malformed, Reason::NewerFormat];

    /// The word that is stored.
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

/// A cell that doesn't open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableCell {
    /// The table of its entity.
    pub table: String,
    /// The column of its attribute.
    pub column: String,
    /// Its record.
    pub record: RecordId,
    /// Why it doesn't open.
    pub reason: Reason,
    /// The version in its header; `None` if it has none.
    pub key_version: Option<KeyVersion>,
    /// The hash of the cell as it is stored.
    pub sha256: [u8; 32],
}

impl UnreadableCell {
    /// This cell, which didn't open for this error.
    pub(crate) fn new(table: &str, column: &str, record: RecordId, cell: &[u8], error: &CellError) -> Self {
        UnreadableCell {
            table: table.to_owned(),
            column: column.to_owned(),
            record,
            reason: error.into(),
            key_version: cell::version_of(cell).ok(),
            sha256: Sha256::digest(cell).into(),
        }
    }

    /// The steps that set the cell aside: as it was read, or not at all.
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

/// The step that forgets about a cell that was set aside.
pub(crate) fn forget(table: &str, column: &str, record: RecordId) -> Step {
    let rows = UnreadableCellRow::table_name()
        .is(table.to_owned())
        .and(UnreadableCellRow::column_name().is(column.to_owned()))
        .and(UnreadableCellRow::id().is(record));
    UnreadableCellRow::delete(rows)
}

/// The step that forgets about all of them.
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
pub(crate) struct Aside(BTreeMap<(String, String, Uuid), UnreadableCell>);

impl Aside {
    pub(crate) async fn read(store: &dyn Reader) -> Result<Aside, Unavailable> {
        let found = store.select(UnreadableCellRow::all_columns().select(Condition::EVERYTHING)).await?;
        let cells = found.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Aside(cells.into_iter().map(|cell| (cell.place(), cell)).collect()))
    }

    /// Whether this very cell is among them.
    pub(crate) fn holds(&self, table: &str, column: &str, id: RecordId, cell: &[u8]) -> bool {
        let place = (table.to_owned(), column.to_owned(), id.uuid());
        self.0.get(&place).is_some_and(|aside| aside.sha256[..] == Sha256::digest(cell)[..])
    }

    /// The data keys of this ring that one of them may yet need: all, if a newer version sealed one, since its header can't be read here.
    pub(crate) fn needed(&self, ring: &KeyRing) -> BTreeSet<KeyVersion> {
        if self.0.values().any(|cell| cell.reason == Reason::NewerFormat) {
            return ring.stored().keys.iter().map(|key| key.version).collect();
        }
        let unverified = self.0.values().filter(|cell| cell.reason == Reason::DoesNotVerify);
        unverified.filter_map(|cell| cell.key_version).collect()
    }
}

/// A page of the cells that are set aside.
pub struct Listed {
    /// The cells, by table, column and record.
    pub cells: Vec<UnreadableCell>,
    /// Where the next page begins; empty if there is none.
    pub next_page_token: String,
}

/// Lists the cells that the last re-encryption could not open and that nobody has overwritten since. `None` if the page token is none of
/// this list.
///
/// # Errors
/// If a database doesn't answer.
pub async fn list(
    deployment: &Deployment,
    permit: Permit<policy::ReadKeyStatus>,
    method: &str,
    size: u32,
    token: &str,
) -> Result<Option<Listed>, StoreFailure> {
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
    Ok(Some(Listed { cells, next_page_token }))
}

/// How many bytes a cell takes in a page at most: its name, its attribute, its hash.
const CELL_BYTES: usize = 512;

/// A cell's place in bytes: the id, the table, a zero, the column.
fn cursor(cell: &UnreadableCell) -> Vec<u8> {
    [&cell.record.uuid().as_bytes()[..], cell.table.as_bytes(), b"\0", cell.column.as_bytes()].concat()
}

/// The rows after the cell of this cursor.
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
        let Some(Condition::Any(later)) = after(&cursor(&cell)) else { panic!() };
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
