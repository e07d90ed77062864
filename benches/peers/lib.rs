//! Comparisons with other crates; see `benches/`.
