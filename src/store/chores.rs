//! What is done now and then beside the writer: making up for what is missing, and deleting what is old.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use tokio::time::sleep;

use super::entity::dials;
use super::{Core, StoreError, jobs, now_ms, people, reconcile, requests, retention};

/// How often.
const EVERY: Duration = Duration::from_secs(3_600);
/// After something could not be written: the trouble may last, and a report may still be in the queue. It stays that short:
/// within 30 s of the trouble's end what is missing is made up for.
const AFTER_TROUBLE: Duration = Duration::from_secs(20);
/// How long requests to dial are remembered. Who repeats one later means another call.
const DIALS: Duration = Duration::from_secs(7 * 86_400);

/// For ever: at the start, every hour, and some time after something could not be written.
pub(super) async fn run(core: Arc<Core>) {
    let mut again = AFTER_TROUBLE;
    loop {
        let (made_up, tidied) = Box::pin(all(&core)).await;
        if let Err(error) = made_up.as_ref().and(tidied.as_ref()) {
            core.trouble("could not be tidied", error);
        }
        let pause = pause(made_up.is_ok(), tidied.is_ok(), &mut again);
        tokio::select! {
            () = sleep(pause) => {}
            () = core.missing.notified() => sleep(AFTER_TROUBLE).await,
        }
    }
}

/// The pause before the next time. What is missing is made up for soon after the trouble; what is only to be deleted may wait,
/// longer each time (`again`), since a folder that cannot be deleted now often never can.
fn pause(made_up: bool, tidied: bool, again: &mut Duration) -> Duration {
    if !made_up {
        return AFTER_TROUBLE;
    }
    if tidied {
        *again = AFTER_TROUBLE;
        return EVERY;
    }
    let pause = *again;
    *again = (2 * pause).min(EVERY);
    pause
}

/// Whether what was missing is made up for, and whether what is old is deleted.
async fn all(core: &Core) -> (Result<(), StoreError>, Result<(), StoreError>) {
    let (made_up, swept) = (reconcile::folders(core).await, retention::sweep(core).await);
    let old = dials::Column::CreatedMs.lt(now_ms() - DIALS.as_millis() as i64);
    let forgotten = dials::Entity::delete_many().filter(old).exec(&core.db).await;
    let done = jobs::forget(core).await.and(requests::forget(core).await).and(people::forget(core).await);
    (made_up, swept.and(forgotten.map(drop).map_err(StoreError::from)).and(done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_made_up_for_within_30_s_however_long_the_trouble_was() {
        let mut again = AFTER_TROUBLE;
        for _ in 0..20 {
            assert!(pause(false, false, &mut again) <= Duration::from_secs(20));
        }
        let waits: Vec<_> = (0..10).map(|_| pause(true, false, &mut again)).collect();
        assert_eq!((waits[0], waits[1], waits[9]), (AFTER_TROUBLE, 2 * AFTER_TROUBLE, EVERY));
        assert_eq!((pause(true, true, &mut again), again), (EVERY, AFTER_TROUBLE));
    }
}
