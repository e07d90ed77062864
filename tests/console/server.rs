//! The server of the console that the browser looks at: the stand-in `fake.mjs`.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::http::request;

/// A stand-in that serves the page with invented data. It ends when it is dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    prefix: String,
    options: Vec<String>,
}

impl Server {
    /// Starts a stand-in with options such as `["--scenario", "many"]`, or returns `None` where there is no node.
    pub fn start(options: &[&str]) -> Option<Self> {
        Self::start_at(0, options)
    }

    fn start_at(port: u16, options: &[&str]) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console/fake.mjs");
        let mut command = Command::new("node");
        command
            .arg(script)
            .args(["--port", &port.to_string()])
            .args(options)
            .stdout(Stdio::piped());
        // What is served to users, instead of the modules in the source folder.
        if let Some(folder) = std::env::var_os("CONSOLE_ASSETS") {
            command.arg("--assets").arg(folder);
        }
        let Ok(mut child) = command.spawn() else {
            assert!(
                std::env::var_os("CONSOLE_REQUIRED").is_none(),
                "there is no node: apt-get install nodejs"
            );
            eprintln!(
                "SKIPPED: there is no node here, which runs the stand-in of the console's server"
            );
            return None;
        };
        let mut line = String::new();
        let output = child.stdout.take().expect("it is piped");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("the stand-in says its address");
        let rest = line
            .trim()
            .strip_prefix("http://")
            .expect("it is an address");
        let (address, prefix) = rest.split_once('/').expect("it has a path");
        Some(Server {
            child,
            address: address.parse().expect("it is an address of this machine"),
            prefix: format!("/{prefix}"),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        })
    }

    /// Returns the address of a view, as `"#guards"`, or of another page.
    pub fn url(&self, rest: &str) -> String {
        format!("http://{}{}{rest}", self.address, self.prefix)
    }

    /// Makes something happen: a change of the scenario, a transition, the end of all connections.
    pub fn make(&self, what: &str, body: Value) {
        let path = format!("{}fake/{what}", self.prefix);
        let (status, _) =
            request(self.address, "POST", &path, Some(&body)).expect("the stand-in answers");
        assert_eq!(status, 200);
    }

    /// Opens the circuit of a breaker.
    pub fn trip(&self, name: &str) {
        self.make("trip", json!({ "name": name }));
    }

    /// Ends the process, as in a crash.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again at the same address.
    pub fn restart(&mut self) {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let again = Self::start_at(self.address.port(), &options);
        *self = again.expect("it was there before");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
