//! Encodes and decodes the file of an exported organization. docs/export-format.md describes it.
//!
//! Reading is total: any bytes result in parts or in a [`FormatError`], and memory contains at most one part at a time. This module doesn't
//! know the meaning of a part for a database.

use std::mem;

use prost::Message;
use sealward::v1::{
    ExportColumn, ExportHeader, ExportManifest, ExportPart, ExportRow, ExportRows, ExportTable, ExportValue,
    ExportedTable, export_column, export_part::Content, export_value,
};
use sealward_core::{
    id::{OrganizationId, Timestamp},
    layout::TableLayout,
    organization::export::{Exported, Part},
    store::{Column, ColumnType, Datum, Row, Table},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::schema::{timestamp_from_proto, timestamp_to_proto};

/// The first bytes of every file.
const MAGIC: &[u8] = b"sealward export 1\n";

pub(crate) const FORMAT_VERSION: u32 = 1;

/// The intended size of a part with rows, in bytes.
const ROWS_BYTES: usize = 256 * 1024;

/// The most parts of a file: the manifest, which is a part, has a hash of 34 bytes for each.
const PARTS_MAX: usize = PART_BYTES_MAX / 34;

/// The maximum size of a part, in bytes. A row is smaller than the largest message, and a manifest of this size lists half a million parts.
const PART_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Writes a file.
pub(crate) struct Writer {
    hashes: Vec<Vec<u8>>,
    tables: Vec<ExportedTable>,
}

impl Writer {
    /// The writer, and the beginning of its file.
    pub(crate) fn begin(exported: &Exported) -> (Self, Vec<u8>) {
        let mut writer = Writer { hashes: Vec::new(), tables: Vec::new() };
        let header = ExportHeader {
            format_version: FORMAT_VERSION,
            organization_uid: exported.id.as_bytes().to_vec(),
            organization_id: exported.name.as_ref().map(ToString::to_string).unwrap_or_default(),
            create_time: Some(timestamp_to_proto(exported.create_time)),
            export_time: Some(timestamp_to_proto(exported.export_time)),
            fingerprint: exported.fingerprint.clone(),
        };
        let mut bytes = MAGIC.to_vec();
        writer.write(Content::Header(header), &mut bytes);
        (writer, bytes)
    }

    /// The bytes of a part of the export.
    pub(crate) fn part(&mut self, part: Part) -> Vec<u8> {
        let mut bytes = Vec::new();
        match part {
            Part::Table(table_layout) => {
                let name = table_layout.table.name.to_string();
                let column = |column: &Column| ExportColumn {
                    name: column.name.to_string(),
                    r#type: type_to_proto(column.kind).into(),
                    cell: table_layout.cells.contains(&column.name),
                };
                let columns = table_layout.table.columns.iter().map(column).collect();
                self.tables.push(ExportedTable { name: name.clone(), rows: 0 });
                self.write(Content::Table(ExportTable { name, columns }), &mut bytes);
            }
            Part::Rows(rows) => {
                if let Some(table) = self.tables.last_mut() {
                    table.rows = table.rows.saturating_add(i64::try_from(rows.len()).unwrap_or(i64::MAX));
                }
                let mut part = ExportRows::default();
                let mut size = 0;
                for row in rows {
                    let row = ExportRow { values: row.into_iter().map(value_to_proto).collect() };
                    size += row.encoded_len();
                    part.rows.push(row);
                    if size >= ROWS_BYTES {
                        self.write(Content::Rows(mem::take(&mut part)), &mut bytes);
                        size = 0;
                    }
                }
                if !part.rows.is_empty() {
                    self.write(Content::Rows(part), &mut bytes);
                }
            }
        }
        bytes
    }

    /// The end of the file.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let manifest = ExportManifest { part_sha256: mem::take(&mut self.hashes), tables: mem::take(&mut self.tables) };
        let mut bytes = Vec::new();
        self.write(Content::Manifest(manifest), &mut bytes);
        bytes.extend(self.hashes.into_iter().flatten());
        bytes
    }

    fn write(&mut self, content: Content, bytes: &mut Vec<u8>) {
        let part = ExportPart { content: Some(content) }.encode_to_vec();
        self.hashes.push(Sha256::digest(&part).to_vec());
        bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(part);
    }
}

/// Why a file can't be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormatError {
    /// It doesn't begin with [`MAGIC`].
    #[error("the file isn't an export")]
    NotAnExport,
    /// A newer version wrote it.
    #[error("the file has format {0}, but this server reads only {FORMAT_VERSION}")]
    Version(u32),
    /// A part can't be read.
    #[error("a part of the file can't be read")]
    Malformed,
    /// A part is out of place.
    #[error("the parts of the file are out of order")]
    Order,
    /// The content doesn't match the manifest.
    #[error("the file doesn't match its manifest")]
    Changed,
    /// It ends too early.
    #[error("the file is incomplete")]
    CutOff,
    /// Bytes follow the end.
    #[error("bytes follow the end of the file")]
    Trailing,
}

/// An element of a file.
#[derive(Debug)]
pub(crate) enum Read {
    Header(Exported),
    Table(TableLayout),
    Rows(Vec<Row>),
    /// The end. All elements before it match the manifest.
    End,
}

/// Reads a file.
#[derive(Default)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
    /// The number of bytes of the buffer that were read.
    start: usize,
    stage: Stage,
    hashes: Vec<Vec<u8>>,
    tables: Vec<ExportedTable>,
    /// The types of the columns of the current table.
    types: Vec<ColumnType>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Magic,
    Header,
    Parts,
    /// The hash of the manifest is next.
    Hash,
    End,
}

impl Reader {
    /// Adds the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next element. `None` if more bytes are needed.
    pub(crate) fn next(&mut self) -> Result<Option<Read>, FormatError> {
        if self.stage == Stage::Magic {
            let Some(magic) = self.take(MAGIC.len()) else { return self.expect_magic() };
            if magic != MAGIC {
                return Err(FormatError::NotAnExport);
            }
            self.stage = Stage::Header;
        }
        match self.stage {
            Stage::Magic | Stage::Header | Stage::Parts => self.part(),
            Stage::Hash => {
                let Some(hash) = self.take(32) else { return Ok(None) };
                if self.hashes.last().map(Vec::as_slice) != Some(hash.as_slice()) {
                    return Err(FormatError::Changed);
                }
                self.stage = Stage::End;
                Ok(Some(Read::End))
            }
            Stage::End if self.rest().is_empty() => Ok(None),
            Stage::End => Err(FormatError::Trailing),
        }
    }

    /// Reports the end of the bytes.
    pub(crate) fn end(&self) -> Result<(), FormatError> {
        match self.stage {
            Stage::End => Ok(()),
            Stage::Magic | Stage::Header | Stage::Parts | Stage::Hash => Err(FormatError::CutOff),
        }
    }

    /// Another kind of file is recognized by its first bytes.
    fn expect_magic(&self) -> Result<Option<Read>, FormatError> {
        if MAGIC.starts_with(self.rest()) { Ok(None) } else { Err(FormatError::NotAnExport) }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let taken = self.rest().get(..length)?.to_vec();
        self.start += length;
        Some(taken)
    }

    fn part(&mut self) -> Result<Option<Read>, FormatError> {
        let Some((length, rest)) = self.rest().split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > PART_BYTES_MAX {
            return Err(FormatError::Malformed);
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.start += 4;
        let bytes = self.take(length).unwrap_or_default();
        let part = ExportPart::decode(bytes.as_slice()).map_err(|_| FormatError::Malformed)?;
        let content = part.content.ok_or(FormatError::Malformed)?;
        if self.hashes.len() >= PARTS_MAX {
            return Err(FormatError::Malformed);
        }
        let hash = Sha256::digest(&bytes).to_vec();
        let read = self.read(content)?;
        self.hashes.push(hash);
        match read {
            Some(read) => Ok(Some(read)),
            // The manifest. Its hash is next.
            None => self.next(),
        }
    }

    fn read(&mut self, content: Content) -> Result<Option<Read>, FormatError> {
        match (self.stage, content) {
            (Stage::Header, Content::Header(header)) => {
                self.stage = Stage::Parts;
                header_from_proto(header).map(|exported| Some(Read::Header(exported)))
            }
            (Stage::Parts, Content::Table(table)) => {
                let table_layout = table_from_proto(&table)?;
                self.types = table_layout.table.columns.iter().map(|column| column.kind).collect();
                self.tables.push(ExportedTable { name: table.name, rows: 0 });
                Ok(Some(Read::Table(table_layout)))
            }
            (Stage::Parts, Content::Rows(rows)) => {
                let table = self.tables.last_mut().ok_or(FormatError::Order)?;
                if rows.rows.is_empty() {
                    return Err(FormatError::Malformed);
                }
                table.rows = table.rows.saturating_add(i64::try_from(rows.rows.len()).unwrap_or(i64::MAX));
                let row = |row: ExportRow| row.values.into_iter().map(value_from_proto).collect::<Result<Row, _>>();
                Ok(Some(Read::Rows(rows.rows.into_iter().map(row).collect::<Result<_, _>>()?)))
            }
            (Stage::Parts, Content::Manifest(manifest)) => {
                if manifest.part_sha256 != self.hashes || manifest.tables != self.tables {
                    return Err(FormatError::Changed);
                }
                self.stage = Stage::Hash;
                Ok(None)
            }
            (
                Stage::Magic | Stage::Header | Stage::Parts | Stage::Hash | Stage::End,
                Content::Header(_) | Content::Table(_) | Content::Rows(_) | Content::Manifest(_),
            ) => Err(FormatError::Order),
        }
    }
}

fn header_from_proto(header: ExportHeader) -> Result<Exported, FormatError> {
    if header.format_version != FORMAT_VERSION {
        return Err(FormatError::Version(header.format_version));
    }
    let id: [u8; 16] = header.organization_uid.try_into().map_err(|_| FormatError::Malformed)?;
    let time = |time: Option<prost_types::Timestamp>| {
        time.and_then(|time| timestamp_from_proto(time.seconds, time.nanos)).ok_or(FormatError::Malformed)
    };
    Ok(Exported {
        id: OrganizationId::from_bytes(id),
        name: header.organization_id.parse().ok(),
        create_time: time(header.create_time)?,
        export_time: time(header.export_time)?,
        fingerprint: header.fingerprint,
    })
}

fn table_from_proto(table: &ExportTable) -> Result<TableLayout, FormatError> {
    let column = |column: &ExportColumn| {
        let kind = type_from_proto(column.r#type()).ok_or(FormatError::Malformed)?;
        Ok(Column { name: column.name.clone().into(), kind, nullable: true })
    };
    Ok(TableLayout {
        table: Table {
            name: table.name.clone().into(),
            columns: table.columns.iter().map(column).collect::<Result<_, FormatError>>()?,
            key: Vec::new(),
            indexes: Vec::new(),
        },
        cells: table.columns.iter().filter(|column| column.cell).map(|column| column.name.clone().into()).collect(),
    })
}

fn type_to_proto(kind: ColumnType) -> export_column::Type {
    match kind {
        ColumnType::Boolean => export_column::Type::Boolean,
        ColumnType::Integer => export_column::Type::Integer,
        ColumnType::Text => export_column::Type::Text,
        ColumnType::Bytes => export_column::Type::Bytes,
        ColumnType::Uuid => export_column::Type::Uuid,
        ColumnType::Time => export_column::Type::Time,
    }
}

fn type_from_proto(kind: export_column::Type) -> Option<ColumnType> {
    ColumnType::ALL.into_iter().find(|known| type_to_proto(*known) == kind)
}

fn value_to_proto(datum: Datum) -> ExportValue {
    use export_value::Content;
    let content = match datum {
        Datum::Null => None,
        Datum::Boolean(value) => Some(Content::Boolean(value)),
        Datum::Integer(value) => Some(Content::Integer(value)),
        Datum::Text(value) => Some(Content::Text(value)),
        Datum::Bytes(value) => Some(Content::Data(value)),
        Datum::Uuid(value) => Some(Content::Uuid(value.as_bytes().to_vec())),
        Datum::Time(value) => Some(Content::TimeUs(value.unix_micros())),
    };
    ExportValue { content }
}

fn value_from_proto(value: ExportValue) -> Result<Datum, FormatError> {
    use export_value::Content;
    Ok(match value.content {
        None => Datum::Null,
        Some(Content::Boolean(value)) => Datum::Boolean(value),
        Some(Content::Integer(value)) => Datum::Integer(value),
        Some(Content::Text(value)) => Datum::Text(value),
        Some(Content::Data(value)) => Datum::Bytes(value),
        Some(Content::Uuid(value)) => Datum::Uuid(Uuid::from_slice(&value).map_err(|_| FormatError::Malformed)?),
        Some(Content::TimeUs(value)) => Datum::Time(Timestamp::from_unix_micros(value)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exported() -> Exported {
        Exported {
            id: OrganizationId::from_bytes([7; 16]),
            name: Some("contoso".parse().unwrap()),
            create_time: Timestamp::from_unix_micros(1_700_000_000_123_456),
            export_time: Timestamp::from_unix_micros(1_800_000_000_000_000),
            fingerprint: "7f3a-19c2-5d04-88be".to_owned(),
        }
    }

    fn table() -> TableLayout {
        let column = |(name, kind): (&'static str, ColumnType)| Column { name: name.into(), kind, nullable: true };
        let columns = [("id", ColumnType::Uuid), ("number", ColumnType::Integer), ("password", ColumnType::Bytes)];
        TableLayout {
            table: Table {
                name: "Mailbox".into(),
                columns: columns.map(column).into(),
                key: Vec::new(),
                indexes: Vec::new(),
            },
            cells: vec!["password".into()],
        }
    }

    fn rows() -> Vec<Row> {
        let row = |number: u8| {
            vec![Datum::Uuid(Uuid::from_bytes([number; 16])), Datum::Integer(-5), Datum::Bytes(vec![number; 200_000])]
        };
        (1..=4).map(row).collect()
    }

    fn file() -> Vec<u8> {
        let (mut writer, mut file) = Writer::begin(&exported());
        file.extend(writer.part(Part::Table(table())));
        file.extend(writer.part(Part::Rows(rows())));
        file.extend(writer.finish());
        file
    }

    /// A small file.
    fn small_file() -> Vec<u8> {
        let (mut writer, mut file) = Writer::begin(&exported());
        file.extend(writer.part(Part::Table(table())));
        file.extend(writer.part(Part::Rows(vec![vec![Datum::Null, Datum::Integer(1), Datum::Bytes(vec![1, 2, 3])]])));
        file.extend(writer.finish());
        file
    }

    /// The content of a file, and whether it ended.
    type Held = (Option<Exported>, Vec<Table>, Vec<Row>, bool);

    /// Reads a file in pieces of this size.
    fn read(file: &[u8], piece: usize) -> Result<Held, FormatError> {
        let mut reader = Reader::default();
        let (mut header, mut tables, mut rows, mut ended) = (None, Vec::new(), Vec::new(), false);
        for bytes in file.chunks(piece) {
            reader.push(bytes);
            while let Some(read) = reader.next()? {
                match read {
                    Read::Header(exported) => header = Some(exported),
                    Read::Table(table_layout) => tables.push(table_layout.table),
                    Read::Rows(more) => rows.extend(more),
                    Read::End => ended = true,
                }
            }
        }
        reader.end()?;
        Ok((header, tables, rows, ended))
    }

    #[test]
    fn export_is_read_unchanged_in_pieces_of_any_size() {
        for piece in [1_000, 65_536, usize::MAX / 2] {
            assert_eq!(read(&file(), piece), Ok((Some(exported()), vec![table().table], rows(), true)));
        }
        assert!(read(&small_file(), 1).is_ok());
    }

    #[test]
    fn export_cut_off_anywhere_is_refused() {
        let file = small_file();
        for length in 0..file.len() {
            assert_eq!(read(&file[..length], 64), Err(FormatError::CutOff), "{length}");
        }
    }

    #[test]
    fn export_with_any_flipped_bit_is_refused() {
        let file = small_file();
        for index in 0..file.len() {
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[index] ^= 1 << bit;
                assert!(read(&changed, 4_096).is_err(), "byte {index}, bit {bit}");
            }
        }
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        let longer = [small_file(), vec![0]].concat();
        assert_eq!(read(&longer, 4_096), Err(FormatError::Trailing));
    }

    #[test]
    fn rows_without_a_table_and_a_second_header_are_out_of_order() {
        let (mut writer, mut file) = Writer::begin(&exported());
        file.extend(writer.part(Part::Rows(vec![vec![Datum::Null]])));
        assert_eq!(read(&file, 4_096), Err(FormatError::Order));
        let (_, first) = Writer::begin(&exported());
        let twice = [&first[..], &first[MAGIC.len()..]].concat();
        assert_eq!(read(&twice, 4_096), Err(FormatError::Order));
    }

    proptest! {
        #[test]
        fn reading_of_any_bytes_ends(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let file = [MAGIC, &bytes].concat();
            prop_assert!(read(&file, 100).is_err());
        }
    }
}
