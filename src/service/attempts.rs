//! Which durable requests are running, noted beside the store, so that a request that ends the program is not the
//! first to run after each of its starts.
//!
//! The note is one small file, written in place and never synced: an end of the process (an abort, the kernel short of
//! memory, the watchdog) leaves what was written with the kernel. The boot's id stands in it, since an end of the
//! board's power is no request's fault.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The note's name in the state directory.
pub(crate) const FILE_NAME: &str = "running";
/// Ends of the program after which a request that was running each time is not run again.
pub(super) const MOST_ENDS: u32 = 2;
/// What the end of the note looks like; behind it may stand the rest of a longer one.
const END: &str = ".";

/// How often the program has ended while a request was running.
#[derive(Debug)]
pub(super) struct Attempts {
    file: Option<File>,
    boot: String,
    marks: Mutex<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    /// Ends of the program, by place in the inbox.
    ends: BTreeMap<u64, u32>,
    running: BTreeSet<u64>,
}

/// A request is running until this is dropped.
pub(super) struct Running<'a> {
    attempts: &'a Attempts,
    seq: Option<u64>,
    paused: bool,
}

impl Running<'_> {
    /// It gives way to others, and has not come to its end: ends of the program that it is blamed for still count.
    pub fn pause(mut self) {
        self.paused = true;
    }
}

impl Attempts {
    /// Reads what the last run has left. A note that cannot be kept counts nothing and keeps nobody from starting.
    pub fn open(state: &Path) -> Self {
        Self::open_in(state, &boot_id())
    }

    fn open_in(state: &Path, boot: &str) -> Self {
        let path = state.join(FILE_NAME);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "attempts are not counted"));
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let marks = Marks { ends: read(&text, boot), running: BTreeSet::new() };
        Self { file: file.ok(), boot: boot.to_owned(), marks: Mutex::new(marks) }
    }

    /// Every use leaves the marks whole.
    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the program has ended while this request was running.
    pub fn ends(&self, seq: u64) -> u32 {
        self.marks().ends.get(&seq).copied().unwrap_or(0)
    }

    /// Forgets requests that do not wait any more.
    pub fn keep(&self, waits: impl Fn(u64) -> bool) {
        let mut marks = self.marks();
        marks.ends.retain(|seq, _| waits(*seq));
        self.write(&marks);
    }

    /// A request begins; one that lives in memory only is not counted, since no start runs it again.
    pub fn begin(&self, seq: Option<u64>) -> Running<'_> {
        if let Some(seq) = seq {
            let mut marks = self.marks();
            marks.running.insert(seq);
            self.write(&marks);
        }
        Running { attempts: self, seq, paused: false }
    }

    /// The program is ended on purpose: what still runs is not to blame.
    pub fn forgive(&self) {
        let mut marks = self.marks();
        marks.running.clear();
        self.write(&marks);
    }

    fn write(&self, marks: &Marks) {
        let Some(file) = &self.file else { return };
        let mut text = format!("{}\n", self.boot);
        for seq in marks.ends.keys().chain(marks.running.iter().filter(|seq| !marks.ends.contains_key(seq))) {
            let ends = marks.ends.get(seq).copied().unwrap_or(0) + u32::from(marks.running.contains(seq));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{seq} {ends}");
        }
        text.push_str(END);
        text.push('\n');
        if let Err(error) = file.write_all_at(text.as_bytes(), 0) {
            tracing::debug!(%error, "an attempt is not counted");
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Some(seq) = self.seq else { return };
        let mut marks = self.attempts.marks();
        marks.running.remove(&seq);
        if !self.paused {
            // It came to its end, and did not end the program.
            marks.ends.remove(&seq);
        }
        self.attempts.write(&marks);
    }
}

/// The marks of a note that this boot has written; none where it is not whole.
fn read(text: &str, boot: &str) -> BTreeMap<u64, u32> {
    let mut lines = text.lines();
    if lines.next() != Some(boot) {
        return BTreeMap::new();
    }
    let mut ends = BTreeMap::new();
    for line in lines {
        if line == END {
            return ends;
        }
        let mark = line.split_once(' ').and_then(|(seq, n)| Some((seq.parse().ok()?, n.parse().ok()?)));
        let Some((seq, n)) = mark else { break };
        ends.insert(seq, n);
    }
    BTreeMap::new()
}

/// What tells one boot of the board from another (`random(4)`); where the kernel does not say, all are the same.
fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The program ends while these run: their marks stay.
    fn end_while_running(state: &Path, boot: &str, seqs: &[u64]) {
        let attempts = Attempts::open_in(state, boot);
        for seq in seqs {
            std::mem::forget(attempts.begin(Some(*seq)));
        }
    }

    #[test]
    fn ends_of_the_program_are_counted_for_what_was_running_and_for_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        end_while_running(dir.path(), "b", &[7, 12]);
        end_while_running(dir.path(), "b", &[7]);
        let attempts = Attempts::open_in(dir.path(), "b");
        assert_eq!((attempts.ends(7), attempts.ends(12), attempts.ends(8)), (2, 1, 0));
        drop(attempts.begin(Some(7)));
        drop(attempts.begin(None));
        assert_eq!(Attempts::open_in(dir.path(), "b").ends(7), 0, "it came to its end");
        attempts.keep(|seq| seq != 12);
        assert_eq!(Attempts::open_in(dir.path(), "b").ends(12), 0, "it does not wait any more");
    }

    #[test]
    fn a_request_that_gives_way_before_it_ends_the_program_is_still_found_out() {
        let dir = tempfile::tempdir().unwrap();
        for ends in 0..2 {
            let attempts = Attempts::open_in(dir.path(), "b");
            assert_eq!(attempts.ends(7), ends);
            attempts.begin(Some(7)).pause();
            // Another request ends the program meanwhile, and then this one in its next turn.
            assert_eq!(Attempts::open_in(dir.path(), "b").ends(7), ends);
            std::mem::forget(attempts.begin(Some(7)));
        }
        assert_eq!(Attempts::open_in(dir.path(), "b").ends(7), 2);
    }

    #[test]
    fn an_end_on_purpose_and_an_end_of_the_power_are_no_fault_of_a_request() {
        let dir = tempfile::tempdir().unwrap();
        end_while_running(dir.path(), "b", &[7]);
        let attempts = Attempts::open_in(dir.path(), "b");
        std::mem::forget(attempts.begin(Some(7)));
        attempts.forgive();
        assert_eq!(Attempts::open_in(dir.path(), "b").ends(7), 1);
        assert_eq!(Attempts::open_in(dir.path(), "another boot").ends(7), 0);
    }

    #[test]
    fn a_note_that_is_not_whole_counts_nothing() {
        assert_eq!(read("b\n7 2\n.\n9 9\n", "b"), BTreeMap::from([(7, 2)]));
        for text in ["", "b\n7 2\n", "b\n7 x\n.\n", "b\n7\n.\n", "\0\0\0"] {
            assert!(read(text, "b").is_empty(), "{text:?}");
        }
    }
}
