//! A pipe as the target: whether a program reads it, and which records are still in its buffer.
//!
//! Bytes in the buffer are lost if the reader ends before it reads them. Only the system knows their number, so the last writes are kept until
//! a reader has taken them: the capacity of the pipe, 64 KiB by default, and one write.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    os::fd::AsFd,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::ioctl_fionread,
};
use sealward_core::audit::follow::TrailPosition;

use super::ledger::Trail;
use crate::audit::record::place_in;

/// The last writes to a pipe.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    writes: VecDeque<Write>,
    /// The length of all of them.
    length: usize,
}

#[derive(Debug)]
struct Write {
    trail: Trail,
    /// The position of the record before the first one.
    after: TrailPosition,
    lines: Vec<u8>,
}

impl Pipe {
    /// Notes a write. `unwritten` bytes at its end were not written.
    pub(super) fn wrote(
        &mut self,
        pipe: impl AsFd,
        trail: Trail,
        after: TrailPosition,
        lines: &[u8],
        unwritten: usize,
    ) {
        self.writes.push_back(Write { trail, after, lines: lines.to_owned() });
        self.length += lines.len();
        let left = in_buffer(pipe).saturating_add(unwritten);
        while let Some(first) = self.writes.front().map(|write| write.lines.len())
            && self.length.saturating_sub(first) >= left
        {
            self.writes.pop_front();
            self.length -= first;
        }
    }

    /// For each trail with records that no reader has taken completely: the position of the record before them. `unwritten` bytes of the
    /// last write were not written.
    pub(super) fn not_taken(&self, pipe: impl AsFd, unwritten: usize) -> BTreeMap<Trail, TrailPosition> {
        let mut taken = self.length.saturating_sub(in_buffer(pipe).saturating_add(unwritten));
        let mut positions = BTreeMap::new();
        for Write { trail, after, lines } in &self.writes {
            let mut position = *after;
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                if line.len() > taken {
                    positions.entry(*trail).or_insert(position);
                    taken = 0;
                    break;
                }
                taken -= line.len();
                position = place_in(line).map_or(position, |(_, _, place)| place);
            }
        }
        positions
    }
}

/// Whether a program has the pipe open for reading. Doesn't wait.
pub(super) fn has_reader(pipe: impl AsFd) -> io::Result<bool> {
    let mut polled = [PollFd::new(&pipe, PollFlags::OUT)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(!polled.iter().any(|one| one.revents().contains(PollFlags::ERR)))
}

/// The error of a pipe without a reader.
pub(super) fn without_reader() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "no program reads the pipe")
}

/// The number of bytes in the buffer of a pipe. If it is unknown, all of them count.
fn in_buffer(pipe: impl AsFd) -> usize {
    ioctl_fionread(pipe).map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::audit::record::{self, TrailOwner, tests::record};

    fn line(sequence: i64) -> Vec<u8> {
        record::lines(&TrailOwner::default(), vec![record(sequence)])
    }

    fn before(pipe: &Pipe, end: &io::PipeWriter) -> Option<i64> {
        pipe.not_taken(end, 0).get(&None).map(|place| place.sequence)
    }

    #[test]
    fn records_are_not_taken_until_they_are_read_completely() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let mut pipe = Pipe::default();
        for sequence in [1, 2] {
            let after = TrailPosition { sequence: 2 * sequence - 2, hash: [7; 32] };
            let lines = [line(2 * sequence - 1), line(2 * sequence)].concat();
            writer.write_all(&lines).unwrap();
            pipe.wrote(&writer, None, after, &lines, 0);
        }
        assert_eq!((before(&pipe, &writer), pipe.writes.len()), (Some(0), 2));
        for (bytes, expected) in [
            (line(1).len() - 1, Some(0)),
            (1, Some(1)),
            (line(2).len() + 1, Some(2)),
            (line(3).len() - 1, Some(3)),
            (line(4).len() - 1, Some(3)),
            (1, None),
        ] {
            reader.read_exact(&mut vec![0; bytes]).unwrap();
            assert_eq!(before(&pipe, &writer), expected);
        }
        // What was taken is forgotten at the next write, and what was not written isn't taken.
        let after = TrailPosition { sequence: 4, hash: [7; 32] };
        pipe.wrote(&writer, None, after, &line(5), 1);
        assert_eq!(pipe.writes.len(), 1);
        assert_eq!(pipe.not_taken(&writer, 1).get(&None), Some(&after));
        assert!(has_reader(&writer).unwrap());
        drop(reader);
        assert!(!has_reader(&writer).unwrap());
    }
}
