//! TLS: which certificate for which name, and how little of it stays in memory.

use super::authorities::{Asking, Authorities};
use super::control::Certificate;
use super::end_point;
use crate::auth::Binding;
use futures_rustls::TlsAcceptor;
use futures_rustls::rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use futures_rustls::rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert,
    danger::ClientCertVerifier,
};
use futures_rustls::rustls::sign::CertifiedKey;
use futures_rustls::rustls::{self, ProtocolVersion, ServerConfig, ServerConnection, version};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::sync::Arc;

/// Certificates by server name (the SNI extension of RFC 6066).
#[derive(Debug)]
struct Certificates {
    named: Vec<(String, Arc<CertifiedKey>)>,
    default: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    fn of(&self, wanted: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = wanted.and_then(|wanted| {
            let same = |(name, _): &&(String, _)| name.eq_ignore_ascii_case(wanted);
            let covering = |(name, _): &&(String, _)| covers(name, wanted);
            let found = self.named.iter().find(same);
            let found = found.or_else(|| self.named.iter().find(covering));
            found.map(|(_, key)| key.clone())
        });
        named.or_else(|| self.default.clone())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.of(hello.server_name())
    }
}

/// What handshakes need, and what they showed.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
    provider: Arc<CryptoProvider>,
    /// If clients are asked for certificates.
    authorities: Option<Arc<Authorities>>,
}

impl Tls {
    /// What a handshake is made with. `login`: users log in; with what then takes a certificate, if one is wanted.
    pub(super) fn acceptor(&self, login: bool) -> (TlsAcceptor, Option<Arc<Asking>>) {
        let own = || {
            let asking = self.authorities.as_ref().filter(|_| login)?.asking();
            let config = config(&self.provider, &self.certificates, asking.clone()).ok()?;
            Some((TlsAcceptor::from(Arc::new(config)), Some(asking)))
        };
        own().unwrap_or_else(|| (self.acceptor.clone(), None))
    }

    /// What SASL exchanges on this connection can be bound to. Of TLS 1.2 keys are not exported: one session
    /// could pass them on to another (RFC 9266 section 4.2).
    pub(super) fn binding(&self, connection: &ServerConnection) -> Binding {
        let modern = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let exported = || {
            let label = b"EXPORTER-Channel-Binding";
            let exported = connection.export_keying_material([0; 32], label, Some(b""));
            exported.ok().map(|octets: [u8; 32]| octets.to_vec())
        };
        let shown = self.certificates.of(connection.server_name());
        let shown = shown.and_then(|key| Some(end_point::hash(key.cert.first()?)?.to_vec()));
        Binding {
            exporter: modern.then(exported).flatten(),
            end_point: shown,
        }
    }
}

/// Whether a name such as `*.example.org` stands for `wanted`: one label in place of the star
/// (RFC 6125 section 6.4.3).
fn covers(name: &str, wanted: &str) -> bool {
    let (Some(above), Some((label, rest))) = (name.strip_prefix("*."), wanted.split_once('.'))
    else {
        return false;
    };
    !label.is_empty() && rest.eq_ignore_ascii_case(above)
}

/// What a file of certificates or keys is good for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Certificate(String),
    Key(String),
    /// Each is right, but not with the other.
    Pair(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Certificate(why) => write!(f, "certificate: {why}"),
            Fault::Key(why) => write!(f, "key: {why}"),
            Fault::Pair(why) => write!(f, "certificate and key: {why}"),
        }
    }
}

/// Whether handshakes can be done with it.
pub(super) fn check(one: &Certificate) -> Result<(), Fault> {
    certified(one, &provider()).map(drop)
}

fn certified(one: &Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, Fault> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&one.chain)
        .collect::<Result<_, _>>()
        .map_err(|error| Fault::Certificate(format!("it is no PEM: {error}")))?;
    if chain.is_empty() {
        return Err(Fault::Certificate("there is none in the file".to_owned()));
    }
    if memchr::memmem::find(&one.key, b"ENCRYPTED").is_some() {
        let way = "it has a password; write it without one: openssl pkey -in OLD -out NEW";
        return Err(Fault::Key(way.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&one.key).map_err(|error| {
        Fault::Key(match error {
            pem::Error::NoItemsFound => "there is none in the file".to_owned(),
            error => format!("it is no PEM: {error}"),
        })
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        Fault::Pair(match error {
            rustls::Error::InconsistentKeys(_) => {
                "the key belongs to another certificate".to_owned()
            }
            error => format!("they do not work: {error}"),
        })
    })
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        // What clients show is verified elsewhere.
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: &[],
            mapping: &[],
        },
        ..ring::default_provider()
    }
}

/// The table of the settings that has the certificate for this name.
pub(super) fn table(name: &str) -> String {
    match name {
        "" => "[tls]".to_owned(),
        name => format!("[[tls.name]] {name}"),
    }
}

/// What handshakes need. Errors say which certificate is wrong and how.
pub(super) fn prepared(
    certificates: &[Certificate],
    authorities: Option<Arc<Authorities>>,
) -> Result<Tls, String> {
    let provider = provider();
    let mut all = Certificates {
        named: Vec::new(),
        default: None,
    };
    for one in certificates {
        let key =
            certified(one, &provider).map_err(|fault| format!("{} {fault}", table(&one.name)))?;
        if one.name.is_empty() {
            all.default = Some(Arc::new(key));
        } else {
            all.named.push((one.name.clone(), Arc::new(key)));
        }
    }
    let (certificates, provider) = (Arc::new(all), Arc::new(provider));
    let mut config = config(&provider, &certificates, Arc::new(NoClientAuth))?;
    // Clients resume with what they keep themselves.
    config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
    config.send_tls13_tickets = 1;
    Ok(Tls {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        certificates,
        provider,
        authorities,
    })
}

/// Without resumption: whoever resumes shows no certificate anew.
fn config(
    provider: &Arc<CryptoProvider>,
    certificates: &Arc<Certificates>,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, String> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificates.clone());
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_star_is_one_label() {
        for (name, wanted, expected) in [
            ("*.example.org", "imap.example.org", true),
            ("*.example.org", "IMAP.Example.ORG", true),
            ("*.example.org", "a.b.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("imap.example.org", "imap.example.org", false),
        ] {
            assert_eq!(covers(name, wanted), expected, "{wanted}");
        }
    }
}
