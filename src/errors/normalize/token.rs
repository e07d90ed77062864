/// The end of a part of the message and what to write for it: a placeholder, verbatim text, and a closing mark.
pub(super) struct Token<'a> {
    pub(super) end: usize,
    pub(super) placeholder: &'static str,
    pub(super) verbatim: &'a str,
    pub(super) closing: &'static str,
    /// The bytes after it without which it would have been read otherwise.
    pub(super) relies_on: usize,
}

impl<'a> Token<'a> {
    pub(super) fn verbatim(end: usize, kept: &'a str) -> Self {
        Self {
            end,
            placeholder: "",
            verbatim: kept,
            closing: "",
            relies_on: 0,
        }
    }

    pub(super) fn replace(end: usize, placeholder: &'static str) -> Self {
        Self {
            end,
            placeholder,
            verbatim: "",
            closing: "",
            relies_on: 0,
        }
    }
}
