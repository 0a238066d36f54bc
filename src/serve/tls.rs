//! TLS from certificate files, read again when they change.

use std::path::Path;
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
        let config =
            RustlsConfig::from_pem_file(&files.cert, &files.key).await.map_err(|error| describe(&files, &error))?;
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
        let result = self.config.reload_from_pem_file(&self.files.cert, &self.files.key).await;
        Some(result.map_err(|error| describe(&self.files, &error)))
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

fn describe(files: &Tls, error: &std::io::Error) -> String {
    format!("TLS certificate {} and key {}: {error}", files.cert.display(), files.key.display())
}
