/// The meaning of a value that is unknown: no call in the window of a ratio, no metric of this name, no series any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum NoData {
    /// The alert stays as it is, for at most an hour: a pending one does not come closer to being active, an active one does not
    /// resolve. The default, since an outage often ends the calls whose errors told of it.
    #[default]
    Keep,
    /// The condition counts as false.
    Ok,
    /// The condition counts as true, also where there is no series at all.
    Alert,
}

impl NoData {
    /// Returns the policy in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            NoData::Keep => "keep",
            NoData::Ok => "ok",
            NoData::Alert => "alert",
        }
    }
}
