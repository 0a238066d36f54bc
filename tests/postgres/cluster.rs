//! A PostgreSQL of the tests' own: in a temporary folder, reached by a socket in it, gone with the process that started it.
//!
//! Where it is not installed the tests that need it say so and are left out, unless `OFFHOOK_POSTGRES=1` (`./dev test` sets it).

#![allow(dead_code, clippy::print_stderr)] // not all tests need all of it, and one that is left out says so

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// As whom it is asked.
const USER: &str = "offhook";
/// Where Debian puts its programs, a folder per version, and where others do.
const VERSIONS: &str = "/usr/lib/postgresql";
const PLAIN: &str = "/usr/bin";

/// A server with its databases.
pub(crate) struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
    running: Option<(Child, ChildStdin)>,
    names: AtomicU32,
}

impl Cluster {
    /// Makes and starts one. `None`: PostgreSQL is not installed, and need not be.
    pub(crate) fn start() -> Option<Cluster> {
        let Some(bin) = programs() else {
            assert!(
                std::env::var_os("OFFHOOK_POSTGRES").is_none(),
                "PostgreSQL is not installed: ./dev test installs it"
            );
            eprintln!("left out: PostgreSQL is not installed (`./dev test` installs it)");
            return None;
        };
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("offhook-pg-{}-{made}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(&folder).status().expect("chown");
            assert!(owned.success(), "the folder is not PostgreSQL's");
        }
        let mut init = as_nobody(&bin.join("initdb"));
        init.arg("-D").arg(folder.join("data")).args(["-U", USER, "--auth=trust", "-E", "UTF8", "--no-sync"]);
        let made = init.current_dir(&folder).output().expect("initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut cluster = Cluster { bin, folder, running: None, names: AtomicU32::new(0) };
        cluster.resume();
        Some(cluster)
    }

    /// Starts it again after [`stop`](Self::stop).
    pub(crate) fn resume(&mut self) {
        // The shell outlives us by a moment: it ends PostgreSQL when its own input ends, however we did.
        let script = "\"$@\" & pid=$!; cat >/dev/null; kill -QUIT $pid; wait $pid; [ -e keep ] || rm -rf \"$PWD\"";
        let postgres = as_nobody(&self.bin.join("postgres"));
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "postgres"]).arg(postgres.get_program()).args(postgres.get_args());
        shell.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder);
        for setting in ["listen_addresses=", "fsync=off", "max_connections=200"] {
            shell.args(["-c", setting]);
        }
        let log = std::fs::File::create(self.folder.join("log")).expect("a log");
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).current_dir(&self.folder);
        let _ = std::fs::remove_file(self.folder.join("keep"));
        let mut child = shell.spawn().expect("a shell");
        let stdin = child.stdin.take().expect("its input");
        self.running = Some((child, stdin));
        let began = Instant::now();
        while !self.answers() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(60), "PostgreSQL does not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once, as a machine that fails does.
    pub(crate) fn stop(&mut self) {
        if let Some((mut child, stdin)) = self.running.take() {
            self.thaw();
            std::fs::write(self.folder.join("keep"), "").expect("a file");
            drop(stdin);
            child.wait().expect("an end");
        }
    }

    /// Lets it stand still, as a machine without time or a disk that does not answer does: who is connected stays so.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// All its processes, the one that makes others first.
    fn signal(&self, name: &str) {
        let about = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        let Some(first) = about.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else { return };
        let send = |pid: u32| {
            // The shell's own: a bare system has no program of that name. One that has ended meanwhile needs none.
            let _ = Command::new("sh").args(["-c", &format!("kill -{name} {pid} 2>/dev/null")]).status();
        };
        send(first);
        for entry in std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // After the program's name, which may hold anything: its state, and who made it.
            let parent =
                stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
            if parent == Some(first) {
                send(pid);
            }
        }
    }

    /// A new database; a copy of `template`, if one is given.
    pub(crate) fn database(&self, template: Option<&str>) -> String {
        let name = format!("t{}", self.names.fetch_add(1, Ordering::Relaxed));
        let template = template.map_or(String::new(), |template| format!(" TEMPLATE {template}"));
        self.sql("postgres", &format!("CREATE DATABASE {name}{template}"));
        name
    }

    /// How a database is reached.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@localhost/{database}?host={}", self.folder.display())
    }

    /// Asks a database something, and gives what it prints.
    pub(crate) fn sql(&self, database: &str, text: &str) -> String {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-c", text, "-h"]);
        let asked = psql.arg(&self.folder).output().expect("psql");
        assert!(asked.status.success(), "{text}: {}", String::from_utf8_lossy(&asked.stderr));
        String::from_utf8_lossy(&asked.stdout).trim().to_owned()
    }

    fn answers(&self) -> bool {
        let mut ready = Command::new(self.bin.join("pg_isready"));
        ready.args(["-q", "-U", USER, "-d", "postgres", "-h"]).arg(&self.folder);
        ready.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    found.push(PathBuf::from(PLAIN));
    found.sort();
    found.retain(|bin| bin.join("initdb").exists() && bin.join("postgres").exists());
    found.pop()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0)
}

/// PostgreSQL refuses to run as root.
fn as_nobody(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
    command
}
