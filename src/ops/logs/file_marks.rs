//! Words in the index that are not those of a text: of level, target and IDs. They narrow a search, and may let through too
//! much.

use super::{level::LogLevel, query::LogQuery, record::LogRecord, words::Word};
use crate::{
    context::{SpanId, TraceId, hex_str},
    util::fnv::{FNV_OFFSET_BASIS, fnv1a},
};

/// The longest part of a target in a mark.
const MAX_TARGET: usize = 32;

/// Writes the marks of a record, with a space behind each.
pub(super) fn write_marks(marks: &mut String, record: &LogRecord) {
    marks.clear();
    for (level, mark) in LEVELS {
        if record.level >= level {
            marks.push_str(mark);
            marks.push(' ');
        }
    }
    write_target(marks, first_segment(&record.target));
    marks.push(' ');
    let ids = &record.ids;
    let mut id = |id: &str| write_id(marks, id);
    ids.trace_id
        .iter()
        .for_each(|trace| id(hex_str(&trace.to_hex())));
    ids.span_id
        .iter()
        .for_each(|span| id(hex_str(&span.to_hex())));
    ids.request_id.iter().for_each(|request| id(request));
    if ids.correlation_id != ids.request_id {
        ids.correlation_id
            .iter()
            .for_each(|correlation| id(correlation));
    }
}

/// Records below have none: most are.
const LEVELS: [(LogLevel, &str); 2] = [(LogLevel::Warn, "w"), (LogLevel::Error, "e")];

fn first_segment(target: &str) -> &str {
    target.split("::").next().unwrap_or_default()
}

fn write_target(marks: &mut String, segment: &str) {
    marks.push('t');
    let letters = segment.chars().filter(char::is_ascii_alphanumeric);
    marks.extend(letters.take(MAX_TARGET).map(|c| c.to_ascii_lowercase()));
}

/// Writes a hash of an ID in six digits, since IDs are most of what is different in each call. Of a million IDs, one in two
/// thousand has the mark of another.
fn write_id(marks: &mut String, id: &str) {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut hash = fnv1a(FNV_OFFSET_BASIS, id.as_bytes());
    marks.push('i');
    for _ in 0..6 {
        marks.push(char::from(DIGITS[(hash % 36) as usize]));
        hash /= 36;
    }
    marks.push(' ');
}

/// An expression of FTS5.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) expression: String,
    /// True if it has beginnings of words, for which the index has to look at all records that have one.
    pub(super) has_beginnings: bool,
}

/// Returns what finds the candidates of a search in the index, or `None` if all records are.
pub(super) fn match_of(query: &LogQuery) -> Option<Match> {
    let words = query.words.iter().filter(|word| !word.is_excluded);
    let mut all: Vec<String> = words.map(phrase).collect();
    let least = |(level, _): &&(LogLevel, &str)| query.level.is_some_and(|wanted| wanted >= *level);
    if let Some((_, mark)) = LEVELS.iter().rfind(least) {
        all.push(format!("marks : \"{mark}\""));
    }
    if let Some(target) = &query.target {
        let mut mark = String::new();
        write_target(&mut mark, first_segment(target));
        // Of a segment that may go on it is the beginning.
        let beginning = if target.contains("::") { "" } else { " *" };
        all.push(format!("marks : \"{mark}\"{beginning}"));
    }
    let trace_id = query.trace_id.map(TraceId::to_hex);
    let span_id = query.span_id.map(SpanId::to_hex);
    let ids = [
        query.request_id.as_deref(),
        query.correlation_id.as_deref(),
        query.id.as_deref(),
        trace_id.as_ref().map(|id| hex_str(id)),
        span_id.as_ref().map(|id| hex_str(id)),
    ];
    for id in ids.into_iter().flatten() {
        let mut mark = String::new();
        write_id(&mut mark, id);
        all.push(format!("marks : \"{}\"", mark.trim_end()));
    }
    (!all.is_empty()).then(|| Match {
        has_beginnings: all.iter().any(|each| each.ends_with('*')),
        expression: all.join(" AND "),
    })
}

/// Returns a word or phrase of the index. It consists of letters, digits and spaces only.
fn phrase(word: &Word) -> String {
    let beginning = if word.pattern.ends_with(' ') {
        ""
    } else {
        " *"
    };
    format!("words : \"{}\"{beginning}", word.pattern.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(params: &[(&str, &'static str)]) -> Option<String> {
        let get = |name: &str| {
            params
                .iter()
                .find(|(each, _)| *each == name)
                .map(|(_, value)| *value)
        };
        let found = match_of(&LogQuery::parse(get).expect("valid"))?;
        assert_eq!(found.has_beginnings, found.expression.contains('*'));
        Some(found.expression)
    }

    #[test]
    fn user_text_is_quoted_word_by_word() {
        assert_eq!(expression(&[]), None);
        assert_eq!(expression(&[("q", "-only"), ("level", "info")]), None);
        let text = r#"marks:w OR "a" NEAR(b) -c x* {words}:"#;
        let expected = r#"words : "marks w" AND words : "or" AND words : "a" AND words : "near b" AND words : "x" * AND words : "words""#;
        assert_eq!(expression(&[("q", text)]).as_deref(), Some(expected));
    }

    #[test]
    fn filters_are_marks() {
        let filters = [("level", "warn"), ("target", "My_crate::x")];
        let expected = r#"marks : "w" AND marks : "tmycrate""#;
        assert_eq!(expression(&filters).as_deref(), Some(expected));
        let beginning = expression(&[("target", "My_cra")]);
        assert_eq!(beginning.as_deref(), Some(r#"marks : "tmycra" *"#));
        let error = expression(&[("level", "error"), ("id", "7")]);
        assert!(
            error
                .expect("marks")
                .starts_with("marks : \"e\" AND marks : \"i")
        );
    }
}
