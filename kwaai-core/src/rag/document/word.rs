//! Word documents from before 2007, through a program of the machine: antiword or LibreOffice.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::rag::document::{Limits, text};
use crate::{Error, Result};

/// How often a program that runs is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A program that reads them.
enum Program {
    Antiword(PathBuf),
    LibreOffice(PathBuf),
}

/// The text of a document.
pub(super) fn extract(bytes: &[u8], limits: &Limits) -> Result<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(program) = find(&path) else {
        return Err(Error::unsupported(
            "it is a Word document from before 2007, and neither antiword nor LibreOffice is installed",
        )
        .with_remedy("install antiword or LibreOffice, or save the document as .docx"));
    };
    convert(&program, bytes, limits)
}

fn find(path: &std::ffi::OsStr) -> Option<Program> {
    let installed = |name: &str| std::env::split_paths(path).map(|dir| dir.join(name)).find(|file| file.is_file());
    installed("antiword")
        .map(Program::Antiword)
        .or_else(|| ["soffice", "libreoffice", "soffice.exe"].into_iter().find_map(installed).map(Program::LibreOffice))
}

/// Runs the program on a copy of the document in a folder of its own.
fn convert(program: &Program, bytes: &[u8], limits: &Limits) -> Result<String> {
    let failed = |error: std::io::Error| {
        Error::resource_exhausted(format!("a program to read it cannot run: {error}")).with_source(error)
    };
    let dir = tempfile::tempdir().map_err(failed)?;
    let document = dir.path().join("document.doc");
    std::fs::write(&document, bytes).map_err(failed)?;
    let printed = dir.path().join("document.txt");
    let mut command = match program {
        Program::Antiword(path) => {
            let mut command = Command::new(path);
            command.args(["-m", "UTF-8.txt", "-w", "0"]).arg(&document);
            command.stdout(std::fs::File::create(&printed).map_err(failed)?);
            command
        }
        Program::LibreOffice(path) => {
            let mut command = Command::new(path);
            let profile = format!("-env:UserInstallation=file://{}", dir.path().join("profile").display());
            command.args([
                profile.as_str(),
                "--headless",
                "--norestore",
                "--convert-to",
                "txt:Text (encoded):UTF8",
                "--outdir",
            ]);
            command.arg(dir.path()).arg(&document).stdout(Stdio::null());
            command
        }
    };
    command.stdin(Stdio::null()).stderr(Stdio::null()).current_dir(dir.path());
    // LibreOffice starts programs of its own, which end with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.spawn().map_err(failed)?;
    wait(child, &printed, limits)?;
    let mut out = Vec::new();
    let file = std::fs::File::open(&printed).map_err(|_| damaged())?;
    file.take(limits.text_bytes as u64 + 1).read_to_end(&mut out).map_err(failed)?;
    limits.check_text(out.len())?;
    let text = text::clean(&text::decode(&out)?);
    if text.trim().is_empty() { Err(damaged()) } else { Ok(text) }
}

/// Waits for the end of a program, within the limits on time and on what it writes.
fn wait(mut child: Child, printed: &Path, limits: &Limits) -> Result<()> {
    let deadline = Instant::now() + limits.time;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(_)) | Err(_) => return Err(damaged()),
            Ok(None) => {}
        }
        let written = std::fs::metadata(printed).map_or(0, |file| file.len());
        let slow = Instant::now() >= deadline;
        if slow || written > limits.text_bytes as u64 {
            end(&mut child);
            limits.check_text(written as usize)?;
            return Err(Error::resource_exhausted(format!(
                "reading it takes longer than {} s",
                limits.time.as_secs_f64()
            ))
            .with("limit", limits.time.as_millis())
            .with_remedy("split the file, or raise the limit time"));
        }
        std::thread::sleep(LOOK);
    }
}

/// Ends a program and what it started. It may have ended by itself in between.
fn end(child: &mut Child) {
    #[cfg(unix)]
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).stderr(Stdio::null()).status();
    let _ = child.kill();
    let _ = child.wait();
}

fn damaged() -> Error {
    Error::corrupt_data("the program that reads Word documents from before 2007 found no text in it")
        .with_remedy("open it in a word processor and save it as .docx")
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::ErrorCode;

    /// A program of that name whose body is a shell script.
    fn installed(name: &str, script: &str) -> (tempfile::TempDir, Program) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = find(dir.path().as_os_str()).unwrap();
        (dir, program)
    }

    #[test]
    fn what_either_program_prints_is_the_text() {
        let (_dir, program) = installed("antiword", "echo \"from $5\"; cat \"$5\"");
        let text = convert(&program, b"an old text", &Limits::default()).unwrap();
        assert!(text.ends_with("document.doc\nan old text"), "{text}");
        let (_dir, program) = installed("soffice", "cp \"$8\" \"$7/document.txt\"");
        assert_eq!(convert(&program, b"an old text", &Limits::default()).unwrap(), "an old text");
    }

    #[test]
    fn a_program_that_fails_hangs_or_floods_is_an_error() {
        let limits = Limits { time: Duration::from_millis(300), text_bytes: 1 << 20, ..Limits::default() };
        for (script, code) in [
            ("exit 1", ErrorCode::CorruptData),
            ("exit 0", ErrorCode::CorruptData),
            ("exec sleep 600", ErrorCode::ResourceExhausted),
            ("exec cat /dev/zero", ErrorCode::ResourceExhausted),
        ] {
            let (_dir, program) = installed("antiword", script);
            assert_eq!(convert(&program, b"x", &limits).unwrap_err().code(), code, "{script}");
        }
    }

    #[test]
    fn what_the_program_started_ends_with_it() {
        let (dir, program) = installed("soffice", "sleep 600 > \"${0%/*}/pipe\" & exec sleep 600");
        let pipe = dir.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (ended, wait) = std::sync::mpsc::channel();
        // Reading ends when the last program that holds the other end does.
        std::thread::spawn(move || ended.send(std::fs::read(pipe).unwrap()));
        let limits = Limits { time: Duration::from_millis(500), ..Limits::default() };
        assert_eq!(convert(&program, b"x", &limits).unwrap_err().code(), ErrorCode::ResourceExhausted);
        assert_eq!(wait.recv_timeout(Duration::from_secs(60)).expect("it ends with the program"), b"");
    }

    #[test]
    fn without_a_program_nothing_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(find(dir.path().as_os_str()).is_none());
    }
}
