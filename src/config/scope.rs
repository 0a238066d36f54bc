//! Which variables there are, and where each of them is known.

use std::collections::BTreeMap;

use super::problem::{Problem, nearest};
use super::reader::{Field, Table};
use crate::base::template::{self, Template, TemplateError, Variables};

/// The variables that are known at one place of an agent's document, and those that are known at others.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// By full name; the value says where else one is known that is not known here.
    names: BTreeMap<String, Option<&'static str>>,
    /// Names are not known yet: any will do until the document is read again.
    any: bool,
}

/// Places of templates, in the order in which a call gets to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The request that is made while the call begins.
    Fetch,
    /// What is said, and what tools ask.
    Call,
    Analysis,
    Qc,
    Push,
}

/// All that an agent's document declares.
#[derive(Clone, Debug, Default)]
pub(super) struct Declared {
    /// `call.*` and `crm.*` of the document, with their defaults.
    pub(super) variables: Variables,
    /// Properties of the analysis's answer.
    pub(super) analysis: Vec<String>,
    /// Properties of the quality control's answer.
    pub(super) qc: Vec<String>,
}

/// What the server knows of every call.
pub(crate) const CALL: [&str; 7] = ["agent", "deployment", "direction", "from", "id", "started", "to"];
/// The time where the deployment is, and its hours.
pub(crate) const SYSTEM: [&str; 7] = ["date", "now", "open", "opens_at", "time", "timezone", "weekday"];
/// What is known once the call is over.
pub(crate) const RESULT: [&str; 8] =
    ["duration_s", "end", "interruptions", "notes", "report", "tools", "transcript", "turns"];

impl Declared {
    /// Reads `[variables]`, and the names in the schemas of the questions.
    pub(super) fn read(mut table: Table<'_, '_>) -> Declared {
        let mut declared = Declared::default();
        for namespace in ["call", "crm"] {
            for (name, field) in table.table(namespace).rest() {
                let place = field.key_place();
                if !template::is_name(name) {
                    field.note(Problem::error(&place, "is not a name").allowed(super::NAME_SHAPE));
                } else if namespace == "call" && CALL.contains(&name) {
                    field.note(Problem::error(&place, "is known of every call and cannot be declared"));
                } else if declared.variables.len() >= MAX_VARIABLES {
                    field.note(Problem::error(&place, "is one variable too many").allowed(MOST_VARIABLES));
                    break;
                } else if let Some(default) = field.text(MAX_DEFAULT) {
                    declared.variables.insert(format!("{namespace}.{name}"), default);
                }
            }
        }
        table.finish();
        declared
    }

    /// What is known at `stage`.
    pub(super) fn scope(&self, stage: Stage) -> Scope {
        let mut names = BTreeMap::new();
        let mut add = |namespace: &str, name: &str, known: bool, hint| {
            names.insert(format!("{namespace}.{name}"), (!known).then_some(hint));
        };
        for name in CALL {
            add("call", name, true, "");
        }
        for name in SYSTEM {
            add("system", name, true, "");
        }
        for name in self.variables.keys() {
            let (namespace, name) = name.split_once('.').unwrap_or_default();
            let known = namespace == "call" || stage > Stage::Fetch;
            add(namespace, name, known, "is what the fetch is there to find out");
        }
        for name in RESULT {
            add("result", name, stage >= Stage::Analysis, "is known only when the call is over");
        }
        for name in &self.analysis {
            add("analysis", name, stage >= Stage::Qc, "is known only when the call is over and analysed");
        }
        for name in &self.qc {
            add("qc", name, stage >= Stage::Push, "is known only when the call is over and its quality judged");
        }
        Scope { names, any: false }
    }
}

impl Scope {
    /// Of a document that is read before the agent's, and again over it.
    pub(super) fn unknown() -> Scope {
        Scope { names: BTreeMap::new(), any: true }
    }

    /// The same with a tool's arguments.
    pub(super) fn with_arguments<'a>(&self, arguments: impl Iterator<Item = &'a String>) -> Scope {
        let mut scope = self.clone();
        scope.names.extend(arguments.map(|name| (format!("args.{name}"), None)));
        scope
    }

    /// Reads `field` as a template of variables that are known here. `None` when something is wrong, which is noted.
    pub(super) fn template(&self, field: &Field<'_, '_>, max: usize) -> Option<Template> {
        self.check(field, &field.string(max)?)
    }

    /// The same as text, for what is read again when it is filled in.
    pub(super) fn text(&self, field: &Field<'_, '_>, max: usize) -> Option<String> {
        let text = field.string(max)?;
        self.check(field, &text).map(|_| text)
    }

    fn check(&self, field: &Field<'_, '_>, text: &str) -> Option<Template> {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(TemplateError { at, why }) => {
                field.note(Problem::error(&field.place_of(text, at), why));
                return None;
            }
        };
        let mut good = true;
        for (name, at) in template.variables() {
            if let Some(message) = self.wrong(name) {
                good = false;
                let allowed = self.allowed().collect::<Vec<_>>().join(", ");
                field.note(Problem::error(&field.place_of(text, at), message).allowed(allowed));
            }
        }
        good.then_some(template)
    }

    fn wrong(&self, name: &str) -> Option<String> {
        Some(match self.names.get(name) {
            _ if self.any => return None,
            Some(None) => return None,
            Some(Some(hint)) => (*hint).to_owned(),
            None if name.starts_with("args.") && !self.allowed().any(|known| known.starts_with("args.")) => {
                "is an argument of a tool, and known in a tool's request only".to_owned()
            }
            None => match nearest(name, self.allowed()) {
                Some(meant) => format!("there is no such variable; did you mean {{{{{meant}}}}}?"),
                None => "there is no such variable".to_owned(),
            },
        })
    }

    fn allowed(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter(|(_, elsewhere)| elsewhere.is_none()).map(|(name, _)| name.as_str())
    }
}

const MAX_VARIABLES: usize = 64;
const MOST_VARIABLES: &str = "at most 64";
/// Longest default of a variable.
const MAX_DEFAULT: usize = 2_000;
