//! The demo, as a newcomer runs it: what it prints, and the folder that it leaves behind.

use std::process::{Command, Stdio};

use offhook::report::Report;

#[test]
fn the_demo_shows_what_interrupts_and_what_does_not_a_tool_and_a_long_pause_and_leaves_a_folder_that_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("demo");
    let offhook = || Command::new(env!("CARGO_BIN_EXE_offhook"));
    let run = offhook().arg("demo").arg("--out").arg(&out).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
    let all = [
        "BARGES IN",
        "[not heard:",
        "GOES ON",
        "tool    note",
        "tool    hang_up",
        "Latency per turn",
        "wait for 500 ms of silence",
        "caller -> model",
    ];
    for shown in all {
        assert!(text.contains(shown), "{shown:?} is missing in:\n{text}");
    }
    for part in ["recording.wav", "report.json", "journal", "call.svg", "call.html"] {
        assert!(out.join(part).exists(), "{part} is missing");
    }
    let report: Report = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    let turns: Vec<_> = report.turns.iter().filter(|turn| !turn.back_channel).collect();
    let speech = |turn: usize| (turns[turn].speech_start_at_ms.unwrap(), turns[turn].speech_end_at_ms.unwrap());
    let pause_ms = speech(2).0 - speech(1).1;
    assert!(pause_ms > 6_000, "the caller thinks for 4 s after a reply of 5 s, but was silent for {pause_ms} ms");
    // Nothing else is left beside the folder.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    for tool in ["replay", "verify"] {
        let done = offhook().arg(tool).arg(&out).output().unwrap();
        assert!(done.status.success(), "{tool}: {}", String::from_utf8_lossy(&done.stdout));
    }
}
