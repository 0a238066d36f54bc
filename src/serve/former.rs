//! What a server must know of those before it: which of the carrier's calls they have had, so that none begins anew.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::store::{Store, StoreError};

use super::registry::{MAX_OVER, Registry};

/// A call that was up when its server was killed, and began no longer ago than this, may still ring: the carrier asks again
/// what to do with it, and is answered.
const YOUNG: Duration = Duration::from_secs(15);
/// The pause before the store is read again.
const AGAIN: Duration = Duration::from_secs(2);

/// Tells the registry; what cannot be read now is read by the task that is answered, as soon as it can be.
pub(super) async fn remember<L, A>(store: &Store, registry: &Arc<Registry<L, A>>) -> JoinHandle<()>
where
    L: Send + 'static,
    A: Clone + Send + 'static,
{
    let started = SystemTime::now();
    let first = read(store, registry, started).await;
    let (store, registry) = (store.clone(), Arc::clone(registry));
    tokio::spawn(async move {
        let Err(error) = first else { return };
        tracing::warn!(%error, "which of the carrier's calls are over is not known from before; it is read again");
        loop {
            sleep(AGAIN).await;
            if read(&store, &registry, started).await.is_ok() {
                return tracing::info!("which of the carrier's calls are over is known now");
            }
        }
    })
}

async fn read<L, A: Clone>(store: &Store, registry: &Registry<L, A>, started: SystemTime) -> Result<(), StoreError> {
    let before = started.checked_sub(YOUNG).unwrap_or(UNIX_EPOCH);
    let before_ms = before.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    registry.are_over(store.former_carrier_calls(before_ms, MAX_OVER as u64).await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use crate::config::StoreSettings;
    use crate::serve::registry::Known;
    use crate::store::{Direction, NewCall, Settings, StoreOptions};

    use super::*;

    async fn store(data: &Path) -> Store {
        let settings = Settings {
            store: StoreSettings::default(),
            keep: Default::default(),
            webhooks: Vec::new(),
            allow_private: false,
        };
        let lease = Duration::from_secs(15);
        let options = StoreOptions { data: data.to_owned(), url: None, address: String::new(), lease };
        Store::start(options, settings, Arc::default()).await.expect("a store")
    }

    #[tokio::test]
    async fn calls_of_before_are_known_as_soon_as_the_store_can_be_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let former = store(dir.path()).await;
        former.begin_call(NewCall {
            id: "a".to_owned(),
            carrier_call: "CA-a".to_owned(),
            direction: Direction::Inbound,
            deployment: "desk".to_owned(),
            agent: "mia".to_owned(),
            revision: "r1".to_owned(),
            from: None,
            to: None,
            started: SystemTime::now() - Duration::from_secs(600),
            answered: true,
        });
        former.flush().await;
        former.stop().await;
        let (there, away) = (dir.path().join(crate::store::FILE), dir.path().join("away"));
        fs::rename(&there, &away).expect("a database");
        fs::write(&there, "this is no database, but long enough to be taken for one".repeat(20)).expect("a file");
        let (store, registry) = (store(dir.path()).await, Arc::new(Registry::<u32, String>::new()));
        let later = remember(&store, &registry).await;
        assert_eq!(registry.known("CA-a"), Known::New);
        fs::rename(&away, &there).expect("room");
        tokio::time::timeout(Duration::from_secs(60), later).await.expect("in time").expect("a task");
        assert_eq!(registry.known("CA-a"), Known::Over);
        store.stop().await;
    }
}
