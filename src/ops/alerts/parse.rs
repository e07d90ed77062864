//! Conditions from text.

use std::time::Duration;

use super::{
    Comparison,
    expression::{
        CallFigure, CallGroups, DEFAULT_WINDOW, DROPPED_WINDOW, Expression, GuardFigure,
        ValueSource,
    },
    trigger::{Condition, EventCondition, ValueCondition, WrongText},
};
use crate::{
    ops::{
        journal::EventKind,
        series::{Aggregation, Filter, Query},
    },
    protocol::Side,
    util::text::truncated,
};

/// The longest text.
const MAX_TEXT: usize = 1_024;
/// The longest window of what was dropped, which is counted apart.
pub(super) const MAX_DROPPED_WINDOW: Duration = Duration::from_secs(3_600);
const MAX_WINDOW: Duration = Duration::from_secs(24 * 3_600);
const EXAMPLE: &str = "like error_ratio{route=\"POST /pay\"} > 5%";

type Parsed<T> = Result<T, String>;

/// Parses a condition.
pub(super) fn condition(text: &str) -> Result<Condition, WrongText> {
    let parsed = match text.len() {
        0..=MAX_TEXT => Cursor(text).condition(),
        _ => Err(format!("at most {MAX_TEXT} bytes")),
    };
    parsed.map_err(|expected| WrongText {
        text: truncated(text, 128).into_owned(),
        expected,
    })
}

/// The rest of a text.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn condition(mut self) -> Parsed<Condition> {
        let name = self.word();
        let condition = match name {
            "" => return Err(format!("a condition, {EXAMPLE}")),
            "event" => self.event().map(Condition::Event)?,
            _ => self.value(name).map(Condition::Value)?,
        };
        match self.rest() {
            "" => Ok(condition),
            rest => Err(format!("a condition without {rest:?} at its end")),
        }
    }

    fn event(&mut self) -> Parsed<EventCondition> {
        let kinds = || EventKind::ALL.map(EventKind::as_str).join(", ");
        self.expect("(", "event(error)")?;
        let kind = EventKind::parse(self.word());
        let kind = kind.ok_or_else(|| format!("an event of {}", kinds()))?;
        self.expect(")", "event(error)")?;
        let mut filters: Vec<Filter> = self.filters()?.into_iter().map(|it| it.filter).collect();
        if !filters.iter().any(|filter| filter.label() == "severity") {
            filters.push(Filter::is_not("severity", "info"));
        }
        Ok(EventCondition { kind, filters })
    }

    fn value(&mut self, first: &str) -> Parsed<ValueCondition> {
        let aggregation =
            match self.take("(") {
                true => Some(Aggregation::from_text(first).ok_or_else(|| {
                    format!("an aggregation of {} before (", Aggregation::EXPECTED)
                })?),
                false => None,
            };
        let name = if aggregation.is_some() {
            self.word()
        } else {
            first
        };
        if name.is_empty() {
            return Err(format!("the name of a metric, {EXAMPLE}"));
        }
        let filters = self.filters()?;
        let window = self.window()?;
        if aggregation.is_some() {
            self.expect(")", "p95(wait_seconds[5m])")?;
        }
        let by = self.by()?;
        let (comparison, threshold) = self.comparison()?;
        let parts = Parts {
            name,
            aggregation,
            filters,
            window,
            by,
        };
        Ok(ValueCondition {
            expression: parts.expression()?,
            comparison,
            threshold,
        })
    }

    /// Reads `{label="value", other!="value"}`.
    fn filters(&mut self) -> Parsed<Vec<ParsedFilter>> {
        let mut filters = Vec::new();
        if !self.take("{") {
            return Ok(filters);
        }
        while !self.take("}") {
            let label = self.word();
            let sign = if self.take("!=") { "!=" } else { "=" };
            if label.is_empty() || (sign == "=" && !self.take("=")) {
                return Err("conditions like {route=\"/pay\"}".to_owned());
            }
            let value = self.quoted()?;
            let filter = Filter::from_text(&format!("{label}{sign}{value}"));
            let filter = filter.ok_or_else(|| format!("conditions of {}", Filter::EXPECTED))?;
            let label = label.to_owned();
            filters.push(ParsedFilter {
                label,
                value,
                is_negated: sign == "!=",
                filter,
            });
            if !self.take(",") && !self.0.trim_start().starts_with('}') {
                return Err("conditions between { and }, with commas between them".to_owned());
            }
        }
        Ok(filters)
    }

    /// Reads a text between `"`, in which `\"` is a quotation mark.
    fn quoted(&mut self) -> Parsed<String> {
        if !self.take("\"") {
            return Err("values between \"\", like {route=\"/pay\"}".to_owned());
        }
        let mut value = String::new();
        let mut chars = self.0.char_indices();
        while let Some((at, next)) = chars.next() {
            match next {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Ok(value);
                }
                '\\' => match chars.next() {
                    Some((_, '"')) => value.push('"'),
                    Some((_, other)) => value.extend(['\\', other]),
                    None => break,
                },
                other => value.push(other),
            }
        }
        Err("values with a \" at their end".to_owned())
    }

    /// Reads `[5m]`.
    fn window(&mut self) -> Parsed<Option<Duration>> {
        if !self.take("[") {
            return Ok(None);
        }
        let expected = || "a window of 1 s to 24 h, like [5m]".to_owned();
        let (text, rest) = self.0.split_once(']').ok_or_else(expected)?;
        self.0 = rest;
        let window = crate::ops::series::duration_of(text.trim()).ok_or_else(expected)?;
        match window.is_zero() || window > MAX_WINDOW {
            true => Err(expected()),
            false => Ok(Some(window)),
        }
    }

    /// Reads `by (route, method)`.
    fn by(&mut self) -> Parsed<Vec<String>> {
        let before = self.0;
        if self.word() != "by" {
            self.0 = before;
            return Ok(Vec::new());
        }
        self.expect("(", "by (route)")?;
        let mut labels = Vec::new();
        while !self.take(")") {
            let label = if self.take("*") { "*" } else { self.word() };
            if label.is_empty() {
                return Err("labels between ( and ), like by (route)".to_owned());
            }
            labels.push(label.to_owned());
            self.take(",");
        }
        Ok(labels)
    }

    /// Reads `> 5%`.
    fn comparison(&mut self) -> Parsed<(Comparison, f64)> {
        let before = self.0;
        let word = self.word();
        let by_word = Comparison::TEXTS.iter().find(|(text, ..)| *text == word);
        if by_word.is_none() {
            self.0 = before;
        }
        let found = by_word.or_else(|| {
            let mut all = Comparison::TEXTS.iter();
            all.find(|(_, sign, _)| self.take(sign))
        });
        let (.., comparison) =
            found.ok_or("a comparison with >, >=, <, <=, == or !=, like > 5%".to_owned())?;
        Ok((*comparison, self.number()?))
    }

    /// Reads a number, which may have a unit.
    fn number(&mut self) -> Parsed<f64> {
        self.0 = self.0.trim_start();
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
        let end = self.0.find(|c| !is_part(c)).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        let number = digits.replace('_', "").parse::<f64>().ok();
        let expected = "a number, which may have a unit of %, ms, s, m or h, like > 5%";
        let number = number.ok_or(expected)?;
        let scale = match self.unit() {
            "" => 1.0,
            "%" => 0.01,
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return Err(expected.to_owned()),
        };
        // To fifteen digits: 5 % is 0.05, without a bit more.
        let scaled = number * scale;
        Ok(format!("{scaled:.14e}").parse().unwrap_or(scaled))
    }

    fn unit(&mut self) -> &'a str {
        match self.take("%") {
            true => "%",
            false => self.word(),
        }
    }

    /// Takes a name: letters, digits, `_`, `:` and `.`.
    fn word(&mut self) -> &'a str {
        self.0 = self.0.trim_start();
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.');
        let end = self.0.find(|c| !is_part(c)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    fn take(&mut self, sign: &str) -> bool {
        match self.0.trim_start().strip_prefix(sign) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, sign: &str, example: &str) -> Parsed<()> {
        match self.take(sign) {
            true => Ok(()),
            false => Err(format!("a condition with {sign}, like {example}")),
        }
    }

    fn rest(&self) -> &'a str {
        self.0.trim()
    }
}

struct ParsedFilter {
    label: String,
    value: String,
    is_negated: bool,
    filter: Filter,
}

/// The parts of what a rule looks at.
struct Parts<'a> {
    name: &'a str,
    aggregation: Option<Aggregation>,
    filters: Vec<ParsedFilter>,
    window: Option<Duration>,
    by: Vec<String>,
}

impl Parts<'_> {
    fn expression(self) -> Parsed<Expression> {
        let guards = |figure| ValueSource::Guards(figure);
        let source = match self.name {
            "error_ratio" => return self.calls(CallFigure::ErrorRatio),
            "error_rate" => return self.calls(CallFigure::ErrorRate),
            "call_rate" => return self.calls(CallFigure::CallRate),
            "call_latency" => return self.latency(),
            "breaker_open" => guards(GuardFigure::BreakerOpen),
            "queue_ratio" => guards(GuardFigure::QueueRatio),
            "budget_ratio" => guards(GuardFigure::BudgetRatio),
            "guard_stat" => guards(GuardFigure::Stat),
            "health_status" => ValueSource::Health,
            "dropped_records" => ValueSource::Dropped,
            _ => return self.query(),
        };
        let name = self.name;
        if self.aggregation.is_some() || !self.by.is_empty() {
            return Err(format!(
                "{name} without aggregation and by, since each of its values is an alert"
            ));
        }
        let window = match (source == ValueSource::Dropped, self.window) {
            (true, Some(window)) if window > MAX_DROPPED_WINDOW => {
                return Err(format!("{name} with a window of at most an hour"));
            }
            (true, window) => window.unwrap_or(DROPPED_WINDOW),
            (false, None) => Duration::ZERO,
            (false, Some(_)) => return Err(format!("{name} without a window: it is of now")),
        };
        Ok(Expression {
            source,
            filters: self.filters.into_iter().map(|it| it.filter).collect(),
            window,
        })
    }

    fn query(self) -> Parsed<Expression> {
        let query = Query::new(self.name).by(self.by);
        let query = self
            .filters
            .into_iter()
            .fold(query, |query, it| query.filter(it.filter));
        let query = match self.aggregation {
            Some(aggregation) => query.aggregate(aggregation),
            None => query,
        };
        let window = self.window.unwrap_or(DEFAULT_WINDOW);
        let expression = Expression::query(query, window);
        match &expression.source {
            ValueSource::Query(query) => query
                .check()
                .map(|()| expression.clone())
                .map_err(|error| format!("a query whose {error}")),
            _ => Ok(expression),
        }
    }

    fn latency(self) -> Parsed<Expression> {
        match self.aggregation {
            None => self.calls(CallFigure::Latency(0.95)),
            Some(Aggregation::Quantile(q)) => Parts {
                aggregation: None,
                ..self
            }
            .calls(CallFigure::Latency(q)),
            Some(_) => Err("a percentile of call_latency, like p99(call_latency)".to_owned()),
        }
    }

    fn calls(self, figure: CallFigure) -> Parsed<Expression> {
        let name = self.name;
        if self.aggregation.is_some() {
            return Err(format!("{name} without an aggregation"));
        }
        if self.by.iter().any(|label| label != "route") {
            return Err(format!("{name} by (route), or without by"));
        }
        let mut side = Side::Server;
        let mut by_route = !self.by.is_empty();
        let mut filters = Vec::new();
        for it in self.filters {
            match (it.label.as_str(), it.value.as_str()) {
                ("side", "client") if !it.is_negated => side = Side::Client,
                ("side", "server") if !it.is_negated => {}
                ("route", _) => {
                    by_route = true;
                    filters.push(it.filter);
                }
                ("service", _) => filters.push(it.filter),
                _ => {
                    let labels = "route, service or side=\"client\"";
                    return Err(format!("{name} with conditions on {labels} only"));
                }
            }
        }
        Ok(Expression {
            source: ValueSource::Calls(figure, CallGroups { side, by_route }),
            filters,
            window: self.window.unwrap_or(DEFAULT_WINDOW),
        })
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
