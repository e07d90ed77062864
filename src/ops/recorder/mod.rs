//! A recorder of the `metrics` facade with bounded memory, which renders for Prometheus and keeps history.
