//! Layer files in other formats.
