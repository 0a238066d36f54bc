//! How long calls are kept, by the organization's days and their agents'.

use sea_orm::{ColumnTrait as _, QueryFilter as _};

use super::*;
use crate::config::KeepDays;

on_both! {
    sec_06_each_agents_calls_go_by_its_own_days_within_the_bound,
    sec_06_the_sound_of_a_call_goes_before_its_words,
}

/// A call of an agent that was over so many days ago, with a recording and both kinds of journals' last lines.
async fn over(store: &Store, place: &Place, agent: &str, days_ago: i64) -> String {
    let hex: String = agent.bytes().map(|byte| format!("{byte:02x}")).collect();
    let id = old_id(days_ago, &hex);
    let mut over = report(&id, EndReason::CallerHungUp);
    over.agent = agent.to_owned();
    over.recording = Some(Recording { frames: 8_000, missing_from_ms: None, error: None });
    over.started = written(now_ms() - days_ago * 86_400_000);
    let ended = EndedCall { ended: time_of(now_ms() - days_ago * 86_400_000), ..ended(over.clone()) };
    store.begin_call(NewCall { agent: agent.to_owned(), started: ended.ended, ..call(&id) });
    store.end_call(ended);
    store.flush().await;
    place.keep(&over);
    id
}

async fn sec_06_each_agents_calls_go_by_its_own_days_within_the_bound(place: Place) {
    let store = place.store().await;
    until_quiet(&store).await;
    let mut settings = store.core.settings.borrow().clone();
    settings.store = StoreSettings { keep_days: 30, max_keep_days: 60, ..settings.store };
    let days = |days: u64| KeepDays { calls: Some(days), recordings: None };
    settings.keep =
        [("brief", 5), ("long", 45), ("ever", 0), ("greedy", 365)].map(|(n, d)| (n.to_owned(), days(d))).into();
    store.set(settings);
    let mut expected = Vec::new();
    for (agent, ages) in [
        ("mia", [(29, true), (31, false)]),
        ("gone", [(29, true), (31, false)]),
        ("brief", [(4, true), (6, false)]),
        ("long", [(44, true), (46, false)]),
        // Nobody keeps for longer than the organization lets them.
        ("ever", [(59, true), (61, false)]),
        ("greedy", [(59, true), (61, false)]),
    ] {
        for (days_ago, stays) in ages {
            expected.push((over(&store, &place, agent, days_ago).await, stays));
        }
    }
    crate::store::retention::folders(&store.core).await.unwrap();
    for (id, stays) in &expected {
        assert_eq!((row(&store, id).await.is_some(), place.folder(id).exists()), (*stays, *stays), "{id}");
    }
    // Without days of the organization's own an agent's go all the same.
    let mut settings = store.core.settings.borrow().clone();
    settings.store = StoreSettings { keep_days: 0, max_keep_days: 0, ..settings.store };
    settings.keep = [("long".to_owned(), days(40))].into();
    store.set(settings);
    crate::store::retention::folders(&store.core).await.unwrap();
    let left = async |agent: &str| {
        let of = entity::calls::Column::Agent.eq(agent);
        entity::calls::Entity::find().filter(of).all(store.db()).await.unwrap().len()
    };
    assert_eq!([left("long").await, left("mia").await, left("ever").await], [0, 1, 1]);
    store.stop().await;
}

async fn sec_06_the_sound_of_a_call_goes_before_its_words(place: Place) {
    let store = place.store().await;
    until_quiet(&store).await;
    let mut settings = store.core.settings.borrow().clone();
    settings.store = StoreSettings { keep_days: 30, keep_recordings_days: 7, ..settings.store };
    let own = KeepDays { calls: None, recordings: Some(2) };
    settings.keep = [("brief".to_owned(), own)].into();
    store.set(settings);
    let head = "{\"offhook_journal\":1,\"settings\":{\"sound\":{\"b64\":\"AAAA\"}}}\n";
    let heard = |more: &str| format!("{head}{{\"at_us\":1,\"in\":{{\"audio\":{{\"at_ms\":0,\"len\":3{more}}}}}}}\n");
    let mut calls = Vec::new();
    for (agent, days_ago, goes) in [("mia", 6, false), ("mia", 8, true), ("brief", 1, false), ("brief", 3, true)] {
        for (journal, more) in [("audio", ",\"b64\":\"AAAA\""), ("decisions", "")] {
            let id = over(&store, &place, &format!("{agent}{journal}"), days_ago).await;
            // Agents' names differ to tell the calls apart: what goes is the agent's.
            place.sql(&format!("UPDATE calls SET agent = '{agent}' WHERE id = '{id}'")).await;
            let folder = place.folder(&id);
            fs::write(folder.join("journal"), heard(more)).unwrap();
            for (file, text) in [("recording.wav", "RIFF"), ("call.html", "<audio>"), ("call.svg", "<svg>")] {
                fs::write(folder.join(file), text).unwrap();
            }
            calls.push((id, goes, journal == "audio"));
        }
    }
    for _ in 0..2 {
        crate::store::retention::folders(&store.core).await.unwrap();
        for (id, goes, has_audio) in &calls {
            let row = row(&store, id).await.unwrap();
            let there = |file: &str| place.folder(id).join(file).exists();
            assert_eq!([row.recording, there("recording.wav"), there("call.html")], [!goes; 3], "{id}");
            assert_eq!(there("journal"), !(*goes && *has_audio), "{id}");
            assert!(there("report.json") && there("call.svg") && row.report.is_some(), "{id}");
        }
    }
    store.stop().await;
}
