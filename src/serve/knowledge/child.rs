//! Reading in a process of its own: what strangers wrote may cost so much time and memory, and nothing else with it.
//!
//! The process is this program again, which sets its limits itself before it reads a byte of the document. It has no sockets,
//! no environment, and opens no files; it ends with whoever started it.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

use crate::house::knowledge::MAX_BYTES;
use crate::knowledge::{self, Reading, Unreadable};

/// The subcommand that reads.
const COMMAND: &str = "read-document";
/// Memory, all in all.
const MEMORY_MB: u64 = 768;
/// Time of the processor, and time that passes.
const CPU_S: u64 = 20;
const WALL: Duration = Duration::from_secs(60);
/// What it answers at most: all of the text, and its marks.
const MAX_ANSWER: u64 = 64 << 20;
/// Files that may be open.
const FILES: u64 = 16;

/// Why a document was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Failure {
    /// It cannot be.
    Document(String),
    /// It may be another time.
    Ours(String),
}

/// Reads a document. Blocks for as long as it takes.
pub(in crate::serve) fn read(bytes: Vec<u8>, declared: &str) -> Result<Reading, Failure> {
    let started = program().and_then(|program| {
        Command::new(program)
            .args([COMMAND, "--declared", &declared.replace('\0', "")])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    });
    let mut child = started.map_err(|error| Failure::Ours(format!("no process to read documents: {error}")))?;
    let answer = exchange(&mut child, bytes);
    // It has answered, or has no more time.
    let _ = child.kill();
    let status = child.wait().map_err(|error| Failure::Ours(error.to_string()))?;
    let answer = answer.ok_or_else(slow)?;
    match serde_json::from_slice::<Result<Reading, Unreadable>>(&answer) {
        Ok(read) => read.map_err(|Unreadable(words)| Failure::Document(words)),
        Err(_) => Err(died(status)),
    }
}

/// Everything that it says; `None`: it took too long.
fn exchange(child: &mut Child, bytes: Vec<u8>) -> Option<Vec<u8>> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    std::thread::spawn(move || {
        if let Some(mut stdin) = stdin {
            // It may be gone before it has read all of it, which its answer tells.
            let _ = stdin.write_all(&bytes);
        }
    });
    let (told, answered) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut answer = Vec::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(MAX_ANSWER).read_to_end(&mut answer);
        }
        // Nobody may wait any more.
        let _ = told.send(answer);
    });
    answered.recv_timeout(WALL).ok()
}

fn slow() -> Failure {
    Failure::Document(format!("It takes longer than {CPU_S} s to read."))
}

/// It ended without an answer.
fn died(status: ExitStatus) -> Failure {
    match status.signal() {
        Some(signal) if signal == Signal::XCPU.as_raw() => slow(),
        Some(signal) if [Signal::ABORT, Signal::SEGV, Signal::BUS].iter().any(|known| known.as_raw() == signal) => {
            Failure::Document(format!("It takes more than {MEMORY_MB} MB of memory to read, or is nested too deeply."))
        }
        // Killed by whoever runs short of memory, or by hand.
        Some(_) => Failure::Ours("the process that reads documents was killed".to_owned()),
        None => Failure::Ours(format!("the process that reads documents ended with {status}")),
    }
}

/// This program; of one that has it as a library, as tests do, the one that was built beside it.
fn program() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let named = own.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    if named == "offhook" || named.starts_with("offhook ") {
        // Also when the file was replaced by a newer one meanwhile.
        let linked = PathBuf::from("/proc/self/exe");
        return Ok(if linked.exists() { linked } else { own });
    }
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join("offhook")).find(|path| path.is_file());
    beside.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no `offhook` beside this program"))
}

/// Reads a document from standard input and writes what it says to standard output, within limits: what [`Server`]s start
/// themselves as.
///
/// [`Server`]: crate::serve::Server
pub fn read_document(declared: &str) -> ExitCode {
    if limit().is_err() {
        return ExitCode::FAILURE;
    }
    let mut bytes = Vec::new();
    if io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes).is_err() {
        return ExitCode::FAILURE;
    }
    let damaged = || Unreadable("It is damaged in a way that its reader cannot handle.".to_owned());
    let read = std::panic::catch_unwind(|| knowledge::read(&bytes, declared));
    let read = read.unwrap_or_else(|_| Err(damaged()));
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = serde_json::to_writer(&mut out, &read).map_err(io::Error::from).and_then(|()| out.flush());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Before the first byte: whatever the document does, it does it within these.
fn limit() -> io::Result<()> {
    let set = |resource, most: u64| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    set(Resource::As, MEMORY_MB << 20)?;
    // A second between the signal that can be told from others and the one that cannot be held off.
    setrlimit(Resource::Cpu, Rlimit { current: Some(CPU_S), maximum: Some(CPU_S + 1) })?;
    set(Resource::Nofile, FILES)?;
    set(Resource::Core, 0)?;
    set(Resource::Fsize, 0)?;
    // Calls come first; and nobody waits for it once its server is gone.
    nice(10)?;
    #[cfg(target_os = "linux")]
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}
