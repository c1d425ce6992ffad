//! Processes that run nodes of another implementation: they read commands and write answers, JSON objects, one a line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value as Json;

/// A process that acts as a judge, and ends with this.
pub struct Process {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it; what it writes to standard error is not for us.
    pub fn start(command: &mut Command) -> Process {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = piped.spawn().unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Process { child, commands, answers }
    }

    /// What it answers, or why it failed.
    pub fn try_ask(&mut self, command: &Json) -> Result<Json, String> {
        writeln!(self.commands, "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Json = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no answer to {command}"));
        answer.get("ok").cloned().ok_or_else(|| answer.to_string())
    }

    pub fn ask(&mut self, command: &Json) -> Json {
        self.try_ask(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What it started ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
