use super::search_text::SearchText;

/// The words of a search, all of which must hold; see the [module](super) for what they mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words(Vec<Word>);

/// A word or a phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// The text as a [`SearchText`] has it: with a space before it, and one behind it unless it is the beginning of a word.
    pub(super) pattern: Box<str>,
    pub(super) is_excluded: bool,
}

impl Words {
    /// Parses what a user has typed. All of it means something.
    pub(super) fn parse(text: &str) -> Self {
        let mut words = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let is_excluded = rest.starts_with('-');
            let begin = rest.strip_prefix('-').unwrap_or(rest);
            let (word, behind) = match begin.strip_prefix('"') {
                // A phrase that does not end is one up to the end.
                Some(phrase) => phrase.split_once('"').unwrap_or((phrase, "")),
                None => begin.split_at(begin.find(char::is_whitespace).unwrap_or(begin.len())),
            };
            let (is_beginning, behind) = match (word.ends_with('*'), behind.strip_prefix('*')) {
                (true, _) => (true, behind),
                (false, Some(behind)) => (true, behind),
                (false, None) => (false, behind),
            };
            let pattern = SearchText::of_words(word);
            let mut pattern = pattern.as_str();
            if is_beginning {
                pattern = pattern.trim_end();
            }
            // Something without letters and digits is no word.
            if pattern.len() > 1 {
                let pattern = pattern.into();
                words.push(Word {
                    pattern,
                    is_excluded,
                });
            }
            rest = behind.trim_start();
        }
        Words(words)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn match_text(&self, text: &SearchText) -> bool {
        let text = text.as_str();
        let holds = |word: &Word| text.contains(&*word.pattern) != word.is_excluded;
        self.0.iter().all(holds)
    }

    #[cfg(feature = "ops-sqlite")]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Word> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(text: &str) -> Vec<String> {
        let sign = |word: &Word| if word.is_excluded { "-" } else { "" };
        let words = Words::parse(text).0;
        words
            .iter()
            .map(|word| format!("{}{}", sign(word), word.pattern))
            .collect()
    }

    #[test]
    fn words_are_parsed() {
        assert_eq!(patterns("Timeout payments"), [" timeout ", " payments "]);
        assert_eq!(
            patterns(r#"-"budget is empty" pay*"#),
            ["- budget is empty ", " pay"]
        );
        assert_eq!(
            patterns("order_id=7 multi-agent"),
            [" order id 7 ", " multi agent "]
        );
        assert_eq!(patterns(r#""two wor"* "no end"#), [" two wor", " no end "]);
        assert_eq!(patterns(" - * \"\" -* → "), [""; 0]);
        assert_eq!(patterns("a\"b c:d NOT"), [" a b ", " c d ", " not "]);
    }

    #[test]
    fn words_match_all_or_nothing() {
        let text = SearchText::of_words("POST /pay: gateway timed out, order_id=7");
        let matches = |words: &str| Words::parse(words).match_text(&text);
        for words in [
            "",
            "PAY",
            "post gateway",
            "\"timed out\"",
            "gate*",
            "-paid",
            "order_id=7",
            "\"gateway tim\"*",
        ] {
            assert!(matches(words), "{words}");
        }
        for words in [
            "pa",
            "pay gatewa",
            "\"out timed\"",
            "ateway*",
            "-pay",
            "order_id=8",
            "pay -out",
        ] {
            assert!(!matches(words), "{words}");
        }
    }

    proptest! {
        #[test]
        fn words_of_any_text_are_parsed(text in any::<String>()) {
            for word in Words::parse(&text).0 {
                prop_assert!(word.pattern.starts_with(' ') && !word.pattern.trim().is_empty());
            }
        }
    }
}
