use percent_encoding::percent_decode_str;

/// The maximum number of names that a query may exclude.
const MAX_EXCLUDED: usize = 32;

/// The query of a probe: `?verbose&exclude=db`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ProbeQuery {
    pub(super) is_verbose: bool,
    pub(super) excluded: Vec<String>,
}

impl ProbeQuery {
    /// Parses a query. Anything else in it is ignored.
    pub(super) fn parse(query: &str) -> Self {
        let mut parsed = ProbeQuery::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "verbose" => parsed.is_verbose = !matches!(value, "0" | "false"),
                "exclude" if parsed.excluded.len() < MAX_EXCLUDED => {
                    let value = value.replace('+', " ");
                    let name = percent_decode_str(&value).decode_utf8_lossy();
                    parsed.excluded.push(name.into_owned());
                }
                _ => {}
            }
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_has_verbose_and_excluded_names() {
        let parse = |query| {
            let parsed = ProbeQuery::parse(query);
            (parsed.is_verbose, parsed.excluded.join("|"))
        };
        assert_eq!(parse(""), (false, String::new()));
        assert_eq!(parse("verbose"), (true, String::new()));
        assert_eq!(parse("verbose=1"), (true, String::new()));
        assert_eq!(parse("verbose=0"), (false, String::new()));
        assert_eq!(parse("verbose=false"), (false, String::new()));
        let query = "exclude=ledger-db&exclude=a%20b&x=1&verbose&exclude=c+d";
        assert_eq!(parse(query), (true, "ledger-db|a b|c d".to_owned()));
    }

    #[test]
    fn query_excludes_at_most_32_names() {
        let query = "exclude=a&".repeat(40);
        assert_eq!(ProbeQuery::parse(&query).excluded.len(), MAX_EXCLUDED);
    }
}
