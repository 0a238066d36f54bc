//! Whose rows are whose: each process has a row in `servers` and counts on in it. What a process has is free for others once
//! that row is gone.
//!
//! Who is gone is judged by its count and our own clock of waiting: it stood still for as long as its lease while we could look.
//! No two clocks are held against each other, and none that can be set is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, ExprTrait as _, QueryFilter as _};
use tokio::sync::watch;

use super::entity::servers::{ActiveModel, Column, Entity};
use super::{Core, StoreError, reconcile, sql};

/// A server renews its lease so often within it.
const BEATS: u32 = 5;

/// A process and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Me {
    pub(super) id: String,
    pub(super) home: String,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) lease: Duration,
}

/// Rows that nobody has: without an owner, or with one that is gone. `owner` is their column.
pub(super) fn is_free(owner: impl sea_orm::ColumnTrait) -> Expr {
    let alive = Query::select().column(Column::Id).from(Entity).to_owned();
    owner.is_null().or(owner.not_in_subquery(alive))
}

/// Says that this process is here.
pub(super) async fn register<C: ConnectionTrait>(db: &C, me: &Me) -> Result<(), DbErr> {
    let now_ms = sql::clock_ms(db).await?;
    let row = ActiveModel {
        id: Set(me.id.clone()),
        name: Set(me.name.clone()),
        address: Set(me.address.clone()),
        home: Set(me.home.clone()),
        started_ms: Set(now_ms),
        seen_ms: Set(now_ms),
        beat: Set(0),
        lease_ms: Set(me.lease.as_millis() as i64),
    };
    let there = sea_orm::sea_query::OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(row).on_conflict(there).exec_without_returning(db).await.map(drop)
}

/// Processes that are certainly gone: those that had our data directory before us, which is ours now; where nobody else can
/// have rows, all others.
pub(super) async fn dismiss_former(core: &Core) -> Result<(), StoreError> {
    let mut gone = Column::Id.ne(core.me.id.as_str());
    if !core.place.is_own() {
        gone = gone.and(Column::Home.eq(core.me.home.as_str()));
    }
    let _turn = core.turn.lock().await;
    Entity::delete_many().filter(gone).exec(&core.db).await?;
    Ok(())
}

/// This process has nothing any more, or lets go of it.
pub(super) async fn resign(core: &Core) -> Result<(), StoreError> {
    let _turn = core.turn.lock().await;
    Entity::delete_by_id(core.me.id.clone()).exec(&core.db).await?;
    Ok(())
}

/// Until the store is stopped: renews our lease, and settles what others have left behind.
pub(super) async fn keep(core: Arc<Core>, mut stopping: watch::Receiver<bool>) {
    let every = core.me.lease / BEATS;
    let mut others = Others::new(2 * every);
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let done = round(&core, &mut others).await;
        // Nobody may call meanwhile: it is found out here that the trouble is over.
        core.feels(done.as_ref().err());
        if let Err(error) = done {
            others.forget();
            core.trouble("does not renew this server's lease", &error);
        }
    }
}

async fn round(core: &Core, others: &mut Others) -> Result<(), StoreError> {
    beat(core).await?;
    let all = core.in_time(async { Ok(Entity::find().all(&core.db).await?) }).await?;
    let all = all.into_iter().filter(|server| server.id != core.me.id);
    let lease = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let seen = all.map(|server| (server.id, server.beat, lease(server.lease_ms)));
    for (id, beat) in others.gone(Instant::now(), seen) {
        let same = Column::Id.eq(id.as_str()).and(Column::Beat.eq(beat));
        let _turn = core.turn.lock().await;
        // One of several that see it does it; and one that has counted on meanwhile is alive.
        let deleted = Entity::delete_many().filter(same);
        if core.in_time(async { Ok(deleted.exec(&core.db).await?) }).await?.rows_affected > 0 {
            tracing::warn!(server = id, "a server is gone: what it had is settled by this one");
        }
    }
    reconcile::settle(core).await
}

async fn beat(core: &Core) -> Result<(), StoreError> {
    core.in_time(async {
        let _turn = core.turn.lock().await;
        let counted = Entity::update_many()
            .col_expr(Column::Beat, Expr::col(Column::Beat).add(1))
            .col_expr(Column::SeenMs, sql::clock(&core.db))
            .filter(Column::Id.eq(core.me.id.as_str()));
        if counted.exec(&core.db).await?.rows_affected == 0 {
            // The database could not be reached for that long, or this process was stopped.
            core.counters.lapsed.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                "another server took this one for gone and has settled its calls; they go on, and their reports count"
            );
            register(&core.db, &core.me).await?;
        }
        Ok(())
    })
    .await
}

/// What is known of other servers: their counts, and since when they have stood still.
#[derive(Debug)]
struct Others {
    /// Between two looks no more may pass, or nothing is known of the time between.
    longest: Duration,
    looked: Option<Instant>,
    still: HashMap<String, (i64, Instant)>,
}

impl Others {
    fn new(longest: Duration) -> Others {
        Others { longest, looked: None, still: HashMap::new() }
    }

    /// We could not look.
    fn forget(&mut self) {
        self.looked = None;
    }

    /// Those that stood still for as long as their leases.
    fn gone(&mut self, now: Instant, seen: impl Iterator<Item = (String, i64, Duration)>) -> Vec<(String, i64)> {
        let blind = self.looked.is_none_or(|at| now.saturating_duration_since(at) > self.longest);
        self.looked = Some(now);
        let before = std::mem::take(&mut self.still);
        let mut gone = Vec::new();
        for (id, beat, lease) in seen {
            let since = before.get(&id).filter(|(known, _)| *known == beat && !blind).map_or(now, |(_, since)| *since);
            if now.saturating_duration_since(since) >= lease {
                gone.push((id.clone(), beat));
            }
            self.still.insert(id, (beat, since));
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    #[test]
    fn a_server_is_gone_when_its_count_stood_still_for_its_lease_while_we_looked() {
        let began = Instant::now();
        let mut others = Others::new(Duration::from_secs(4));
        let mut look = |s: u64, beat: i64| {
            let seen = [("srv_a".to_owned(), beat, LEASE)].into_iter();
            !others.gone(began + Duration::from_secs(s), seen).is_empty()
        };
        assert!(!look(0, 7), "what it did before is not known");
        assert!(
            ![(2, 7), (4, 7), (6, 8), (8, 8), (10, 8), (12, 8), (15, 8)].map(|(s, beat)| look(s, beat)).contains(&true)
        );
        assert!(look(16, 8));
        assert!(!look(18, 9), "alive after all");
        // Nobody could look, or this process was stopped: nothing is known of that time.
        assert!(!look(60, 9) && !look(64, 9) && !look(68, 9));
        assert!(look(70, 9));
    }

    #[test]
    fn a_look_that_failed_begins_the_waiting_anew() {
        let began = Instant::now();
        let mut others = Others::new(Duration::from_secs(60));
        let seen = || [("srv_a".to_owned(), 1, LEASE)].into_iter();
        assert!(others.gone(began, seen()).is_empty());
        others.forget();
        assert!(others.gone(began + LEASE, seen()).is_empty());
        assert_eq!(others.gone(began + 2 * LEASE, seen()), [("srv_a".to_owned(), 1)]);
    }
}
