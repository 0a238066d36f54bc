//! `offhook hear`.

use std::path::PathBuf;
use std::process::ExitCode;

use offhook::base::time::Samples;
use offhook::ears::turn::TurnEvent;
use offhook::lab::tune::picture::Scene;
use offhook::lab::tune::run::{self, Heard, LINE};
use offhook::lab::tune::table::{Align, Table};
use offhook::lab::tune::{input, picture, words};

use super::ears::{Chosen, Ears};
use super::{Failure, remark, say, write_file};

/// Flags of `offhook hear`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A WAV file. It is heard as a phone brings it: mono (the left of two channels), 8 kHz, G.711.
    #[arg(value_name = "FILE.wav")]
    file: PathBuf,
    #[command(flatten)]
    ears: Ears,
    /// Print `ms,probability` for each step of the detection instead; ms is where the step ends.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Draw it: FILE.svg, or FILE.html with a player.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

/// Exit code 0: heard; 2: the file or the settings cannot be used.
pub(super) fn run(args: &Args) -> ExitCode {
    match hear(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            remark(&failure);
            ExitCode::from(2)
        }
    }
}

fn hear(args: &Args) -> Result<(), Failure> {
    let chosen = args.ears.choose(None, None)?;
    let sound = input::sound(&args.file).map_err(|what| format!("{}: {what}", args.file.display()))?;
    for note in chosen.notes.iter().chain(&sound.notes) {
        remark(format_args!("{}: {note}", args.file.display()));
    }
    let heard = run::hear(&sound.samples, &chosen.settings);
    if let Some(path) = &args.picture {
        let title = args.file.file_name().unwrap_or_default().to_string_lossy();
        let scene = Scene {
            title: &title,
            samples: &sound.samples,
            settings: &chosen.settings,
            heard: &heard,
            truth: None,
            estimated: false,
        };
        let drawn = match path.extension().and_then(|e| e.to_str()) {
            Some("svg") => picture::svg(&scene),
            Some("html") => picture::html(&scene),
            _ => return Err(format!("{}: a picture's name ends in .svg or .html", path.display())),
        };
        write_file(path, &drawn)?;
    }
    if args.csv {
        say(&csv(&heard));
    } else if args.json {
        say(&json(args, &chosen, &sound.notes, &heard));
    } else {
        say(&text(args, &chosen, &heard));
    }
    Ok(())
}

fn ms(samples: Samples) -> u64 {
    samples.as_ms(LINE.rate_hz)
}

fn csv(heard: &Heard) -> String {
    let within = heard.steps.iter().take_while(|step| step.end <= heard.length);
    let lines = within.map(|step| format!("{},{:.3}\n", ms(step.end), step.probability.as_f32()));
    std::iter::once("ms,probability\n".to_owned()).chain(lines).collect()
}

/// Each decision with its reason.
fn decisions<'a>(heard: &'a Heard, chosen: &Chosen) -> Vec<(Samples, &'a TurnEvent, String)> {
    let mut before = None;
    let mut all = Vec::with_capacity(heard.events.len());
    for (decided, event) in &heard.events {
        all.push((*decided, event, words::reason((*decided, event), before, &chosen.settings, LINE.rate_hz)));
        before = Some(event);
    }
    all
}

fn json(args: &Args, chosen: &Chosen, notes: &[String], heard: &Heard) -> String {
    let events: Vec<_> = decisions(heard, chosen)
        .into_iter()
        .map(|(decided, event, reason)| {
            serde_json::json!({
                "decided_ms": ms(decided),
                "event": words::event(event),
                "at_ms": ms(words::event_at(event)),
                "reason": reason,
            })
        })
        .collect();
    let all = serde_json::json!({
        "file": args.file.display().to_string(),
        "length_ms": ms(heard.length),
        "settings": chosen.settings,
        "settings_from": chosen.from,
        "notes": notes,
        "events": events,
    });
    format!("{all:#}\n")
}

fn text(args: &Args, chosen: &Chosen, heard: &Heard) -> String {
    let length = words::clock(ms(heard.length));
    let settings = words::settings(&chosen.settings);
    let mut out = format!("{}: {length}, heard by {}\n  {settings}\n\n", args.file.display(), chosen.from);
    let mut table =
        Table::new(&[("decided", Align::Right), ("event", Align::Left), ("at", Align::Right), ("why", Align::Left)]);
    let mut turns = 0;
    let mut started = None;
    for (decided, event, mut why) in decisions(heard, chosen) {
        let at = words::event_at(event);
        match event {
            TurnEvent::Started { .. } => started = Some(at),
            TurnEvent::Ended { .. } => {
                turns += 1;
                let turn = started.take().map_or(0, |start| ms(at.saturating_sub(start)));
                why += &format!("; turn {turns}, {turn} ms");
            }
            TurnEvent::Paused { .. } | TurnEvent::Resumed { .. } => {}
        }
        if decided > heard.length {
            why += "; in the silence after the file's end";
        }
        table.row([words::clock(ms(decided)), words::event(event).to_owned(), words::clock(ms(at)), why]);
    }
    if heard.events.is_empty() {
        let loudest = heard.steps.iter().map(|s| s.probability).max().unwrap_or_default();
        return out + &format!("no speech: the highest probability of a step is {:.3}\n", loudest.as_f32());
    }
    out += &table.text();
    let speech: u64 =
        run::segments(&heard.events, heard.length).iter().map(|(from, to)| ms(to.saturating_sub(*from))).sum();
    let s = if turns == 1 { "" } else { "s" };
    out + &format!("\n{turns} turn{s}, {} of speech\n", words::clock(speech))
}
