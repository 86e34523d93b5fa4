//! A card of tests below real files: it fails at the n-th change, and plays power cuts.
//!
//! The files are real, so that reading needs no simulation; syncs are not made but noted. What a power cut leaves is
//! worked out from what was synced: of the changes after the last sync of a file, any may have come to the card, whole, in
//! part, or not at all, in any order; of the names changed after the last sync of their directory, any. It is stricter
//! than most file systems (on ext4 a file's first sync keeps its name, too), and as strict as POSIX allows.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::Act;

/// xorshift64*, enough to vary a test.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds shall not begin alike, and zero would stay zero.
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.below(2);
        random
    }

    /// A number below the bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What happens at a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails with this error, and a write may leave a part; later ones succeed.
    Once(io::ErrorKind),
    /// It and all later ones fail, as on a card that is read-only or was pulled out.
    FromHere(io::ErrorKind),
    /// From it on there is no room: what needs some fails, a write after a part.
    Full,
    /// It and all later ones fail and leave nothing: the power is going, see [`Card::cut`].
    PowerGoes,
    /// It fails; if it is a sync, what it should have synced is dropped by the system, though reads still see it (as Linux
    /// does after an error of writing back).
    DropsUnsynced,
}

#[derive(Debug, Clone)]
enum Piece {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

fn apply(content: &mut Vec<u8>, piece: &Piece) {
    match piece {
        Piece::Write { offset, bytes } => {
            let (start, end) = (*offset as usize, *offset as usize + bytes.len());
            if content.len() < end {
                content.resize(end, 0);
            }
            content[start..end].copy_from_slice(bytes);
        }
        Piece::SetLen(len) => content.resize(*len as usize, 0),
    }
}

#[derive(Debug, Default)]
struct Inode {
    synced: Vec<u8>,
    pending: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Naming {
    Link { path: PathBuf, inode: usize },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, inode: usize },
    CreateDir { path: PathBuf },
}

impl Naming {
    fn dir(&self) -> &Path {
        let path = match self {
            Self::Link { path, .. } | Self::Unlink { path } | Self::CreateDir { path } => path,
            Self::Rename { to, .. } => to,
        };
        path.parent().unwrap()
    }
}

/// `None` is a directory.
type Names = BTreeMap<PathBuf, Option<usize>>;

fn rename(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::Link { path, inode } => drop(names.insert(path.clone(), Some(*inode))),
        Naming::Unlink { path } => drop(names.remove(path)),
        Naming::Rename { from, to, inode } => {
            names.remove(from);
            names.insert(to.clone(), Some(*inode));
        }
        Naming::CreateDir { path } => drop(names.insert(path.clone(), None)),
    }
}

#[derive(Debug)]
struct State {
    inodes: Vec<Inode>,
    names: Names,
    synced_names: Names,
    pending_names: Vec<Naming>,
    random: Random,
    acts: u64,
    fault: Option<(u64, Fault)>,
    reads: u64,
    unreadable: Option<u64>,
    cuts: u64,
}

/// A card below one directory.
#[derive(Debug)]
pub(crate) struct Card {
    root: PathBuf,
    state: Mutex<State>,
}

impl Card {
    /// A card that holds what is below the directory, all of it synced.
    pub fn new(root: &Path, seed: u64) -> Arc<Self> {
        let state = State {
            inodes: Vec::new(),
            names: Names::new(),
            synced_names: Names::new(),
            pending_names: Vec::new(),
            random: Random::new(seed),
            acts: 0,
            fault: None,
            reads: 0,
            unreadable: None,
            cuts: 0,
        };
        let card = Arc::new(Self { root: root.to_owned(), state: Mutex::new(state) });
        card.lock().take_in(root);
        card
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes so far.
    pub fn acts(&self) -> u64 {
        self.lock().acts
    }

    /// Power cuts so far.
    pub fn cuts(&self) -> u64 {
        self.lock().cuts
    }

    /// Lets the change after so many others fail.
    pub fn fail_after(&self, acts: u64, fault: Fault) {
        let mut state = self.lock();
        state.fault = Some((state.acts + acts, fault));
    }

    /// Lets the read of the database after so many others fail, once.
    pub fn fail_read_after(&self, reads: u64) {
        let mut state = self.lock();
        state.unreadable = Some(state.reads + reads);
    }

    pub(super) fn read(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.reads += 1;
        if state.unreadable == Some(state.reads - 1) {
            Err(io::Error::other("the card stutters"))
        } else {
            Ok(())
        }
    }

    /// Reads of the database so far.
    pub fn reads(&self) -> u64 {
        self.lock().reads
    }

    /// Lets all succeed from now on; says whether a fault that was set has come to pass.
    pub fn mend(&self) -> bool {
        let mut state = self.lock();
        let acts = state.acts;
        state.fault.take().is_some_and(|(at, _)| acts > at)
    }

    pub(super) fn act<T>(&self, act: &Act<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        state.begin(act)?;
        let done = work()?;
        state.note(act);
        Ok(done)
    }

    /// A sync costs nothing here: it is noted, not made.
    pub(super) fn sync(&self, act: &Act<'_>) -> io::Result<()> {
        let mut state = self.lock();
        state.begin(act)?;
        state.note(act);
        Ok(())
    }

    /// The power goes. What stays is put in the place of the files; everything that was open is void.
    pub fn cut(&self) {
        let mut state = self.lock();
        state.cuts += 1;
        state.fault = None;
        let names = state.names_left();
        for entry in fs::read_dir(&self.root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        for (path, inode) in &names {
            // What lies in a directory that did not stay is lost with it.
            match inode {
                _ if !path.parent().unwrap().is_dir() => {}
                None => fs::create_dir(path).unwrap(),
                Some(inode) => {
                    let content = state.content_left(*inode);
                    fs::write(path, content).unwrap();
                }
            }
        }
        state.inodes.clear();
        state.names.clear();
        state.synced_names.clear();
        state.pending_names.clear();
        state.take_in(&self.root);
    }
}

fn needs_room(act: &Act<'_>) -> bool {
    match act {
        Act::Create { .. } | Act::CreateDir { .. } => true,
        Act::Write { path, offset, bytes } => {
            let len = fs::metadata(path).map_or(0, |metadata| metadata.len());
            offset + bytes.len() as u64 > len
        }
        Act::SetLen { path, len } => fs::metadata(path).is_ok_and(|metadata| *len > metadata.len()),
        Act::Sync { .. } | Act::SyncDir { .. } | Act::Rename { .. } | Act::Remove { .. } => false,
    }
}

impl State {
    fn take_in(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let inode = if path.is_dir() {
                self.take_in(&path);
                None
            } else {
                self.inodes.push(Inode { synced: fs::read(&path).unwrap(), pending: Vec::new() });
                Some(self.inodes.len() - 1)
            };
            self.names.insert(path.clone(), inode);
            self.synced_names.insert(path, inode);
        }
    }

    /// The file of this name; one that was put there by the test itself is taken as synced.
    fn inode(&mut self, path: &Path) -> usize {
        if let Some(Some(inode)) = self.names.get(path) {
            return *inode;
        }
        self.inodes.push(Inode { synced: fs::read(path).unwrap_or_default(), pending: Vec::new() });
        let inode = self.inodes.len() - 1;
        self.names.insert(path.to_owned(), Some(inode));
        self.synced_names.insert(path.to_owned(), Some(inode));
        inode
    }

    fn change(&mut self, path: &Path, piece: Piece) {
        if !self.names.contains_key(path) && !path.exists() {
            // What is written to a file without a name is lost with the power.
            return;
        }
        let inode = self.inode(path);
        self.inodes[inode].pending.push(piece);
    }

    fn name(&mut self, naming: Naming) {
        rename(&mut self.names, &naming);
        self.pending_names.push(naming);
    }

    fn note(&mut self, act: &Act<'_>) {
        match *act {
            Act::Create { path, truncate } => match self.names.get(path) {
                Some(Some(_)) if truncate => self.change(path, Piece::SetLen(0)),
                Some(_) => {}
                None => {
                    self.inodes.push(Inode::default());
                    let inode = self.inodes.len() - 1;
                    self.name(Naming::Link { path: path.to_owned(), inode });
                }
            },
            Act::Write { path, offset, bytes } => {
                self.change(path, Piece::Write { offset, bytes: bytes.to_vec() })
            }
            Act::SetLen { path, len } => self.change(path, Piece::SetLen(len)),
            Act::Sync { path } if !self.names.contains_key(path) && !path.exists() => {}
            Act::Sync { path } => {
                let inode = self.inode(path);
                let Inode { synced, pending } = &mut self.inodes[inode];
                pending.drain(..).for_each(|piece| apply(synced, &piece));
            }
            Act::SyncDir { dir } => {
                let (now, later): (Vec<Naming>, Vec<Naming>) = std::mem::take(&mut self.pending_names)
                    .into_iter()
                    .partition(|naming| naming.dir() == dir);
                now.iter().for_each(|naming| rename(&mut self.synced_names, naming));
                self.pending_names = later;
            }
            Act::Rename { from, to } => {
                let inode = self.inode(from);
                self.name(Naming::Rename { from: from.to_owned(), to: to.to_owned(), inode });
            }
            Act::Remove { path } => self.name(Naming::Unlink { path: path.to_owned() }),
            Act::CreateDir { path } => self.name(Naming::CreateDir { path: path.to_owned() }),
        }
    }

    fn begin(&mut self, act: &Act<'_>) -> io::Result<()> {
        let number = self.acts;
        self.acts += 1;
        let Some((at, fault)) = self.fault else { return Ok(()) };
        let fails = match fault {
            Fault::Once(_) | Fault::DropsUnsynced => at == number,
            Fault::FromHere(_) | Fault::PowerGoes => at <= number,
            Fault::Full => at <= number && needs_room(act),
        };
        if fails { Err(self.fail(act, fault)) } else { Ok(()) }
    }

    /// Fails a change; a write may have come through in part.
    fn fail(&mut self, act: &Act<'_>, fault: Fault) -> io::Error {
        let kind = match fault {
            Fault::Once(kind) | Fault::FromHere(kind) => kind,
            Fault::Full => io::ErrorKind::StorageFull,
            Fault::DropsUnsynced | Fault::PowerGoes => io::ErrorKind::Other,
        };
        match act {
            Act::Write { path, offset, bytes } if fault != Fault::PowerGoes => {
                let part = &bytes[..self.random.below(bytes.len() as u64 + 1) as usize];
                // It may have lost its name meanwhile.
                if let Ok(file) = fs::OpenOptions::new().write(true).open(path) {
                    std::os::unix::fs::FileExt::write_all_at(&file, part, *offset).unwrap();
                    self.change(path, Piece::Write { offset: *offset, bytes: part.to_vec() });
                }
            }
            Act::Sync { path } if fault == Fault::DropsUnsynced => {
                let inode = self.inode(path);
                // Lengths are metadata, and come to the card by the journal of the file system.
                let lens = self.inodes[inode].pending.drain(..).map(|piece| match piece {
                    Piece::SetLen(len) => Piece::SetLen(len),
                    Piece::Write { offset, bytes } => {
                        Piece::Write { offset: offset + bytes.len() as u64, bytes: Vec::new() }
                    }
                });
                self.inodes[inode].pending = lens.collect();
            }
            _ => {}
        }
        kind.into()
    }

    fn names_left(&mut self) -> Names {
        let mut names = self.synced_names.clone();
        let mode = self.random.below(4);
        for naming in std::mem::take(&mut self.pending_names) {
            let stays = match mode {
                0 => false,
                1 => true,
                _ => self.random.once_in(2),
            };
            if stays {
                rename(&mut names, &naming);
            }
        }
        names
    }

    fn content_left(&mut self, inode: usize) -> Vec<u8> {
        let Inode { synced, pending } = &self.inodes[inode];
        let (mut content, pending) = (synced.clone(), pending.clone());
        let mode = self.random.below(4);
        for piece in pending {
            match (mode, piece) {
                (0, _) => {}
                (1, piece) => apply(&mut content, &piece),
                (_, piece) if self.random.once_in(2) => {
                    let torn = self.random.once_in(3);
                    match piece {
                        Piece::Write { offset, bytes } if torn && !bytes.is_empty() => {
                            self.tear(&mut content, offset, &bytes)
                        }
                        piece => apply(&mut content, &piece),
                    }
                }
                (_, Piece::Write { offset, bytes }) if self.random.once_in(3) => {
                    // The length came to the card, the bytes did not.
                    let end = offset as usize + bytes.len();
                    content.resize(content.len().max(end), 0);
                }
                _ => {}
            }
        }
        content
    }

    /// Writes some of the pieces of a write, cut anywhere.
    fn tear(&mut self, content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let len = (1 + self.random.below(1024) as usize).min(bytes.len() - at);
            if self.random.once_in(2) {
                apply(
                    content,
                    &Piece::Write { offset: offset + at as u64, bytes: bytes[at..at + len].to_vec() },
                );
            }
            at += len;
        }
    }
}
