//! Who may use whom: the rooms of the crate and the parts of [`serve`](crate::serve), as a table that is held against every
//! path in the sources.
//!
//! A test, and nothing else: the compiler lets modules of one crate use each other in circles. Tests are not looked at, for
//! they drive their subject from above.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A room, and the rooms that it may use beside itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("config", &["base"]),
    ("ears", &["base", "config"]),
    ("engine", &["base", "config", "ears"]),
    ("talk", &["base", "config"]),
    ("house", &["base", "config"]),
    ("knowledge", &[]),
    ("link", &["base", "config", "engine", "talk"]),
    ("lab", &["base", "config", "ears", "engine", "link"]),
    ("store", &["base", "config", "house", "knowledge"]),
    // The process's output streams, beside all rooms that talk to people or to a log.
    ("output", &["base", "config"]),
    ("serve", &["base", "config", "ears", "engine", "house", "knowledge", "lab", "link", "output", "store", "talk"]),
    ("web", &["base", "config", "engine", "house", "knowledge", "output", "serve", "store", "talk"]),
    (
        "stage",
        &[
            "base",
            "config",
            "ears",
            "engine",
            "house",
            "knowledge",
            "lab",
            "link",
            "output",
            "serve",
            "store",
            "talk",
            "web",
        ],
    ),
    (
        "cli",
        &[
            "base",
            "config",
            "ears",
            "engine",
            "house",
            "knowledge",
            "lab",
            "link",
            "output",
            "serve",
            "stage",
            "store",
            "talk",
            "web",
        ],
    ),
    (
        "main",
        &[
            "base",
            "config",
            "ears",
            "engine",
            "house",
            "knowledge",
            "lab",
            "link",
            "output",
            "serve",
            "stage",
            "store",
            "talk",
            "web",
            "cli",
        ],
    ),
];

/// The parts of `serve` from the bottom up: each may use those before it. What is not named here is part of what it lies in;
/// `""` is `serve` itself, which starts servers and ends them.
const PARTS: &[&str] = &[
    "limits",
    "seldom",
    "wall",
    "tls",
    "client",
    "outlet",
    "leg",
    "pressure",
    "public",
    "recording",
    "reach",
    "webhooks",
    "metrics",
    "doors",
    "late",
    "keeper",
    "outgoing",
    "chat_model",
    "request",
    "text",
    "knowledge::child",
    "knowledge::known",
    "knowledge::lookup",
    "tools",
    "registry",
    "former",
    "lines",
    "models",
    "about",
    "observer",
    "feed",
    "api::rate",
    "dial::book",
    "dial::ledger",
    "revise",
    "from_store::known",
    "locks::seen",
    "numbers::desk",
    "shared",
    "locks",
    "from_store",
    "edit",
    "force",
    "budget",
    "after",
    "pictures",
    "knowledge",
    "call",
    "task",
    "dial",
    "ways_in",
    "api",
    "orders",
    "numbers",
    "http",
    "handle",
    "",
    "shutdown",
];

/// What is so all the same: who, whom, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("store", "engine::report", "a call's report is what its rows are made of"),
    ("store", "engine::event", "what happens in a call is what webhooks are told"),
    ("lab::replay", "output", "a tool says on standard error what it wrote, and why it cannot"),
    ("serve::shared", "serve::after", "holds the line of the calls that wait for it, which files itself"),
];

#[test]
fn rooms_use_only_the_rooms_that_they_may() {
    let crate_ = Crate::read();
    let room = |module: &str| module.split("::").next().unwrap_or_default().to_owned();
    let mut wrong = Vec::new();
    for (module, used) in crate_.uses() {
        let (from, to) = (room(&module), room(&used));
        let Some((_, may)) = ROOMS.iter().find(|(name, _)| *name == from) else {
            wrong.push(format!("{module} is in no room of the table"));
            continue;
        };
        if from != to && !may.contains(&to.as_str()) {
            wrong.push(format!("{module} uses {used}"));
        }
    }
    assert_eq!(without_exceptions(wrong), Vec::<String>::new());
}

#[test]
fn parts_of_serve_use_only_those_below() {
    let part = |module: &str| {
        let within = module.strip_prefix("serve").unwrap_or_default().trim_start_matches("::").to_owned();
        let names = PARTS.iter().enumerate().filter(|(_, part)| within == **part || is_in(&within, part));
        names.max_by_key(|(_, part)| part.len()).map(|(rank, part)| (rank, part.is_empty() && !within.is_empty()))
    };
    let mut wrong = BTreeSet::new();
    for (module, used) in Crate::read().uses() {
        if !is_in(&module, "serve") || !is_in(&used, "serve") {
            continue;
        }
        match (part(&module), part(&used)) {
            (Some((from, false)), Some((to, false))) if to <= from => {}
            (Some((_, false)), Some((_, false))) => drop(wrong.insert(format!("{module} uses {used}"))),
            (Some((_, true)) | None, _) => drop(wrong.insert(format!("{module} is in no part of the list"))),
            _ => drop(wrong.insert(format!("{used} is in no part of the list"))),
        }
    }
    assert_eq!(without_exceptions(wrong), Vec::<String>::new());
}

#[test]
fn exceptions_are_needed_and_have_a_reason() {
    let uses = Crate::read().uses();
    for (from, to, why) in EXCEPTIONS {
        assert!(!why.is_empty(), "{from} {to}");
        assert!(
            uses.iter().any(|(module, used)| is_in(module, from) && is_in(used, to)),
            "{from} uses no {to} any more"
        );
    }
}

fn without_exceptions(wrong: impl IntoIterator<Item = String>) -> Vec<String> {
    let excused = |line: &String| {
        let Some((module, used)) = line.split_once(" uses ") else { return false };
        EXCEPTIONS.iter().any(|(from, to, _)| is_in(module, from) && is_in(used, to))
    };
    wrong.into_iter().filter(|line| !excused(line)).collect()
}

/// Whether a module is `room`, or within.
fn is_in(module: &str, room: &str) -> bool {
    module.strip_prefix(room).is_some_and(|rest| room.is_empty() || rest.is_empty() || rest.starts_with("::"))
}

/// The sources: what each module names, and what its names stand for.
struct Crate {
    /// By module: the paths in it, as written but without braces.
    paths: BTreeMap<String, Vec<String>>,
    /// By module and name: the path that it was brought in by.
    names: BTreeMap<(String, String), String>,
}

impl Crate {
    fn read() -> Crate {
        let mut crate_ = Crate { paths: BTreeMap::new(), names: BTreeMap::new() };
        crate_.read_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "");
        assert!(crate_.paths.len() > 100, "the sources are there");
        crate_
    }

    fn read_folder(&mut self, folder: &Path, module: &str) {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("a file").path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
            let named = if module.is_empty() { stem.clone() } else { format!("{module}::{stem}") };
            let is_test = stem == "tests" || stem.ends_with("_tests") || named == "rooms";
            if is_test {
                continue;
            }
            if path.is_dir() {
                self.read_folder(&path, &named);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = if matches!(stem.as_str(), "mod" | "lib") { module.to_owned() } else { named };
                self.read_file(&module, &fs::read_to_string(&path).expect("a source file"));
            }
        }
    }

    fn read_file(&mut self, module: &str, text: &str) {
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: String =
            text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
        let mut paths = Vec::new();
        let mut rest = code.as_str();
        while let Some((before, statement)) = split_use(rest) {
            paths.extend(plain_paths(before));
            let (tree, after) = statement.split_once(';').unwrap_or((statement, ""));
            for (path, name) in expand(&tree.split_whitespace().collect::<Vec<_>>().join(" ").replace(":: ", "::")) {
                self.names.insert((module.to_owned(), name), path.clone());
                paths.push(path);
            }
            rest = after;
        }
        paths.extend(plain_paths(rest));
        self.paths.entry(module.to_owned()).or_default().extend(paths);
    }

    /// Which module uses which other.
    fn uses(&self) -> BTreeSet<(String, String)> {
        let mut uses = BTreeSet::new();
        for (module, paths) in &self.paths {
            for path in paths {
                if let Some(used) = self.resolve(module, path, 0).filter(|used| used != module && !module.is_empty()) {
                    uses.insert((module.clone(), used));
                }
            }
        }
        uses
    }

    /// The module in which the thing is that `path` stands for in `module`; `None`: it is not ours.
    fn resolve(&self, module: &str, path: &str, depth: usize) -> Option<String> {
        let mut at = module.to_owned();
        let mut segments = path.split("::").peekable();
        match *segments.peek()? {
            "crate" => {
                segments.next();
                at = String::new();
            }
            "super" => {
                while segments.next_if_eq(&"super").is_some() {
                    at = at.rsplit_once("::").map_or("", |(parent, _)| parent).to_owned();
                }
            }
            "self" => drop(segments.next()),
            first if self.paths.contains_key(&join(module, first)) => {}
            _ => return None,
        }
        while let Some(segment) = segments.next() {
            let child = join(&at, segment);
            if self.paths.contains_key(&child) {
                at = child;
            } else if let Some(brought) = self.names.get(&(at.clone(), segment.to_owned())).filter(|_| depth < 8) {
                let rest: Vec<&str> = segments.collect();
                let brought = [brought.as_str()].into_iter().chain(rest).collect::<Vec<_>>().join("::");
                return self.resolve(&at, &brought, depth + 1).or(Some(at));
            } else {
                break;
            }
        }
        // What is used of a room's own file, where the room is a file and folders, is used of the room.
        Some(at)
    }
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// Splits before and after the next `use` at the beginning of a line, with or without its visibility.
fn split_use(code: &str) -> Option<(&str, &str)> {
    let mut at = 0;
    for line in code.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let bare = trimmed.strip_prefix("pub").map_or(trimmed, |rest| {
            rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest).trim_start()
        });
        if let Some(tree) = bare.strip_prefix("use ") {
            let start = at + line.len() - tree.len();
            return Some((&code[..at], &code[start..]));
        }
        at += line.len();
    }
    None
}

/// The paths of a `use` tree, and the names that they bring in.
fn expand(tree: &str) -> Vec<(String, String)> {
    let tree = tree.trim();
    if let Some((head, inner)) = tree.split_once('{') {
        let inner = inner.trim().strip_suffix('}').unwrap_or(inner);
        let branches = split_branches(inner);
        return branches.iter().flat_map(|branch| expand(&format!("{head}{}", branch.trim()))).collect();
    }
    let (path, name) = match tree.split_once(" as ") {
        Some((path, name)) => (path, name),
        None => (tree, tree.trim_end_matches("::self").rsplit("::").next().unwrap_or_default()),
    };
    let path = path.trim_end_matches("::self").trim_end_matches("::*");
    if path.is_empty() { Vec::new() } else { vec![(path.to_owned(), name.to_owned())] }
}

/// Splits at the commas that are in no inner braces.
fn split_branches(inner: &str) -> Vec<&str> {
    let (mut depth, mut from, mut branches) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(&inner[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    branches.push(&inner[from..]);
    branches.retain(|branch| !branch.trim().is_empty());
    branches
}

/// Paths in code that begin at the crate or at a module above.
fn plain_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            // Not of a visibility, and not the second `super` of a row.
            if before.is_alphanumeric() || matches!(before, '_' | ':' | '$') || code[..at].ends_with("(in ") {
                continue;
            }
            let path: String =
                code[at..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
            paths.push(path.trim_end_matches(':').to_owned());
        }
    }
    paths
}

#[test]
fn use_trees_are_read_as_the_compiler_reads_them() {
    let read = |tree: &str| expand(tree).into_iter().map(|(path, name)| format!("{path}={name}")).collect::<Vec<_>>();
    assert_eq!(
        read("super::{Shared, dial::{self, Told as T}, budget}"),
        ["super::Shared=Shared", "super::dial=dial", "super::dial::Told=T", "super::budget=budget"]
    );
    assert_eq!(read("crate::a::*"), ["crate::a=*"]);
    assert_eq!(
        plain_paths("pub(in crate::serve) fn a() -> crate::b::C { super::super::d::e(1); x_super::f() }"),
        ["crate::b::C", "super::super::d::e"]
    );
}
