//! The way to others by a proxy: models, the carrier and webhooks alike, by names that only the proxy knows.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use offhook::serve::client::Client;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::house::{ACCOUNT, House, Plan, Site, place, until, write};
use crate::street::polite;

const API_TOKEN: &str = "not-to-be-guessed-0123456789";

/// A proxy that knows one name, the model's. What it was asked: the first line and the credentials of each request.
#[derive(Clone)]
struct Proxy {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Proxy {
    async fn before(model: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Proxy { at: listener.local_addr().expect("an address"), asked: Arc::default() };
        let asked = Arc::clone(&proxy.asked);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(one(near, model, Arc::clone(&asked)));
            }
        });
        proxy
    }

    fn was_asked(&self, line: &str) -> bool {
        self.asked.lock().expect("requests").iter().any(|(asked, _)| asked == line)
    }
}

async fn one(mut near: TcpStream, model: SocketAddr, asked: Arc<Mutex<Vec<(String, String)>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = near.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).expect("text");
    let mut lines = head.lines();
    let line = lines.next().expect("a line").to_owned();
    let mut headers = lines.filter_map(|line| line.split_once(": "));
    let auth = headers.find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
    let auth = auth.map_or_else(String::new, |(_, value)| value.to_owned());
    asked.lock().expect("requests").push((line.clone(), auth.clone()));
    // "ann:s@fe"
    let answer = match (auth.as_str(), line.as_str()) {
        ("Basic YW5uOnNAZmU=", "CONNECT model.test:80 HTTP/1.1") => "HTTP/1.1 200 Connection established\r\n\r\n",
        ("Basic YW5uOnNAZmU=", line) if line.starts_with("POST http://hooks.test/") => {
            "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
        }
        ("Basic YW5uOnNAZmU=", _) => "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        _ => "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
    };
    if near.write_all(answer.as_bytes()).await.is_err() || !answer.contains("established") {
        return;
    }
    let mut far = TcpStream::connect(model).await.expect("a model");
    let _ = copy_bidirectional(&mut near, &mut far).await;
}

/// A house whose model, carrier and webhook are known only to its proxy, which is shown `credentials`.
async fn house(credentials: &str) -> (House, Proxy) {
    let hook = "[[webhooks]]\nname = \"crm\"\nurl = \"http://hooks.test/calls\"\nsecret = { file = \"hook-secret\" }\n";
    let plan = Plan {
        carrier: false,
        twilio: format!(
            "account_sid = \"{ACCOUNT}\"\nrest_url = \"https://carrier.test\"\n[api]\ntoken = {{ file = \"api-token\" }}\n\
             [outgoing]\nproxy = {{ file = \"proxy\" }}\n{hook}"
        ),
        server: "public_url = \"https://calls.test\"\n".to_owned(),
        ..Plan::default()
    };
    let site = Site::build(&plan).await;
    let proxy = Proxy::before(site.model.addr()).await;
    write(&site.config().join("api-token"), API_TOKEN);
    write(&site.config().join("hook-secret"), "not-to-be-guessed-9876543210");
    write(&site.config().join("proxy"), &format!("http://{credentials}{}", proxy.at));
    write(&site.config().join("models.toml"), "[scripted]\nurl = \"ws://model.test/v1/realtime?model=rehearsal\"\n");
    (House::open(site, None).await, proxy)
}

#[tokio::test]
async fn models_the_carrier_and_webhooks_are_reached_by_the_proxy() {
    let (house, proxy) = house("ann:s%40fe@").await;
    let mut caller = house.caller(polite());
    caller.public_url = Some("https://calls.test".to_owned());
    let heard = place(caller).await;
    let (report, _) = house.report(0).await;
    assert!(report.model_ready_at_ms.is_some(), "{report:?}");
    assert!(!heard.heard.is_empty(), "the agent is heard");
    assert!(proxy.was_asked("CONNECT model.test:80 HTTP/1.1"));
    until("the webhook is told", || proxy.was_asked("POST http://hooks.test/calls HTTP/1.1")).await;
    let api = Client::new(&house.url(""), API_TOKEN).expect("a client");
    let body = json!({ "deployment": "desk", "to": "+15550100900" });
    let refused = api.post("/v1/calls", Some("key-1"), &body).await.expect("an answer");
    assert_eq!(refused.status, 502, "{refused:?}");
    assert!(proxy.was_asked("CONNECT carrier.test:443 HTTP/1.1"));
    let asked = proxy.asked.lock().expect("requests").clone();
    assert!(asked.iter().all(|(_, auth)| auth == "Basic YW5uOnNAZmU="), "{asked:?}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_in_the_report_without_its_password() {
    let (house, proxy) = house("ann:wrong@").await;
    let mut caller = house.caller(vec![offhook::stage::phone::Step::WaitEnd { max_ms: 30_000 }]);
    caller.public_url = Some("https://calls.test".to_owned());
    place(caller).await;
    let (report, folder) = house.report(0).await;
    assert!(proxy.was_asked("CONNECT model.test:80 HTTP/1.1"));
    let text = std::fs::read_to_string(folder.join("report.json")).expect("a report");
    assert_eq!(report.end.kind(), "model_unavailable", "{text}");
    assert!(text.contains("proxy") && !text.contains("wrong"), "{text}");
}
