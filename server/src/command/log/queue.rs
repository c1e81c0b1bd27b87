//! The queue of lines before the thread that writes the log.
//!
//! A caller only copies its line. The thread is woken for the first line after a pause, and writes the lines of the next milliseconds
//! together: a wake-up and a write for each line took a sixth of the processor time of short calls. A full queue drops lines and counts them.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// The time for which lines are collected after a write, so that they share the next one.
const COLLECTED_FOR: Duration = Duration::from_millis(5);

/// The room for lines that is kept after a write.
const KEPT_BYTES: usize = 256 * 1024;

/// The queue. Clones share it.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

/// The thread that writes. When this is dropped, it writes the lines so far, and ends.
pub(super) struct Writer {
    queue: Queue,
    /// `None` without a thread, or once it has ended.
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    lines_max: usize,
    lines: Mutex<Lines>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    /// The number of lines that aren't written yet, in `text` or in the thread.
    count: usize,
    /// Whether the thread waits for the next line.
    is_awaited: bool,
    has_ended: bool,
}

impl Queue {
    /// A queue of at most this number of lines, and the thread that writes them.
    pub(super) fn start(lines_max: usize, output: impl Write + Send + 'static) -> (Self, Writer) {
        let shared = Shared { lines_max, lines: Mutex::default(), changed: Condvar::new(), dropped: AtomicU64::new(0) };
        let queue = Queue(Arc::new(shared));
        let writing = queue.clone();
        // Without the thread, all lines are dropped and counted once the queue is full.
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || writing.0.write_all(output)).ok();
        (queue.clone(), Writer { queue, thread })
    }

    /// The number of lines dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut lines = self.lines();
        if lines.count >= self.lines_max {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        lines.text.extend_from_slice(line);
        lines.count += 1;
        if mem::take(&mut lines.is_awaited) {
            drop(lines);
            self.changed.notify_one();
        }
    }

    /// Writes lines until the end.
    fn write_all(&self, mut output: impl Write) {
        let mut text = Vec::new();
        loop {
            let mut lines = self.lines();
            while lines.text.is_empty() && !lines.has_ended {
                lines.is_awaited = true;
                lines = self.changed.wait(lines).unwrap_or_else(PoisonError::into_inner);
            }
            if lines.text.is_empty() {
                return;
            }
            mem::swap(&mut text, &mut lines.text);
            let count = lines.count;
            drop(lines);
            // There is nowhere to report that stderr can't be written.
            let _written_or_not = output.write_all(&text);
            text.clear();
            text.shrink_to(KEPT_BYTES);
            let mut lines = self.lines();
            lines.count -= count;
            let collecting = self.changed.wait_timeout_while(lines, COLLECTED_FOR, |lines| !lines.has_ended);
            drop(collecting);
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Queue;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Queue {
    /// Takes a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.0.lines().has_ended = true;
        self.queue.0.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It can't panic.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// An output that reports each write, and waits until it is read.
    struct Output {
        written: mpsc::SyncSender<String>,
    }

    impl Write for Output {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.written.send(String::from_utf8(text.to_vec()).unwrap()).unwrap();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn print(queue: &Queue, line: &str) {
        let mut writer = queue.make_writer();
        writer.write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn lines_are_written_in_order_and_all_before_the_end() {
        let (written, reader) = mpsc::sync_channel(64);
        let (queue, writer) = Queue::start(64, Output { written });
        let lines: Vec<String> = (0..32).map(|number| format!("line {number}\n")).collect();
        for line in &lines {
            print(&queue, line);
        }
        drop(writer);
        assert_eq!(reader.try_iter().collect::<String>(), lines.concat());
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn lines_beyond_the_limit_are_dropped_and_counted_while_the_reader_stalls() {
        // The thread waits in its first write until it is read.
        let (written, reader) = mpsc::sync_channel(0);
        let (queue, writer) = Queue::start(4, Output { written });
        for number in 0..10 {
            print(&queue, &format!("{number}\n"));
        }
        // The lines that are being written count, too.
        assert_eq!(queue.dropped(), 6);
        let mut read = String::new();
        while read.len() < 8 {
            read.push_str(&reader.recv().unwrap());
        }
        assert_eq!(read, "0\n1\n2\n3\n");
        drop(writer);
        assert!(reader.recv().is_err());
    }

    #[test]
    fn idle_thread_is_woken_by_the_next_line() {
        let (written, reader) = mpsc::sync_channel(1);
        let (queue, _writer) = Queue::start(4, Output { written });
        for line in ["first\n", "second\n"] {
            print(&queue, line);
            assert_eq!(reader.recv().unwrap(), line);
        }
    }
}
