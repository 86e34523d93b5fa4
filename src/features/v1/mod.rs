//! (next)
use std::path::Path;
pub fn read_v1_chip(_p: &Path) -> Result<super::ChipFeatures, super::FeaturesError> {
    unreachable!()
}
