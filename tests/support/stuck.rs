//! A file that keeps whoever opens it waiting, as on a card that hangs.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// A file under a lease (fcntl(2)), as a Samba client may hold one: opening it waits until it is let go, or until the system takes
/// the lease away (`/proc/sys/fs/lease-break-time`, 45 s).
pub struct Stuck {
    _file: File,
}

impl Stuck {
    /// Puts one there, in place of what is there. It holds nothing that a reader could use.
    pub fn at(path: &Path) -> Self {
        std::fs::write(path, "neither a chip nor a manifest").expect("the file is written");
        let file = File::open(path).expect("it opens");
        // SAFETY: neither call touches memory of ours. With SIGIO the system asks for the lease; its default ends the process.
        let leased = unsafe {
            libc::signal(libc::SIGIO, libc::SIG_IGN);
            libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK)
        };
        assert_eq!(leased, 0, "no lease: {}", std::io::Error::last_os_error());
        Self { _file: file }
    }

    /// Whoever waits goes on.
    pub fn let_go(self) {}
}
