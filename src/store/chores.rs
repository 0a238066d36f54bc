//! What is done now and then beside the writer: making up for what is missing, and deleting what is old.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use tokio::time::{Instant, sleep, sleep_until};

use super::entity::dials;
use super::{Core, StoreError, now_ms, reconcile, retention};

/// How often.
const EVERY: Duration = Duration::from_secs(3_600);
/// After something could not be written: the trouble may last, and a report may still be in the queue.
const AFTER_TROUBLE: Duration = Duration::from_secs(150);
/// How long requests to dial are remembered. Who repeats one later means another call.
const DIALS: Duration = Duration::from_secs(7 * 86_400);

/// For ever: at the start, every hour, and some time after something could not be written.
pub(super) async fn run(core: Arc<Core>) {
    loop {
        let done = Box::pin(all(&core)).await;
        if let Err(error) = done {
            core.trouble("could not be tidied", &error);
        }
        let next = Instant::now() + EVERY;
        tokio::select! {
            () = sleep_until(next) => {}
            () = core.missing.notified() => sleep(AFTER_TROUBLE).await,
        }
    }
}

async fn all(core: &Core) -> Result<(), StoreError> {
    let (made_up, swept) = (reconcile::folders(core).await, retention::sweep(core).await);
    let old = dials::Column::CreatedMs.lt(now_ms() - DIALS.as_millis() as i64);
    dials::Entity::delete_many().filter(old).exec(&core.db).await?;
    made_up.and(swept)
}
