//! TLS from certificate files, read again when they change.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use axum_server::tls_rustls::RustlsConfig;

use crate::config::Tls;

/// Certificates in force, and which version of the files they are.
#[derive(Debug)]
pub(super) struct Certificates {
    files: Tls,
    version: Version,
    config: RustlsConfig,
}

type Version = (Option<SystemTime>, Option<SystemTime>);

impl Certificates {
    /// Reads the files; an error says which and why.
    pub(super) async fn load(files: Tls) -> Result<Self, String> {
        install_crypto();
        let version = version(&files);
        let config = RustlsConfig::from_config(opened(&files).await?);
        Ok(Certificates { files, version, config })
    }

    /// What the acceptor uses; it sees a reload.
    pub(super) fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Reads the files again when one has changed: `Some` says whether they are in force now. Bad files leave the last good ones.
    pub(super) async fn refresh(&mut self) -> Option<Result<(), String>> {
        let version = version(&self.files);
        if version == self.version {
            return None;
        }
        self.version = version;
        Some(opened(&self.files).await.map(|config| self.config.reload_from_config(config)))
    }
}

/// TLS to other servers: the public roots.
pub(super) fn to_others() -> rustls::ClientConfig {
    install_crypto();
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// A client for HTTP that goes where it is sent and follows no redirects.
pub(crate) fn http_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(to_others())
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(8)
        .user_agent(concat!("offhook/", env!("CARGO_PKG_VERSION")))
}

/// The process's cryptography for TLS, chosen once; whoever embeds the server may have chosen already.
pub(super) fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn version(files: &Tls) -> Version {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    (modified(&files.cert), modified(&files.key))
}

/// Opens the files as the check of the configuration does; an error says which and why.
async fn opened(files: &Tls) -> Result<Arc<rustls::ServerConfig>, String> {
    let at = |error: &dyn fmt::Display| {
        format!("TLS certificate {} and key {}: {error}", files.cert.display(), files.key.display())
    };
    let (cert, key) = (files.cert.clone(), files.key.clone());
    let read = move || Ok::<_, std::io::Error>((std::fs::read(cert)?, std::fs::read(key)?));
    let read = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other);
    let (cert, key) = read.and_then(|read| read).map_err(|error| at(&error))?;
    let config = crate::config::tls::open(&cert, &key).and_then(crate::config::tls::Pair::config);
    config.map(Arc::new).map_err(|fault| at(&fault))
}
