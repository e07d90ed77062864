//! The files, connections and memory that a running gateway holds.

use std::fs;
use std::net::SocketAddr;

use super::process::Gateway;

/// A state in the kernel's table of TCP sockets.
const LISTENS: &str = "0A";

pub struct Footprint {
    process: u32,
    /// The gateway's and the upstream's, as the kernel writes them.
    ports: Vec<String>,
}

impl Footprint {
    pub fn of(gateway: &Gateway, upstream: Option<SocketAddr>) -> Self {
        let address = gateway.url.trim_start_matches("http://").parse();
        let addresses: [Option<SocketAddr>; 2] = [Some(address.expect("an address")), upstream];
        let ports = addresses.iter().flatten();
        let ports = ports.map(|address| format!(":{:04X}", address.port()));
        Footprint {
            process: gateway.id(),
            ports: ports.collect(),
        }
    }

    /// Returns how many files the gateway has open, other than connections to its admin port and within itself. The test's own
    /// client has a pool, and looks over two connections from when it has once asked again before the one at hand was back.
    pub fn files(&self) -> usize {
        let process = format!("/proc/{}", self.process);
        let files = fs::read_dir(format!("{process}/fd")).expect("a process");
        let files = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        let files: Vec<_> = files.map(|file| file.display().to_string()).collect();
        let table = fs::read_to_string(format!("{process}/net/tcp")).expect("a process");
        let others = table.lines().skip(1).filter(|line| {
            let columns: Vec<_> = line.split_whitespace().collect();
            let (local, remote, state, inode) = (columns[1], columns[2], columns[3], columns[9]);
            let counts = |end: &str| self.ports.iter().any(|port| end.ends_with(port));
            let open = || files.contains(&format!("socket:[{inode}]"));
            state != LISTENS && !counts(local) && !counts(remote) && open()
        });
        files.len() - others.count()
    }

    /// Returns the resident memory, in KiB.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process));
        let status = status.expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|n| n.parse().ok()).expect("a number")
    }
}
