/// The expectation of a body after the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyExpected {
    Yes,
    No,
}
