//! Servers whose documents are the store's: what is pushed is in force, whole or not at all.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use crate::house::{NUMBER, Plan, Site, TOKEN, write};
use crate::survival::signal;
use crate::two_servers::{cluster, spawn, until};

/// A server that has only its own document, and a folder with the others.
pub(crate) struct Served {
    pub(crate) site: Site,
    pub(crate) folder: PathBuf,
    pub(crate) database: String,
    running: Option<(Child, String)>,
}

/// The number that replaces the usual one.
pub(crate) const OTHER: &str = "+15550100177";

impl Served {
    pub(crate) async fn build(database: &str) -> Served {
        let url = if database.is_empty() { "" } else { "[store]\nurl = { env = \"DATABASE_URL\" }\n" };
        let site = Site::build(&Plan {
            twilio: format!("{url}[config]\nsource = \"store\"\n"),
            agent: "greeting = { say = \"Greet.\" }\nhold_sound = \"sounds/hold.wav\"\n".to_owned(),
            ..Plan::default()
        })
        .await;
        let folder = site.dir.path().join("pushed");
        std::fs::create_dir_all(folder.join("sounds")).expect("a folder");
        for name in ["models.toml", "agents", "deployments"] {
            std::fs::rename(site.config().join(name), folder.join(name)).expect("a document");
        }
        wav(&folder.join("sounds/hold.wav"));
        Served { site, folder, database: database.to_owned(), running: None }
    }

    fn start(&mut self) {
        self.running = Some(spawn(&self.site, &self.database));
    }

    fn end(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            // At once: whoever was put through never connects, and would be waited for.
            signal(&child, "KILL");
            child.wait().expect("an end");
        }
    }

    fn url(&self) -> &str {
        &self.running.as_ref().expect("a server").1
    }

    /// Whether a caller of this number is put through.
    async fn answers(&self, number: &str) -> bool {
        static CALLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let call = format!("CA-stored-{}", CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let url = format!("{}/twilio/voice", self.url());
        let fields = [("CallSid", call.as_str()), ("To", number), ("From", "+15550100001")];
        let params: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let signature = offhook::link::twilio::signature::sign(&offhook::config::Secret::new(TOKEN), &url, &params);
        let request = reqwest::Client::new().post(url).header("x-twilio-signature", signature).form(&fields);
        request.send().await.expect("an answer").text().await.expect("TwiML").contains("<Stream")
    }

    pub(crate) fn offhook(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
        command.args(args).arg("--config").arg(self.site.config()).arg("--data").arg(self.site.data());
        let env = [("DATABASE_URL", self.database.as_str()), ("TOKEN", TOKEN), ("USER", "ann")];
        command.envs(env).output().expect("the binary")
    }

    /// What `offhook push` says, and whether it did.
    pub(crate) fn push(&self, more: &[&str]) -> (bool, String) {
        let folder = self.folder.display().to_string();
        let pushed = self.offhook(&[&["push", folder.as_str()], more].concat());
        let said = [pushed.stdout, pushed.stderr].concat();
        (pushed.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// All that was ever applied of this kind.
    pub(crate) fn revisions(&self, kind: &str) -> usize {
        let listed = self.offhook(&["revisions", "--json"]);
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
        let rows = listed.as_array().expect("a list").iter();
        rows.filter(|row| row["document"].as_str().is_some_and(|name| name.starts_with(kind))).count()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn wav(path: &Path) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).expect("a file");
    (0..800).for_each(|_| file.write_sample(0i16).expect("room"));
    file.finalize().expect("room");
}

async fn what_is_pushed_is_in_force(served: &mut Served) {
    served.start();
    until("it is ready", async || reqwest::get(format!("{}/readyz", served.url())).await.expect("one").status() == 200)
        .await;
    assert!(!served.answers(NUMBER).await, "nobody has pushed anything");
    let (done, said) = served.push(&["--dry-run"]);
    assert!(done && said.contains("new      deployments/desk.toml") && said.contains("+number = "), "{said}");
    assert_eq!(served.revisions("deployments/"), 0, "a dry run");
    let (done, said) = served.push(&[]);
    assert!(done && said.contains("new      sounds/hold.wav") && said.contains("pushed by ann"), "{said}");
    until("it answers", async || served.answers(NUMBER).await).await;
    assert!(served.push(&[]).1.contains("the store says so already"));
    // A change applies to the next call.
    let desk = served.folder.join("deployments/desk.toml");
    let text = std::fs::read_to_string(&desk).expect("a document");
    write(&desk, &text.replace(NUMBER, OTHER));
    let (done, said) = served.push(&[]);
    assert!(done && said.contains("changed  deployments/desk.toml") && !said.contains("agents/"), "{said}");
    until("the other number is answered", async || served.answers(OTHER).await).await;
    assert!(!served.answers(NUMBER).await);
    // With an error nothing is pushed, and all errors are told.
    let revisions = served.revisions("");
    write(&desk, "agent = \"nobody\"\nnumber = \"5\"\n");
    write(&served.folder.join("agents/new.toml"), "model = 3\n");
    let (done, said) = served.push(&[]);
    assert!(!done && said.contains("nothing was pushed"), "{said}");
    assert!(said.contains("desk.toml:2:10") && said.contains("new.toml:1:9"), "{said}");
    // Nor is what does not fit what stays in the store.
    std::fs::remove_file(served.folder.join("agents/new.toml")).expect("a document");
    std::fs::remove_file(&desk).expect("a document");
    write(&served.folder.join("deployments/second.toml"), &text.replace(NUMBER, OTHER));
    let (done, said) = served.push(&[]);
    assert!(!done && said.contains("do not fit what else is in the store (deployments/desk.toml)"), "{said}");
    assert_eq!(served.revisions(""), revisions);
    assert!(served.answers(OTHER).await);
    // Unless that is taken away.
    let (done, said) = served.push(&["--delete"]);
    assert!(
        done && said.contains("deleted  deployments/desk.toml") && said.contains("new      deployments/second"),
        "{said}"
    );
    let kept = served.site.data().join("from-store/deployments");
    until("one takes the other's place", async || {
        kept.join("second.toml").exists() && !kept.join("desk.toml").exists() && served.answers(OTHER).await
    })
    .await;
    served.end();
}

#[tokio::test]
async fn with_sqlite_what_is_pushed_is_in_force_and_stays_so_without_the_store() {
    let mut served = Served::build("").await;
    what_is_pushed_is_in_force(&mut served).await;
    for name in ["offhook.db", "offhook.db-wal", "offhook.db-shm"] {
        let _ = std::fs::remove_file(served.site.data().join(name));
    }
    served.start();
    until("it answers by what it had", async || served.answers(OTHER).await).await;
}

#[tokio::test]
async fn with_postgresql_what_is_pushed_is_in_force_on_all_servers_and_stays_so_without_the_store() {
    let Some(mut cluster) = cluster().await else { return };
    let database = cluster.url(&cluster.database(None));
    let mut served = Served::build(&database).await;
    what_is_pushed_is_in_force(&mut served).await;
    // Another server has the same, though it has nothing but its own document.
    let mut other = Served::build(&database).await;
    other.start();
    until("it answers", async || other.answers(OTHER).await).await;
    cluster.stop();
    served.start();
    let there = reqwest::get(format!("{}/healthz", served.url())).await.expect("an answer").status();
    assert_eq!(there, 200, "it starts without the store");
    cluster.resume();
    until("it answers", async || served.answers(OTHER).await).await;
}
