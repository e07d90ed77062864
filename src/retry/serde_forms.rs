//! The forms of settings of retries in a file, where they differ from those in code.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

use super::{
    Backoff, BucketBudget, BudgetSettings, GrpcCodes, Jitter, ThrottleBudget, WindowBudget,
    backoff::{Curve, DEFAULT_FACTOR, DEFAULT_FIRST},
    budget::BudgetKind,
};
use crate::{
    call::{GrpcCode, grpc_code_name::GrpcCodeName},
    util::setting_serde,
};

/// A [`Backoff`] in a file.
#[derive(Deserialize, Serialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table with the settings of a backoff"
)]
pub struct BackoffForm {
    kind: BackoffKind,
    #[serde(with = "setting_serde::duration")]
    first: Duration,
    #[serde(
        with = "setting_serde::duration_or_default",
        skip_serializing_if = "Option::is_none"
    )]
    step: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    #[serde(
        with = "setting_serde::duration_or_default",
        skip_serializing_if = "Option::is_none"
    )]
    max: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter: Option<Jitter>,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum BackoffKind {
    Constant,
    Linear,
    #[default]
    Exponential,
}

impl Default for BackoffForm {
    fn default() -> Self {
        BackoffForm {
            kind: BackoffKind::default(),
            first: DEFAULT_FIRST,
            step: None,
            factor: None,
            max: None,
            jitter: None,
        }
    }
}

impl BackoffForm {
    /// Returns a backoff of the kind, with its default jitter and maximum.
    fn of_kind(&self) -> Result<Backoff, &'static str> {
        match (self.kind, self.step, self.factor) {
            (BackoffKind::Constant, None, None) => Ok(Backoff::constant(self.first)),
            (BackoffKind::Linear, Some(step), None) => Ok(Backoff::linear(self.first, step)),
            (BackoffKind::Exponential, None, factor) => {
                Ok(Backoff::exponential(self.first).factor(factor.unwrap_or(DEFAULT_FACTOR)))
            }
            (_, _, Some(_)) => {
                Err("`factor` is a setting of backoffs of the kind \"exponential\" only")
            }
            (_, Some(_), None) => {
                Err("`step` is a setting of backoffs of the kind \"linear\" only")
            }
            (BackoffKind::Linear, None, None) => {
                Err("missing field `step`, which a backoff of the kind \"linear\" needs")
            }
        }
    }
}

impl From<Backoff> for BackoffForm {
    fn from(backoff: Backoff) -> Self {
        let (kind, step, factor) = match backoff.curve {
            Curve::Constant => (BackoffKind::Constant, None, None),
            Curve::Linear { step } => (BackoffKind::Linear, Some(step), None),
            Curve::Exponential { factor } => (BackoffKind::Exponential, None, Some(factor)),
        };
        BackoffForm {
            kind,
            first: backoff.first,
            step,
            factor,
            max: backoff.max,
            jitter: Some(backoff.jitter),
        }
    }
}

impl TryFrom<BackoffForm> for Backoff {
    type Error = &'static str;

    fn try_from(form: BackoffForm) -> Result<Self, &'static str> {
        let mut backoff = form.of_kind()?;
        backoff.max = form.max;
        Ok(match form.jitter {
            Some(jitter) => backoff.jitter(jitter),
            None => backoff,
        })
    }
}

/// [`BudgetSettings`] in a file.
#[derive(Default, Deserialize, Serialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table with the settings of a budget"
)]
pub struct BudgetForm {
    kind: BudgetKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<f64>,
    #[serde(
        with = "setting_serde::duration_or_default",
        skip_serializing_if = "Option::is_none"
    )]
    window: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_cost: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refill: Option<u32>,
}

impl BudgetForm {
    /// Checks that each setting is one of the kind.
    fn check_kind(&self) -> Result<(), String> {
        use BudgetKind::{Bucket, Throttle, Window};
        let settings = [
            ("ratio", Window, self.ratio.is_some()),
            ("per_second", Window, self.per_second.is_some()),
            ("window", Window, self.window.is_some()),
            ("max_tokens", Throttle, self.max_tokens.is_some()),
            ("token_ratio", Throttle, self.token_ratio.is_some()),
            ("capacity", Bucket, self.capacity.is_some()),
            ("cost", Bucket, self.cost.is_some()),
            ("timeout_cost", Bucket, self.timeout_cost.is_some()),
            ("refill", Bucket, self.refill.is_some()),
        ];
        let other = |(_, kind, is_set): &(&str, BudgetKind, bool)| *is_set && *kind != self.kind;
        match settings.iter().find(|setting| other(setting)) {
            None => Ok(()),
            Some((name, ..)) => Err(format!(
                "`{name}` is no setting of a budget of the kind {}",
                describe(self.kind)
            )),
        }
    }

    fn window_budget(&self) -> WindowBudget {
        let default = WindowBudget::default();
        WindowBudget {
            ratio: self.ratio.unwrap_or(default.ratio),
            per_second: self.per_second.unwrap_or(default.per_second),
            window: self.window.unwrap_or(default.window),
        }
    }

    fn throttle_budget(&self) -> ThrottleBudget {
        let default = ThrottleBudget::default();
        ThrottleBudget {
            max_tokens: self.max_tokens.unwrap_or(default.max_tokens),
            token_ratio: self.token_ratio.unwrap_or(default.token_ratio),
        }
    }

    fn bucket_budget(&self) -> BucketBudget {
        let default = BucketBudget::default();
        BucketBudget {
            capacity: self.capacity.unwrap_or(default.capacity),
            cost: self.cost.unwrap_or(default.cost),
            timeout_cost: self.timeout_cost.unwrap_or(default.timeout_cost),
            refill: self.refill.unwrap_or(default.refill),
        }
    }
}

/// Returns the kind with its settings, for errors.
fn describe(kind: BudgetKind) -> &'static str {
    match kind {
        BudgetKind::Window => "\"window\", which has `ratio`, `per_second`, `window`",
        BudgetKind::Throttle => "\"throttle\", which has `max_tokens`, `token_ratio`",
        BudgetKind::Bucket => "\"bucket\", which has `capacity`, `cost`, `timeout_cost`, `refill`",
    }
}

impl From<BudgetSettings> for BudgetForm {
    fn from(settings: BudgetSettings) -> Self {
        let form = BudgetForm::default();
        match settings {
            BudgetSettings::Window(window) => BudgetForm {
                ratio: Some(window.ratio),
                per_second: Some(window.per_second),
                window: Some(window.window),
                ..form
            },
            BudgetSettings::Throttle(throttle) => BudgetForm {
                kind: BudgetKind::Throttle,
                max_tokens: Some(throttle.max_tokens),
                token_ratio: Some(throttle.token_ratio),
                ..form
            },
            BudgetSettings::Bucket(bucket) => BudgetForm {
                kind: BudgetKind::Bucket,
                capacity: Some(bucket.capacity),
                cost: Some(bucket.cost),
                timeout_cost: Some(bucket.timeout_cost),
                refill: Some(bucket.refill),
                ..form
            },
        }
    }
}

impl TryFrom<BudgetForm> for BudgetSettings {
    type Error = String;

    fn try_from(form: BudgetForm) -> Result<Self, String> {
        form.check_kind()?;
        Ok(match form.kind {
            BudgetKind::Window => BudgetSettings::Window(form.window_budget()),
            BudgetKind::Throttle => BudgetSettings::Throttle(form.throttle_budget()),
            BudgetKind::Bucket => BudgetSettings::Bucket(form.bucket_budget()),
        })
    }
}

impl Serialize for GrpcCodes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(GrpcCode::as_str))
    }
}

impl<'de> Deserialize<'de> for GrpcCodes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(CodesVisitor)
    }
}

struct CodesVisitor;

impl<'de> Visitor<'de> for CodesVisitor {
    type Value = GrpcCodes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names of gRPC codes, such as [\"UNAVAILABLE\"]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<GrpcCodes, A::Error> {
        let mut codes = GrpcCodes::new([]);
        while let Some(GrpcCodeName(code)) = names.next_element()? {
            codes = codes.with(code);
        }
        Ok(codes)
    }
}
