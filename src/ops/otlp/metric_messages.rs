//! The series of the recorder as messages of the protocol. Pure: the time is an argument.

use std::{collections::BTreeSet, time::SystemTime};

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{InstrumentationScope, KeyValue},
    metrics::v1::{
        AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar, metric::Data,
        number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message;

use super::{
    log_record::{attribute, nanos},
    metric_names,
};
use crate::ops::recorder::{
    ExposedExemplar, ExposedFamily, ExposedHistogram, ExposedSeries, ExposedValue,
};

/// The most data points of a message: with a hundred bounds each, some 2 MiB, of the 4 that gRPC servers take.
const MAX_POINTS: usize = 1_000;

/// The times of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageTimes {
    /// The time at which counters were zero.
    pub(super) start: u64,
    pub(super) now: u64,
}

impl MessageTimes {
    pub(super) fn new(start: SystemTime, now: SystemTime) -> Self {
        MessageTimes {
            start: nanos(start),
            now: nanos(now),
        }
    }
}

/// Encodes all families, in messages of at most a thousand data points. Returns each message with the number of its points.
pub(super) fn encode(
    families: &[ExposedFamily],
    times: MessageTimes,
    resource: &Resource,
) -> Vec<(Bytes, u64)> {
    let names: BTreeSet<&str> = families.iter().map(ExposedFamily::name).collect();
    let mut messages = Vec::new();
    let (mut metrics, mut points) = (Vec::new(), 0);
    for family in families {
        let mut series = family.series().peekable();
        while series.peek().is_some() {
            let part: Vec<_> = series.by_ref().take(MAX_POINTS - points).collect();
            points += part.len();
            metrics.push(metric(family, part, &names, times));
            if points == MAX_POINTS {
                messages.push((
                    message(std::mem::take(&mut metrics), resource),
                    points as u64,
                ));
                points = 0;
            }
        }
    }
    if points > 0 {
        messages.push((message(metrics, resource), points as u64));
    }
    messages
}

fn message(metrics: Vec<Metric>, resource: &Resource) -> Bytes {
    let scope = InstrumentationScope {
        name: "tower-keep".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.clone()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    };
    request.encode_to_vec().into()
}

fn metric(
    family: &ExposedFamily,
    series: Vec<ExposedSeries<'_>>,
    names: &BTreeSet<&str>,
    times: MessageTimes,
) -> Metric {
    Metric {
        name: metric_names::metric_name(family.name(), |name| names.contains(name)).to_owned(),
        description: family.help().to_owned(),
        unit: metric_names::unit(family.unit()).to_owned(),
        metadata: Vec::new(),
        data: data(family, series, times),
    }
}

/// Returns the data points; the series of a family have one kind.
fn data(
    family: &ExposedFamily,
    series: Vec<ExposedSeries<'_>>,
    times: MessageTimes,
) -> Option<Data> {
    let cumulative = AggregationTemporality::Cumulative.into();
    let numbers = |series: Vec<ExposedSeries<'_>>| {
        let points = series.into_iter().map(|series| number(series, times));
        points.collect()
    };
    match series.first()?.value {
        ExposedValue::Counter(_) => Some(Data::Sum(Sum {
            data_points: numbers(series),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        })),
        ExposedValue::Gauge(_) if metric_names::is_up_down_counter(family.name()) => {
            Some(Data::Sum(Sum {
                data_points: numbers(series),
                aggregation_temporality: cumulative,
                is_monotonic: false,
            }))
        }
        ExposedValue::Gauge(_) => Some(Data::Gauge(Gauge {
            data_points: numbers(series),
        })),
        ExposedValue::Histogram(_) => {
            let points = series.into_iter();
            let points = points.map(|series| histogram(series, family.bounds(), times));
            Some(Data::Histogram(Histogram {
                data_points: points.collect(),
                aggregation_temporality: cumulative,
            }))
        }
    }
}

fn number(series: ExposedSeries<'_>, times: MessageTimes) -> NumberDataPoint {
    use number_data_point::Value::{AsDouble, AsInt};
    let value = match series.value {
        ExposedValue::Counter(sum) => AsInt(i64::try_from(sum).unwrap_or(i64::MAX)),
        ExposedValue::Gauge(value) => AsDouble(value),
        ExposedValue::Histogram(histogram) => AsDouble(histogram.sum),
    };
    NumberDataPoint {
        attributes: attributes(&series.labels),
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn histogram(series: ExposedSeries<'_>, bounds: &[f64], times: MessageTimes) -> HistogramDataPoint {
    let values = match series.value {
        ExposedValue::Histogram(values) => values,
        ExposedValue::Counter(_) | ExposedValue::Gauge(_) => ExposedHistogram::default(),
    };
    HistogramDataPoint {
        attributes: attributes(&series.labels),
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        count: values.counts.iter().sum(),
        sum: Some(values.sum),
        bucket_counts: values.counts,
        explicit_bounds: bounds.to_vec(),
        exemplars: values.exemplars.iter().map(exemplar).collect(),
        ..HistogramDataPoint::default()
    }
}

fn exemplar(exemplar: &ExposedExemplar) -> Exemplar {
    Exemplar {
        time_unix_nano: (exemplar.at * 1e9) as u64,
        trace_id: exemplar.trace_id.to_bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(exemplar.value)),
        ..Exemplar::default()
    }
}

fn attributes(labels: &[(&str, &str)]) -> Vec<KeyValue> {
    let attributes = labels.iter().map(|(label, value)| {
        let (name, value) = metric_names::attribute(label, value);
        attribute(name, value)
    });
    attributes.collect()
}
