//! Work that borrows what it changes, and calls that are spawned.

use tokio::{sync::Mutex, time::Instant};

use super::{DbError, WAIT, whole};

#[derive(Default)]
struct Connection(Vec<u32>);

impl Connection {
    async fn insert(&mut self, id: u32) -> Result<usize, DbError> {
        tokio::task::yield_now().await;
        self.0.push(id);
        match self.0.len() {
            3 => Ok(3),
            node => Err(DbError::Down(node as u32)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn work_may_borrow_a_connection() {
    let pipeline = whole("borrows").0.build().unwrap();
    let (mut connection, begun) = (Connection::default(), Instant::now());
    let rows = pipeline.run_mut(async || connection.insert(7).await).await;
    assert_eq!(rows.unwrap(), 3);
    assert_eq!(connection.0, [7, 7, 7]);
    assert_eq!(begun.elapsed(), 2 * WAIT);
}

#[tokio::test(start_paused = true)]
async fn result_may_borrow_from_the_caller() {
    let pipeline = whole("lends").0.build().unwrap();
    let rows = ["one".to_owned(), "two".to_owned()];
    let first: &str = pipeline
        .run_mut(async || rows.first().map(String::as_str).ok_or(DbError::NoRow))
        .await
        .unwrap();
    assert_eq!(first, "one");
}

#[tokio::test(start_paused = true)]
async fn call_can_be_spawned() {
    let pipeline = whole("spawned").0.build().unwrap();
    let load = async |id: u32| Ok::<_, DbError>(id);
    // The future does not borrow the pipeline.
    let plain = tokio::spawn(pipeline.run(move || load(7)));
    drop(pipeline.clone());
    assert_eq!(plain.await.unwrap().unwrap(), 7);

    let task = tokio::spawn(async move {
        let connection = Mutex::new(Connection::default());
        let work = || async { connection.lock().await.insert(7).await };
        let rows = pipeline.run(work).await;
        (connection.into_inner().0, rows)
    });
    let (rows, count) = task.await.unwrap();
    assert_eq!((rows, count.unwrap()), (vec![7, 7, 7], 3));
}
