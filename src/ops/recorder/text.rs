//! Parts of lines.

/// Appends texts.
pub(super) fn push_all(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}

/// Appends the name and the labels of a sample, and the space before its value.
pub(super) fn push_sample(out: &mut String, name: &str, end: &str, labels: &str) {
    match labels.is_empty() {
        true => push_all(out, &[name, end, " "]),
        false => push_all(out, &[name, end, "{", labels, "} "]),
    }
}
