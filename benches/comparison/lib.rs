//! Comparisons with other crates; see `benches/`. Here is how they are measured: in turns, so that a machine that
//! speeds up or slows down does so for all of them.

use std::{
    fmt::Write as _,
    hint::{black_box, spin_loop},
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Long enough that the reading of the clock is nothing, short enough for many turns.
const TURN: Duration = Duration::from_millis(4);
const TURNS: usize = 41;
/// Threads that take longer than this must have met.
const MEETING: Duration = Duration::from_millis(1);

/// Makes so many calls.
pub type Calls = Box<dyn FnMut(u64) + Send>;

/// One line of a table.
pub struct Row {
    name: &'static str,
    threads: Vec<Calls>,
    each_turn: u64,
    nanos: Vec<f64>,
    allocations: Option<(f64, f64)>,
    future_size: Option<usize>,
    after: Option<Box<dyn Fn()>>,
}

impl Row {
    /// A row whose calls are made by as many threads as there are closures.
    pub fn new(name: &'static str, threads: Vec<Calls>) -> Self {
        Row {
            name,
            threads,
            each_turn: 1,
            nanos: Vec::new(),
            allocations: None,
            future_size: None,
            after: None,
        }
    }

    /// Is done after each turn, outside of its time.
    #[must_use]
    pub fn after_turns(mut self, work: impl Fn() + 'static) -> Self {
        self.after = Some(Box::new(work));
        self
    }

    /// Adds allocations and bytes per call.
    #[must_use]
    pub fn allocations(mut self, counted: (f64, f64)) -> Self {
        self.allocations = Some(counted);
        self
    }

    /// Adds the size of the future, in bytes.
    #[must_use]
    pub fn future_size(mut self, bytes: usize) -> Self {
        self.future_size = Some(bytes);
        self
    }

    /// Returns how long one call takes, on average over so many.
    fn turn(&mut self, calls: u64) -> f64 {
        let took = match &mut *self.threads {
            [only] => {
                let began = Instant::now();
                only(calls);
                began.elapsed()
            }
            several => together(several, calls),
        };
        if let Some(after) = &self.after {
            after();
        }
        took.as_nanos() as f64 / calls as f64
    }

    fn calibrate(&mut self) {
        // The first call may have things to make.
        self.turn(1);
        while self.turn(self.each_turn) * (self.each_turn as f64) < TURN.as_nanos() as f64 {
            self.each_turn *= 2;
        }
    }

    /// The middle of all turns, and the best.
    fn median_and_best(&mut self) -> (f64, f64) {
        self.nanos.sort_by(f64::total_cmp);
        (self.nanos[self.nanos.len() / 2], self.nanos[0])
    }

    fn median(&mut self) -> f64 {
        self.median_and_best().0
    }

    /// Returns the figure that counts: the best turn, since on a machine that does other things as well only that one says what
    /// the work itself costs. Of several threads the middle one: in a best turn they may not have met.
    fn figure(&mut self) -> f64 {
        let (median, best) = self.median_and_best();
        if self.threads.len() > 1 { median } else { best }
    }
}

/// The longest of the threads' times: all of them call the same shared instance at once. Repeated where they have hardly
/// met: the scheduler may run one after the other.
fn together(threads: &mut [Calls], calls: u64) -> Duration {
    loop {
        let spans = run_at_once(threads, calls);
        let longest = spans.iter().map(|(began, ended)| *ended - *began).max();
        let longest = longest.unwrap_or_default();
        let last_began = spans.iter().map(|span| span.0).max();
        let first_ended = spans.iter().map(|span| span.1).min();
        let met = first_ended
            .zip(last_began)
            .map(|(to, from)| to.saturating_duration_since(from));
        if met.unwrap_or_default() * 4 > longest * 3 || longest < MEETING {
            return longest;
        }
    }
}

/// Returns when each thread began and ended.
fn run_at_once(threads: &mut [Calls], calls: u64) -> Vec<(Instant, Instant)> {
    let (waiting, count) = (AtomicUsize::new(0), threads.len());
    thread::scope(|scope| {
        let running: Vec<_> = threads
            .iter_mut()
            .map(|thread| {
                let waiting = &waiting;
                scope.spawn(move || {
                    // Not a barrier: whoever sleeps may be woken late, and on the processor of another.
                    waiting.fetch_add(1, Ordering::SeqCst);
                    while waiting.load(Ordering::SeqCst) < count {
                        spin_loop();
                    }
                    let began = Instant::now();
                    thread(calls);
                    (began, Instant::now())
                })
            })
            .collect();
        let spans = running.into_iter().map(|thread| thread.join());
        spans.map(|span| span.expect("no panic")).collect()
    })
}

/// Measures the rows in turns, and prints them as a Markdown table. The first row is what the others add to, and the
/// second is what they are compared with.
pub fn compare(title: &str, mut rows: Vec<Row>) {
    rows.iter_mut().for_each(Row::calibrate);
    for _ in 0..TURNS {
        for row in &mut rows {
            let nanos = row.turn(row.each_turn);
            row.nanos.push(nanos);
        }
    }
    let base = rows[0].figure();
    let ours = rows[1].figure() - base;
    let mut table = format!(
        "\n### {title}\n\n| | median ns | best ns | added | times ours | allocations | bytes | future |\n|---|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    for (at, row) in rows.iter_mut().enumerate() {
        let (median, best) = row.median_and_best();
        let added = row.figure() - base;
        let ratio = match at {
            0 => String::new(),
            _ => format!("{:.2}", added / ours),
        };
        let (allocations, bytes) = match row.allocations {
            Some((allocations, bytes)) => (format!("{allocations:.0}"), format!("{bytes:.0}")),
            None => Default::default(),
        };
        let size = row
            .future_size
            .map(|size| size.to_string())
            .unwrap_or_default();
        let _ = writeln!(
            table,
            "| {} | {median:.1} | {best:.1} | {added:.1} | {ratio} | {allocations} | {bytes} | {size} |",
            row.name
        );
    }
    println!("{}", black_box(table));
}

/// Returns how many threads are compared: one, two, and as many as the machine runs at once, if it runs more. At most 16, since
/// that many have parts of their own of what they share.
pub fn thread_counts() -> Vec<usize> {
    let most = thread::available_parallelism().map_or(1, NonZero::get);
    match most.min(16) {
        0..=2 => vec![1, 2],
        most => vec![1, 2, most],
    }
}

/// Measures in turns the same calls on each of [`thread_counts`], and prints as a Markdown table what they add to the first
/// calls. *Ratio* is what several threads add to what one adds.
pub fn compare_threads(title: &str, mut calls: Vec<Vec<Row>>) {
    calls.iter_mut().flatten().for_each(Row::calibrate);
    for _ in 0..2 * TURNS {
        for row in calls.iter_mut().flatten() {
            let nanos = row.turn(row.each_turn);
            row.nanos.push(nanos);
        }
    }
    let (mut head, mut line) = ("| |".to_owned(), "|---|".to_owned());
    for count in thread_counts() {
        let _ = write!(head, " {count}: median ns | best | added |");
        line += "---:|---:|---:|";
        if count > 1 {
            head += " ratio |";
            line += "---:|";
        }
    }
    let mut table = format!("\n### {title}\n\n{head}\n{line}\n");
    let base: Vec<f64> = calls[0].iter_mut().map(Row::median).collect();
    for (at, rows) in calls.iter_mut().enumerate() {
        let _ = write!(table, "| {} |", rows[0].name);
        let alone = rows[0].median() - base[0];
        for (row, base) in rows.iter_mut().zip(&base) {
            let (median, best) = row.median_and_best();
            let added = median - base;
            let _ = write!(table, " {median:.1} | {best:.1} | {added:.1} |");
            table += &match row.threads.len() {
                1 => String::new(),
                _ if at == 0 => " |".to_owned(),
                _ => format!(" {:.2} |", added / alone),
            };
        }
        table.push('\n');
    }
    println!("{}", black_box(table));
}
