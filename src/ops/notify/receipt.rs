/// The answer of a channel to a message that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    status: Option<u16>,
}

impl Receipt {
    /// Creates one that says no more than that the message was taken.
    ///
    /// ```
    /// use tower_keep::ops::notify::Receipt;
    ///
    /// assert_eq!(Receipt::new().status(), None);
    /// ```
    pub fn new() -> Self {
        Receipt::default()
    }

    /// Sets the status of the response, for the delivery log. Default: none.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Returns the status of the response.
    pub fn status(&self) -> Option<u16> {
        self.status
    }
}
