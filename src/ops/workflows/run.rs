use std::time::{Duration, SystemTime};

use super::{RunError, RunProgress, RunState, WorkflowId};
use crate::{call::Label, ops::redact::redacted, util::text::truncated_box};

/// The most steps of one workflow. Further ones are counted.
const MAX_STEPS: usize = 1_000;
/// The most attributes of one workflow, and the longest name and value in bytes.
const MAX_ATTRIBUTES: usize = 16;
const MAX_ATTRIBUTE_NAME: usize = 64;
const MAX_ATTRIBUTE: usize = 256;
/// The longest text of a step, in bytes.
const MAX_TEXT: usize = 256;
/// The longest name, in bytes.
const MAX_NAME: usize = 128;

/// A run of a workflow. Pure: times are those since it began.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) id: WorkflowId,
    pub(crate) name: Label,
    pub(crate) parent: Option<RunParent>,
    pub(crate) correlation_id: Option<Box<str>>,
    pub(crate) trace_id: Option<Box<str>>,
    /// To the millisecond, as it is written.
    pub(crate) started_at: SystemTime,
    pub(crate) state: RunState,
    /// The time that it took. Of a lost one, the time for which it was seen.
    pub(crate) took: Option<Duration>,
    pub(crate) error: Option<Box<RunError>>,
    pub(crate) attributes: Vec<(Box<str>, Box<str>)>,
    pub(crate) expected_steps: Option<u32>,
    /// In the order in which they began.
    pub(crate) steps: Vec<StepRun>,
    /// Steps, texts and errors that are missing because of a limit.
    pub(crate) dropped: u64,
    bytes: usize,
}

/// The workflow that another one is a part of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunParent {
    pub(crate) id: WorkflowId,
    pub(crate) step: Option<Label>,
}

/// A run of a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StepRun {
    pub(crate) name: Label,
    /// The index of the step that it is a part of.
    pub(crate) parent: Option<u32>,
    /// The workflow that began in it last.
    pub(crate) child: Option<WorkflowId>,
    pub(crate) state: RunState,
    pub(crate) started: Duration,
    pub(crate) ended: Option<Duration>,
    pub(crate) progress: Option<RunProgress>,
    pub(crate) text: Option<Box<str>>,
    pub(crate) error: Option<Box<RunError>>,
}

impl Run {
    pub(crate) fn new(id: WorkflowId, name: Label, started_at: SystemTime) -> Self {
        let name = bounded_name(name);
        let since = started_at.duration_since(SystemTime::UNIX_EPOCH);
        let millis = since.unwrap_or_default().as_millis() as u64;
        Run {
            bytes: size_of::<Run>() + name.as_str().len(),
            id,
            name,
            parent: None,
            correlation_id: None,
            trace_id: None,
            started_at: SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
            state: RunState::Running,
            took: None,
            error: None,
            attributes: Vec::new(),
            expected_steps: None,
            steps: Vec::new(),
            dropped: 0,
        }
    }

    /// Sets the IDs of the request that it belongs to.
    pub(crate) fn set_ids(&mut self, correlation_id: &str, trace_id: &str) {
        self.bytes += correlation_id.len() + trace_id.len();
        self.correlation_id = Some(correlation_id.into());
        self.trace_id = Some(trace_id.into());
    }

    /// Returns the memory that it takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets an attribute, unless there are too many.
    pub(crate) fn set_attribute(&mut self, name: &str, value: &str) {
        if self.state != RunState::Running {
            return;
        }
        let name = truncated_box(name.to_owned(), MAX_ATTRIBUTE_NAME);
        let value = truncated_box(value.to_owned(), MAX_ATTRIBUTE);
        let mut known = self.attributes.iter_mut();
        if let Some((_, old)) = known.find(|(each, _)| *each == name) {
            self.bytes = self.bytes + value.len() - old.len();
            *old = value;
        } else if self.attributes.len() < MAX_ATTRIBUTES {
            self.bytes += name.len() + value.len() + size_of::<(Box<str>, Box<str>)>();
            self.attributes.push((name, value));
        } else {
            self.dropped += 1;
        }
    }

    /// Begins a step, and returns its index; `None` if it is only counted. `has_room` is false where the memory of all is used up.
    pub(crate) fn begin_step(
        &mut self,
        name: Label,
        parent: Option<u32>,
        started: Duration,
        has_room: bool,
    ) -> Option<u32> {
        if self.state != RunState::Running {
            return None;
        }
        if self.steps.len() == MAX_STEPS || !has_room {
            self.dropped += 1;
            return None;
        }
        let name = bounded_name(name);
        self.bytes += size_of::<StepRun>() + name.as_str().len();
        self.steps.push(StepRun {
            name,
            parent,
            child: None,
            state: RunState::Running,
            started,
            ended: None,
            progress: None,
            text: None,
            error: None,
        });
        Some(self.steps.len() as u32 - 1)
    }

    /// Ends a step that still runs.
    pub(crate) fn end_step(
        &mut self,
        index: u32,
        state: RunState,
        ended: Duration,
        error: Option<RunError>,
        has_room: bool,
    ) {
        let Some(step) = running(&mut self.steps, index) else {
            return;
        };
        (step.state, step.ended) = (state, Some(ended));
        match error {
            Some(error) if has_room => {
                self.bytes += error.bytes();
                step.error = Some(Box::new(error));
            }
            Some(_) => self.dropped += 1,
            None => {}
        }
    }

    /// Sets how far a step is, while it runs.
    pub(crate) fn set_progress(&mut self, index: u32, progress: RunProgress) {
        if let Some(step) = running(&mut self.steps, index) {
            step.progress = Some(progress);
        }
    }

    /// Sets the text of a step, while it runs.
    pub(crate) fn set_text(&mut self, index: u32, text: &str, has_room: bool) {
        let Some(step) = running(&mut self.steps, index) else {
            return;
        };
        if !has_room {
            self.dropped += 1;
            return;
        }
        let text = truncated_box(redacted(text), MAX_TEXT);
        self.bytes += text.len();
        let old = step.text.replace(text);
        self.bytes -= old.map_or(0, |old| old.len());
    }

    /// Links a workflow that begins in a step.
    pub(crate) fn set_child(&mut self, index: u32, child: WorkflowId) {
        if let Some(step) = running(&mut self.steps, index) {
            step.child = Some(child);
        }
    }

    /// Ends it with all steps that still run, and returns whether it ran. What is in a task of its own goes on, but is not seen.
    pub(crate) fn end(&mut self, state: RunState, took: Duration, error: Option<RunError>) -> bool {
        if self.state != RunState::Running {
            return false;
        }
        let rest = match state {
            RunState::Lost => RunState::Lost,
            _ => RunState::Cancelled,
        };
        for step in &mut self.steps {
            if step.state == RunState::Running {
                (step.state, step.ended) = (rest, Some(took));
            }
        }
        self.bytes += error.as_ref().map_or(0, RunError::bytes);
        self.error = error.map(Box::new);
        (self.state, self.took) = (state, Some(took));
        self.steps.shrink_to_fit();
        self.attributes.shrink_to_fit();
        true
    }

    pub(crate) fn step_name(&self, index: u32) -> Option<Label> {
        let step = self.steps.get(index as usize);
        step.map(|step| step.name.clone())
    }

    /// Returns the step that is told in one line: of those that run the latest; else the one that has failed last.
    pub(crate) fn current_step(&self) -> Option<&StepRun> {
        match self.state {
            RunState::Running => {
                let mut steps = self.steps.iter().rev();
                steps.find(|step| step.state == RunState::Running)
            }
            RunState::Lost => self.steps.iter().rfind(|step| step.state == RunState::Lost),
            _ => None,
        }
    }

    /// Returns the step whose failure is the latest, of a workflow that has failed.
    pub(crate) fn failed_step(&self) -> Option<&StepRun> {
        let failed = self
            .steps
            .iter()
            .filter(|step| self.state == RunState::Failed && step.state == RunState::Failed);
        failed.max_by_key(|step| step.ended)
    }

    /// Returns whether a text in lower case is in its name, IDs, attributes, error or the names of its steps.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let has = |part: &str| part.to_lowercase().contains(text);
        let ids = [&self.correlation_id, &self.trace_id];
        has(self.name.as_str())
            || self.id.to_string() == text
            || ids.into_iter().flatten().any(|id| has(id))
            || self.attributes.iter().any(|(_, value)| has(value))
            || self.error.as_ref().is_some_and(|error| has(&error.message))
            || self.steps.iter().any(|step| has(step.name.as_str()))
    }

    /// Returns the number of steps in a state.
    pub(crate) fn count(&self, state: RunState) -> usize {
        let steps = self.steps.iter();
        steps.filter(|step| step.state == state).count()
    }

    /// Returns the progress from 0 to 1: that of its steps, if it is known how many there will be.
    pub(crate) fn fraction(&self) -> Option<f64> {
        let expected = self.expected_steps.filter(|expected| *expected > 0)?;
        let outer = self.steps.iter().filter(|step| step.parent.is_none());
        let done = outer.map(|step| match step.state {
            RunState::Done => 1.0,
            RunState::Running => step.progress.and_then(RunProgress::fraction).unwrap_or(0.0),
            _ => 0.0,
        });
        Some((done.sum::<f64>() / f64::from(expected)).min(1.0))
    }

    /// Drops all steps but the last ones.
    pub(super) fn keep_last_steps(&mut self, steps: usize) {
        let dropped = self.steps.len().saturating_sub(steps);
        self.steps.drain(..dropped);
        for step in &mut self.steps {
            step.parent = step
                .parent
                .and_then(|parent| parent.checked_sub(dropped as u32));
        }
        self.dropped += dropped as u64;
        self.measure();
    }

    /// Sets the memory of one that was read.
    pub(super) fn measure(&mut self) {
        let attributes = self.attributes.iter();
        let attributes = attributes
            .map(|(name, value)| name.len() + value.len() + size_of::<(Box<str>, Box<str>)>());
        let steps = self.steps.iter().map(|step| {
            size_of::<StepRun>()
                + step.name.as_str().len()
                + step.text.as_ref().map_or(0, |text| text.len())
                + step.error.as_ref().map_or(0, |error| error.bytes())
        });
        let ids = [&self.correlation_id, &self.trace_id];
        let ids = ids.map(|id| id.as_ref().map_or(0, |id| id.len()));
        self.bytes = size_of::<Run>()
            + self.name.as_str().len()
            + ids.iter().sum::<usize>()
            + attributes.sum::<usize>()
            + steps.sum::<usize>()
            + self.error.as_ref().map_or(0, |error| error.bytes());
    }
}

fn running(steps: &mut [StepRun], index: u32) -> Option<&mut StepRun> {
    let step = steps.get_mut(index as usize)?;
    (step.state == RunState::Running).then_some(step)
}

/// Returns a name, truncated.
pub(super) fn bounded_name(name: Label) -> Label {
    match name.as_str().len() <= MAX_NAME {
        true => name,
        false => String::from(truncated_box(name.as_str().to_owned(), MAX_NAME)).into(),
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
