//! Databases that are opened: one's own, another's, older, newer, unfit.

use super::*;

#[tokio::test]
async fn one_server_has_a_directory_and_commands_read_beside_it() {
    let place = Place::sqlite();
    assert!(matches!(place.desk().await, Err(StoreError::Absent(_))));
    let store = place.store().await;
    let second = place.store_that(0).await.err().unwrap();
    let said = second.to_string();
    assert!(said.contains("another server") && said.contains("data_dir"), "{said}");
    assert!(place.desk().await.is_ok());
    store.stop().await;
    place.store().await.stop().await;
}

#[tokio::test]
async fn a_database_of_another_version_is_left_alone() {
    let place = Place::sqlite();
    place.store().await.stop().await;
    place.sql("PRAGMA user_version = 99").await;
    let said = place.store_that(0).await.err().unwrap().to_string();
    assert!(said.contains("version 99") && said.contains("newer"), "{said}");
    assert!(matches!(place.desk().await, Err(StoreError::Newer { found: 99, .. })));
    place.sql("PRAGMA user_version = 0").await;
    let said = place.desk().await.err().unwrap().to_string();
    assert!(said.contains("start the server"), "{said}");
}

#[tokio::test]
async fn servers_that_start_at_once_make_the_tables_once_and_unfit_databases_are_named() {
    let Some(cluster) = tokio::task::spawn_blocking(Cluster::start).await.unwrap() else { return };
    let (name, lease) = (cluster.database(None), Duration::from_secs(15));
    let place = Place::at(cluster.url(&name));
    let places: Vec<Place> = (0..4).map(|_| place.beside()).collect();
    let starts = places.iter().map(|place| place.store_with(0, lease));
    for store in futures_util::future::join_all(starts).await {
        let store = store.unwrap();
        until_ready(&store).await;
        store.stop().await;
    }
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM about"), "1");
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM servers"), "0", "all have resigned");
    cluster.sql(&name, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let store = place.store_with(0, lease).await.unwrap();
    assert!(matches!(store.admit(wish("a")).await, Err(Denied::Store(_))));
    let ill = store.ill().unwrap();
    assert!(ill.contains("takes no writes") && ill.contains("[store] url"), "{ill}");
    store.stop().await;
    cluster.sql("postgres", &format!("ALTER DATABASE {name} SET default_transaction_read_only = off"));
    cluster.sql(&name, "UPDATE schema_version SET version = 99");
    let said = place.store_with(0, lease).await.err().unwrap().to_string();
    assert!(said.contains("version 99") && said.contains("newer"), "{said}");
    assert!(matches!(place.desk().await, Err(StoreError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn a_database_of_the_first_version_goes_on_with_its_data() {
    let place = Place::sqlite();
    let db = sql::Place::new(place.data(), None).connect(Mode::Server, 1).await.unwrap();
    db.execute_unprepared(&sql::dialect(&db, schema::STEPS[0][0], now_ms())).await.unwrap();
    let (over, up) = (old_id(3, "0a"), old_id(2, "0b"));
    for (call, state) in [(&over, "ended"), (&up, "running")] {
        db.execute_unprepared(&format!(
            "INSERT INTO calls (id, carrier_call, direction, deployment, agent, revision, started_ms, state, cost_micros) \
             VALUES ('{call}', 'CA', 'inbound', 'desk', 'mia', 'r1', 5, '{state}', 7); \
             INSERT INTO outbox (id, call, endpoint, type, body, created_ms, next_at_ms, state) \
             VALUES ('evt_{call}', '{call}', '{HOOK}', 'call.started', '{{}}', 5, 5, 'waiting')"
        ))
        .await
        .unwrap();
    }
    db.execute_unprepared("INSERT INTO dials VALUES ('k', 'hash', 9000000000000, 'answered', NULL, NULL, NULL)")
        .await
        .unwrap();
    db.execute_unprepared("PRAGMA user_version = 1").await.unwrap();
    db.close().await.unwrap();
    let said = place.desk().await.err().unwrap().to_string();
    assert!(said.contains("version 1") && said.contains("start the server"), "{said}");
    let store = place.store().await;
    until_row(&store, &up, Some(CallState::Lost)).await;
    let kept = row(&store, &over).await.unwrap();
    assert_eq!((kept.cost_micros, kept.state, kept.owner, kept.home), (7, CallState::Ended, None, None));
    assert_eq!(store.dial("k").await.unwrap().unwrap().state, "answered");
    assert_eq!(store.claim(HOOK, 9).await.unwrap().len(), 2);
    assert_eq!(place.desk().await.unwrap().find(&over, 9).await.unwrap().len(), 1);
    store.stop().await;
}

/// Each statement may take 5 s, and each question 2: the steps of a database with years of calls take minutes.
#[tokio::test]
async fn tables_that_take_long_to_be_brought_up_to_date_are() {
    if Place::postgres().await.is_none() {
        return;
    }
    let Some((cluster, _)) = CLUSTER.get().and_then(Option::as_ref) else { return };
    let place = Place::at(cluster.url(&cluster.database(None)));
    let db = sql::Place::new(place.data(), place.url.as_ref()).connect(Mode::Server, 1).await.unwrap();
    for tables in schema::STEPS[..2].iter().flat_map(|step| *step) {
        db.execute_unprepared(&sql::dialect(&db, tables, now_ms())).await.unwrap();
    }
    sql::set_version(&db, 2).await.unwrap();
    let slow = "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS \
        'BEGIN IF to_regclass(''users'') IS NULL THEN PERFORM pg_sleep(5.5); END IF; END'; \
        CREATE EVENT TRIGGER slow ON ddl_command_start EXECUTE FUNCTION slow()";
    db.execute_unprepared(slow).await.unwrap();
    db.close().await.unwrap();
    let begun = Instant::now();
    let store = place.store_that(0).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "who starts it is not kept waiting");
    until_ready(&store).await;
    store.stop().await;
}
