//! Secrets that agents' documents name: who may be sent them, and where they are put.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::problem::{Place, Problem, nearest};
use super::reader::{Kept, Table};
use super::types::{AfterCall, Fetch, HeaderText, HttpRequest, HttpTool, McpServer, NamedSecret, Secret, SecretBook};
use super::values::{self, SecretRef};
use super::world::World;

/// Reads `[secrets]`: one table each.
pub(super) fn read(mut table: Table<'_, '_>, world: &dyn World) -> BTreeMap<String, NamedSecret> {
    let mut named = BTreeMap::new();
    for (name, field) in table.rest() {
        let place = field.key_place();
        if !super::is_name(name) {
            field.note(Problem::error(&place, "is not a name").allowed(super::NAME_SHAPE));
        }
        if named.len() >= MAX_SECRETS {
            field.note(Problem::error(&place, "is one secret too many").allowed(format!("at most {MAX_SECRETS}")));
            break;
        }
        let Some(mut table) = field.table() else { continue };
        let value = table.need("value", "where it is kept, { env = \"NAME\" } or { file = \"path\" }");
        let value = value.and_then(SecretRef::read).map(|kept| kept.resolve(world));
        let hosts = table.need("hosts", "the hosts that may be sent it, such as [\"api.example.com\"]");
        let hosts = hosts.and_then(|field| {
            let hosts: Vec<String> = values::hosts(&field).into_iter().map(|(host, _)| host).collect();
            if field.is_empty_list() {
                field.wrong_allowed("names no host that may be sent it", values::HOSTS);
            }
            (!hosts.is_empty()).then_some(hosts)
        });
        table.finish();
        if let (Some(value), Some(hosts)) = (value, hosts) {
            named.insert(name.to_owned(), NamedSecret { value, hosts });
        }
    }
    named
}

/// The secrets of one agent's document.
#[derive(Debug, Default)]
pub(super) struct Uses {
    named: Vec<Use>,
    /// Asked of the server's own environment and files.
    direct: Vec<Direct>,
}

/// A secret that is named by its place.
#[derive(Debug)]
struct Direct {
    kept: Kept,
    place: Place,
    /// Every host that is sent it, once that is known.
    hosts: Vec<String>,
}

/// A named secret in one place.
#[derive(Debug)]
struct Use {
    at: At,
    /// The header; empty for a server of tools.
    header: String,
    prefix: Option<String>,
    name: String,
    place: Place,
    /// Every host that is sent it: names, or `*.` and a domain.
    hosts: Vec<String>,
}

/// Which request sends a secret.
#[derive(Debug, PartialEq)]
pub(super) enum At {
    /// It is being read.
    Pending,
    /// Of a request that is wrong.
    Nowhere,
    Tool(String),
    Fetch,
    Push,
    Mcp(String),
}

impl Uses {
    /// Notes that `header` of the request that is being read is the secret `name`.
    pub(super) fn note(&mut self, header: &str, prefix: Option<&str>, name: &str, place: Place) {
        let (header, prefix) = (header.to_owned(), prefix.map(str::to_owned));
        self.named.push(Use { at: At::Pending, header, prefix, name: name.to_owned(), place, hosts: Vec::new() });
    }

    /// Notes a secret that is not named.
    pub(super) fn note_direct(&mut self, kept: Kept, place: Place) {
        self.direct.push(Direct { kept, place, hosts: Vec::new() });
    }

    /// Says which hosts the request asks that is being read.
    pub(super) fn hosts(&mut self, hosts: &[String]) {
        for pending in self.named.iter_mut().filter(|pending| pending.at == At::Pending) {
            pending.hosts = hosts.to_vec();
        }
        for pending in self.direct.iter_mut().filter(|pending| pending.hosts.is_empty()) {
            pending.hosts = hosts.to_vec();
        }
    }

    /// Says which request was read.
    pub(super) fn settle(&mut self, at: impl Fn() -> At) {
        for pending in self.named.iter_mut().filter(|pending| pending.at == At::Pending) {
            pending.at = at();
        }
    }

    /// What is wrong with them, whoever is met: names that are not declared, hosts that may not have them, and secrets that
    /// are the server's own. `models`: where those are kept that `models.toml` names.
    pub(super) fn check(&self, book: &SecretBook, models: &BTreeSet<Kept>, world: &dyn World) -> Vec<Problem> {
        let mut problems = Vec::new();
        for used in &self.named {
            let Some(declared) = book.named.get(&used.name) else {
                let known = || book.named.keys().map(String::as_str);
                let message = match nearest(&used.name, known()) {
                    Some(meant) => format!("there is no secret {:?}; did you mean {meant:?}?", used.name),
                    None => format!("there is no secret {:?}", used.name),
                };
                let names: Vec<&str> = known().take(MAX_LISTED).collect();
                let none = || "none: offhook.toml has no [secrets]".to_owned();
                let allowed = if names.is_empty() { none() } else { names.join(", ") };
                problems.push(Problem::error(&used.place, message).allowed(allowed));
                continue;
            };
            for host in used.hosts.iter().filter(|host| !declared.may_go_to(host)) {
                let message = format!("the secret {:?} may not be sent to {host}", used.name);
                let allowed = format!("{}, as [secrets.{}] of offhook.toml says", declared.hosts.join(", "), used.name);
                problems.push(Problem::error(&used.place, message).allowed(allowed));
            }
        }
        let own: BTreeSet<Kept> = book.own.iter().chain(models).map(|kept| plain(kept, world)).collect();
        for Direct { kept, place, .. } in &self.direct {
            let of_server = own.contains(&plain(kept, world))
                || matches!(kept, Kept::Env(name) if PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy)));
            if of_server {
                problems.push(Problem::error(place, "is a secret of the server itself").allowed(NAMED));
            } else if !book.named.is_empty() {
                let message = "is not among the secrets that offhook.toml declares for agents";
                problems.push(Problem::error(place, message).allowed(NAMED));
            }
        }
        problems
    }

    /// Those that are kept in the server's own environment and files, each as a problem, but for those that were sent to the same
    /// hosts `before`: whoever writes documents from afar could have anything sent anywhere.
    pub(super) fn direct_but(&self, before: Option<&Uses>) -> Vec<Problem> {
        let before = before.map(|uses| uses.direct.as_slice()).unwrap_or_default();
        let goes = |to: &Direct, kept: &Kept, host: &String| to.kept == *kept && to.hosts.contains(host);
        let is_known = |new: &&Direct| {
            let all = |host: &String| before.iter().any(|old| goes(old, &new.kept, host));
            !new.hosts.is_empty() && new.hosts.iter().all(all)
        };
        let new = self.direct.iter().filter(|new| !is_known(new));
        new.map(|new| Problem::error(&new.place, "is a secret of the server itself").allowed(NAMED)).collect()
    }

    /// What is wrong with the secrets that are named, which matters when the agent is met anywhere.
    pub(super) fn missing(&self, book: &SecretBook) -> Vec<Problem> {
        let declared = self.named.iter().filter_map(|used| book.named.get(&used.name));
        declared.filter_map(|secret| secret.value.as_ref().err()).map(|problem| (**problem).clone()).collect()
    }

    /// `tools` with their secrets.
    pub(super) fn tools(
        &self,
        tools: &BTreeMap<String, Arc<HttpTool>>,
        book: &SecretBook,
    ) -> BTreeMap<String, Arc<HttpTool>> {
        let mut tools = tools.clone();
        for used in &self.named {
            if let At::Tool(name) = &used.at
                && let Some(tool) = tools.get_mut(name)
            {
                used.put(&mut Arc::make_mut(tool).request, book);
            }
        }
        tools
    }

    /// `fetch` with its secrets.
    pub(super) fn fetch(&self, fetch: Option<&Arc<Fetch>>, book: &SecretBook) -> Option<Arc<Fetch>> {
        let mut fetch = fetch.cloned();
        for used in self.named.iter().filter(|used| used.at == At::Fetch) {
            if let Some(fetch) = &mut fetch {
                used.put(&mut Arc::make_mut(fetch).request, book);
            }
        }
        fetch
    }

    /// Puts the push's secrets in.
    pub(super) fn push(&self, after: &mut AfterCall, book: &SecretBook) {
        for used in self.named.iter().filter(|used| used.at == At::Push) {
            if let Some(push) = &mut after.push {
                used.put(&mut push.request, book);
            }
        }
    }

    /// `servers` with their secrets.
    pub(super) fn mcp(&self, servers: &[McpServer], book: &SecretBook) -> Vec<McpServer> {
        let mut servers = servers.to_vec();
        for used in &self.named {
            if let At::Mcp(label) = &used.at
                && let Some(server) = servers.iter_mut().find(|server| server.label == *label)
            {
                server.authorization = used.secret(book);
            }
        }
        servers
    }
}

impl Use {
    fn secret(&self, book: &SecretBook) -> Option<Secret> {
        let declared = book.named.get(&self.name)?;
        // Checked when documents are; here once more, since a secret that is out is out.
        if !self.hosts.iter().all(|host| declared.may_go_to(host)) {
            return None;
        }
        let secret = declared.value.as_ref().ok()?;
        Some(match &self.prefix {
            Some(prefix) => Secret::new(format!("{prefix}{}", secret.expose())),
            None => secret.clone(),
        })
    }

    fn put(&self, request: &mut HttpRequest, book: &SecretBook) {
        let Some(secret) = self.secret(book) else { return };
        for (name, text) in &mut request.headers {
            if *name == self.header {
                *text = HeaderText::Secret(secret.clone());
            }
        }
    }
}

/// Says that the secret at `place` would be better named.
pub(super) fn doubt(place: &Place, kept: &Kept) -> Problem {
    let (name, value) = match kept {
        Kept::Env(name) => (name.clone(), format!("{{ env = {name:?} }}")),
        Kept::File(path) => ("NAME".to_owned(), format!("{{ file = {path:?} }}")),
        Kept::Named(name) => (name.clone(), String::new()),
    };
    let message = "an agent that reads the server's environment and files can send any of them away";
    let allowed = format!(
        "{{ secret = {name:?} }}, with [secrets.{name}] in offhook.toml: value = {value}, hosts = [\"…\"]; \
         `offhook migrate` writes it"
    );
    Problem::warning(place, message).allowed(allowed)
}

/// Where a secret is kept, in one way of writing it.
fn plain(kept: &Kept, world: &dyn World) -> Kept {
    let Kept::File(path) = kept else { return kept.clone() };
    let mut plain = PathBuf::new();
    for part in Path::new(&world.locate(path)).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    Kept::File(plain.display().to_string())
}

/// How an agent's document has a secret.
const NAMED: &str =
    "{ secret = \"NAME\" }, with [secrets.NAME] in offhook.toml: value = { env = \"…\" }, hosts = [\"…\"]";
/// Read by the server though no document names them, with passwords in them.
const PROXIES: [&str; 3] = ["http_proxy", "https_proxy", "all_proxy"];
const MAX_SECRETS: usize = 500;
/// Names in one message.
const MAX_LISTED: usize = 20;
