//! A person is erased while the server runs: nothing of them is left in its data directory, and all of others.

use std::path::{Path, PathBuf};
use std::process::Command;

use offhook::stage::phone::{EndedBy, Step};
use serde_json::Value;

use crate::house::{House, Plan, place, until};

const THEIRS: &str = "+15550107001";
const OTHERS: &str = "+15550107002";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sec_06_offhook_erase_leaves_nothing_of_a_person_and_a_receipt() {
    let hooks = "[[webhooks]]\nname = \"crm\"\nurl = \"http://127.0.0.1:9/hook\"\nsecret = { env = \"SECRET\" }\nevents = \"all\"\n";
    let plan = Plan { server: String::new(), twilio: hooks.to_owned(), ..Plan::default() };
    let house = House::build(plan).await;
    for from in [THEIRS, OTHERS] {
        let mut caller = house.caller(vec![Step::Silence(300), Step::HangUp]);
        caller.from = from.to_owned();
        assert_eq!(place(caller).await.ended_by, EndedBy::Caller);
    }
    let (theirs, others) = (house.report(0).await.1, house.report(1).await.1);
    let data = house.site.data();
    until("their ends are kept", || {
        let ran = offhook(&data, &["calls", "--json"]);
        let all: Vec<Value> = serde_json::from_str(&ran).expect("JSON");
        all.len() == 2 && all.iter().all(|call| call["state"] == "ended")
    })
    .await;

    let looked: Value = serde_json::from_str(&offhook(&data, &["erase", THEIRS, "--dry-run", "--json"])).expect("JSON");
    assert_eq!((&looked["calls"], &looked["running"], &looked["recordings"]), (&1.into(), &0.into(), &1.into()));
    assert!(looked["events"].as_u64() > Some(1), "{looked}");
    assert!(theirs.join("recording.wav").exists());

    let receipt: Value = serde_json::from_str(&offhook(&data, &["erase", THEIRS, "--json"])).expect("JSON");
    let id = receipt["id"].as_str().expect("an id").to_owned();
    let shown =
        || serde_json::from_str::<Value>(&offhook(&data, &["erase", "--receipt", &id, "--json"])).expect("JSON");
    until("it is done", || shown()[0]["done"].is_string()).await;
    let receipt = shown().as_array_mut().expect("a list").remove(0);
    assert_eq!((&receipt["erased"]["calls"], &receipt["erased"]["folders"]), (&1.into(), &1.into()), "{receipt}");
    assert_eq!((&receipt["asked_by"], &receipt["left"]["calls"]), (&"terminal".into(), &0.into()));
    assert!(!theirs.exists() && others.join("recording.wav").exists());
    assert!(!offhook(&data, &["calls"]).contains(THEIRS) && offhook(&data, &["calls"]).contains(OTHERS));
    house.running.shutdown().await;
    let (mut of_them, mut of_others) = (Vec::new(), 0);
    walk(&data, &mut |path, bytes| {
        let has = |number: &str| bytes.windows(number.len()).any(|part| part == number.as_bytes());
        if has(THEIRS) {
            of_them.push(path.to_owned());
        }
        of_others += usize::from(has(OTHERS));
    });
    assert_eq!(of_them, Vec::<PathBuf>::new(), "no file has the number, the database included");
    assert!(of_others > 1);
}

/// What a command says.
fn offhook(data: &Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    let ran = command.args(args).arg("--data").arg(data).output().expect("the program");
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text")
}

fn walk(folder: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, look);
        } else {
            look(&path, &std::fs::read(&path).expect("a file"));
        }
    }
}
