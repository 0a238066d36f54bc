//! The settings that a tool on audio hears by, as flags name them.

use std::path::{Path, PathBuf};

use offhook::config::{self, Agent, FalseInterruptions, Interruptions, Shadow, TurnDetection, TurnSettings};

use super::Failure;

/// Which settings to hear by.
#[derive(Debug, clap::Args)]
pub(super) struct Ears {
    /// Hear by this agent's turn settings. Without it: by those of the only agent there is, or by the defaults where
    /// there is no configuration.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Instead of what the agent has: a key of its [turn_detection], such as silence_duration_ms=400. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Directory with offhook.toml, models.toml, agents/ and deployments/.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub(super) config: PathBuf,
}

const DEFAULT_DIR: &str = "config";

/// Settings, and where they are from.
#[derive(Debug)]
pub(super) struct Chosen {
    /// With what was `--set`.
    pub(super) settings: TurnSettings,
    /// What interrupts, of that agent.
    pub(super) unless: FalseInterruptions,
    /// In words.
    pub(super) from: String,
    /// The agent's document, where the settings are an agent's.
    pub(super) document: Option<Document>,
    /// What should be known.
    pub(super) notes: Vec<String>,
}

/// An agent's document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) path: PathBuf,
    /// What stands in it; `None`: this agent's turns are not detected here, and the document is left alone.
    pub(super) settings: Option<TurnSettings>,
}

impl Ears {
    /// The settings; `wanted` is the agent that is meant when the flags name none, and `otherwise` what is heard by when
    /// the configuration does not know him.
    pub(super) fn choose(
        &self,
        wanted: Option<&str>,
        otherwise: Option<(TurnSettings, String)>,
    ) -> Result<Chosen, Failure> {
        let mut chosen = match self.agents()? {
            Some(agents) => self.of_agent(&agents, wanted, otherwise)?,
            None => defaults(otherwise, "there is no configuration"),
        };
        if !self.set.is_empty() {
            chosen.settings = parse(&self.set, &chosen.settings)?;
            chosen.from += " with --set";
        }
        Ok(chosen)
    }

    /// `None`: there is no configuration, and none was asked for.
    fn agents(&self) -> Result<Option<Vec<std::sync::Arc<Agent>>>, Failure> {
        let asked = self.agent.is_some() || self.config != Path::new(DEFAULT_DIR);
        if !asked && !self.config.join("offhook.toml").exists() {
            return Ok(None);
        }
        // Secrets are not needed to hear: one that is not set here does no harm.
        let env = |name: &str| std::env::var(name).ok().or_else(|| Some("unset".to_owned()));
        let config = config::load_with(&self.config, &env).map_err(|problems| problems.to_string())?;
        Ok(Some(config.agents.into_values().collect()))
    }

    fn of_agent(
        &self,
        agents: &[std::sync::Arc<Agent>],
        wanted: Option<&str>,
        otherwise: Option<(TurnSettings, String)>,
    ) -> Result<Chosen, Failure> {
        let names = || agents.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
        let find = |name: &str| agents.iter().find(|agent| agent.name == name);
        let agent = match (&self.agent, wanted) {
            (Some(name), _) => find(name).ok_or_else(|| {
                format!("{}: no agent is named {name:?}; there are: {}", self.config.display(), names())
            })?,
            (None, Some(name)) => match find(name) {
                Some(agent) => agent,
                None => return Ok(defaults(otherwise, &format!("{} has no agent {name}", self.config.display()))),
            },
            (None, None) => match agents {
                [] => return Ok(defaults(otherwise, "there is no agent")),
                [agent] => agent,
                _ => {
                    let dir = self.config.display();
                    return Err(format!("{dir} has several agents; name one with --agent: {}", names()));
                }
            },
        };
        let path = self.config.join("agents").join(format!("{}.toml", agent.name));
        let from = format!("agent {} ({})", agent.name, path.display());
        let default = TurnSettings::default();
        let (settings, own) = match agent.manner.turn_detection.clone() {
            TurnDetection::Local(settings) => (settings.clone(), Some(settings)),
            TurnDetection::Provider { threshold, prefix_padding_ms, silence_duration_ms } => {
                (TurnSettings { threshold, prefix_padding_ms, silence_duration_ms, ..default }, None)
            }
            TurnDetection::Semantic { .. } | TurnDetection::Disabled { .. } => (default, None),
        };
        let notes = match own {
            Some(_) => Vec::new(),
            None => vec![format!(
                "agent {} does not detect turns here; shown is what turn_detection.mode = \"local\" would do",
                agent.name
            )],
        };
        let unless = agent.manner.false_interruptions;
        Ok(Chosen { settings, unless, from, document: Some(Document { path, settings: own }), notes })
    }
}

fn defaults(otherwise: Option<(TurnSettings, String)>, why: &str) -> Chosen {
    let (settings, from) = otherwise.unwrap_or_else(|| (TurnSettings::default(), format!("the defaults ({why})")));
    Chosen { settings, unless: FalseInterruptions::default(), from, document: None, notes: Vec::new() }
}

/// `key=value` each; the value as in TOML, quotes optional.
fn parse(set: &[String], base: &TurnSettings) -> Result<TurnSettings, Failure> {
    let mut text = String::new();
    for pair in set {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(format!("--set {pair}: expected KEY=VALUE, such as silence_duration_ms=400"));
        };
        let key = key.trim().trim_start_matches("turn_detection.");
        let value = value.trim();
        let bare =
            value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && value.starts_with(char::is_alphabetic);
        text += &if bare { format!("{key} = \"{value}\"\n") } else { format!("{key} = {value}\n") };
    }
    let live = Shadow {
        name: String::new(),
        turn: base.clone(),
        interruptions: Interruptions::On,
        false_interruptions: FalseInterruptions::default(),
    };
    let set = config::candidate("--set", &text, &live).map_err(|problems| problems.to_string())?;
    if (set.interruptions, set.false_interruptions) != (live.interruptions, live.false_interruptions) {
        return Err("--set: nothing is interrupted here; allowed: keys of turn_detection".to_owned());
    }
    Ok(set.turn)
}
