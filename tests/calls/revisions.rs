//! Every version of a document that came into force is listed, compared and restored by commands.

use std::fs;

use crate::house::{House, Plan, write};
use crate::webhooks::{ask, told, until_told};

#[tokio::test]
async fn a_version_that_was_applied_is_listed_compared_and_restored_with_its_comments() {
    let house = House::build(Plan::default()).await;
    let path = house.site.config().join("agents/mia.toml");
    let first = fs::read_to_string(&path).expect("the agent");
    until_told(&house.site, &["revisions"], "deployments/desk.toml").await;
    write(&path, &format!("# Kinder from now on.\n{}", first.replace("Be kind.", "Be very kind.")));
    house.running.look().await;
    let listed = until(&house, 2).await;
    let [now, before] = [0, 1].map(|at| listed[at]["revision"].as_str().expect("a revision").to_owned());
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!((listed[0]["way"].as_str(), listed[0]["deleted"].as_bool()), (Some("folder"), Some(false)));
    let diff = ask(&house.site, &["diff", "agents/mia"]).await;
    let text = String::from_utf8(diff.stdout).expect("text");
    assert_eq!(diff.status.code(), Some(1), "{text}");
    assert!(text.contains("+# Kinder from now on.") && text.contains("-instructions = \"Be kind.\""), "{text}");
    assert!(told(&house.site, &["diff", "agents/mia", &now, &now]).await.is_empty());
    let restored = told(&house.site, &["restore", "agents/mia", &before[..8]]).await;
    assert!(restored.contains(&before), "{restored}");
    assert_eq!(fs::read_to_string(&path).expect("the agent"), first);
    house.running.look().await;
    assert!(told(&house.site, &["restore", "agents/mia", &before]).await.contains("in force already"));
    let wrong = ask(&house.site, &["restore", "agents/nobody", "abc"]).await;
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("has no revision"));
}

/// The versions of the agent, the newest first, once there are so many.
async fn until(house: &House, n: usize) -> serde_json::Value {
    let list = ["revisions", "agents/mia", "--json"];
    for _ in 0..200 {
        let listed = serde_json::from_str(&told(&house.site, &list).await).unwrap_or_default();
        if serde_json::Value::as_array(&listed).is_some_and(|all| all.len() >= n) {
            return listed;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("there are not {n} versions");
}
