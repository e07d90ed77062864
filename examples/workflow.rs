//! Work of several steps, watched in the console while it runs: `cargo run --example workflow --features ops` prints the link.

use std::{io, time::Duration};

use axum::Router;
use tokio::time::sleep;
use tower_keep::{
    BoxError,
    ops::{Access, Ops, workflow},
};

/// A stand-in for the call of a payment provider, which fails now and then.
async fn pay(order: u32) -> io::Result<u32> {
    sleep(Duration::from_millis(900)).await;
    match order % 4 {
        3 => Err(io::Error::other("the card was declined")),
        _ => Ok(order),
    }
}

async fn checkout(order: u32) -> io::Result<u32> {
    let checkout = workflow("checkout")
        .attribute("order", order)
        .expected_steps(3);
    checkout
        .run(|flow| async move {
            let mut reserve = flow.step("reserve").text("3 items");
            let progress = reserve.progress();
            let reserved = async {
                for item in 1..=3 {
                    sleep(Duration::from_millis(700)).await;
                    progress.set_count(item, 3);
                }
            };
            reserve.run_infallible(reserved).await;
            let receipt = flow.step("pay").run(pay(order)).await?;
            // A workflow inside of a step: each is a row, and leads to the other.
            let shipping = workflow("shipping").run_infallible(|flow| async move {
                let label = flow
                    .step("label")
                    .run_infallible(sleep(Duration::from_millis(400)));
                let van = flow
                    .step("van")
                    .run_infallible(sleep(Duration::from_millis(800)));
                tokio::join!(label, van)
            });
            flow.step("ship").run_infallible(shipping).await;
            Ok(receipt)
        })
        .await
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let ops = Ops::builder("shop").build()?;
    ops.install()?;
    let access = Access::login_links();
    println!(
        "http://127.0.0.1:3000/ops/{}#workflows",
        access.login_link()?
    );
    let app = Router::new().nest_service("/ops", ops.console::<()>(access));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    for order in 1.. {
        // Several at a time; what each returns is in the console.
        tokio::spawn(checkout(order));
        sleep(Duration::from_secs(2)).await;
    }
    Ok(())
}
