//! What holds for every conversation, whatever happens in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::super::model::{Finish, Message, ModelError, ModelEvent, Phase, Said as VendorSaid, Usage};
use super::super::row::{CutOff, State};
use super::super::*;
use super::settings;

/// One thing that may happen, in any order and at any time.
#[derive(Clone, Debug)]
enum Happening {
    Message(u8, usize),
    Retry(u8, u64),
    Stop,
    AskPerson,
    HandOff,
    Take(u8),
    Say(u8, u8),
    GiveBack,
    /// From the request so many before the last.
    Model(u32, Said_),
    /// Of the run so many before the last.
    Tool(u32, bool, usize),
    Wait(u64),
    Drill,
    Resume(u64),
    Restore,
    Close(EndWhy),
}

#[derive(Clone, Debug)]
enum Said_ {
    Event(ModelEvent),
    Error(ModelError),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    prop_oneof![
        8 => (0u8..40, prop_oneof![8 => 1usize..40, 1 => 3_990usize..4_010, 1 => Just(0)]).prop_map(|(id, n)| Message(id, n)),
        2 => (40u8..60, 1u64..30).prop_map(|(id, of)| Retry(id, of)),
        1 => Just(Stop),
        1 => Just(AskPerson),
        1 => Just(HandOff),
        1 => (0u8..3).prop_map(Take),
        2 => (0u8..20, 0u8..3).prop_map(|(id, who)| Say(id, who)),
        2 => Just(GiveBack),
        24 => (prop_oneof![8 => Just(0u32), 1 => 1u32..4], said()).prop_map(|(back, said)| Model(back, said)),
        6 => (0u32..4, any::<bool>(), prop_oneof![4 => 0usize..50, 1 => Just(40_000)]).prop_map(|(back, ok, n)| Tool(back, ok, n)),
        5 => prop_oneof![6 => 0u64..2_000, 2 => 2_000u64..30_000, 1 => 30_000u64..1_000_000].prop_map(Wait),
        1 => Just(Drill),
        2 => (0u64..200).prop_map(Resume),
        1 => prop_oneof![9 => Just(Restore), 1 => Just(Close(EndWhy::Visitor)), 1 => Just(Close(EndWhy::LetGo))],
    ]
}

fn said() -> impl Strategy<Value = Said_> {
    use ModelEvent::{Delta, Done, Thinking, ToolCall};
    let text = prop_oneof![6 => "[a-z é\\PC]{0,6}", 1 => Just("x".repeat(3_000)), 1 => Just("\0".to_owned())];
    let name = prop_oneof![Just("lookup"), Just("book"), Just("note"), Just("hand_off"), Just("nothing")];
    let arguments = prop_oneof![
        4 => Just(r#"{"q":"x"}"#.to_owned()),
        1 => Just(r#"{"text":"a fact"}"#.to_owned()),
        1 => Just(r#"{"reason":"urgent"}"#.to_owned()),
        1 => Just("{".to_owned()),
        1 => Just("x".repeat(50_000)),
    ];
    let finish = prop_oneof![
        4 => Just(Finish::Stop),
        1 => Just(Finish::ToolCalls),
        1 => Just(Finish::Length),
        1 => Just(Finish::ContentFilter)
    ];
    let status = |code| {
        let said = VendorSaid { message: "The model `m` does not exist.".to_owned(), ..VendorSaid::default() };
        ModelError::Status { code, said, retry_after_s: Some(47) }
    };
    let error = prop_oneof![
        Just(ModelError::Broken { why: "reset".to_owned() }),
        Just(ModelError::Timeout { phase: Phase::Connect }),
        Just(ModelError::Malformed { why: "no choices".to_owned() }),
        prop_oneof![Just(400u16), Just(401), Just(404), Just(429), Just(500)].prop_map(status),
    ];
    prop_oneof![
        8 => prop_oneof![9 => text, 1 => Just("\u{a0}".to_owned())].prop_map(|text| Said_::Event(Delta(text))),
        1 => Just(Said_::Event(Thinking)),
        4 => (0u32..40, name, arguments).prop_map(|(index, name, arguments)| {
            let (id, name) = (Some(format!("c{index}")), Some(name.to_owned()));
            Said_::Event(ToolCall { index: index % 4, id, name, arguments })
        }),
        4 => finish.prop_map(|finish| Said_::Event(ModelEvent::Finish(finish))),
        1 => Just(Said_::Event(ModelEvent::Usage(Usage { input_tokens: 9, cached_tokens: 3, output_tokens: 2 }))),
        6 => Just(Said_::Event(Done)),
        2 => error.prop_map(Said_::Error),
    ]
}

/// What the world around a conversation saw of it.
#[derive(Default)]
struct World {
    rows: BTreeMap<u64, Row>,
    /// What a visitor's page shows, by place.
    shown: BTreeMap<u64, (String, State)>,
    /// Answers that began and have no end.
    open: BTreeSet<u64>,
    closed: BTreeSet<u64>,
    last_event: u64,
    asked: u32,
    request: Option<AskId>,
    tools: u32,
    running: BTreeSet<ToolId>,
    accepted: BTreeSet<Arc<str>>,
    ended: bool,
    actions: usize,
}

impl World {
    fn drain(&mut self, conversation: &mut Conversation) {
        self.actions = 0;
        while let Some(action) = conversation.poll_action() {
            assert!(!self.ended, "after the end: {action:?}");
            self.actions += 1;
            self.see(action);
        }
        assert!(self.actions < 400, "{} actions by one input", self.actions);
        assert_eq!(self.ended, conversation.is_over());
        // Whatever is under way, something is waited for.
        assert!(self.request.is_none() || conversation.next_deadline().is_some());
        assert!(self.running.is_empty() || conversation.next_deadline().is_some());
        assert_eq!(self.open.len(), usize::from(matches!(conversation.phase(), "asked" | "answering" | "tools")));
    }

    fn see(&mut self, action: Action) {
        match action {
            Action::Ask { id, model, ask } => {
                assert_eq!(self.request, None, "two requests at once");
                assert!(id.0 > self.asked);
                assert!(["primary", "backup"].contains(&model.name.as_str()));
                assert!(self.running.is_empty(), "asked while tools run");
                self.asked = id.0;
                self.request = Some(id);
                well_formed(&ask.messages);
                let limit = settings().limits;
                let bytes: usize = ask.messages.iter().map(|message| format!("{message:?}").len()).sum();
                assert!(
                    bytes < 8 * (limit.history_tokens * 4 + limit.tool_outputs_bytes + limit.answer_bytes),
                    "{bytes}"
                );
            }
            Action::Cancel(id) => {
                if self.request == Some(id) {
                    self.request = None;
                }
            }
            Action::RunTool { id, arguments, .. } => {
                assert!(id.0 > self.tools);
                assert!(serde_json::from_str::<serde_json::Value>(&arguments).is_ok());
                self.tools = id.0;
                self.running.insert(id);
                assert!(self.running.len() <= settings().limits.parallel);
            }
            Action::CancelTool(id) => assert!(self.running.remove(&id), "cancelled what does not run"),
            Action::Persist(row) => {
                let begins = row.state == State::CutOff(CutOff::Lost);
                if row.answer.is_some() && !begins {
                    let shown = self.shown.get(&row.seq).map(|(text, _)| text.as_str());
                    assert_eq!(shown.unwrap_or_default(), &*row.text, "all that was shown is kept");
                    assert!(row.text.len() <= settings().limits.answer_bytes);
                }
                assert!(!row.text.contains('\0'));
                let before = self.rows.insert(row.seq, *row);
                let began = before.as_ref().is_some_and(|row| row.state == State::CutOff(CutOff::Lost));
                assert!(before.is_none() || began && !begins, "a place is written once, and an answer's twice");
            }
            Action::Reply(Reply { client, outcome: Ok(accepted) }) if !accepted.again => {
                assert!(self.accepted.insert(client), "accepted twice");
            }
            Action::Reply(_) | Action::Tell(_) => {}
            Action::Deliver(event) => self.show(event),
            Action::End(why) => {
                self.ended = true;
                assert!(self.open.is_empty() && self.running.is_empty() && self.request.is_none(), "{why:?}");
            }
        }
    }

    fn show(&mut self, event: Event) {
        assert!(event.id > self.last_event, "ids grow");
        self.last_event = event.id;
        let (message, state) = match event.what {
            What::Said(said) => {
                assert!(self.shown.insert(said.message, (said.text.to_string(), said.state)).is_none());
                return;
            }
            What::Began { message, .. } => {
                assert!(self.open.insert(message) && !self.closed.contains(&message));
                self.shown.insert(message, (String::new(), State::Whole));
                return;
            }
            What::Delta { message, text } => {
                assert!(self.open.contains(&message), "a piece of what is over");
                self.shown.get_mut(&message).unwrap().0.push_str(&text);
                return;
            }
            What::Tool { message, .. } => return assert!(self.open.contains(&message)),
            What::HandOff { .. } | What::Ended { .. } => return,
            What::Complete { message, .. } => (message, State::Whole),
            What::CutOff { message, why, .. } => (message, State::CutOff(why)),
            What::Failed { message, .. } => (message, State::Failed),
        };
        assert!(self.open.remove(&message) && self.closed.insert(message), "ended twice");
        self.shown.get_mut(&message).unwrap().1 = state;
    }
}

/// Every call is answered once, at once, and nothing else is; the last word is not the model's.
fn well_formed(messages: &[Message]) {
    let mut awaited: Vec<Arc<str>> = Vec::new();
    for message in messages {
        match message {
            Message::Tool { call, .. } => {
                assert!(!awaited.is_empty() && awaited.remove(0) == *call, "an answer to no call: {messages:?}");
            }
            _ => assert!(awaited.is_empty(), "a call without an answer: {messages:?}"),
        }
        if let Message::Assistant { text, calls } = message {
            assert!(!text.is_empty() || !calls.is_empty(), "nothing said: {messages:?}");
            awaited = calls.iter().map(|call| Arc::clone(&call.id)).collect();
        }
    }
    assert!(awaited.is_empty());
    for pair in messages.windows(2) {
        assert!(!matches!(pair, [Message::User(_), Message::User(_)]), "twice the visitor's turn: {messages:?}");
    }
    assert!(matches!(messages.first(), Some(Message::System(_))));
    assert!(messages.iter().any(|message| matches!(message, Message::User(_))));
}

fn live(happenings: Vec<Happening>) {
    let mut commons = Commons::new();
    let settings = Arc::new(settings());
    let mut now = TalkTime::ZERO;
    let mut conversation = Conversation::new(now, "v".into(), Arc::clone(&settings));
    let mut world = World::default();
    world.drain(&mut conversation);
    for happening in happenings {
        let ended = world.ended;
        let input = match happening {
            Happening::Message(id, n) => Input::Visitor(Visitor::Message {
                id: format!("m{id}").into(),
                text: "é".repeat(n).into(),
                settings: Arc::clone(&settings),
            }),
            Happening::Retry(id, of) => {
                Input::Visitor(Visitor::Retry { id: format!("m{id}").into(), of, settings: Arc::clone(&settings) })
            }
            Happening::Stop => Input::Visitor(Visitor::Stop),
            Happening::AskPerson => Input::Visitor(Visitor::AskPerson),
            Happening::HandOff => Input::Team(Team::HandOff { name: "Ann".into(), reason: Reason::Complaint }),
            Happening::Take(who) => Input::Team(Team::Take { name: format!("p{who}").into() }),
            Happening::Say(id, who) => Input::Team(Team::Say {
                id: format!("t{id}").into(),
                name: format!("p{who}").into(),
                text: "I am here.".into(),
            }),
            Happening::GiveBack => Input::Team(Team::GiveBack),
            Happening::Model(back, said) => {
                let id = AskId(world.asked.saturating_sub(back));
                let said = match said {
                    Said_::Event(event) => Ok(event),
                    Said_::Error(error) => Err(error),
                };
                // Whoever asks says nothing of a request that is over.
                if world.request != Some(id) && said == Ok(ModelEvent::Done) {
                    continue;
                }
                if matches!(said, Err(_) | Ok(ModelEvent::Done)) && world.request == Some(id) {
                    world.request = None;
                }
                Input::Model(id, said)
            }
            Happening::Tool(back, ok, n) => {
                let id = ToolId(world.tools.saturating_sub(back));
                world.running.remove(&id);
                let result = match ok {
                    true => ToolResult::Output { text: "o".repeat(n), sources: vec!["a.pdf".into()] },
                    false => ToolResult::Failed("it is away".to_owned()),
                };
                Input::Tool(id, result)
            }
            Happening::Wait(ms) => {
                let until = now.plus_ms(ms);
                while let Some((at, _)) = conversation.next_deadline().filter(|(at, _)| *at <= until) {
                    now = now.max(at);
                    conversation.handle(now, Input::Tick, &mut commons);
                    world.drain(&mut conversation);
                }
                now = until;
                Input::Tick
            }
            Happening::Drill => {
                commons.drill(now, "web", 5_000);
                continue;
            }
            Happening::Resume(seen) => {
                check_resume(&conversation, &world, seen);
                continue;
            }
            Happening::Restore if world.rows.is_empty() => continue,
            Happening::Restore => {
                conversation.handle(now, Input::Close(EndWhy::LetGo), &mut commons);
                world.drain(&mut conversation);
                let rows = world.rows.values().rev().cloned().collect();
                conversation = Conversation::restore(now, "v".into(), Arc::clone(&settings), rows);
                world.ended = false;
                world.asked = 0;
                world.tools = 0;
                world.drain(&mut conversation);
                continue;
            }
            Happening::Close(why) => Input::Close(why),
        };
        conversation.handle(now, input, &mut commons);
        world.drain(&mut conversation);
        assert!(!ended || world.actions == 0, "after the end");
        // Nothing that was said is lost.
        for row in conversation.history.rows() {
            assert_eq!(world.rows.get(&row.seq), Some(row));
        }
        let kept = world.rows.values().filter(|row| row.client.is_some()).count();
        assert_eq!(kept, world.accepted.len(), "all that is accepted is kept");
    }
    let end = conversation.is_over();
    conversation.handle(now, Input::Close(EndWhy::Team), &mut commons);
    world.drain(&mut conversation);
    assert!(world.ended && conversation.next_deadline().is_none());
    assert!(end || world.open.is_empty());
}

/// Who comes back sees what who stayed sees.
fn check_resume(conversation: &Conversation, world: &World, seen: u64) {
    match conversation.resume(Some(seen)) {
        Resume::Events(events) => {
            let ids: Vec<u64> = events.iter().map(|event| event.id).collect();
            assert_eq!(ids, (seen + 1..=world.last_event).collect::<Vec<_>>());
        }
        Resume::Anew(snapshot) => {
            assert!(snapshot.id >= world.last_event);
            for said in &snapshot.said {
                let (text, state) = &world.shown[&said.message];
                assert_eq!((&**text, *state), (&*said.text, said.state), "{said:?}");
            }
            assert!(snapshot.earlier || snapshot.said.len() == world.shown.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_inputs_keeps_what_holds(happenings in prop::collection::vec(happening(), 0..160)) {
        live(happenings);
    }
}
