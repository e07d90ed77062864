//! Circuit breakers in ordinary use: an hour of each kind of client, with and without an outage.
//!
//! Each row is one kind of client round one peer, on a paused clock. The peer is never perfect: one answer in fifty is
//! bad, and one body in fifty breaks off. An hour without an outage must not open the circuit. In another hour the peer
//! is down twice, for three minutes and for forty seconds. Each of these must open the circuit, and after each it must
//! close again, soon (see [`hour`]), and then let at least 99 % of the calls pass.
//!
//! `cargo test --all-features --test it ordinary_clients -- --nocapture` prints the table.

mod cells;
mod clients;
mod hour;
mod peer;
mod regressions;
mod rows;

use std::thread;

use cells::{HEAD, faults_of};
use rows::rows;

#[test]
fn ordinary_clients_open_in_outages_only() {
    let cells = thread::scope(|scope| {
        let rows = rows().into_iter().enumerate();
        let running: Vec<_> = rows
            .map(|(seed, row)| scope.spawn(move || row.run(seed as u64)))
            .collect();
        let cells = running.into_iter().map(|row| row.join().expect("a row"));
        cells.flatten().collect::<Vec<_>>()
    });
    println!("{HEAD}");
    for cells in &cells {
        println!("{cells}");
    }
    let faults = faults_of(&cells);
    assert!(faults.is_empty(), "{faults:#?}");
}
