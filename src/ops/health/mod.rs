//! Components of a process and whether they are healthy: checks in the background, a snapshot for probes.
