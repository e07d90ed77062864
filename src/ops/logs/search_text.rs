use super::record::LogRecord;

/// The text in which words are searched: those of a record, in lower case, with one space before and behind each.
///
/// The file has the same text in its index, so that a search finds the same in memory and in the file.
#[derive(Debug, Default)]
pub(super) struct SearchText(String);

impl SearchText {
    /// Becomes that of a record.
    pub(super) fn set(&mut self, record: &LogRecord) {
        self.0.clear();
        self.0.push(' ');
        self.push(&record.message);
        self.push_json(&record.fields);
    }

    /// Returns the words of a text.
    pub(super) fn of_words(words: &str) -> Self {
        let mut text = SearchText(" ".to_owned());
        text.push(words);
        text
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn push(&mut self, text: &str) {
        for c in text.chars() {
            self.push_char(c);
        }
        self.end_word();
    }

    /// Appends the names and values of an object. What is escaped stands between words.
    fn push_json(&mut self, json: &str) {
        let mut chars = json.chars();
        while let Some(c) = chars.next() {
            if c == '\\' {
                self.end_word();
                if chars.next() == Some('u') {
                    chars.by_ref().take(4).for_each(drop);
                }
            } else {
                self.push_char(c);
            }
        }
        self.end_word();
    }

    fn push_char(&mut self, c: char) {
        if c.is_ascii() {
            match c.is_ascii_alphanumeric() {
                true => self.0.push(c.to_ascii_lowercase()),
                false => self.end_word(),
            }
        } else if c.is_alphanumeric() {
            // A letter with a mark may become a letter and the mark.
            self.0
                .extend(c.to_lowercase().filter(|c| c.is_alphanumeric()));
        } else if !is_mark(c) {
            self.end_word();
        }
    }

    fn end_word(&mut self) {
        if !self.0.ends_with(' ') {
            self.0.push(' ');
        }
    }
}

/// Returns whether a character is an accent of the letter before it, which belongs to the word.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_digits_in_lower_case() {
        let words = |text: &str| SearchText::of_words(text).as_str().to_owned();
        assert_eq!(
            words("POST /pay: 504, order_id=7"),
            " post pay 504 order id 7 "
        );
        assert_eq!(
            words("Zürich ÉCLAIR İzmir e\u{301}t"),
            " zürich éclair izmir et "
        );
        assert_eq!(words("closed→open … 東京"), " closed open 東京 ");
        assert_eq!(words(" -*\"\0 "), " ");
    }

    #[test]
    fn escapes_in_fields_are_between_words() {
        let mut text = SearchText(" ".to_owned());
        text.push_json(r#"{"path":"a\nb\u001bc\\d","n":-1.5}"#);
        assert_eq!(text.as_str(), " path a b c d n 1 5 ");
    }
}
