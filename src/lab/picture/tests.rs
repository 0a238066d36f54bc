use super::*;
use crate::base::audio::wav;
use crate::base::time::CallTime;
use crate::config::JournalKeep;
use crate::engine::event::EndReason;
use crate::engine::{Action, CallerCommand, CallerEvent, Input, MarkId};
use crate::engine::{Role, Usage};
use crate::lab::journal::Pen;
use crate::report::{Gap, Interruption, Key, Line, Note, Recording, ToolUse, Turn};

fn line(who: Role, media_at_ms: u64, media_end_ms: u64, text: &str, unheard: &str, unheard_ms: u64) -> Line {
    Line {
        who,
        at_ms: media_at_ms + 400,
        end_at_ms: media_end_ms + 400,
        media_at_ms,
        media_end_ms,
        text: text.into(),
        unheard: unheard.into(),
        heard_ms: media_end_ms - media_at_ms,
        received_ms: media_end_ms - media_at_ms + unheard_ms,
        back_channel: false,
    }
}

fn turn(turn: u32, start: u64, end: u64, heard: u64) -> Turn {
    Turn {
        turn,
        speech_start_at_ms: Some(start + 400),
        speech_end_at_ms: Some(end + 400),
        stop_decided_at_ms: Some(end + 600),
        commit_at_ms: Some(end + 620),
        response_at_ms: Some(end + 640),
        first_model_audio_at_ms: Some(heard + 330),
        first_audio_sent_at_ms: Some(heard + 335),
        first_audible_at_ms: Some(heard + 400),
        first_heard_at_ms: Some(heard + 400),
        ..Turn::default()
    }
    .with_latency()
}

/// A call of 14 s with one of everything, media beginning 400 ms after the webhook.
fn report() -> Report {
    Report {
        schema: 1,
        call: "c-0001".into(),
        carrier_call: "CA0".into(),
        started: "2026-01-02T03:04:05Z".into(),
        direction: None,
        from: None,
        to: None,
        deployment: "harbour".into(),
        agent: "front-desk".into(),
        revision: "abc123".into(),
        model: None,
        rate_hz: 8_000,
        duration_ms: 14_400,
        media_start_at_ms: Some(400),
        media_ms: None,
        line_clock_ppm: None,
        model_ready_at_ms: Some(310),
        end: EndReason::AgentHungUp { why: "said <goodbye>".into() },
        lines: vec![
            line(Role::Agent, 100, 1_900, "Good afternoon. How can I help you?", "", 0),
            line(Role::Caller, 2_500, 4_600, "A table for two & a \"quiet\" one.", "", 0),
            line(Role::Agent, 5_300, 8_200, "Of course. At seven, or", "at half past eight on the terrace.", 2_400),
            line(Role::Caller, 8_000, 9_100, "<script>alert(1)</script>", "", 0),
            line(Role::Agent, 9_600, 12_500, "Four, then. Goodbye!", "", 0),
        ],
        turns: vec![turn(1, 2_500, 4_600, 5_300), turn(2, 8_000, 9_100, 9_600)],
        shadows: Vec::new(),
        interruptions: vec![Interruption {
            at_ms: 8_600,
            media_at_ms: 8_200,
            item: "i".into(),
            heard_ms: 2_900,
            unheard_ms: 2_400,
        }],
        answered_by: None,
        notes: vec![Note { at_ms: 10_200, text: "Four people, Friday".into() }],
        keys: vec![Key { at_ms: 3_400, digit: '5' }],
        tools: vec![ToolUse { at_ms: 12_000, name: "hang_up".into(), output: "ok".into(), took_ms: 0 }],
        complaints: Vec::new(),
        gaps: vec![Gap { media_at_ms: 6_000, ms: 240 }],
        counters: [("late_audio_dropped".to_owned(), 3)].into(),
        usage: Usage { input_tokens: 120, output_tokens: 90, ..Usage::default() },
        model_ms: 0,
        cost_micros: 0,
        cost: None,
        recording: Some(Recording { frames: 112_000, missing_from_ms: None, error: None }),
        journal: None,
    }
}

/// Bursts where the report has lines.
fn recording(report: &Report, length_ms: u64) -> Vec<u8> {
    let mut samples = vec![0i16; length_ms as usize * 16];
    for line in &report.lines {
        let side = usize::from(line.who == Role::Agent);
        for n in line.media_at_ms as usize * 8..line.media_end_ms as usize * 8 {
            // A triangle of 1 s: plain integers, the same on every machine.
            let loud = 4_000 - (n as i32 % 8_000 - 4_000).abs();
            samples[n * 2 + side] = (if n % 2 == 0 { loud } else { -loud } * 3) as i16;
        }
    }
    wav::write(8_000, 2, &samples)
}

fn drawn(report: &Report, with_recording: bool) -> (String, String) {
    drawn_with(report, with_recording, None)
}

fn drawn_with(report: &Report, with_recording: bool, journal: Option<&[u8]>) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(journal) = journal {
        fs::write(folder.path().join("journal"), journal).unwrap();
    }
    fs::write(folder.path().join("report.json"), serde_json::to_vec(report).unwrap()).unwrap();
    if with_recording {
        fs::write(folder.path().join("recording.wav"), recording(report, 14_000)).unwrap();
    }
    draw(folder.path()).unwrap();
    let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    (read("call.svg"), read("call.html"))
}

/// Compares with a kept file; `UPDATE_GOLDEN=1` keeps the new one.
fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lab/picture/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if let Some((n, (a, e))) = actual.lines().zip(expected.lines()).enumerate().find(|(_, (a, e))| a != e) {
        panic!("{name}:{}: drawn\n  {a}\nkept\n  {e}\nif it is meant: UPDATE_GOLDEN=1", n + 1);
    }
    assert_eq!(actual.len(), expected.len(), "{name} has another length; if it is meant: UPDATE_GOLDEN=1");
}

#[test]
fn a_small_call_is_drawn_as_kept() {
    let (svg, html) = drawn(&report(), true);
    golden("call.svg", &svg);
    // The page's audio is left out of the kept file.
    let (before, rest) = html.split_once("base64,").unwrap();
    let (audio, after) = rest.split_once('"').unwrap();
    assert!(audio.len() > 500_000);
    golden("call.html", &format!("{before}base64,\"{after}"));
}

/// Marks every 200 ms of the agent's audio; the barge-in clears and sends three back at once.
fn journal(report: &Report) -> Vec<u8> {
    let mut pen = Pen::new(&crate::lab::journal::tests::settings(), JournalKeep::Decisions);
    let mut generation = 0;
    let mut seq = 0;
    let mut back = |pen: &mut Pen, at_ms, generation| {
        pen.input(CallTime::from_ms(at_ms), &Input::Caller(CallerEvent::MarkPlayed(MarkId { generation, seq })));
        seq += 1;
    };
    for line in report.lines.iter().filter(|l| l.who == Role::Agent) {
        for at_ms in (line.at_ms + 200..line.end_at_ms).step_by(200) {
            back(&mut pen, at_ms, generation);
        }
        if !line.unheard.is_empty() {
            pen.action(CallTime::from_ms(line.end_at_ms), &Action::SendCaller(CallerCommand::Clear));
            for n in 1..=3 {
                back(&mut pen, line.end_at_ms + n, generation);
            }
            generation += 1;
        }
    }
    pen.take()
}

#[test]
fn marks_are_drawn_where_they_came_back() {
    let report = report();
    let (svg, html) = drawn_with(&report, true, Some(&journal(&report)));
    golden("marks.svg", &svg);
    // 8 of the first line, 14 and 14 of the others, and three in the legend.
    let ticks = |text: &str| {
        text.split("class=\"mark\"")
            .skip(1)
            .map(|path| path.split('"').nth(1).unwrap().matches('M').count())
            .sum::<usize>()
    };
    assert_eq!((ticks(&svg), ticks(&html)), (39, 39));
    assert_eq!(svg.matches("3 marks of cleared audio, back at 0:08.2").count(), 1);
    assert!(!drawn(&report, true).0.contains("class=\"mark"), "without a journal there are none");
}

/// A journal of steps of 16 ms: speech where the report has the caller speak, nothing heard in its gap.
fn heard(report: &Report) -> Vec<u8> {
    let turn = crate::config::TurnSettings::default();
    let turn_detection = crate::config::TurnDetection::Local(turn);
    let settings = crate::config::CallSettings { turn_detection, ..crate::lab::journal::tests::settings() };
    let mut pen = Pen::new(&settings, JournalKeep::Decisions);
    for media in (16..14_000_u64).step_by(16).filter(|ms| !(6_000..6_600).contains(ms)) {
        let said = |l: &&Line| l.who == Role::Caller && (l.media_at_ms..l.media_end_ms).contains(&media);
        let speech = report.lines.iter().find(said).map_or(20, |_| 900 + (media % 7) as u16 * 10);
        let probability = crate::ears::vad::Probability::from_per_mille(speech);
        let step = crate::ears::vad::Step { end: crate::base::time::Samples(media * 8), probability, level_db: -30 };
        pen.action(CallTime::from_ms(media + 400), &Action::Heard(step));
    }
    pen.take()
}

#[test]
fn what_was_heard_is_drawn_over_the_caller_with_its_threshold() {
    let report = report();
    let (svg, html) = drawn_with(&report, true, Some(&heard(&report)));
    golden("heard.svg", &svg);
    for text in [&svg, &html] {
        // Two rows of 10 s.
        assert_eq!(text.matches("<path class=\"heard\"").count(), 2);
        assert_eq!(text.matches("<title>threshold: speech from 0.50</title>").count(), 2);
        assert_eq!(text.matches("<title>a pause below 0.35</title>").count(), 2);
    }
    // The gap is not drawn over.
    let curve = svg.split("<path class=\"heard\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(curve.matches('M').count(), 2, "{curve}");
    assert!(curve.matches('L').count() > 550);
    let (other, _) = drawn_with(&report, true, Some(&journal(&report)));
    assert!(!other.contains("class=\"heard\""), "the model's ears are not ours");
}

#[test]
fn an_hour_of_steps_is_thinned_to_its_peaks() {
    let settings = crate::lab::journal::tests::settings();
    let turn_detection = crate::config::TurnDetection::Local(Default::default());
    let mut pen = Pen::new(&crate::config::CallSettings { turn_detection, ..settings }, JournalKeep::Decisions);
    for n in 0..225_000_u64 {
        let probability = crate::ears::vad::Probability::from_per_mille(if n % 37 == 5 { 800 } else { 3 });
        let step = crate::ears::vad::Step { end: crate::base::time::Samples(n), probability, level_db: -30 };
        pen.action(CallTime::from_ms(n * 16), &Action::Heard(step));
    }
    let curve = Marks::read(&pen.take()[..]).heard.unwrap();
    assert!((5_000..=6_000).contains(&curve.points.len()), "{}", curve.points.len());
    assert!(curve.points.iter().filter(|point| point.1 == 800).count() > 4_000);
}

#[test]
fn what_is_not_drawn_of_the_marks_is_said() {
    let marks = Marks { played_ms: vec![500, 900], came_back: 9_000, ..Marks::default() };
    assert!(picture(&report(), None, Some(&marks)).contains("<!-- 9000 marks came back, 2 of them"));
    let (svg, _) = drawn_with(&report(), false, Some(b"{\"offhook_journal\":1,--><script>"));
    assert!(svg.contains("marks: journal unreadable") && svg.contains("<!-- marks are missing: the journal"));
    let comment = svg.split_once("<!-- marks").unwrap().1.split_once(" -->").unwrap().0;
    assert!(!comment.contains("--") && !svg.contains("<script>"), "{comment}");
}

#[test]
fn words_of_callers_stay_words() {
    let (svg, html) = drawn(&report(), false);
    for text in [&svg, &html] {
        assert!(!text.contains("alert(1)</script>") && text.contains("&lt;script&gt;"));
        assert!(!text.contains("<goodbye>"));
    }
    assert!(html.contains("This call has no recording."));
}

#[test]
fn the_policy_names_the_script_and_the_style_that_are_there() {
    let (_, html) = drawn(&report(), false);
    for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
        let inside = html.split_once(&format!("<{tag}>")).unwrap().1.split_once(&format!("</{tag}>")).unwrap().0;
        let digest = ring::digest::digest(&ring::digest::SHA256, inside.as_bytes());
        let hash = base64_simd::STANDARD.encode_to_string(digest.as_ref());
        assert!(html.contains(&format!("{directive} 'sha256-{hash}'")), "{tag}");
    }
    assert!(
        !html.contains("http://")
            || html.matches("http://").count() == html.matches("http://www.w3.org/2000/svg").count()
    );
    assert!(!html.contains(" style=\""), "the policy would drop it");
}

#[test]
fn what_was_not_heard_is_struck_out() {
    let (svg, html) = drawn(&report(), false);
    assert!(svg.contains("class=\"unheard\""));
    assert!(html.contains("<del title=\"not heard\">at half past eight on the terrace.</del>"));
}

#[test]
fn calls_of_any_length_can_be_drawn() {
    let mut long = report();
    long.duration_ms = 3_600_000;
    let peaks = Peaks::read(&wav::write(8_000, 2, &vec![100; 2 * 8_000 * 60])[..]).unwrap();
    let svg = picture(&long, Some(&peaks), None);
    assert_eq!(svg.matches("class=\"row\"").count(), 30);

    let mut empty = report();
    (empty.lines, empty.turns, empty.media_start_at_ms) = (vec![], vec![], None);
    (empty.interruptions, empty.duration_ms) = (vec![], 0);
    assert!(picture(&empty, None, None).ends_with("</svg>\n"));
    assert!(page(&empty, None, None, &Audio::TooLarge { bytes: 40 << 20 }).contains("40 MiB"));

    let mut absurd = report();
    absurd.duration_ms = u64::MAX;
    absurd.gaps = vec![Gap { media_at_ms: u64::MAX, ms: u64::MAX }];
    absurd.lines[0].media_end_ms = u64::MAX;
    absurd.lines[2].received_ms = u64::MAX;
    absurd.turns[0].first_audible_at_ms = Some(0);
    absurd.interruptions[0].media_at_ms = u64::MAX;
    let far = vec![u64::MAX, 0, 5_000_000];
    let marks = Marks { played_ms: far.clone(), cleared_ms: far, came_back: u64::MAX, ..Marks::default() };
    assert!(picture(&absurd, None, Some(&marks)).len() < 2_000_000);
}

#[test]
fn broken_folders_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = draw(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cannot read") && error.contains("report.json"), "{error}");
    fs::write(folder.path().join("report.json"), "{}").unwrap();
    let error = draw(folder.path()).unwrap_err().to_string();
    assert!(error.contains("not a call's report") && error.contains("schema"), "{error}");
    fs::write(folder.path().join("report.json"), serde_json::to_vec(&report()).unwrap()).unwrap();
    fs::write(folder.path().join("recording.wav"), "RIFF").unwrap();
    let error = draw(folder.path()).unwrap_err().to_string();
    assert!(error.contains("not a call's recording"), "{error}");
}
