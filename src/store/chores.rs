//! What is done now and then beside the writer: making up for what is missing, and deleting what is old.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use tokio::time::sleep;

use super::entity::dials;
use super::{Core, StoreError, now_ms, reconcile, retention};

/// How often.
const EVERY: Duration = Duration::from_secs(3_600);
/// After something could not be written: the trouble may last, and a report may still be in the queue. Doubled up to
/// [`EVERY`] while it lasts, since all folders are looked at.
const AFTER_TROUBLE: Duration = Duration::from_secs(20);
/// How long requests to dial are remembered. Who repeats one later means another call.
const DIALS: Duration = Duration::from_secs(7 * 86_400);

/// For ever: at the start, every hour, and some time after something could not be written.
pub(super) async fn run(core: Arc<Core>) {
    let mut again = AFTER_TROUBLE;
    loop {
        let done = Box::pin(all(&core)).await;
        let pause = match done {
            Ok(()) => {
                again = AFTER_TROUBLE;
                EVERY
            }
            Err(error) => {
                core.trouble("could not be tidied", &error);
                let pause = again;
                again = (2 * again).min(EVERY);
                pause
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
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
