//! The JSON API, version 1: `openapi.json` describes it, and a test compares the two.

mod params;
mod problem;
