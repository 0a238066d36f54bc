//! Documents from before there were channels and named secrets, in today's form: what `offhook migrate` writes.
//!
//! Pure: texts in, texts out. What is changed is changed where it stands; every other byte stays as it is, comments too.

use std::collections::BTreeMap;
use std::ops::Range;

use reqwest::Url;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::Kept;
use super::typed;

/// A document that has another form now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Its path within the configuration directory.
    pub path: String,
    /// Its new text.
    pub text: String,
    /// What was changed, for people: lines as they were and as they are, each with its number and `-` or `+`.
    pub changes: Vec<String>,
}

/// What is to be migrated, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migration {
    /// Documents that change, by path.
    pub documents: Vec<Migrated>,
    /// What a person should look at, one line each.
    pub notes: Vec<String>,
}

/// Puts `documents` (texts by path: `offhook.toml`, `models.toml`, `agents/a.toml`, …) into today's form: deployments say their
/// channel and title, and agents name secrets that `offhook.toml` declares, each with the hosts that get it now. Documents that
/// are in it already are left as they are, and so are those that are no TOML.
pub fn migrate(documents: &BTreeMap<String, String>) -> Migration {
    let mut migration = Migration::default();
    let server = documents.get("offhook.toml").map(String::as_str).unwrap_or_default();
    let mut declared = Declared::of(server);
    let mut edits: BTreeMap<&str, Vec<Edit>> = BTreeMap::new();
    for (path, source) in documents {
        let (folder, file) = path.split_once('/').unwrap_or_default();
        if !["agents", "deployments"].contains(&folder) {
            continue;
        }
        let Ok(tree) = DeTable::parse(source) else {
            migration.notes.push(format!("{path} is no TOML and is left as it is"));
            continue;
        };
        let found = match folder {
            "deployments" => channel(source, tree.get_ref(), file.trim_end_matches(".toml")),
            _ => agent(path, tree.get_ref(), &mut declared, &mut migration.notes),
        };
        edits.insert(path, found);
    }
    if !declared.is_settled() {
        edits.insert("offhook.toml", declared.edits(server));
    }
    for (path, edits) in edits.into_iter().filter(|(_, edits)| !edits.is_empty()) {
        let source = documents.get(path).map(String::as_str).unwrap_or_default();
        let text = apply(source, &edits);
        let changes = changes(source, &text);
        migration.documents.push(Migrated { path: path.to_owned(), text, changes });
    }
    migration
}

/// A piece of a text, and what it becomes.
#[derive(Clone, Debug)]
struct Edit {
    at: Range<usize>,
    with: String,
}

/// Says the channel of a deployment that names none, and its title.
fn channel(source: &str, tree: &DeTable<'_>, name: &str) -> Vec<Edit> {
    let key = |key: &str| tree.iter().find(|(known, _)| known.get_ref() == key);
    let (has_channel, has_title) = (key("channel").is_some(), key("title").is_some());
    // Behind what every deployment from before has, so that the comment above each stays with it.
    let Some((_, value)) = key("number").or_else(|| key("agent")).filter(|_| !has_channel) else { return Vec::new() };
    let end = value.span().end;
    let at = source[end..].find('\n').map_or(source.len(), |i| end + i);
    let at = if source[..at].ends_with('\r') { at - 1 } else { at };
    let line_end = line_end(source);
    let mut with = format!("{line_end}channel = \"phone\"");
    if !has_title {
        with += &format!("{line_end}title = {name:?}");
    }
    vec![Edit { at: at..at, with }]
}

/// Names the secrets of an agent's requests.
fn agent(path: &str, tree: &DeTable<'_>, declared: &mut Declared, notes: &mut Vec<String>) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut ask = |value: &Spanned<DeValue<'_>>, hosts: &[String]| {
        let Some((at, kept)) = kept(value) else { return };
        if hosts.is_empty() {
            notes.push(format!("{path}: {} stays as it is: it is not known which hosts get it", place_of(&kept)));
            return;
        }
        let name = declared.name(path, &kept, hosts);
        edits.push(Edit { at, with: format!("secret = {name:?}") });
    };
    let mut request = |table: Option<&DeTable<'_>>| {
        let Some(table) = table else { return };
        let hosts = hosts_of(table);
        for (_, value) in get(table, "headers").and_then(|v| v.as_table()).into_iter().flatten() {
            ask(value, &hosts);
        }
    };
    for tool in list(tree, "tool") {
        request(get(tool, "http").and_then(|v| v.as_table()));
    }
    for key in ["fetch", "push"] {
        request(get(tree, key).and_then(|v| v.as_table()));
    }
    for server in list(tree, "mcp") {
        let authorization = server.iter().find(|(key, _)| key.get_ref() == "authorization");
        if let Some((_, value)) = authorization {
            ask(value, &hosts_of(server));
        }
    }
    edits
}

/// Where `{ env = … }` or `{ file = … }` says where a secret is kept, and what it says.
fn kept(value: &Spanned<DeValue<'_>>) -> Option<(Range<usize>, Kept)> {
    let table = value.get_ref().as_table()?;
    let mut found = table.iter().filter_map(|(key, value)| {
        let text = value.get_ref().as_str()?.to_owned();
        let kept = match key.get_ref().as_ref() {
            // What is no name may be the secret itself: `offhook check` says so.
            "env" if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => Kept::Env(text),
            "file" if typed::secret_in("file", &text).is_none() => Kept::File(text),
            _ => return None,
        };
        Some((key.span().start..value.span().end, kept))
    });
    let one = found.next()?;
    found.next().is_none().then_some(one)
}

/// Every host that a request goes to: that of its URL, or those that it lists.
fn hosts_of(table: &DeTable<'_>) -> Vec<String> {
    let url = get(table, "url").and_then(|url| url.as_str()).unwrap_or_default();
    let rest = url.split_once("://").map(|(_, rest)| rest).unwrap_or_default();
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains("{{") {
        let items = get(table, "hosts").and_then(|hosts| hosts.as_array());
        let hosts = items.into_iter().flat_map(|items| items.iter());
        return hosts.filter_map(|host| host.get_ref().as_str().map(str::to_owned)).collect();
    }
    let url = Url::parse(&format!("https://{authority}/")).ok();
    url.and_then(|url| url.host_str().map(str::to_owned)).into_iter().collect()
}

/// `[secrets]` as it is, and as it is to be.
#[derive(Debug, Default)]
struct Declared {
    secrets: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    kept: Kept,
    hosts: Vec<String>,
    /// How many of the hosts are said already, and where more can be said; `None`: the secret is new.
    said: Option<(usize, usize)>,
    /// The document that needs it first.
    by: String,
}

impl Declared {
    fn of(server: &str) -> Declared {
        let mut declared = Declared::default();
        let Ok(tree) = DeTable::parse(server) else { return declared };
        for (name, value) in get(tree.get_ref(), "secrets").and_then(|v| v.as_table()).into_iter().flatten() {
            let Some(table) = value.get_ref().as_table() else { continue };
            let kept = table.iter().find(|(key, _)| key.get_ref() == "value").and_then(|(_, value)| self::kept(value));
            let hosts = table.iter().find(|(key, _)| key.get_ref() == "hosts").map(|(_, value)| value);
            let items = hosts.and_then(|hosts| hosts.get_ref().as_array());
            let (Some((_, kept)), Some(items)) = (kept, items) else { continue };
            let end =
                items.iter().last().map_or(hosts.map_or(0, |hosts| hosts.span().start + 1), |item| item.span().end);
            let hosts: Vec<String> =
                items.iter().filter_map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
            let said = Some((hosts.len(), end));
            declared.secrets.push(Entry { name: name.get_ref().to_string(), kept, hosts, said, by: String::new() });
        }
        declared
    }

    /// The name of the secret that is kept there, which goes to `hosts` too from now on.
    fn name(&mut self, by: &str, kept: &Kept, hosts: &[String]) -> String {
        if !self.secrets.iter().any(|entry| entry.kept == *kept) {
            let name = self.free_name(kept);
            let (kept, by) = (kept.clone(), by.to_owned());
            self.secrets.push(Entry { name, kept, hosts: Vec::new(), said: None, by });
        }
        let Some(entry) = self.secrets.iter_mut().find(|entry| entry.kept == *kept) else { return String::new() };
        for host in hosts {
            if !entry.hosts.contains(host) {
                entry.hosts.push(host.clone());
            }
        }
        entry.name.clone()
    }

    fn free_name(&self, kept: &Kept) -> String {
        let text = match kept {
            Kept::Env(name) | Kept::Named(name) => name.clone(),
            Kept::File(path) => {
                let file = path.rsplit('/').next().unwrap_or_default();
                file.split('.').find(|part| !part.is_empty()).unwrap_or_default().to_ascii_uppercase()
            }
        };
        let plain = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' });
        let mut name: String = plain.take(MAX_NAME).collect();
        if name.is_empty() {
            "SECRET".clone_into(&mut name);
        }
        let taken = |name: &str| self.secrets.iter().any(|entry| entry.name == name);
        let numbered = (2..).map(|n| format!("{name}_{n}"));
        std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
    }

    fn is_settled(&self) -> bool {
        self.secrets.iter().all(|entry| entry.said.is_some_and(|(said, _)| said == entry.hosts.len()))
    }

    fn edits(&self, server: &str) -> Vec<Edit> {
        let line_end = line_end(server);
        let quoted = |hosts: &[String]| hosts.iter().map(|host| format!("{host:?}")).collect::<Vec<_>>().join(", ");
        let mut edits = Vec::new();
        let mut added = String::new();
        for entry in &self.secrets {
            match entry.said {
                Some((said, at)) if said < entry.hosts.len() => {
                    let comma = if said > 0 { ", " } else { "" };
                    edits.push(Edit { at: at..at, with: format!("{comma}{}", quoted(&entry.hosts[said..])) });
                }
                Some(_) => {}
                None => {
                    let value = place_of(&entry.kept);
                    let lines = [
                        String::new(),
                        format!("# First named by {}.", entry.by),
                        format!("[secrets.{}]", entry.name),
                        format!("value = {value}"),
                        format!("hosts = [{}]", quoted(&entry.hosts)),
                        String::new(),
                    ];
                    added += &lines.join(line_end);
                }
            }
        }
        if !added.is_empty() {
            let before = if server.is_empty() || server.ends_with('\n') { "" } else { line_end };
            edits.push(Edit { at: server.len()..server.len(), with: format!("{before}{added}") });
        }
        edits
    }
}

/// As documents write it.
fn place_of(kept: &Kept) -> String {
    match kept {
        Kept::Env(name) => format!("{{ env = {name:?} }}"),
        Kept::File(path) => format!("{{ file = {path:?} }}"),
        Kept::Named(name) => format!("{{ secret = {name:?} }}"),
    }
}

fn get<'d, 'i>(table: &'d DeTable<'i>, key: &str) -> Option<&'d DeValue<'i>> {
    table.iter().find(|(known, _)| known.get_ref() == key).map(|(_, value)| value.get_ref())
}

fn list<'d, 'i>(table: &'d DeTable<'i>, key: &str) -> impl Iterator<Item = &'d DeTable<'i>> {
    let items = get(table, key).and_then(|items| items.as_array());
    items.into_iter().flat_map(|items| items.iter()).filter_map(|item| item.get_ref().as_table())
}

fn line_end(source: &str) -> &'static str {
    if source.contains("\r\n") { "\r\n" } else { "\n" }
}

fn apply(source: &str, edits: &[Edit]) -> String {
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| edit.at.start);
    let mut text = source.to_owned();
    for edit in edits.into_iter().rev() {
        text.replace_range(edit.at.clone(), &edit.with);
    }
    text
}

/// Lines that are otherwise. All edits keep lines or add some, so that the old ones are met again in order.
fn changes(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut changes = Vec::new();
    let mut i = 0;
    for (j, line) in new.iter().enumerate() {
        let left = (old.len() - i, new.len() - j);
        match old.get(i) {
            Some(before) if before == line => i += 1,
            // As many are left: the line was changed. Fewer: it is new.
            Some(before) if left.0 == left.1 || !new[j..].contains(before) => {
                changes.push(format!("{:>5} - {}", i + 1, before.trim_end()));
                changes.push(format!("{:>5} + {}", j + 1, line.trim_end()));
                i += 1;
            }
            _ => changes.push(format!("{:>5} + {}", j + 1, line.trim_end())),
        }
    }
    changes
}

/// Longest name that leaves room for a number.
const MAX_NAME: usize = 60;
