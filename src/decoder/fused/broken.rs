//! A kernel that is wrong on purpose, so that tests can see a board find out. In development builds only: a release has
//! no such switch.

use std::sync::atomic::{AtomicBool, Ordering};

/// The environment variable that breaks a kernel in the process that tries an engine.
pub const BREAK_A_KERNEL: &str = "GEOSAM_TEST_BREAK_A_KERNEL";

static BROKEN: AtomicBool = AtomicBool::new(false);

/// From now on the fused executor's GELU is a ReLU: masks look right at a glance, and are not.
pub fn break_a_kernel() {
    BROKEN.store(true, Ordering::Relaxed);
}

#[inline(always)]
pub(super) fn is_broken() -> bool {
    BROKEN.load(Ordering::Relaxed)
}
