//! Large buffers on huge pages, where the system gives them to who asks (`madvise` in
//! `/sys/kernel/mm/transparent_hugepage/enabled`, what Debian and Ubuntu have).
//!
//! The first prompt of a process writes some 60 MB of buffers for the first time, in pages of 4 KiB: 15,000 page faults, a third of the
//! time until the mask is there. How an allocator takes memory from the system stays the C library's affair.

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes of a huge page, on x86-64 and on ARM with pages of 4 KiB. A smaller buffer holds none.
const HUGE_PAGE: usize = 2 << 20;
/// Bytes that an advice begins at: no system has smaller pages, and where they are larger the advice fails and changes nothing.
const PAGE: usize = 4096;

/// The system's allocator, which asks for huge pages behind large buffers.
#[derive(Debug, Clone, Copy, Default)]
pub struct HugePages;

// SAFETY: memory comes from `System` and goes back to it with the layouts that callers give; what is done beside that reads and writes
// none of it.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to `GlobalAlloc::alloc`.
        advised(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to `GlobalAlloc::alloc_zeroed`.
        advised(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps to `GlobalAlloc::realloc`.
        advised(unsafe { System.realloc(pointer, layout, size) }, size)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The same buffer, whose whole pages are to be huge.
fn advised(buffer: *mut u8, size: usize) -> *mut u8 {
    #[cfg(target_os = "linux")]
    if size >= HUGE_PAGE && !buffer.is_null() {
        let skipped = buffer.align_offset(PAGE);
        let pages = size.saturating_sub(skipped) / PAGE * PAGE;
        // SAFETY: these pages lie within one live buffer, and the advice changes neither what they hold nor who may use them. A
        // system without huge pages refuses it.
        let _ = unsafe {
            rustix::mm::madvise(buffer.wrapping_add(skipped).cast(), pages, rustix::mm::Advice::LinuxHugepage)
        };
    }
    buffer
}

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
