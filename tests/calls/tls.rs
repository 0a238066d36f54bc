//! TLS by files, both taken up when they change.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use offhook::config::Source;
use offhook::serve::{ServeError, ServeOptions, Server};
use rustls::pki_types::ServerName;

use crate::house::write;

#[tokio::test]
async fn a_certificate_that_changes_is_used_from_then_on_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = certificate(dir.path());
    let source = documents(dir.path());
    let options = ServeOptions { source, listen: None, data: Some(dir.path().join("data")), observer: None, web: None };
    let running = Server::start(options).await.expect("a server");
    assert_eq!(presented(running.addr(), &first).await, Ok(first.clone()));
    assert_eq!(health(running.addr(), &first).await, "HTTP/1.1 200 OK");

    let second = certificate(dir.path());
    for _ in 0..200 {
        if presented(running.addr(), &second).await == Ok(second.clone()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(presented(running.addr(), &second).await, Ok(second.clone()));

    write(&dir.path().join("config/cert.pem"), "-----BEGIN CERTIFICATE-----\nnot one\n");
    // Longer than the server takes to look at its files.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(presented(running.addr(), &second).await, Ok(second.clone()), "the last good one stays in force");
}

#[tokio::test]
async fn a_server_does_not_start_with_a_bad_certificate() {
    let dir = tempfile::tempdir().expect("a directory");
    certificate(dir.path());
    let source = documents(dir.path());
    write(&dir.path().join("config/key.pem"), "nothing");
    let options = ServeOptions { source, listen: None, data: None, observer: None, web: None };
    match Server::start(options).await {
        Err(error @ ServeError::Tls(_)) => assert!(error.to_string().contains("key.pem"), "{error}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
}

fn documents(dir: &Path) -> Source {
    let server = "listen = \"127.0.0.1:0\"\nmax_lag_ms = 0\n[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[twilio]\nauth_token = { env = \"T\" }\n";
    write(&dir.join("config/offhook.toml"), server);
    Source::open_with(dir.join("config"), |_| Some("12345".to_owned()), |_| {}).unwrap_or_else(|e| panic!("{e}"))
}

/// A new certificate in the files; its DER.
fn certificate(dir: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    write(&dir.join("config/key.pem"), &made.signing_key.serialize_pem());
    write(&dir.join("config/cert.pem"), &made.cert.pem());
    made.cert.der().to_vec()
}

/// The leaf that the server shows to a client that trusts only `trusted`.
async fn presented(addr: SocketAddr, trusted: &[u8]) -> Result<Vec<u8>, String> {
    let stream = connect(addr, trusted).await?;
    let (_, connection) = stream.get_ref();
    Ok(connection.peer_certificates().map(|chain| chain[0].to_vec()).unwrap_or_default())
}

async fn health(addr: SocketAddr, trusted: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = connect(addr, trusted).await.expect("a connection");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.expect("room");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer.lines().next().unwrap_or_default().to_owned()
}

async fn connect(
    addr: SocketAddr,
    trusted: &[u8],
) -> Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from(trusted.to_vec())).map_err(|error| error.to_string())?;
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(addr).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from("localhost").expect("a name");
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_handshake_says_nothing_yet() {
    use tokio::io::AsyncReadExt as _;
    let dir = tempfile::tempdir().expect("a directory");
    let first = certificate(dir.path());
    let source = documents(dir.path());
    let options = ServeOptions { source, listen: None, data: Some(dir.path().join("data")), observer: None, web: None };
    let running = Server::start(options).await.expect("a server");
    let mut stream = connect(running.addr(), &first).await.expect("a connection");
    let mut nothing = tokio::net::TcpStream::connect(running.addr()).await.expect("a connection");
    let began = std::time::Instant::now();
    // An end without goodbye is one.
    let _ = stream.read(&mut [0; 16]).await;
    let took = began.elapsed();
    assert!((4..9).contains(&took.as_secs()), "{took:?}");
    let _ = nothing.read(&mut [0; 16]).await;
    assert!(began.elapsed().as_secs() < 9, "nor does a connection without one");
}
