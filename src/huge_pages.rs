//! Large buffers straight from the system, on huge pages where it gives them to who asks (`madvise` in
//! `/sys/kernel/mm/transparent_hugepage/enabled`, what Debian and Ubuntu have).
//!
//! The first prompt of a process writes some 60 MB of buffers for the first time, in pages of 4 KiB: 15,000 page faults, a third of the
//! time until the mask is there. And what is given back to the C library's heap stays there between what is still in use: straight from
//! the system, a large buffer is gone when it is given back.

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes of a huge page, on x86-64 and on ARM with pages of 4 KiB. A smaller buffer holds none, and comes from the C library.
const HUGE_PAGE: usize = 2 << 20;
/// Where any mapping begins at the least.
const PAGE: usize = 4096;

/// The system's allocator, with mappings of their own for large buffers.
#[derive(Debug, Clone, Copy, Default)]
pub struct HugePages;

/// Whether a buffer of this layout is a mapping of its own: the same for its whole life.
const fn is_mapped(layout: Layout) -> bool {
    cfg!(target_os = "linux") && layout.size() >= HUGE_PAGE && layout.align() <= PAGE
}

// SAFETY: small buffers are `System`'s, with the layouts that callers give. Large ones are private anonymous mappings, which nobody else
// has, of at least the size and alignment that is asked for, zeroed, and unmapped once, with their size. `is_mapped` tells them
// apart by the layout, which callers give back unchanged.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match is_mapped(layout) {
            true => map(layout.size()),
            // SAFETY: the caller keeps to `GlobalAlloc::alloc`.
            false => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match is_mapped(layout) {
            true => map(layout.size()),
            // SAFETY: the caller keeps to `GlobalAlloc::alloc_zeroed`.
            false => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn realloc(&self, buffer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: `size` is not 0 and does not overflow with this alignment, as the caller keeps to `GlobalAlloc::realloc`.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if !is_mapped(layout) && !is_mapped(wanted) {
            // SAFETY: as above; it is `System`'s.
            return unsafe { System.realloc(buffer, layout, size) };
        }
        // SAFETY: both buffers have the bytes that are copied, and are two.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(buffer, layout.size().min(size));
                self.dealloc(buffer, layout);
            }
            moved
        }
    }

    unsafe fn dealloc(&self, buffer: *mut u8, layout: Layout) {
        match is_mapped(layout) {
            true => unmap(buffer, layout.size()),
            // SAFETY: the caller keeps to `GlobalAlloc::dealloc`; it is `System`'s.
            false => unsafe { System.dealloc(buffer, layout) },
        }
    }
}

#[cfg(target_os = "linux")]
fn map(size: usize) -> *mut u8 {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    // SAFETY: a new mapping, at a place that the system chooses, touches nothing that is there.
    let mapped = unsafe {
        mmap_anonymous(std::ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
    };
    let Ok(buffer) = mapped else { return std::ptr::null_mut() };
    // SAFETY: it is the mapping just made; the advice changes neither what is in it nor who may use it. A system without huge pages
    // refuses it.
    let _ = unsafe { madvise(buffer, size, Advice::LinuxHugepage) };
    buffer.cast()
}

#[cfg(target_os = "linux")]
fn unmap(buffer: *mut u8, size: usize) {
    // SAFETY: it is a mapping of `map` of this size, which its owner gives back. It can fail only where mappings run out as
    // others are split, which leaves it mapped.
    let _ = unsafe { rustix::mm::munmap(buffer.cast(), size) };
}

#[cfg(not(target_os = "linux"))]
fn map(_: usize) -> *mut u8 {
    std::ptr::null_mut()
}

#[cfg(not(target_os = "linux"))]
fn unmap(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the kernel has noted that huge pages are wanted at an address (`VmFlags` of proc(5)).
    fn is_advised(address: usize) -> Option<bool> {
        let maps = std::fs::read_to_string("/proc/self/smaps").ok()?;
        let mut is_here = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let ends = range.and_then(|(start, end)| {
                Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
            });
            if let Some((start, end)) = ends {
                is_here = (start..end).contains(&address);
            } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_here) {
                return Some(flags.split_ascii_whitespace().any(|flag| flag == "hg"));
            }
        }
        None
    }

    #[test]
    fn large_buffers_are_on_huge_pages_where_there_are_any_and_hold_what_is_written() {
        let has_huge_pages = std::path::Path::new("/sys/kernel/mm/transparent_hugepage/enabled").exists();
        let layout = Layout::from_size_align(9 << 20, 64).unwrap();
        // SAFETY: sizes are not 0, and each buffer is used within its size and freed once with its last layout.
        unsafe {
            let buffer = HugePages.alloc_zeroed(layout);
            assert!(!buffer.is_null());
            assert!(std::slice::from_raw_parts(buffer, layout.size()).iter().all(|byte| *byte == 0));
            if has_huge_pages && let Some(advised) = is_advised(buffer as usize + HUGE_PAGE) {
                assert!(advised);
            }
            buffer.write_bytes(7, layout.size());
            let larger = HugePages.realloc(buffer, layout, 20 << 20);
            assert!(!larger.is_null());
            assert!(std::slice::from_raw_parts(larger, layout.size()).iter().all(|byte| *byte == 7));
            HugePages.dealloc(larger, Layout::from_size_align(20 << 20, 64).unwrap());
            let small = Layout::from_size_align(100, 8).unwrap();
            let buffer = HugePages.alloc(small);
            buffer.write_bytes(1, 100);
            HugePages.dealloc(buffer, small);
        }
    }
}
