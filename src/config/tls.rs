//! `[tls]` of `offhook.toml`: certificate and key, opened as the server will.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;

use super::reader::Table;
use super::types::Tls;
use super::values::MAX_NAME;
use super::world::World;

/// A certificate chain or key; more is not one.
const MAX_PEM_BYTES: u64 = 1_024 * 1_024;

/// Reads the table. `host`: by which the world knows the server, as far as it speaks TLS to it.
pub(super) fn read(mut table: Table<'_, '_>, host: Option<&str>, world: &dyn World) -> Option<Tls> {
    let present = table.is_present();
    let mut file = |key, what| {
        // Asked for even when the table is absent, so that the key is known.
        let field = if present { table.need(key, what) } else { table.take(key) }?;
        let path = field.string(MAX_NAME)?;
        match world.file(&path, MAX_PEM_BYTES) {
            Ok(bytes) => Some((world.locate(&path), bytes, field)),
            Err(why) => {
                field.wrong(why);
                None
            }
        }
    };
    let cert = file("cert", "the PEM file of the certificate and its chain");
    let key = file("key", "the PEM file of the certificate's private key");
    let mut tls = None;
    if let (Some((cert, chain, cert_field)), Some((key, secret, key_field))) = (cert, key) {
        match open(&chain, &secret) {
            Ok(pair) => {
                if let Some(doubt) = pair.doubt(world.now(), host) {
                    cert_field.doubtful(doubt);
                }
                tls = Some(Tls { cert, key });
            }
            Err(Fault::Cert(why)) => cert_field.wrong(why),
            Err(Fault::Key(why)) => key_field.wrong(why),
        }
    }
    table.finish();
    tls
}

/// What is wrong with a pair, and with which half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The certificate or its chain.
    Cert(String),
    /// The private key.
    Key(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Cert(why) => write!(f, "the certificate {why}"),
            Fault::Key(why) => write!(f, "the key {why}"),
        }
    }
}

/// A certificate with its key.
#[derive(Debug)]
pub(crate) struct Pair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    crypto: Arc<CryptoProvider>,
}

/// Opens a chain and a key, both as PEM, and holds one against the other.
pub(crate) fn open(chain: &[u8], key: &[u8]) -> Result<Pair, Fault> {
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let certificates = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| Fault::Cert(format!("is not PEM ({})", words(&error))))?;
    if certificates.is_empty() {
        let swapped = PrivateKeyDer::from_pem_slice(chain).is_ok();
        let hint = if swapped { ": it has a private key; are cert and key swapped?" } else { "" };
        return Err(Fault::Cert(format!("file has no certificate (-----BEGIN CERTIFICATE-----){hint}")));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        Fault::Key(match error {
            pem::Error::NoItemsFound if encrypted(key) => {
                "is encrypted with a passphrase, which nobody is there to type: store it without one".to_owned()
            }
            pem::Error::NoItemsFound if CertificateDer::from_pem_slice(key).is_ok() => {
                "file has a certificate and no private key; are cert and key swapped?".to_owned()
            }
            pem::Error::NoItemsFound => "file has no private key (-----BEGIN PRIVATE KEY-----)".to_owned(),
            error => format!("is not PEM ({})", words(&error)),
        })
    })?;
    let signing = crypto.key_provider.load_private_key(key.clone_key());
    let signing = signing.map_err(|error| Fault::Key(format!("cannot be used ({error})")))?;
    let belongs = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&signing)).keys_match()
    };
    match belongs(&certificates[0]) {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(match certificates.iter().position(|one| belongs(one).is_ok()) {
                Some(n) => Fault::Cert(format!(
                    "chain is in the wrong order: the key belongs to certificate {} of {}, which must come first",
                    n + 1,
                    certificates.len()
                )),
                None => Fault::Key("does not belong to the certificate".to_owned()),
            });
        }
        Err(error) => return Err(Fault::Cert(format!("cannot be used ({error})"))),
    }
    Ok(Pair { chain: certificates, key, crypto })
}

impl Pair {
    /// What a listener needs.
    pub(crate) fn config(self) -> Result<ServerConfig, Fault> {
        let unusable = |error: rustls::Error| Fault::Cert(format!("cannot be used ({error})"));
        let versions = ServerConfig::builder_with_provider(self.crypto).with_safe_default_protocol_versions();
        let config = versions.map_err(unusable)?.with_no_client_auth().with_single_cert(self.chain, self.key);
        let mut config = config.map_err(unusable)?;
        // What the listener speaks, see `serve`.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Why clients will not trust it though a server can use it.
    pub(crate) fn doubt(&self, now: SystemTime, host: Option<&str>) -> Option<String> {
        let leaf = webpki::EndEntityCert::try_from(&self.chain[0]).ok()?;
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).ok()?);
        let algorithms = self.crypto.signature_verification_algorithms.all;
        let usage = webpki::KeyUsage::server_auth();
        // Nobody is trusted here, so it fails in any case: what counts is whether its dates are what it fails for.
        match leaf.verify_for_usage(algorithms, &[], &[], now, usage, None, None) {
            Err(webpki::Error::CertExpired { not_after, .. }) => {
                let days = (now.as_secs().saturating_sub(not_after.as_secs())) / 86_400;
                return Some(format!("the certificate has expired {days} days ago: the carrier will not connect"));
            }
            Err(webpki::Error::CertNotValidYet { .. }) => {
                return Some("the certificate is not valid yet: the carrier will not connect".to_owned());
            }
            _ => {}
        }
        let host = host?;
        let name = ServerName::try_from(host).ok()?;
        let named = leaf.verify_is_valid_for_subject_name(&name).is_ok();
        (!named).then(|| format!("the certificate is not for {host}, which public_url names"))
    }
}

fn encrypted(text: &[u8]) -> bool {
    text.windows(9).any(|word| word == b"ENCRYPTED")
}

/// The library's words for a file, without a dump of the line that it stumbled over: keys are secret.
fn words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section does not end",
        pem::Error::IllegalSectionStart { .. } => "a section's first line is broken",
        pem::Error::Base64Decode(_) => "it is not base64",
        _ => "nothing in it can be read",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, DistinguishedName, Issuer, KeyPair};

    use super::*;

    struct Made {
        cert: String,
        key: String,
    }

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Made {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["calls.example.com".to_owned()]).expect("names");
        change(&mut params);
        Made { cert: params.self_signed(&key).expect("a certificate").pem(), key: key.serialize_pem() }
    }

    /// A leaf of an authority's, and the authority.
    fn chain() -> (Made, String) {
        let above_key = KeyPair::generate().expect("a key");
        let mut above = CertificateParams::new(Vec::new()).expect("names");
        above.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        above.distinguished_name = DistinguishedName::new();
        let authority = above.self_signed(&above_key).expect("a certificate").pem();
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec!["calls.example.com".to_owned()]).expect("names");
        let leaf = leaf.signed_by(&key, &Issuer::new(above, above_key)).expect("a certificate");
        (Made { cert: leaf.pem(), key: key.serialize_pem() }, authority)
    }

    fn fault(cert: &str, key: &str) -> String {
        open(cert.as_bytes(), key.as_bytes()).expect_err("a fault").to_string()
    }

    #[test]
    fn a_pair_that_fits_is_opened() {
        let (leaf, authority) = chain();
        let pair = open(format!("{}{authority}", leaf.cert).as_bytes(), leaf.key.as_bytes()).expect("a pair");
        assert_eq!(pair.chain.len(), 2);
        let config = pair.config().expect("a configuration");
        assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    }

    #[test]
    fn each_fault_is_told_by_its_half() {
        let (leaf, authority) = chain();
        let other = made(|_| {});
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (cert, key, told) in [
            (&*leaf.cert, &*other.key, "the key does not belong to the certificate"),
            (
                &format!("{authority}{}", leaf.cert),
                &leaf.key,
                "the certificate chain is in the wrong order: the key belongs to certificate 2 of 2, which must come first",
            ),
            (
                &leaf.key,
                &leaf.cert,
                "the certificate file has no certificate (-----BEGIN CERTIFICATE-----): it has a private key; are cert \
                 and key swapped?",
            ),
            (&leaf.cert, &leaf.cert, "the key file has a certificate and no private key; are cert and key swapped?"),
            ("nothing", &leaf.key, "the certificate file has no certificate (-----BEGIN CERTIFICATE-----)"),
            (
                "-----BEGIN CERTIFICATE-----\nnot one\n",
                &leaf.key,
                "the certificate is not PEM (a section does not end)",
            ),
            (&leaf.cert, "nothing", "the key file has no private key (-----BEGIN PRIVATE KEY-----)"),
            (
                &leaf.cert,
                encrypted,
                "the key is encrypted with a passphrase, which nobody is there to type: store it without one",
            ),
        ] {
            assert_eq!(fault(cert, key), told);
        }
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(fault(empty, &leaf.key).starts_with("the certificate cannot be used ("), "{}", fault(empty, &leaf.key));
    }

    #[test]
    fn dates_and_names_are_doubted() {
        let at = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400);
        // Valid on the days from 10957 (2000-01-01) to 11323 (2001-01-01).
        let made = made(|params| {
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        });
        let pair = open(made.cert.as_bytes(), made.key.as_bytes()).expect("a pair");
        let host = Some("calls.example.com");
        for (day, host, doubt) in [
            (11_000, host, None),
            (11_000, None, None),
            (10_000, host, Some("the certificate is not valid yet: the carrier will not connect")),
            (11_330, host, Some("the certificate has expired 7 days ago: the carrier will not connect")),
            (
                11_000,
                Some("other.example.com"),
                Some("the certificate is not for other.example.com, which public_url names"),
            ),
        ] {
            assert_eq!(pair.doubt(at(day), host).as_deref(), doubt, "{day}");
        }
    }
}
