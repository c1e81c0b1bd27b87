//! The target of the copy: a file, which may be renamed at any time, a pipe, or stdout. All functions block.
//!
//! A pipe is opened for writing only, and without waiting: a server that could read it would be its own reader, and never notice that no
//! other is left. Without a reader, nothing is written, and the records in the buffer of the pipe are written again to the next one.
//!
//! A file is only appended to. When it is opened, an incomplete last line is terminated, so that it doesn't corrupt the next one. The
//! records after the mark are read, so that they aren't written again. This module doesn't know trails or databases.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat},
    io::Errno,
};
use sealward_core::audit::follow::TrailPosition;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ledger::Trail,
    pipe::{self, Pipe},
};
use crate::{audit::record::place_in, config::CopyTo, files::private_file};

/// The length of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) length: u64,
}

impl Mark {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Mark { device: found.dev(), inode: found.ino(), length: found.len() })
    }

    fn is_of(&self, found: &Metadata) -> bool {
        (self.device, self.inode) == (found.dev(), found.ino())
    }
}

/// The result of a check of the target.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// Whether the target is a new file now.
    pub(super) is_another: bool,
    /// The last record of each trail beyond the mark.
    pub(super) found: BTreeMap<Trail, TrailPosition>,
}

/// The end of the target that is on disk, or with a reader.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Synced {
    /// The end of the file. `None` if it isn't a regular file.
    pub(super) mark: Option<Mark>,
    /// For each trail with records in the buffer of a pipe: the position of the record before them.
    pub(super) not_taken: BTreeMap<Trail, TrailPosition>,
}

/// The target of the copy.
pub(super) struct Target {
    to: CopyTo,
    /// The writer whose records are copied.
    writer: Uuid,
    /// The file, while it is writable.
    open: Option<File>,
    /// The content of the file beyond this mark is unknown until it is read.
    unread: Option<Mark>,
    /// The last writes, if the target is a pipe.
    pipe: Option<Pipe>,
    /// For each trail with records that were lost in the buffer of a pipe: the position of the record before them.
    lost: BTreeMap<Trail, TrailPosition>,
}

impl Target {
    /// `mark` is the end of the file when its content was last known. `None` if it was never known.
    pub(super) fn new(to: CopyTo, writer: Uuid, mark: Option<Mark>) -> Self {
        let is_pipe = to == CopyTo::Stdout
            && fstat(io::stdout()).is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Fifo);
        let (unread, pipe) = (Some(mark.unwrap_or_default()), is_pipe.then(Pipe::default));
        Target { to, writer, open: None, unread, pipe, lost: BTreeMap::new() }
    }

    /// The trails with records that were lost since the last call, with the position of the record before them.
    pub(super) fn take_lost(&mut self) -> BTreeMap<Trail, TrailPosition> {
        std::mem::take(&mut self.lost)
    }

    /// Ensures that the open file is the one at the configured path.
    pub(super) fn look(&mut self) -> io::Result<Looked> {
        if let (Some(file), Some(_)) = (&self.open, &self.pipe)
            && !pipe::has_reader(file)?
        {
            self.close_pipe(0);
        }
        let CopyTo::File(path) = &self.to else {
            // Its buffer is kept for the next reader, if there can be one.
            let is_read = self.pipe.is_none() || pipe::has_reader(io::stdout())?;
            return if is_read { Ok(Looked::default()) } else { Err(pipe::without_reader()) };
        };
        if let Some(file) = &self.open {
            if is_at(path, file)? {
                return Ok(Looked::default());
            }
            // It was renamed or removed. Its content must be kept.
            let synced = sync(file);
            self.open = None;
            synced?;
        }
        let mut file = open(path)?;
        let is_pipe = file.metadata()?.file_type().is_fifo();
        let mut found = BTreeMap::new();
        if file.metadata()?.is_file() {
            close_last_line(&mut file)?;
            if let Some(mark) = self.unread {
                found = read_from(&mut file, mark, self.writer)?;
            }
        }
        self.unread = None;
        self.pipe = is_pipe.then(Pipe::default);
        self.open = Some(file);
        Ok(Looked { is_another: true, found })
    }

    /// Closes a pipe without a reader. What is in its buffer is lost then, with `unwritten` bytes of the last write.
    fn close_pipe(&mut self, unwritten: usize) {
        if let (Some(file), Some(pipe)) = (self.open.take(), self.pipe.take()) {
            self.lost.extend(pipe.not_taken(file, unwritten));
        }
    }

    /// Appends lines, which follow the record at this position of this trail. After an error, the next check shows which of them were
    /// written.
    pub(super) fn write(&mut self, (trail, after): (Trail, TrailPosition), lines: &[u8]) -> io::Result<()> {
        if self.to == CopyTo::Stdout {
            let mut stdout = io::stdout().lock();
            stdout.write_all(lines).and_then(|()| stdout.flush())?;
            if let Some(pipe) = &mut self.pipe {
                pipe.wrote(&stdout, trail, after, lines, 0);
            }
            return Ok(());
        }
        let Some(file) = &mut self.open else { return Err(io::ErrorKind::NotConnected.into()) };
        let before = Mark::of(file)?;
        let mut rest = lines;
        while !rest.is_empty() {
            let written = match file.write(rest) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => written,
            };
            match written {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) => {
                    let written = lines.get(..lines.len().saturating_sub(rest.len())).unwrap_or_default();
                    let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
                    if file.metadata()?.is_file() {
                        // If this fails, the next check terminates the incomplete line.
                        let _cut = file.set_len(before.length.saturating_add(whole.try_into().unwrap_or_default()));
                        self.unread = Some(before);
                    }
                    if let Some(pipe) = &mut self.pipe {
                        let unwritten = rest.len();
                        pipe.wrote(&*file, trail, after, lines, unwritten);
                        self.close_pipe(unwritten);
                    }
                    self.open = None;
                    return Err(if error.kind() == io::ErrorKind::BrokenPipe { pipe::without_reader() } else { error });
                }
            }
        }
        if let Some(pipe) = &mut self.pipe {
            pipe.wrote(&*file, trail, after, lines, 0);
        }
        Ok(())
    }

    /// Syncs the file to disk, and returns its end. For a pipe, returns what no reader has taken yet.
    pub(super) fn sync(&mut self) -> io::Result<Synced> {
        if let (CopyTo::Stdout, Some(pipe)) = (&self.to, &self.pipe) {
            return Ok(Synced { mark: None, not_taken: pipe.not_taken(io::stdout(), 0) });
        }
        let Some(file) = &self.open else { return Ok(Synced::default()) };
        if let Some(pipe) = &self.pipe {
            return Ok(Synced { mark: None, not_taken: pipe.not_taken(file, 0) });
        }
        if !file.metadata()?.is_file() {
            return Ok(Synced::default());
        }
        let synced = sync(file).and_then(|()| Mark::of(file));
        if synced.is_err() {
            self.open = None;
        }
        Ok(Synced { mark: Some(synced?), not_taken: BTreeMap::new() })
    }
}

/// Opens the file at a path, or creates it. Never waits, not even for the reader of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let is_pipe = fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    let mut options = OpenOptions::new();
    if is_pipe {
        options.write(true);
    } else {
        options.read(true).append(true).create(true).mode(private_file::PRIVATE);
    }
    let opened = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
    let is_without_reader = |error: &io::Error| is_pipe && Errno::from_io_error(error) == Some(Errno::NXIO);
    let file = opened.map_err(|error| if is_without_reader(&error) { pipe::without_reader() } else { error })?;
    if file.metadata()?.file_type().is_fifo() != is_pipe {
        return Err(io::Error::other("it was replaced while it was opened"));
    }
    // Writes wait, in the copy's own thread.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Whether this path is this file.
fn is_at(path: &Path, file: &File) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) => Ok(Mark::of(file)?.is_of(&found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn sync(file: &File) -> io::Result<()> {
    // A target that isn't a file, such as a terminal, can't be synced.
    if file.metadata()?.is_file() { file.sync_data() } else { Ok(()) }
}

/// Terminates an incomplete last line.
fn close_last_line(file: &mut File) -> io::Result<()> {
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// The last record of each trail of this writer beyond the mark. The whole file is read if the mark belongs to another file or is beyond
/// its end.
fn read_from(file: &mut File, mark: Mark, writer: Uuid) -> io::Result<BTreeMap<Trail, TrailPosition>> {
    let now = file.metadata()?;
    let begin = if mark.is_of(&now) && mark.length <= now.len() { mark.length } else { 0 };
    file.seek(SeekFrom::Start(begin))?;
    let mut found = BTreeMap::<Trail, TrailPosition>::new();
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if let Some((trail, of, place)) = place_in(&line)
            && of == writer
        {
            let last = found.entry(trail).or_default();
            if place.sequence > last.sequence {
                *last = place;
            }
        }
        line.clear();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::audit::record::{self, TrailOwner, tests::record};

    /// Only pipes need the position.
    const START: (Trail, TrailPosition) = (None, TrailPosition { sequence: 0, hash: [0; 32] });
    const WRITER: Uuid = Uuid::from_bytes([1; 16]);

    fn lines(sequences: impl IntoIterator<Item = i64>) -> Vec<u8> {
        record::lines(&TrailOwner::default(), sequences.into_iter().map(record).collect())
    }

    /// An opened target in its own folder.
    fn opened() -> (tempfile::TempDir, std::path::PathBuf, Target) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut target = Target::new(CopyTo::File(path.clone()), WRITER, None);
        assert_eq!(target.look().unwrap(), Looked { is_another: true, found: BTreeMap::new() });
        (folder, path, target)
    }

    fn reopened(path: &Path, mark: Option<Mark>) -> (Target, Option<i64>) {
        let mut target = Target::new(CopyTo::File(path.to_owned()), WRITER, mark);
        let found = target.look().unwrap().found;
        (target, found.get(&None).map(|place| place.sequence))
    }

    #[test]
    fn file_is_created_private_and_appended_to() {
        let (_folder, path, mut target) = opened();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        target.write(START, &lines([1])).unwrap();
        assert_eq!(target.look().unwrap(), Looked::default());
        target.write(START, &lines([2, 3])).unwrap();
        assert_eq!(fs::read(&path).unwrap(), lines([1, 2, 3]));
        assert_eq!(reopened(&path, None).1, Some(3));
    }

    #[test]
    fn only_own_records_after_the_mark_are_found() {
        let (_folder, path, mut target) = opened();
        target.write(START, &lines([1, 2])).unwrap();
        let mark = target.sync().unwrap().mark;
        assert_eq!(reopened(&path, mark).1, None);
        target.write(START, &lines([3])).unwrap();
        target.write(START, b"something else\n").unwrap();
        assert_eq!(reopened(&path, mark).1, Some(3));
        // A mark of another file, or beyond the end of this one, is ignored.
        let other = mark.map(|mark| Mark { inode: mark.inode + 1, ..mark });
        let later = mark.map(|mark| Mark { length: 1 << 40, ..mark });
        assert_eq!((reopened(&path, other).1, reopened(&path, later).1), (Some(3), Some(3)));
        let mut of_another = Target::new(CopyTo::File(path), Uuid::nil(), mark);
        assert_eq!(of_another.look().unwrap().found, BTreeMap::new());
    }

    #[test]
    fn truncated_line_damages_no_other_line_and_does_not_count() {
        let (_folder, path, mut target) = opened();
        let whole = lines([1, 2]);
        target.write(START, &whole[..whole.len() - 7]).unwrap();
        let (mut target, found) = reopened(&path, None);
        assert_eq!(found, Some(1));
        target.write(START, &lines([2])).unwrap();
        assert_eq!(reopened(&path, None).1, Some(2));
        let text = fs::read(&path).unwrap();
        assert_eq!(text.split(|byte| *byte == b'\n').filter(|line| place_in(line).is_some()).count(), 2);
    }

    #[test]
    fn renamed_file_is_unchanged_and_a_new_one_is_started() {
        let (folder, path, mut target) = opened();
        target.write(START, &lines([1])).unwrap();
        let old = folder.path().join("audit.jsonl.1");
        fs::rename(&path, &old).unwrap();
        assert_eq!(target.look().unwrap(), Looked { is_another: true, found: BTreeMap::new() });
        target.write(START, &lines([2])).unwrap();
        assert_eq!((fs::read(&old).unwrap(), fs::read(&path).unwrap()), (lines([1]), lines([2])));
    }

    #[test]
    fn failed_write_is_an_error_and_succeeds_later() {
        let (folder, path, mut target) = opened();
        target.write(START, &lines([1])).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        target.look().unwrap_err();
        target.write(START, &lines([2])).unwrap_err();
        fs::remove_dir(&path).unwrap();
        assert!(target.look().unwrap().is_another);
        target.write(START, &lines([2])).unwrap();
        assert_eq!(fs::read(&path).unwrap(), lines([2]));

        let mut nowhere = Target::new(CopyTo::File(folder.path().join("none/audit.jsonl")), WRITER, None);
        nowhere.look().unwrap_err();
        let mut full = Target::new(CopyTo::File("/dev/full".into()), WRITER, None);
        full.look().unwrap();
        assert_eq!(full.write(START, &lines([1])).unwrap_err().kind(), io::ErrorKind::StorageFull);
        // Each further attempt has the same result.
        full.look().unwrap();
        full.write(START, &lines([1])).unwrap_err();
    }

    #[test]
    fn pipe_without_a_reader_is_an_error_and_its_buffer_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
        let mut target = Target::new(CopyTo::File(path.clone()), WRITER, None);
        assert_eq!(target.look().unwrap_err().to_string(), "no program reads the pipe");

        let reader =
            || OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&path).unwrap();
        let mut first = reader();
        assert!(target.look().unwrap().is_another);
        target.write(START, &lines([1, 2, 3])).unwrap();
        let mut taken = vec![0; lines([1]).len() + 1];
        first.read_exact(&mut taken).unwrap();
        let second = target.sync().unwrap().not_taken[&None];
        assert_eq!((second.sequence, target.take_lost()), (1, BTreeMap::new()));
        drop(first);
        // It is noticed without a write.
        target.look().unwrap_err();
        assert_eq!(target.take_lost(), BTreeMap::from([(None, second)]));
        target.write(START, &lines([4])).unwrap_err();

        // The next reader gets whole lines, and nothing from the former buffer.
        let mut next = reader();
        target.look().unwrap();
        target.write((None, second), &lines([2, 3])).unwrap();
        let mut taken = vec![0; lines([2, 3]).len()];
        next.read_exact(&mut taken).unwrap();
        assert_eq!(taken, lines([2, 3]));
        // A write notices it, too, and what was taken isn't lost.
        drop(next);
        assert_eq!(target.write((None, second), &lines([4])).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(target.take_lost(), BTreeMap::from([(None, second)]));
    }
}
