//! Deployments whose documents changed, told to whoever asked for it: by one of the servers that share the rows, once.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, ExprTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    TransactionTrait as _,
};
use serde_json::{Value, json};

use crate::config::EventType;

use super::entity::documents::{Column, Entity, Model};
use super::entity::told::{ActiveModel, Column as ToldColumn, Entity as Told};
use super::event::About;
use super::{Core, Store, StoreError, outbox, sql};

/// What is told of.
const KIND: &str = "deployment";
/// Its row in `told`.
const DOCUMENTS: &str = "documents";
/// Documents that are looked at in one go.
const ROWS: u64 = 100;

impl Store {
    /// What is in force now is known: from here on changes are told. Once it was called, it does nothing more.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn tell_changes(&self) -> Result<(), StoreError> {
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            let newest = newest(self.db()).await?;
            let there = OnConflict::column(ToldColumn::What).do_nothing().to_owned();
            let row = ActiveModel { what: Set(DOCUMENTS.to_owned()), seq: Set(newest) };
            Told::insert(row).on_conflict(there).exec_without_returning(self.db()).await?;
            Ok(())
        })
        .await
    }
}

async fn newest<C: sea_orm::ConnectionTrait>(db: &C) -> Result<i64, sea_orm::DbErr> {
    let last = Entity::find().select_only().column(Column::Seq).order_by_desc(Column::Seq).limit(1);
    Ok(last.into_tuple::<i64>().one(db).await?.unwrap_or_default())
}

/// Tells of what has changed since somebody did.
pub(super) async fn tell(core: &Core) -> Result<(), StoreError> {
    let Some(told) = Told::find_by_id(DOCUMENTS).one(&core.db).await? else { return Ok(()) };
    if newest(&core.db).await? <= told.seq {
        return Ok(());
    }
    let turn = core.turn.lock().await;
    let txn = turn.begin_with_options(sql::immediate()).await?;
    let new = Entity::find()
        .select_only()
        .columns([Column::Seq, Column::Kind])
        .filter(Column::Seq.gt(told.seq))
        .order_by_asc(Column::Seq)
        .limit(ROWS)
        .into_tuple::<(i64, String)>();
    let new = new.all(&txn).await?;
    let Some((last, _)) = new.last() else { return Ok(txn.rollback().await?) };
    let mine = Told::update_many()
        .col_expr(ToldColumn::Seq, Expr::value(*last))
        .filter(ToldColumn::What.eq(DOCUMENTS).and(ToldColumn::Seq.eq(told.seq)));
    if mine.exec(&txn).await?.rows_affected == 0 {
        // Another server is at it.
        return Ok(txn.rollback().await?);
    }
    let hooks = core.hooks();
    for (seq, _) in new.iter().filter(|(_, kind)| kind == KIND) {
        let Some(document) = Entity::find_by_id(*seq).one(&txn).await? else { continue };
        let before = Entity::find()
            .filter(Column::Kind.eq(KIND).and(Column::Name.eq(document.name.as_str())))
            .filter(Column::Seq.lt(*seq))
            .order_by_desc(Column::Seq)
            .one(&txn)
            .await?;
        let (what, data) = (format!("{KIND}/{}", document.name), data(&document, before.as_ref()));
        let about = About::Other { what: &what, agent: data["agent"].as_str() };
        let event = (about, EventType::DeploymentChanged, &data, None);
        outbox::tell(&txn, &hooks, std::iter::once(event)).await?;
    }
    txn.commit().await?;
    core.fresh.notify_one();
    Ok(())
}

fn data(document: &Model, before: Option<&Model>) -> Value {
    let before = before.filter(|before| before.text.is_some());
    let change = match (&document.text, before) {
        (None, _) => "deleted",
        (Some(_), None) => "created",
        (Some(_), Some(_)) => "changed",
    };
    json!({
        "deployment": document.name,
        "agent": agent(document).or(before.and_then(agent)),
        "change": change,
        "revision": document.text.as_ref().map(|_| document.revision.as_str()),
        "previous_revision": before.map(|before| before.revision.as_str()),
        "by": document.applied_by,
        "way": document.way,
    })
}

/// Whose deployment it is, as its text says it.
fn agent(document: &Model) -> Option<String> {
    let table: toml::Table = document.text.as_deref()?.parse().ok()?;
    Some(table.get("agent")?.as_str()?.to_owned())
}
