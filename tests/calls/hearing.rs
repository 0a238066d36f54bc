//! Calls in which the server's own ears decide, with recorded voices.

use std::path::{Path, PathBuf};
use std::time::Duration;

use offhook::base::audio::clip::Clip as Labelled;
use offhook::lab::journal::{CallFiles, Kind};
use offhook::lab::replay::{RehearArgs, Rehearing};
use offhook::report::Report;
use offhook::stage::phone::{CallOptions, Clip, EndedBy, Outcome, PhoneReport, Step, What, legs};
use tokio::sync::mpsc;

use crate::house::{House, Plan, place};
use crate::street::{Number, Street, agree, room};

const COMMIT: &str = "input_audio_buffer.commit";
/// Of the callers below, none pauses for so long within a turn.
const SILENCE_MS: u64 = 400;
const PREFIX_MS: u64 = 300;
/// A voice that the agent can have: 5.4 s.
const LONG: &str = "carla-delivery";

/// A call that is over, from all three ends.
struct Told {
    house: House,
    heard: PhoneReport,
    report: Report,
    folder: PathBuf,
    /// When on the media time line the caller began to say which clip, in order.
    says: Vec<(String, u64)>,
}

/// A call by recorded callers to an agent with these settings beside its ears', which answers with one clip.
async fn call(agent: &str, ears: &str, keep: &str, answer: &str, script: Vec<Step>) -> Told {
    let _room = room(1).await;
    let plan = Plan {
        agent: format!("{agent}\n[turn_detection]\nmode = \"local\"\nsilence_duration_ms = {SILENCE_MS}\n{ears}\n"),
        deployment: format!("playout.lead_ms = 400\n[keep]\nrecording = true\njournal = \"{keep}\"\n"),
        script: format!("think_ms = 50\n[otherwise]\nclip = \"{}\"\nsay = \"Well.\"\n", wav(answer).display()),
        ..Plan::default()
    };
    let house = House::build(plan).await;
    let (events, mut happened) = mpsc::channel(1_024);
    let caller =
        CallOptions { events: Some(events), noise_dbfs: Some(-62.0), keep_probes: true, ..house.caller(script) };
    let heard = place(caller).await;
    assert_eq!((&heard.outcome, heard.violations.as_slice()), (&Outcome::Connected, [].as_slice()));
    let media_start_ms = heard.media_start_ms.expect("a stream");
    let mut says = Vec::new();
    while let Ok(event) = happened.try_recv() {
        if let What::Says(name) = event.what {
            says.push((name, (event.at.as_millis() as u64).saturating_sub(media_start_ms)));
        }
    }
    let (report, folder) = house.report(0).await;
    agree(&folder);
    Told { house, heard, report, folder, says }
}

impl Told {
    /// Events of this type that the model received.
    fn received(&self, kind: &str) -> usize {
        self.house.site.model.received().iter().filter(|received| *received == kind).count()
    }

    /// What the caller heard of the agent, pauses and gaps taken out.
    fn heard_audio(&self) -> Vec<u8> {
        let spans = self.heard.heard.iter();
        spans.flat_map(|span| &self.heard.audio[span.from.0 as usize..span.to.0 as usize]).copied().collect()
    }

    /// By how many samples what was heard jumps ahead in (or back, negative) `whole` from each span to the next; the
    /// first span begins it, the last ends it.
    fn seams(&self, whole: &[u8]) -> Vec<i64> {
        let (mut seams, mut due) = (Vec::new(), 0);
        for span in &self.heard.heard {
            let audio = &self.heard.audio[span.from.0 as usize..span.to.0 as usize];
            let known = |place: &i64| *place >= 0 && whole[*place as usize..].starts_with(audio);
            let place = (0..2_000)
                .flat_map(|off| [due + off, due - off])
                .find(|place| *place < whole.len() as i64 && known(place));
            let place = place.unwrap_or_else(|| panic!("{span:?} is not in the answer near {due}"));
            seams.push(place - due);
            due = place + audio.len() as i64;
        }
        assert_eq!(due, whole.len() as i64, "to the end");
        assert_eq!(seams.first(), Some(&0), "from the beginning");
        seams[1..].to_vec()
    }

    /// The trace of what was heard and decided.
    fn decisions(&self) -> Vec<String> {
        let files = CallFiles::load(&self.folder).expect("a journal");
        let about = ["Speech", "Turn", "Agent", "BargeIn", "Interruption"];
        let lines = files.journal.entries.into_iter().filter_map(|entry| match entry.kind {
            Kind::Out(line) if about.iter().any(|about| line.starts_with(about)) => {
                Some(format!("{} {line}", entry.at))
            }
            _ => None,
        });
        lines.collect()
    }

    fn counter(&self, name: &str) -> u64 {
        self.report.counters.get(name).copied().unwrap_or_default()
    }
}

fn wav(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/audio/{name}.wav"))
}

fn labelled(name: &str) -> Labelled {
    let labels = std::fs::read_to_string(wav(name).with_extension("toml")).expect("labels");
    Labelled::parse(name, &labels, &std::fs::read(wav(name)).expect("a recording")).expect("a clip")
}

fn clip(name: &str) -> Clip {
    Clip::from_linear(name, &labelled(name).wav.samples)
}

fn say(name: &str) -> Step {
    Step::Say(clip(name))
}

/// From the clip's beginning: its first speech and its last, in milliseconds.
fn speech_ms(name: &str) -> (u64, u64) {
    let clip = labelled(name);
    let speech = clip.speech();
    (speech[0].start_ms, speech[speech.len() - 1].end_ms)
}

fn agent_speaks(after_ms: u64) -> Step {
    Step::WaitAgentSpeaking { after_ms, max_ms: 10_000 }
}

fn agent_is_done(for_ms: u64) -> Step {
    Step::WaitAgentSilent { for_ms, max_ms: 12_000 }
}

#[tokio::test]
async fn turns_end_by_our_own_ears_and_only_speech_with_its_prefix_reaches_the_model() {
    let agent =
        "shadow = [{ name = \"hasty\", silence_duration_ms = 100 }, { name = \"patient\", silence_duration_ms = 700 }]";
    let script = vec![
        Step::Silence(1_500),
        say("ben-hours"),
        agent_speaks(100),
        agent_is_done(900),
        say("ben-thanks"),
        agent_speaks(100),
        agent_is_done(900),
        Step::HangUp,
    ];
    let told = call(agent, "", "decisions", "ben-wait", script).await;
    let Told { house, heard, report, folder, .. } = &told;
    assert_eq!(
        (heard.ended_by, report.turns.len(), report.interruptions.len()),
        (EndedBy::Caller, 2, 0),
        "{report:#?}"
    );
    assert_eq!(
        told.heard_audio(),
        [clip("ben-wait").audio, clip("ben-wait").audio].concat(),
        "both answers, all of them"
    );

    // The model is told what is a turn, and decides nothing.
    assert_eq!((told.received(COMMIT), told.received("response.create")), (2, 2));
    let sent_ms = heard.sent.last().expect("audio").bytes / 8;
    let passed_ms = house.site.probe.heard().last().expect("audio").bytes / 8;
    let speech: Vec<_> = ["ben-hours", "ben-thanks"].map(speech_ms).into();
    let least: u64 = speech.iter().map(|(start, end)| end - start).sum();
    // Where sound began and ended is known to some steps.
    let most = least + 2 * (PREFIX_MS + SILENCE_MS + 256);
    assert!((least..=most).contains(&passed_ms), "{passed_ms} ms of {sent_ms} were passed on, not {least} to {most}");
    let live = legs::caller_to_model(&heard.sent, &house.site.probe.heard(), Duration::from_secs(2));
    let beginnings = least.saturating_sub(2 * PREFIX_MS) / 20;
    assert!(live.len() as u64 > beginnings, "{} messages came as they were sent, of {beginnings}", live.len());

    // What the candidates would have done is in the report and on the page.
    let [hasty, patient] = &report.shadows[..] else { panic!("{:?}", report.shadows) };
    assert!(hasty.cut_offs > 0, "it would not have heard the caller out: {hasty:?}");
    assert_eq!((patient.ends_later, patient.cut_offs), (2, 0), "{patient:?}");
    assert!((200..=400).contains(&patient.later_max_ms), "{patient:?}");
    let labels = "deployment=\"desk\",shadow=\"patient\",what=\"ends_later\"";
    assert_eq!(house.metric(&format!("offhook_shadow_total{{{labels}}}")), 2);

    // A journal of decisions alone was replayed without a difference; it holds no audio to be heard again.
    let files = CallFiles::load(folder).expect("a journal");
    assert!(!files.journal.has_audio() && files.journal.entries.iter().any(|e| matches!(e.kind, Kind::Heard { .. })));
    let again = RehearArgs { rehear: true, ..RehearArgs::default() };
    assert!(Rehearing::new(&files, &again).is_err());
}

#[tokio::test]
async fn a_caller_who_cuts_in_stops_the_agent_in_a_moment() {
    let script = vec![say("ben-hours"), agent_speaks(1_500), say("ben-wait"), agent_speaks(200), Step::HangUp];
    let told = call("", "", "audio", LONG, script).await;
    let Told { heard, report, .. } = &told;
    assert_eq!((report.turns.len(), report.interruptions.len(), told.counter("false_interruptions")), (2, 1, 0));
    let (name, said_ms) = &told.says[1];
    let speech_at_ms = said_ms + speech_ms(name).0;
    let clear = heard.clears.first().expect("a clear");
    println!("first speech to clear: {} ms, on the caller's clock", clear.at_ms as i64 - speech_at_ms as i64);
    assert!(clear.at_ms >= speech_at_ms, "cleared at {} ms for speech at {speech_at_ms} ms", clear.at_ms);
    assert!(clear.at_ms - speech_at_ms <= 300, "cleared at {} ms for speech at {speech_at_ms} ms", clear.at_ms);
    // What was heard until then is the answer's beginning, and the model knows where it ended.
    let heard_ms = report.interruptions[0].heard_ms as usize;
    let answer = clip(LONG).audio;
    let first = told.heard.heard.iter().take_while(|span| span.to_ms() <= clear.at_ms + 20);
    let heard_first: u64 = first.map(|span| span.to.0 - span.from.0).sum();
    assert!((heard_first / 8).abs_diff(heard_ms as u64) <= 60, "{heard_first} bytes, reported {heard_ms} ms");
    assert!(told.heard_audio().starts_with(&answer[..heard_first as usize]));
    assert_eq!(told.received("conversation.item.truncate"), 1);
}

#[tokio::test]
async fn a_cough_an_uh_huh_and_a_yes_cost_the_caller_no_word_and_are_not_answered() {
    // "Yes", and nothing after it: 420 ms.
    let yes = Clip::new("yes", &clip("anna-name").audio[..740 * 8]);
    let over_agent = [say("cough"), say("uh-huh"), Step::Say(yes)];
    let mut script = vec![say("ben-thanks"), agent_speaks(300)];
    script.extend(over_agent);
    script.extend([agent_is_done(1_600), Step::HangUp]);
    let told = call("", "", "audio", LONG, script).await;
    let Told { report, folder, .. } = &told;
    let answered = report.turns.iter().filter(|turn| !turn.back_channel).count();
    assert_eq!((answered, report.interruptions.len(), told.received("response.create")), (1, 0, 1), "{report:#?}");
    // What was said is of the conversation all the same: nothing was taken back.
    let aside = told.counter("back_channels");
    assert_eq!(told.received(COMMIT) as u64, 1 + aside);
    assert!((1..=3).contains(&aside), "{:#?}", told.decisions());
    assert_eq!(report.lines.iter().filter(|line| line.back_channel).count() as u64, aside);
    // Whether the first two are voices at all may be doubted.
    let held = told.counter("false_interruptions");
    assert!((1..=3).contains(&held), "{:#?}", told.decisions());
    assert_eq!((told.received("response.cancel"), told.received("conversation.item.truncate")), (0, 0));
    let seams = told.seams(&clip(LONG).audio);
    println!("where the agent went on, in samples after the last that was heard: {seams:?}");
    // What the line plays while the clear is on its way is said again; nothing is left out.
    assert!(seams.iter().all(|seam| (-800..=0).contains(seam)), "{seams:?}");
    assert!(seams.len() as u64 <= held, "nothing but a voice interrupts: {seams:?}");

    // Heard again by ears that take everything for an interruption, it is one.
    let files = CallFiles::load(folder).expect("a journal");
    let rehear = |set: &[&str]| {
        let set = set.iter().map(|s| (*s).to_owned()).collect();
        let rehearing =
            Rehearing::new(&files, &RehearArgs { rehear: true, set, ..RehearArgs::default() }).expect("audio");
        let rows = rehearing.rows.iter().map(|row| format!("{:?} {:?}", row.what, row.difference));
        rows.filter(|row| row == "Interruption New").count() as u64
    };
    // The agent's audio is known more exactly in hindsight, so that a doubtful voice may be one now.
    assert_eq!(rehear(&[]), 0);
    assert!((held..=3).contains(&rehear(&["min_interruption_ms=0"])));
}

#[tokio::test]
async fn a_protected_greeting_is_heard_out_and_what_was_said_over_it_is_answered() {
    let agent = format!(
        "greeting = {{ play = \"{}\", text = \"The number is.\" }}\ngreeting_interruptible = false",
        wav("carla-number").display()
    );
    let script = vec![agent_speaks(300), say("ben-hours"), agent_is_done(1_200), Step::HangUp];
    let told = call(&agent, "engine = \"earshot\"", "decisions", "ben-wait", script).await;
    assert_eq!((told.report.turns.len(), told.report.interruptions.len()), (1, 0), "{:#?}", told.report);
    assert_eq!(told.heard.clears, [], "nothing was taken back");
    let (greeting, answer) = (clip("carla-number").audio, clip("ben-wait").audio);
    assert!(told.heard_audio() == [greeting, answer].concat(), "the greeting to its end, then the answer");
}

#[tokio::test]
async fn noise_reduced_here_reaches_the_model_and_not_the_recording() {
    let agent = "noise_reduction = \"near_field\"\nnoise_reduction_engine = \"local\"";
    let script = vec![Step::Silence(500), say("ben-hours"), agent_speaks(100), agent_is_done(900), Step::HangUp];
    let told = call(agent, "engine = \"earshot\"", "audio", "ben-wait", script).await;
    assert_eq!(told.report.turns.len(), 1);
    assert!(told.heard_audio() == *clip("ben-wait").audio);
    let (start, end) = speech_ms("ben-hours");
    let probe = told.house.site.probe.heard();
    assert!(probe.last().expect("audio").bytes / 8 >= end - start);
    let untouched = legs::caller_to_model(&told.heard.sent, &probe, Duration::from_secs(2));
    assert_eq!(untouched.len(), 0, "all of it is other audio than the caller's");
}

#[tokio::test]
async fn a_caller_at_full_scale_is_no_trouble_for_the_next() {
    let number = Number {
        name: "noisy",
        script: "[otherwise]\nclip = \"LINE\"\nsay = \"What?\"\n",
        deployment: "[keep]\nrecording = true\njournal = \"decisions\"\n",
        agent: "noise_reduction_engine = \"local\"\n",
        ears: "[turn_detection]\nmode = \"local\"\nmax_turn_s = 5\n",
        ..Number::default()
    };
    let street = Street::build("", None, vec![number]).await;
    let mut state = 1u64;
    let mut noise = |n: usize| -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..n).map(|_| next()).collect()
    };
    let random = Clip::new("random", noise(16_000));
    let square: Vec<u8> = (0..16_000).map(|i| if i / 9 % 2 == 0 { 0x00 } else { 0x80 }).collect();
    let square = Clip::new("square", square);
    let media = |payload: &str| {
        Step::Raw(format!(
            r#"{{"event":"media","streamSid":"{{streamSid}}","media":{{"track":"inbound","timestamp":"10","payload":"{payload}"}}}}"#
        ))
    };
    let script = vec![
        Step::Say(random),
        Step::Say(square),
        media("no base64"),
        media(""),
        media("AA=="),
        Step::Say(clip("ben-wait")),
        agent_speaks(100),
        Step::Silence(500),
        Step::HangUp,
    ];
    let lived = street.live(vec![street.caller("noisy", script)]).await;
    assert_eq!(lived[0].heard.ended_by, EndedBy::Caller);
    assert_eq!(lived[0].report.end.kind(), "caller_hung_up");
}
