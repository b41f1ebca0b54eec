//! The program, run to its end.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// What a bench told.
pub(crate) struct Told {
    pub(crate) status: Option<i32>,
    pub(crate) stderr: String,
    /// What `--json` wrote; null if nothing.
    json: Value,
}

/// Runs `aerys bench` with these arguments, and has it write JSON.
pub(crate) fn bench(args: &[&str]) -> Told {
    let mut command = program();
    command.arg("bench").args(args).args(["--json", "-"]);
    told(&command.output().expect("the program runs"))
}

/// What is told by what was printed.
pub(crate) fn told(output: &Output) -> Told {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Told {
        status: output.status.code(),
        json: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        stderr,
    }
}

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aerys"));
    // What the surroundings say is not meant for tests.
    command.env_clear();
    command
}

impl Told {
    /// A number of the run, by its path.
    pub(crate) fn number(&self, path: &str) -> u64 {
        let found = self.json.pointer(path);
        let number = found.and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("{path} of {}: {}", self.json, self.stderr))
    }

    /// A list of the run, by its path.
    pub(crate) fn list(&self, path: &str) -> &[Value] {
        let found = self.json.pointer(path).and_then(Value::as_array);
        found.unwrap_or_else(|| panic!("{path} of {}: {}", self.json, self.stderr))
    }

    pub(crate) fn received(&self) -> u64 {
        self.number("/measured/counts/received")
    }

    pub(crate) fn error(&self, kind: &str) -> u64 {
        self.number(&format!("/measured/counts/errors/{kind}"))
    }

    pub(crate) fn errors(&self) -> u64 {
        let kinds = [
            "connect",
            "handshake",
            "closed",
            "protocol",
            "mismatch",
            "status",
            "timeout",
        ];
        kinds.into_iter().map(|kind| self.error(kind)).sum()
    }

    /// Of the first kind of latency, in milliseconds.
    pub(crate) fn millis(&self, percentile: &str) -> u64 {
        let path = format!("/measured/latencies/0/latencies/{percentile}_ns");
        self.number(&path) / 1_000_000
    }
}

/// `aerys serve` at an address of its own.
pub(crate) struct Serving {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
}

impl Serving {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = program();
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the program runs");
        let stdout = child.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("a line with the address");
        let address = line.split("://").nth(1).expect("a URL");
        let address = address.split(['/', ' ', '\n']).next().expect("a host");
        Self {
            address: address.to_owned(),
            child,
        }
    }

    pub(crate) fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address)
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
