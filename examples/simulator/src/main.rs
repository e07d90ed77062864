//! Draws the pictures of the tuning guide, from simulations: `cargo run --release -p simulator [FOLDER]`, by default into
//! `docs/images`. Each is a function below `src/`, to start from with the numbers of your own peer.

mod adaptive;
mod breaker;
mod budget;
mod chart;
mod hedge;
mod throttle;

use std::{env, error::Error, fs, path::PathBuf};

use tower_keep::ConfigError;

use chart::Chart;

/// The name of a picture, and the simulations that make it.
type Picture = (&'static str, fn() -> Result<Chart, ConfigError>);

const PICTURES: [Picture; 5] = [
    ("tuning-breaker", breaker::chart),
    ("tuning-budget", budget::chart),
    ("tuning-adaptive", adaptive::chart),
    ("tuning-throttle", throttle::chart),
    ("tuning-hedge", hedge::chart),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args_os().nth(1);
    let folder = folder.map_or_else(|| PathBuf::from("docs/images"), PathBuf::from);
    for (name, chart) in PICTURES {
        let path = folder.join(name).with_extension("svg");
        fs::write(&path, chart()?.to_svg()?)?;
        println!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_a_title_and_are_small() {
        for (name, chart) in PICTURES {
            let chart = chart().expect("valid settings");
            let svg = chart.to_svg().expect("drawn into memory");
            assert!(svg.contains(chart.title), "{name}");
            assert!(svg.len() < 40_000, "{name}: {} bytes", svg.len());
        }
    }
}
