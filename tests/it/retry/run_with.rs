//! Work that borrows what it changes.

use std::io::Error;

use tokio::time::Instant;
use tower_keep::retry::Attempt;

use super::{WAIT, constant_backoff};

#[tokio::test(start_paused = true)]
async fn work_may_borrow_mutably() {
    let (retry, mut connection) = (
        constant_backoff().max_attempts(3).build().unwrap(),
        Connection(Vec::new()),
    );
    let began = Instant::now();
    let (_, rows) = retry.run_with(&mut connection, query).await;
    assert_eq!(rows.unwrap(), 3);
    assert_eq!(connection.0, [1, 2, 3]);
    assert_eq!(began.elapsed(), 2 * WAIT);

    let never = retry
        .run_with(&mut connection, query)
        .when(|_: &Error| false);
    assert!(never.await.1.is_err());
    assert_eq!(connection.0, [1, 2, 3, 1]);
    let soon = Instant::now() + WAIT / 2;
    let late = retry.run_with(&mut connection, query).deadline(soon);
    assert!(late.await.1.is_err());
    assert_eq!(connection.0, [1, 2, 3, 1, 1]);
}

/// The work is done as in a handler.
#[tokio::test(start_paused = true)]
async fn work_with_mutable_state_can_be_spawned() {
    let task = tokio::spawn(async {
        let retry = constant_backoff().max_attempts(3).build().unwrap();
        let connection = Connection(Vec::new());
        let work = retry.run_with(connection, |mut connection, attempt| async move {
            let rows = connection.query(attempt).await;
            (connection, rows)
        });
        let (mut connection, rows) = work.await;
        let (_, never) = retry.run_with(&mut connection, query).await;
        (rows, never.is_err())
    });
    let (rows, never) = task.await.unwrap();
    assert_eq!((rows.unwrap(), never), (3, true));
}

struct Connection(Vec<u32>);

impl Connection {
    async fn query(&mut self, attempt: Attempt) -> Result<usize, Error> {
        self.0.push(attempt.number());
        tokio::task::yield_now().await;
        match self.0.len() {
            3 => Ok(self.0.len()),
            _ => Err(Error::other("reset")),
        }
    }
}

async fn query(
    connection: &mut Connection,
    attempt: Attempt,
) -> (&mut Connection, Result<usize, Error>) {
    let rows = connection.query(attempt).await;
    (connection, rows)
}
