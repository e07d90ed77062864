//! A database behind a pipeline: time limits, retries, a circuit breaker and tracking around queries, under one name.
//!
//! `cargo run --example pipeline --features logging`, with `RUST_LOG=debug` for a line per call.

use std::{fmt, time::Duration};

use tower_keep::{BoxError, Outcome, Pipeline, PipelineError};

/// A stand-in for the pool and the errors of a database client such as sqlx.
struct Pool;

#[derive(Debug)]
enum DbError {
    RowNotFound,
    ConnectionReset,
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DbError::RowNotFound => "no row was returned",
            DbError::ConnectionReset => "the connection was reset",
        })
    }
}

impl std::error::Error for DbError {}

impl Pool {
    async fn fetch_one(&self, id: u32) -> Result<String, DbError> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        match id {
            0 => Err(DbError::RowNotFound),
            13 => Err(DbError::ConnectionReset),
            id => Ok(format!("order {id}")),
        }
    }
}

fn pipeline() -> Result<Pipeline, BoxError> {
    let pipeline = Pipeline::builder("orders_db")
        .operation(|operation| operation.kind("db").slow(Duration::from_millis(200)))
        .total_limit(Duration::from_secs(5))
        .retry(|retry| retry.preset_internal())
        .breaker(|breaker| breaker.consecutive_failures(6))
        .attempt_limit(Duration::from_secs(1))
        // A row that is missing is an answer: not retried, not counted, not logged as an error.
        .classify_error(|error: &DbError| match error {
            DbError::RowNotFound => Outcome::ClientError,
            DbError::ConnectionReset => Outcome::Failure,
        })
        .build()?;
    Ok(pipeline)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tower_keep::logging::install()?;
    let (db, pool) = (pipeline()?, Pool);
    for id in [7, 0, 13, 13, 7] {
        match db.run(|| pool.fetch_one(id)).await {
            Ok(order) => println!("{id}: {order}"),
            Err(PipelineError::Failed(DbError::RowNotFound)) => println!("{id}: 404"),
            Err(PipelineError::Failed(error)) => println!("{id}: 502, {error}"),
            Err(PipelineError::TimedOut(elapsed)) => println!("{id}: 504, {elapsed}"),
            Err(PipelineError::Rejected(rejection)) => {
                let last = rejection.last_error().unwrap_or("unknown");
                println!("{id}: 503, {} is down: {last}", rejection.guard());
            }
        }
    }
    // An old order is better than none: the error is in the log and in the metrics only.
    let old = "order 13, as of this morning".to_owned();
    let order = db.run(|| pool.fetch_one(13)).fallback_value(old).await?;
    println!("13: {order}");
    Ok(())
}
