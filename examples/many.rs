//! What a change of one document costs among thousands: `cargo run --release --example many [DOCUMENTS]`.
//!
//! Makes a configuration of so many documents (10,000), half of them agents and half of them deployments, opens it, and
//! prints how long it takes until a change of one is in force, by the kind of document that changed: as time, and as the
//! processor's, which says more on a machine that has other things to do.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use offhook::config::{LastGoodFolder, Opening};
use offhook::house::review::rulings;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(10_000), |count| count.parse())?;
    let dir = std::env::temp_dir().join(format!("offhook-many-{}", std::process::id()));
    let measured = measure(&dir, count / 2);
    fs::remove_dir_all(&dir)?;
    measured
}

fn measure(dir: &Path, each: usize) -> Result<(), Box<dyn std::error::Error>> {
    for folder in ["agents", "deployments"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    let write = |path: &str, text: &str| fs::write(dir.join(path), text);
    let agent = |i: usize, more: &str| {
        format!("model = \"m\"\ninstructions = \"Be kind to whoever calls number {i}.\"\nlanguage = \"en\"\n{more}")
    };
    let models = |port: u16| format!("[m]\nurl = \"ws://127.0.0.1:{port}/\"\n[n]\nurl = \"ws://127.0.0.1:2/\"\n");
    let server = |calls: usize| format!("max_calls = {calls}\ndata_dir = {:?}\n", dir.join("data"));
    write("offhook.toml", &server(100))?;
    write("models.toml", &models(1))?;
    for i in 0..each {
        write(&format!("agents/a{i}.toml"), &agent(i, ""))?;
        let deployment =
            format!("channel = \"phone\"\nagent = \"a{i}\"\nnumber = \"+1555{i:07}\"\n[keep]\nrecording = true\n");
        write(&format!("deployments/d{i}.toml"), &deployment)?;
    }
    // What was just written is read anew each time, until it is old enough to be told apart by its times.
    std::thread::sleep(Duration::from_millis(200));
    let out = &mut std::io::stdout().lock();
    let mut say = |what: &str, took: Took| {
        use std::io::Write as _;
        writeln!(out, "{what:<40} {:>9.2} ms {:>9.2} ms", took.0.as_secs_f64() * 1e3, took.1.as_secs_f64() * 1e3)
    };
    let began = Began::now();
    let source = Opening::new(dir).last_good(LastGoodFolder::new(&dir.join("data"))).rules(rulings).open()?;
    say("open", began.elapsed())?;
    let began = Began::now();
    source.keep_last_good();
    while source.refresh().again.is_some() {}
    say("keep all for the next start", began.elapsed())?;
    // What is in force is kept after it is in force: what follows is without that.
    let source = Opening::new(dir).rules(rulings).open()?;
    let look = |what: &str, changes: usize, say: &mut dyn FnMut(&str, Took) -> std::io::Result<()>| {
        let began = Began::now();
        let refreshed = source.refresh();
        let took = began.elapsed();
        if refreshed.changes.len() != changes {
            return Err(format!("{what}: {} changes, not {changes}", refreshed.changes.len()).into());
        }
        say(what, took).map_err(Box::<dyn std::error::Error>::from)
    };
    look("a look at nothing new", 0, &mut say)?;
    let number = format!("+1555{:07}", each / 2);
    let began = Began::now();
    for _ in 0..1_000 {
        source.current().deployment_for(&number).ok_or("nobody answers")?;
    }
    say("what is in force for a number, 1,000 times", began.elapsed())?;
    write("agents/a7.toml", &agent(7, "speed = 1.1\n"))?;
    look("an agent changed", 1, &mut say)?;
    write("deployments/d8.toml", "channel = \"phone\"\nagent = \"a8\"\nnumber = \"+15559999999\"\n")?;
    look("a deployment changed", 1, &mut say)?;
    write("agents/a9.toml", "model = ")?;
    look("an agent broken", 0, &mut say)?;
    write("agents/new.toml", &agent(0, ""))?;
    look("an agent made", 1, &mut say)?;
    fs::remove_file(dir.join("agents/new.toml"))?;
    look("an agent deleted", 1, &mut say)?;
    write("offhook.toml", &server(101))?;
    look("the server changed", 1, &mut say)?;
    write("models.toml", &models(9))?;
    look("the model of all changed", 1, &mut say)?;
    Ok(())
}

/// By the clock, and by the processor's.
type Took = (Duration, Duration);

struct Began(Instant, Duration);

impl Began {
    fn now() -> Self {
        Began(Instant::now(), processor())
    }

    fn elapsed(&self) -> Took {
        (self.0.elapsed(), processor().saturating_sub(self.1))
    }
}

/// What this process has had of the processor.
fn processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
