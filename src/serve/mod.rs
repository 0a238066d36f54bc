//! The shell: the only tokio, clock and sockets of the call path. It decides nothing about a call.
//!
//! ```text
//!     carrier             operators                                                    files   other servers
//!        │                    │                                                          ▲          ▲
//!      doors ─────► http ◄────┘                                                          │          │
//!        │            │                                                                  │          │
//!     ways_in        api ──► dial ─────┐     a webhook admits a call and starts its task │          │
//!        │  │                          ▼                                                 │          │
//!        │  └─ commands ──────────► task ──► call, the loop around a CallEngine ──► keeper, tools, after
//!        │                                    │                  │
//!        └─ a claim: a socket whose ───────► lines             models ──► the model
//!           token fits                        │
//!                                          registry: which calls there are, whose tokens are good
//! ```
//!
//! Each part uses those below it, never those above: the order is in `src/rooms.rs`, held by a test.
//!
//! - [`doors`] bounds who is connected, [`http`] has the routes. [`ways_in`] is how each kind of line comes in, [`api`] the
//!   operators' way; [`dial`] places calls.
//! - [`task`] runs a call and keeps its report, [`call`] is its loop. It knows a line and a model, and neither's makers:
//!   [`lines`] and [`models`] have a folder for each kind, on sockets that [`leg`] and [`outlet`] bound.
//! - [`registry`] knows calls, claims and commands, [`former`] what former servers have had to do with, [`about`] what is
//!   known of a call before it begins, [`budget`] what it may cost.
//! - [`tools`] asks other servers: by [`request`], as far as [`reach`] lets it; all that goes out goes by [`outgoing`].
//! - [`chat_model`] asks text models on behalf of conversations.
//! - [`knowledge`] reads what agents know, each document in a process of its own, and looks things up in it.
//! - [`after`] finds out about calls that are over, from the models of [`text`]; [`pictures`] are drawn of them.
//! - [`keeper`] writes files on threads of its own, [`late`] those for which there was no room; the [`store`] and the sender of
//!   [`webhooks`] run beside all calls. [`metrics`] counts, [`pressure`] tells
//!   when there is too much to do, [`shutdown`] ends it all politely.
//! - [`numbers`] buys, assigns and gives back phone numbers, and holds the carrier's list of them against ours.
//! - [`revise`] keeps what came into force as revisions, [`from_store`] takes documents from there where they are the store's,
//!   [`edit`] changes them, whoever has them, but for those that [`locks`] knows to be locked.
//! - [`orders`] brings what is asked of a call to the server that has it.
//! - [`shared`] is what all of them have at hand in one server; [`observer`] is told what happens.
//!
//! A [`Server`] keeps no state in the process beside the choice of cryptography, so several run side by side.

mod about;
mod after;
mod api;
mod budget;
mod call;
pub mod chat_model;
pub mod client;
mod dial;
mod doors;
mod edit;
pub mod feed;
mod force;
mod former;
mod from_store;
mod handle;
mod http;
mod keeper;
pub mod knowledge;
mod late;
mod leg;
mod limits;
mod lines;
mod locks;
mod metrics;
mod models;
pub mod numbers;
mod observer;
mod orders;
mod outgoing;
mod outlet;
mod pictures;
mod pressure;
mod public;
mod reach;
pub mod recording;
mod registry;
mod request;
mod revise;
mod seldom;
mod shared;
pub mod shutdown;
mod task;
mod text;
mod tls;
mod tools;
mod wall;
mod ways_in;
pub mod webhooks;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use ring::rand::SystemRandom;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::config::{By, Config, DocId, DocState, Edit, EditError, Edited, KeepDays, Revision, Source};
use crate::engine::Control;
use crate::serve::webhooks::Sender;
use crate::store::{self, Locked, Store, StoreError, StoreOptions};

pub(crate) use crate::base::time::date::rfc3339;
pub use about::About;
pub use doors::Peer;
pub use handle::{CallRefused, Handle, Placing, Web};
pub use limits::raise_file_limit;
pub use observer::Observer;
pub use orders::{Ended, Order};
pub(crate) use public::bearer;
pub(crate) use tls::http_client;

use after::AfterCalls;
use doors::Doors;
use keeper::Keeper;
use late::Late;
use lines::Registry;
use lines::twilio::documents::Documents;
use metrics::Metrics;
use outgoing::Outgoing;
use pictures::Pictures;
use pressure::Pressure;
use reach::Reach;
use registry::Command;
use revise::Reviser;
use seldom::Seldom;
use shared::Shared;

/// What a server is started with.
pub struct ServeOptions {
    /// The configuration; a change of its files applies to calls from then on.
    pub source: Source,
    /// Listen here instead of where the configuration says. Port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// Keep calls here instead of where the configuration says.
    pub data: Option<PathBuf>,
    /// Told of what happens in calls.
    pub observer: Option<Arc<dyn Observer>>,
    /// Routes beside the server's own.
    pub web: Option<Web>,
}

/// Why a server could not start.
#[derive(Debug)]
pub enum ServeError {
    /// The address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// Certificate or key are not usable; names the files.
    Tls(String),
    /// Another server has the data directory, or a newer one wrote what is in it.
    Store(StoreError),
    /// The system gives no threads or sockets, or the program is not whole.
    System(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Listen(addr, error) => {
                write!(f, "cannot listen on {addr} (`listen`, `listen_admin` in offhook.toml, or --listen): {error}")
            }
            ServeError::Tls(why) => write!(f, "{why} (`tls` in offhook.toml)"),
            ServeError::Store(error) => error.fmt(f),
            ServeError::System(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ServeError {}

/// Starts servers.
#[derive(Debug)]
pub struct Server;

/// Media sockets without a token at once. Calls need theirs for an instant; the rest is strangers.
const MAX_UNCLAIMED: usize = 256;
/// Time for a request's head, and for an idle connection to send the next.
const HEAD: Duration = Duration::from_secs(15);
/// Bytes of a request's head; hyper needs at least 8 KiB.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often certificates are looked at, and what others go by in the configuration is told to them.
const LOOK: Duration = Duration::from_secs(1);
/// The shortest and the longest pause between two looks at the configuration's files.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];
/// Pauses are so many times as long as the look before: thousands of documents on a slow disk take a fiftieth of a core.
const PAUSE: u32 = 50;

impl Server {
    /// Listens, and answers calls until [`Running::shutdown`].
    ///
    /// # Errors
    /// The address is taken, or the certificate files are not usable.
    pub async fn start(options: ServeOptions) -> Result<Running, ServeError> {
        tls::install_crypto();
        let config = options.source.current();
        let (listener, addr) = listen(options.listen.unwrap_or(config.server.listen))?;
        let people = config.server.listen_admin.map(listen).transpose()?;
        let admin_addr = people.as_ref().map(|(_, addr)| *addr);
        // Now, lest the first caller wait for it.
        crate::ears::vad::silero::load().map_err(|error| ServeError::System(error.to_string()))?;
        let mut certificates = match &config.server.tls {
            Some(files) => Some(tls::Certificates::load(files.clone()).await.map_err(ServeError::Tls)?),
            None => None,
        };
        let data = options.data.unwrap_or_else(|| config.server.data_dir.clone());
        if let Err(error) = try_writing(&data.join("calls")) {
            // Answering matters more than keeping, so it is no reason not to start; each call says so again.
            tracing::error!(dir = %data.display(), %error, "calls cannot be kept here (`data_dir` in offhook.toml, or --data): they leave no report");
        }
        let metrics = Arc::new(Metrics::default());
        let options_of_store = StoreOptions {
            data: data.clone(),
            url: config.server.store.url.clone(),
            address: config.server.public_url.clone().unwrap_or_else(|| addr.to_string()),
            lease: Duration::from_secs(config.server.store.lease_s),
        };
        let store = Store::start(options_of_store, settings(&config), Arc::clone(&metrics.store)).await;
        let store = store.map_err(ServeError::Store)?;
        let registry = Arc::new(Registry::new());
        let former = former::remember(&store, &registry).await;
        let no_client = |error: reqwest::Error| ServeError::System(format!("no HTTP client: {error}"));
        let no_threads = |error: io::Error| ServeError::System(format!("no threads for files: {error}"));
        let late = Arc::new(Late::start(Arc::clone(&metrics)).map_err(no_threads)?);
        let after = Arc::new(AfterCalls::new(data.clone(), Arc::clone(&metrics), Arc::clone(&late)));
        let (told, waiting) = (store.clone(), Arc::clone(&after));
        let written = move || {
            told.look_again();
            waiting.ready();
        };
        let keeper = Keeper::start(Arc::clone(&metrics), Arc::clone(&late), written).map_err(no_threads)?;
        let outgoing = Outgoing::new(config.server.outgoing.clone());
        let by = outgoing.clone();
        let by_proxy = move |url: &reqwest::Url| by.is_by_proxy(url);
        let way = |client| outgoing.apply(client);
        let sender = Sender::start(store.clone(), Arc::clone(&metrics.webhooks), way, by_proxy).map_err(no_client)?;
        let shared = Arc::new(Shared {
            source: options.source,
            after,
            data,
            observer: options.observer,
            registry,
            keeper,
            late,
            dials: dial::Book::default(),
            ledger: dial::Ledger::new(store.clone()),
            api_rate: api::Rate::default(),
            locks: locks::Locks::default(),
            store,
            reviser: Reviser::new(),
            stored: Default::default(),
            sender,
            feed: Arc::default(),
            documents: Documents::new(Arc::clone(&metrics)),
            numbers: Arc::default(),
            client: outgoing.client().build().map_err(no_client)?,
            reach: Reach::new().map_err(no_client)?,
            known: Default::default(),
            model_way: models::Way::new(outgoing.clone()),
            outgoing,
            random: SystemRandom::new(),
            unclaimed: Arc::new(Semaphore::new(MAX_UNCLAIMED)),
            strangers: Seldom::default(),
            pressure: Pressure::default(),
            crowded: Seldom::default(),
            metrics,
        });
        locks::begin(&shared).await;
        from_store::begin(&shared).await;
        let from_store = tokio::spawn(from_store::go_on(Arc::clone(&shared)));
        let locks = tokio::spawn(locks::go_on(Arc::clone(&shared)));
        let orders = tokio::spawn(orders::work(Arc::clone(&shared)));
        let doors = Doors::new(Arc::clone(&shared.metrics));
        bound(&doors, &config);
        let web = options.web.map(|web| web(Handle::new(&shared)));
        let faces = http::faces(&shared, web, people.is_some());
        let tls = certificates.as_ref().map(tls::Certificates::config);
        let mut fronts = vec![Front::open(listener, addr, faces.public, &doors, tls.clone())?];
        if let (Some((listener, addr)), Some(routes)) = (people, faces.people) {
            fronts.push(Front::open(listener, addr, routes, &doors, tls)?);
        }
        let watched = Arc::clone(&shared);
        let watch = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let config = watched.source.current();
                watched.store.set(settings(&config));
                bound(&doors, &config);
                if let Some(certificates) = &mut certificates {
                    match certificates.refresh().await {
                        None => {}
                        Some(Ok(())) => tracing::info!("TLS certificate read again"),
                        Some(Err(error)) => tracing::error!(error, "the former TLS certificate stays in force"),
                    }
                }
            }
        });
        let kept = Arc::clone(&shared);
        let documents = tokio::spawn(async move {
            // From here on the data directory is ours.
            if tokio::task::spawn_blocking({
                let kept = Arc::clone(&kept);
                move || kept.source.keep_last_good()
            })
            .await
            .is_ok()
            {
                follow(kept).await;
            }
        });
        let revised = Arc::clone(&shared);
        let revise = tokio::spawn(async move { revised.reviser.work(&revised.source, &revised.store).await });
        let scheme = if config.server.tls.is_some() { "https" } else { "http" };
        // Set once: nobody else starts this server.
        let _ = shared.numbers.own.set(format!("{scheme}://{addr}"));
        let bought = Arc::clone(&shared);
        let numbers = tokio::spawn(async move { numbers::worker::work(bought).await });
        let after = Arc::clone(&shared);
        let after = tokio::spawn(async move { after::work(after).await });
        let (pictures, draw) = Pictures::start(Arc::clone(&shared));
        let learnt = Arc::clone(&shared);
        let learn = tokio::spawn(async move { knowledge::work(learnt).await });
        let unwanted = Arc::clone(&shared);
        let unwanted = tokio::spawn(async move { dial::unseen::go_on(&unwanted).await });
        let looked = Arc::clone(&shared);
        let look = tokio::spawn(async move { looked.pressure.watch().await });
        Ok(Running {
            addr,
            admin_addr,
            shared,
            fronts,
            tasks: vec![
                watch, documents, from_store, locks, orders, revise, look, after, draw, learn, former, unwanted,
                numbers,
            ],
            pictures,
            hurried: watch::Sender::new(false),
        })
    }
}

/// Who comes in by one address.
struct Front {
    handle: axum_server::Handle<SocketAddr>,
    task: JoinHandle<()>,
}

impl Front {
    fn open(
        listener: TcpListener,
        addr: SocketAddr,
        routes: Router,
        doors: &Arc<Doors>,
        tls: Option<RustlsConfig>,
    ) -> Result<Front, ServeError> {
        let handle = axum_server::Handle::new();
        let server = axum_server::from_tcp(listener).map_err(|error| ServeError::Listen(addr, error))?;
        let mut server = server.handle(handle.clone());
        *server.http_builder() = builder();
        let (outer, app) = (doors::Outer(Arc::clone(doors)), routes.into_make_service());
        let server = match tls {
            None => tokio::spawn(server.acceptor(outer).serve(app)),
            Some(tls) => {
                let tls = RustlsAcceptor::new(tls).handshake_timeout(HANDSHAKE).acceptor(outer);
                tokio::spawn(server.acceptor(doors::Inner(tls)).serve(app))
            }
        };
        Ok(Front { handle, task: watch_server(server) })
    }
}

fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let refused = |error: io::Error| ServeError::Listen(addr, error);
    let listener = TcpListener::bind(addr).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    let addr = listener.local_addr().map_err(refused)?;
    Ok((listener, addr))
}

/// A server that answers calls.
pub struct Running {
    addr: SocketAddr,
    admin_addr: Option<SocketAddr>,
    shared: Arc<Shared>,
    fronts: Vec<Front>,
    tasks: Vec<JoinHandle<()>>,
    pictures: Pictures,
    hurried: watch::Sender<bool>,
}

/// How long audio takes through the server, as upper bounds in microseconds; `None`: nothing was measured, or it is
/// beyond the last bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegLatency {
    /// Half of all messages took at most this long.
    pub p50_us: Option<u64>,
    /// 99 of 100 messages took at most this long.
    pub p99_us: Option<u64>,
}

impl Running {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens for API, console and operations, if they have an address of their own.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.shared.source.current()
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Ids of the calls that are up, in order of their beginning.
    pub fn calls(&self) -> Vec<String> {
        self.shared.registry.calls()
    }

    /// Asks something of a running call. `false`: there is no such call, or it has too much to do.
    pub fn control(&self, call: &str, control: Control) -> bool {
        self.shared.registry.command(call, Command::Control(control))
    }

    /// As the web side sees it.
    pub fn handle(&self) -> Handle {
        Handle::new(&self.shared)
    }

    /// The page of `/metrics`.
    pub fn metrics(&self) -> String {
        self.shared.metrics.render(&self.shared.pressure)
    }

    /// Caller to model and model to caller: read from one socket until written to the other.
    pub fn legs(&self) -> [LegLatency; 2] {
        [&self.shared.metrics.caller_to_model, &self.shared.metrics.model_to_caller]
            .map(|leg| LegLatency { p50_us: leg.quantile_us(0.5), p99_us: leg.quantile_us(0.99) })
    }

    /// Looks at the configuration's files now, and not only within the next two seconds.
    pub async fn look(&self) {
        self.shared.look().await;
    }

    /// How it is with each document.
    pub fn documents(&self) -> Vec<DocState> {
        self.shared.source.documents()
    }

    /// A document as it is written, with the revision to name in an [edit](Self::edit). Blocks for a moment.
    pub fn document(&self, doc: &DocId) -> Option<(Arc<str>, Revision)> {
        self.shared.source.written(doc)
    }

    /// Changes documents, whoever has them, and applies the change to calls from now on: all of `edits` or none. Each is
    /// held against its language, all that it names and the house's rules, as its file would be. `who` is who asks, `by` the
    /// way; both are kept with the revision. `dry_run`: says what would be, and changes nothing.
    ///
    /// A file is written with its comments kept. What is in the store becomes a revision there, upon everything as it is at
    /// that moment; other servers apply it by the store's notice. One that a running campaign uses is not changed.
    ///
    /// # Errors
    /// See [`EditError`]. Nothing was changed then; but with [`EditError::Unavailable`] that is not sure.
    pub async fn edit(&self, edits: Vec<Edit>, who: &str, by: By, dry_run: bool) -> Result<Edited, EditError> {
        edit::edit(&self.shared, edits, who, by, Locked::Refused, dry_run).await
    }

    /// Takes no new calls; `/readyz` says so. Running calls go on.
    pub fn drain(&self) {
        self.shared.registry.drain();
    }

    /// Makes a [`shutdown`](Self::shutdown) end the calls at once.
    pub fn hurry(&self) {
        self.hurried.send_replace(true);
    }

    /// Drains, gives running calls their time, ends them politely, then at once, and stops listening. Returns when all
    /// reports are written.
    pub async fn shutdown(&self) {
        shutdown::run(self).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for front in &self.fronts {
            front.handle.shutdown();
            front.task.abort();
        }
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Keeps up with the configuration's files.
async fn follow(shared: Arc<Shared>) {
    loop {
        let began = Instant::now();
        let again = shared.look().await;
        let pause = (began.elapsed() * PAUSE).clamp(PAUSES[0], PAUSES[1]);
        tokio::time::sleep(again.unwrap_or(pause).min(pause)).await;
    }
}

/// What the store runs by.
fn settings(config: &Config) -> store::Settings {
    let keep = config.personas.iter().map(|(name, agent)| (name, agent.standing.keep));
    let keep = keep.filter(|(_, keep)| *keep != KeepDays::default()).map(|(name, keep)| (name.clone(), keep));
    store::Settings {
        store: config.server.store.clone(),
        keep: keep.collect(),
        webhooks: config.server.webhooks.clone(),
        allow_private: config.server.deliveries.allow_private,
    }
}

/// Tells the doors how many may come in.
fn bound(doors: &Doors, config: &Config) {
    let server = &config.server;
    doors.set(server.max_calls, server.max_connections_per_address, limits::open_files());
}

/// HTTP/1 only: Twilio speaks it, and a media stream is an upgrade of it.
fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD_BYTES);
    builder
}

/// Whether folders of calls can be made in `dir`, found out by making one.
fn try_writing(dir: &Path) -> io::Result<()> {
    let probe = dir.join(format!(".probe-{}", std::process::id()));
    std::fs::create_dir_all(&probe)?;
    std::fs::remove_dir(&probe)
}

/// Says so when listening ends for any other reason than the shutdown. The handle's shutdown ends both tasks.
fn watch_server(server: JoinHandle<io::Result<()>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Ok(Err(error)) = server.await {
            tracing::error!(%error, "listening has ended");
        }
    })
}
