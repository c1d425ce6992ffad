//! A process that is killed while it works.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where the child finds the number of its first step.
pub const FIRST_STEP: &str = "KWAAINET_TEST_FIRST_STEP";

/// At how many points processes are killed: `KWAAINET_CRASH_POINTS`, or so many.
pub fn points(default: usize) -> usize {
    std::env::var("KWAAINET_CRASH_POINTS").map_or(default, |points| points.parse().unwrap())
}

/// Starts the test `child` of this program, which finds `dir` in the variable `variable` and reports every step that is done on
/// a line. Kills it after so many steps and up to so long, and tells the last step that it reported.
pub fn interrupt(child: &str, variable: &str, dir: &Path, first: usize, steps: usize, longest: Duration) -> usize {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture"])
        .env(variable, dir)
        .env(FIRST_STEP, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pause = longest.mul_f64(rand::random_range(0.0..1.0));
    let mut done = first;
    let mut lines = BufReader::new(process.stdout.take().unwrap())
        .lines()
        .map_while(|line| line.ok())
        .filter_map(|line| line.strip_prefix("done ")?.parse().ok());
    lines.by_ref().take(steps).for_each(|step| done = step);
    // The pause decides where in a write the process dies; nothing waits for it.
    std::thread::sleep(pause);
    process.kill().unwrap();
    lines.for_each(|step| done = step);
    process.wait().unwrap();
    done
}
