use crate::{
    call::{ConfigError, Label},
    ops::core::About,
};

/// The longest address of the console, in bytes: receivers have limits.
const MAX_URL: usize = 1_024;

/// The service that sends, as messages name it.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) service: Label,
    pub(crate) version: Option<Label>,
    pub(crate) instance: Option<Label>,
    pub(crate) environment: Option<Label>,
    /// The address at which people find the console, without a slash at the end.
    pub(crate) external_url: Option<String>,
}

impl Origin {
    /// Creates that of a service.
    ///
    /// # Errors
    ///
    /// Returns an error if the address of the console is none that a browser opens.
    pub(in crate::ops) fn new(
        about: &About,
        external_url: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let is_web = |url: &str| {
            let rest = url
                .strip_prefix("https://")
                .or_else(|| url.strip_prefix("http://"));
            rest.is_some_and(|rest| !rest.is_empty()) && !url.contains(is_no_part_of_a_url)
        };
        if let Some(url) = external_url.filter(|url| !is_web(url) || url.len() > MAX_URL) {
            let component = format!("ops {:?}", about.service.as_str());
            let expected = format!("an http or https address of at most {MAX_URL} bytes");
            return Err(ConfigError::new(
                component,
                "external_url",
                format!("{url:?}"),
                expected,
            ));
        }
        Ok(Origin {
            service: about.service.clone(),
            version: about.version.clone(),
            instance: about.instance.clone(),
            environment: about.environment.clone(),
            external_url: external_url.map(|url| url.trim_end_matches('/').to_owned()),
        })
    }
}

fn is_no_part_of_a_url(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | '#' | '|')
}
