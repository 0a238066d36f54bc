//! offhook: a real-time voice media server. It answers phone calls, bridges them to realtime voice models, and always knows
//! what the caller heard.
//!
//! # One idea: a call is a value
//!
//! [`engine::CallEngine`] owns every decision about one call and no socket, clock, task, thread or file. Its contract is
//! **handle, drain, wait**: give it one input with the time it arrived, poll its actions until there are none, wait for the
//! next input or the deadline it names. The server, the tests, the simulator and the replay are small programs around
//! this same engine; that is why a bad call can be replayed from its journal, and a barge-in be proven.
//!
//! # Map of the code
//!
//! The first part of a path is the room. Each room is used by those below it, never by those above (`rooms.rs` holds them to
//! it, and the parts of [`serve`]). All from [`base`] to [`lab`], but for what reads documents and calls' folders, know no
//! tokio, sockets, files, system clock, environment or global random number.
//!
//! | module | what it is |
//! |---|---|
//! | [`base::time`] | the two clocks: call time for waiting, samples for audio |
//! | [`base::audio`] | sample arithmetic: formats, G.711, resampling, levels, WAV |
//! | [`base::template`] | text with variables in it |
//! | [`config`] | documents as written, read into values as meant; errors with file, line and column; the catalogue of what is in force |
//! | [`house`] | the rules: what may be, who may, what is in force; each says *yes*, or *no* with a code and a message |
//! | [`knowledge`] | documents that agents look things up in: bytes in, passages out, and how they are found by their words |
//! | [`ears::denoise`] | the caller's noise taken out: RNNoise, gain for a far talker |
//! | [`ears::echo`] | the agent's own voice on the caller's track: subtracted and recognised |
//! | [`ears::vad`] | how likely each short step of audio is speech: Silero's networks, earshot, loudness |
//! | [`ears::turn`] | from steps to turns: start, pause, end, each with its place; candidates beside the live settings |
//! | [`ears::answering`] | who picked up a call that was placed: a person, or a machine that talks and beeps |
//! | [`ears::hearing`] | the ears of a call: echo guard, noise reduction and detection over the same audio |
//! | [`engine`] | THE CALL: phases, the caller's audio, the playout ledger, turns, replies, tools, the lent line, limits |
//! | [`talk`] | THE CHAT: a conversation in text as a value; who is asked when a model fails; whose a conversation is |
//! | [`engine::report`] | what a call leaves behind in numbers: the schema of `report.json` |
//! | [`link`] | bytes to engine types and back: `twilio` for the line, `openai` for the model, `completions` for text models; `http` for requests of documents |
//! | [`lab::journal`] | a call's inputs and decisions as a file, and the words of the trace |
//! | [`lab::sim`] | the engine with time in our hand, and scenarios as text |
//! | [`lab::picture`] | `call.svg` and `call.html` |
//! | [`lab::replay`], [`lab::explain`], [`lab::verify`] | the tools on a call's folder |
//! | [`lab::tune`] | labelled audio, what is heard in it, what settings cost, and the search for better ones |
//! | [`store`] | calls in rows, who is let in, leases, the outbox of webhooks, jobs, revisions, retention: SQLite in the data directory, or PostgreSQL |
//! | [`serve`] | the shell: sockets, one task per call, calls that are placed, tools asked, what follows a call, files off the hot path, metrics; it decides nothing. `serve::lines` and `serve::models` have a folder for each kind of line and model, `serve::ways_in` how each comes in |
//! | [`serve::recording`] | the stereo WAV file |
//! | [`serve::webhooks`] | events signed and delivered, at least once and in order |
//! | [`web`] | what people and programs are shown over HTTP beside calls: `/api/v1`, its document and reference page |
//! | [`stage::rehearsal`] | the built-in realtime model, scripted |
//! | [`stage::phone`] | a caller as Twilio shows one: the far end of the line |
//! | [`stage::carrier`] | the carrier's phone numbers: for sale, owned, papers, prices, and faults on purpose |
//! | [`stage::load`] | many calls at once over real sockets, and thousands of engines in virtual time |
//! | [`stage::demo`] | one call through all of it |
//! | [`output`] | standard output, standard error and the log, whose readers may go away |
//!
//! Not there: SIP, WebRTC, and chats but for [`talk`], which nothing drives yet. The line is Twilio's.
//!
//! # The life of one frame
//!
//! 20 ms of the caller's voice arrive as a JSON text frame on the media socket. `serve::call` asks its line what came, which
//! reads the frame and hands it to [`link::twilio::Stream`]; that decodes the base64 into a buffer of its own and answers with a
//! [`engine::CallerEvent::Audio`] that borrows from it. The engine places the frame by the line's media clock
//! (`engine::uplink`): a gap would become silence, a duplicate would be dropped. It gives out two actions, both borrowing
//! from its arena: a [`engine::Record`] for the recording and a [`engine::ModelCommand::AppendAudio`]. Between the two it
//! is heard ([`ears::hearing`]): with every 32 ms a [`ears::vad::Step`] says how likely the caller speaks, [`ears::turn`] makes starts and
//! ends of steps, and only from a start (and its prefix) to an end is audio passed on. Each step goes to the journal too,
//! so that a replay needs no ears. The call pushes the latter to its model, where [`link::openai::Session`] writes it as base64 into a text frame, unchanged (μ-law in, μ-law out), and the shell
//! flushes the model's socket once the engine is drained. Nothing was allocated by engine or links.
//!
//! Some turns later agent audio comes back, much faster than it is spoken. The engine appends it to the playout queue
//! (`engine::downlink`), feeds the line a short lead ahead, in few messages, each followed by a mark. When Twilio returns
//! the mark, that audio was **heard**: only then is it written to the recording and to the ledger that truncation, transcript
//! and report ask. When the caller cuts in, the line is cleared, the response cancelled and the item truncated where it was
//! heard, in that order; marks that the clear sends back belong to an older generation and prove nothing.
//!
//! # Glossary
//!
//! | term | meaning |
//! |---|---|
//! | line | the way to the caller's phone: one media stream of a carrier |
//! | session | one connection to the voice model; a new one is a new conversation |
//! | turn | what the caller says until it is the agent's turn, and the answer to it |
//! | commit | the moment a turn becomes part of the model's conversation; its audio is kept until its words are there |
//! | closing phase | between the end of the line and the report: the caller's last words are still being written down |
//! | response, item | what the model says on one request; one stretch of audio with its words within it |
//! | mark | a name in the audio sent to the line, which comes back when everything before it was played or cleared |
//! | generation | counts the clears; marks of an older one are not play-outs |
//! | playout, lead | playing audio at the line; how far ahead of it audio is sent |
//! | heard | played to the caller, proven by a mark or reckoned between two of them |
//! | barge-in | caller speech that stops the agent |
//! | held | an agent whose line was cleared, and who may yet go on at the sample: the barge-in is not certain |
//! | answering machine, beep | who else picks up a call that was placed; where its greeting ends and it records |
//! | step | 32 ms (or 16) of the caller's audio, with the probability of speech in it and its level |
//! | effect | what the engine asks of the world and is told the outcome of: a hang-up, a transfer, a tool, the fetch |
//! | tool | what the model may call: built in, or another server's; it is told what came of it |
//! | destination | whom the tool `transfer` can put the caller through to |
//! | broken off | a stream that ended though nobody hung up; the carrier is led back, and the call goes on |
//! | errand, lent | what the line leaves us for, a transfer or keys for the far end; the carrier has it, our stream ends, the call does not |
//! | budget | what the model may cost in a call or a day; before it is used up the agent is told to wrap up |
//! | variable | `{{…}}` in a document: known when the call begins, fetched, or the answer of a tool or a question |
//! | fetch, analysis, quality control, push | asked of others when a call begins; asked about it when it is over, twice; what came of it, sent |
//! | placed call | one that we make, never twice for one key; `dial` places it |
//! | event, outbox, dead letter | what happens in a call, told to other systems; where it waits, on the disk; one that was given up |
//! | shadow | candidate settings that decide silently beside the live ones |
//! | truncate | telling the model how much of an item was heard |
//! | prefix padding | audio before detected speech that belongs to the turn |
//! | media time, call time | samples since the stream began; time since the webhook |
//! | line time, clock map | media time as a moment, by the line's clock; which moment of the call that is, by how that clock runs beside ours |
//! | catalogue, last good | all documents, each in the version that is in force: what is written, or what was good last |
//! | revision, pinned | which version of a document, or of all of them; what a call ran by, kept for what follows it |
//! | agent, deployment, channel | who talks; where it is met and what it has otherwise there; a phone, a website's widget, a chat for members |
//! | conversation, row, event | a chat; what was said in it, as it is kept; what a visitor's page is shown, with an id |
//! | primary, backup, failover | which model a chat asks, and which when that one fails; see `docs/chat.md` |
//! | breaker, probe, drill | leaves a primary alone that failed again and again; the one request that finds out; pretends that it is down |
//! | hand, hand-off | whose a conversation is: the agent's, nobody's yet, a person's; asking the team to take over |
//! | persona | an agent as it is on every channel, without what only a call has |
//! | standing | what says whether an agent or a deployment may be met: active, schedule, hours, access, visibility |
//! | named secret | declared in `offhook.toml` with the hosts that may be sent it; agents' documents have its name only |
//! | tool sound, bed | a sound that is looped while tools run; it lies beneath the ledger of agent audio and is none of it |
//! | idle | neither side says anything, and nobody works on anything |
//! | farewell, fallback, filler, hold | said when a limit ends the call; when the model fails; when it is slow; while it is away |

pub mod base;
pub mod config;
pub mod ears;
pub mod engine;
pub mod house;
pub mod knowledge;
pub mod lab;
pub mod link;
pub mod output;
#[cfg(test)]
mod rooms;
pub mod serve;
pub mod stage;
pub mod store;
pub mod talk;
pub mod web;

pub use engine::report;
