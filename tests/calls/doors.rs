//! Who may stand at the door: silent connections, and calls that are over.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::house::{House, NUMBER, Plan, TOKEN, place, until};
use crate::street::polite;

/// Reads until the far end is gone; for how long that took.
async fn gone(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut [0; 64])).await.expect("an end");
    match read {
        Ok(n) => assert_eq!(n, 0, "nothing is said to who says nothing"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    began.elapsed()
}

#[tokio::test]
async fn silent_connections_shut_nobody_out() {
    let house = House::build(Plan { server: "max_connections_per_address = 16\n".to_owned(), ..Plan::default() }).await;
    // A call from before goes on; one from within the crowd is answered.
    let before = tokio::spawn(place(house.caller(polite())));
    until("it talks", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(TcpStream::connect(house.running.addr()).await.expect("a connection"));
    }
    let made_room = "offhook_connections_closed_total{reason=\"made_room_address\"}";
    until("the first have made room", || house.metric(made_room) >= 40).await;
    gone(silent.remove(0)).await;
    assert_eq!(house.get("/healthz").await.0, 200);
    assert_eq!(house.get("/metrics").await.0, 200);
    let within = place(house.caller(polite())).await;
    assert!(!within.heard.is_empty());
    assert!(!before.await.expect("a call").heard.is_empty());
    for n in 0..2 {
        assert_eq!(house.report(n).await.0.end.kind(), "caller_hung_up");
    }
    assert!(house.metric("offhook_connections") <= 17, "{}", house.metric("offhook_connections"));
}

#[tokio::test]
async fn a_connection_says_something_soon_or_goes() {
    let house = House::build(Plan::default()).await;
    let silent = TcpStream::connect(house.running.addr()).await.expect("a connection");
    let mut dripping = TcpStream::connect(house.running.addr()).await.expect("a connection");
    let drip = tokio::spawn(async move {
        let began = Instant::now();
        for byte in b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-drip: ".iter().chain(std::iter::repeat_n(&b'a', 200)) {
            if dripping.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        began.elapsed()
    });
    let took = gone(silent).await;
    assert!((4..9).contains(&took.as_secs()), "{took:?}");
    assert_eq!(house.metric("offhook_connections_closed_total{reason=\"silent\"}"), 1);
    let took = drip.await.expect("a task");
    assert!((14..20).contains(&took.as_secs()), "the whole head has its time: {took:?}");
}

#[tokio::test]
async fn a_call_that_is_over_is_not_taken_anew() {
    let house = House::build(Plan::default()).await;
    let sid = "CA00000000000000000000000000000815";
    let mut caller = house.caller(polite());
    caller.call_sid = Some(sid.to_owned());
    let first = tokio::spawn(place(caller.clone()));
    until("it is up", || !house.running.calls().is_empty()).await;
    // The carrier's own repetition finds the call, and begins none.
    let (status, again) = house.ring(sid, NUMBER, TOKEN).await;
    assert_eq!((status, again.contains("<Stream")), (200, true), "{again}");
    assert_eq!(house.running.calls().len(), 1);
    first.await.expect("a call");
    house.report(0).await;
    until("its slot is free", || house.running.calls().is_empty()).await;
    // The same words on another day.
    let over = "offhook_calls_refused_total{reason=\"call_over\"}";
    let (status, replayed) = house.ring(sid, NUMBER, TOKEN).await;
    assert_eq!((status, replayed.ends_with("<Response><Hangup/></Response>")), (200, true), "{replayed}");
    assert_eq!((house.running.calls().len(), house.metric(over)), (0, 1));
    // Nor by the stream: with the TwiML of then.
    caller.twiml = Some(again);
    place(caller).await;
    assert_eq!(house.metric("offhook_media_rejected_total{reason=\"unknown_token\"}"), 1);
    assert_eq!(house.metric("offhook_calls_started_total"), 1);

    // A server that is started anew knows it too.
    let data = house.site.data();
    let House { site, running, .. } = house;
    running.shutdown().await;
    drop(running);
    let house = House::open(site, Some(data)).await;
    let (_, replayed) = house.ring(sid, NUMBER, TOKEN).await;
    assert!(replayed.ends_with("<Response><Hangup/></Response>"), "{replayed}");
    let (_, another) = house.ring("CA00000000000000000000000000000816", NUMBER, TOKEN).await;
    assert!(another.contains("<Stream"), "{another}");
}
