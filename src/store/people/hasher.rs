//! Passwords are looked at on one thread, one after the other, in memory that it keeps: argon2id with 19 MiB.
//!
//! A thread of its own, since each thread that hashes keeps a heap for it; a bounded queue, since one takes some 20 ms of a
//! core that also carries calls. Whoever finds the queue full is told to come again.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};

use argon2::password_hash::{Ident, Output, ParamsString, PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::oneshot;

use crate::config::Secret;
use crate::house::{Refusal, people};
use crate::store::StoreError;

use super::secret;

/// Passwords that may wait.
const QUEUE: usize = 64;
/// What a password costs: OWASP's second choice, in KiB, passes and lanes.
const MEMORY_KIB: u32 = 19 << 10;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const BYTES: usize = 32;

/// Hashes passwords and holds them against hashes. Cheap to clone; its thread begins with the first password.
#[derive(Clone, Default)]
pub struct Hasher(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: OnceLock<Option<SyncSender<Task>>>,
    full: AtomicU64,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

enum Task {
    Hash(Secret, oneshot::Sender<Option<String>>),
    /// `None`: of somebody whom nobody knows, who waits as long as others.
    Verify(Secret, Option<String>, oneshot::Sender<bool>),
}

impl Hasher {
    /// How a password is kept, as a PHC string.
    ///
    /// # Errors
    /// [`busy`](people::busy), or the system has no memory or randomness.
    pub async fn hash(&self, password: Secret) -> Result<String, StoreError> {
        let (done, hashed) = oneshot::channel();
        self.send(Task::Hash(password, done))?;
        hashed.await.ok().flatten().ok_or_else(|| StoreError::Io("a password cannot be hashed".to_owned()))
    }

    /// Whether a password is that of a hash. Without one the answer is no, and takes as long.
    ///
    /// # Errors
    /// [`busy`](people::busy).
    pub async fn verify(&self, password: Secret, hash: Option<String>) -> Result<bool, Refusal> {
        let (done, known) = oneshot::channel();
        self.send(Task::Verify(password, hash, done))?;
        Ok(known.await.unwrap_or(false))
    }

    /// How many found the queue full.
    pub fn turned_away(&self) -> u64 {
        self.0.full.load(Ordering::Relaxed)
    }

    fn send(&self, task: Task) -> Result<(), Refusal> {
        let queue = self.0.queue.get_or_init(|| {
            let (queue, tasks) = sync_channel(QUEUE);
            let thread = std::thread::Builder::new().name("passwords".to_owned());
            thread.spawn(move || run(&tasks)).ok().map(|_| queue)
        });
        let sent = queue.as_ref().map(|queue| queue.try_send(task));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => {
                self.0.full.fetch_add(1, Ordering::Relaxed);
                Err(people::busy())
            }
        }
    }
}

fn run(tasks: &Receiver<Task>) {
    let Some(mut argon) = Argon::new() else { return };
    // Held against a password that nobody has.
    let Some(dummy) = argon.hash("nobody's password") else { return };
    while let Ok(task) = tasks.recv() {
        match task {
            Task::Hash(password, done) => {
                let _ = done.send(argon.hash(password.expose()));
            }
            Task::Verify(password, hash, done) => {
                let is_right = argon.verify(password.expose(), hash.as_deref().unwrap_or(&dummy));
                let _ = done.send(is_right && hash.is_some());
            }
        }
    }
}

struct Argon {
    params: Params,
    memory: Vec<Block>,
}

impl Argon {
    fn new() -> Option<Argon> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(BYTES)).ok()?;
        Some(Argon { memory: vec![Block::default(); params.block_count()], params })
    }

    fn hash(&mut self, password: &str) -> Option<String> {
        let mut salt = [0u8; 16];
        secret::random(&mut salt).ok()?;
        let out = self.digest(&self.params.clone(), password, &salt)?;
        let text = SaltString::encode_b64(&salt).ok()?;
        let hash = PasswordHash {
            algorithm: Ident::new("argon2id").ok()?,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&self.params).ok()?,
            salt: Some(text.as_salt()),
            hash: Some(Output::new(&out).ok()?),
        };
        Some(hash.to_string())
    }

    /// By the hash's own parameters, unless they would take more memory than a password may.
    fn verify(&mut self, password: &str, hash: &str) -> bool {
        let known = || {
            let hash = PasswordHash::new(hash).ok()?;
            let params = Params::try_from(&hash).ok()?;
            let is_ours = hash.algorithm.as_str() == "argon2id" && params.m_cost() <= MEMORY_KIB;
            let mut bytes = [0u8; 64];
            let salt = hash.salt?.decode_b64(&mut bytes).ok()?.to_vec();
            is_ours.then_some((params, salt, hash.hash?))
        };
        let Some((params, salt, expected)) = known() else { return false };
        // `Output` compares in constant time.
        self.digest(&params, password, &salt).and_then(|out| Output::new(&out).ok()) == Some(expected)
    }

    fn digest(&mut self, params: &Params, password: &str, salt: &[u8]) -> Option<[u8; BYTES]> {
        let mut out = [0u8; BYTES];
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let memory = self.memory.get_mut(..params.block_count())?;
        argon.hash_password_into_with_memory(password.as_bytes(), salt, &mut out, memory).ok()?;
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn role_07_a_password_is_known_by_its_hash_and_no_two_hashes_are_the_same() {
        let hasher = Hasher::default();
        let password = || Secret::new("correct horse battery");
        let (one, other) = (hasher.hash(password()).await.unwrap(), hasher.hash(password()).await.unwrap());
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && one != other, "{one}");
        assert_eq!(hasher.verify(password(), Some(one.clone())).await, Ok(true));
        assert_eq!(hasher.verify(Secret::new("correct horse batterz"), Some(one)).await, Ok(false));
        assert_eq!(hasher.verify(password(), None).await, Ok(false));
        assert_eq!(hasher.verify(password(), Some("$argon2id$rubbish".to_owned())).await, Ok(false));
        let plain = "$argon2id$v=19$m=4000000,t=2,p=1$c29tZXNhbHRzb21l$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        assert_eq!(hasher.verify(password(), Some(plain.to_owned())).await, Ok(false), "it would take 4 GB");
    }

    /// The judge is the crate's own way to hash.
    #[tokio::test]
    async fn hashes_are_argon2s() {
        use argon2::PasswordVerifier as _;
        let hash = Hasher::default().hash(Secret::new("correct horse battery")).await.unwrap();
        let hash = PasswordHash::new(&hash).unwrap();
        assert!(Argon2::default().verify_password(b"correct horse battery", &hash).is_ok());
    }

    #[tokio::test]
    async fn role_07_who_is_not_known_waits_as_long_as_who_is() {
        let hasher = Hasher::default();
        let hash = hasher.hash(Secret::new("correct horse battery")).await.unwrap();
        let median = async |hash: Option<String>| {
            let mut times = Vec::new();
            for _ in 0..9 {
                let begun = Instant::now();
                assert_eq!(hasher.verify(Secret::new("wrong password"), hash.clone()).await, Ok(false));
                times.push(begun.elapsed());
            }
            times.sort();
            times[4].as_secs_f64()
        };
        let (known, unknown) = (median(Some(hash.clone())).await, median(None).await);
        assert!(known / unknown < 2.5 && unknown / known < 2.5, "{known} s and {unknown} s");
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_and_recovers() {
        let hasher = Hasher::default();
        let asked: Vec<_> = (0..200)
            .map(|_| {
                let hasher = hasher.clone();
                tokio::spawn(async move { hasher.verify(Secret::new("wrong password"), None).await })
            })
            .collect();
        let mut busy = 0;
        for asked in asked {
            match asked.await.unwrap() {
                Ok(is_right) => assert!(!is_right),
                Err(no) => {
                    assert_eq!((no.status, no.code), (503, "busy"));
                    busy += 1;
                }
            }
        }
        assert!(busy >= 200 - QUEUE as u64 - 40 && busy == hasher.turned_away(), "{busy}");
        assert_eq!(hasher.verify(Secret::new("wrong password"), None).await, Ok(false));
    }
}
