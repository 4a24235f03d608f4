//! Who may vouch for users: certificates that clients show, for EXTERNAL. `front` looks whether one is worth being
//! offered EXTERNAL; `auth` looks again, and has the say.

use super::subject;
use crate::auth::Shown;
use crate::config::ClientName;
use crate::sys::clock;
use futures_rustls::rustls;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::{Arc, OnceLock};

/// What stands in front of what a client signs (RFC 8446 section 4.4.3), behind 64 spaces.
const CONTEXT: &[u8] = b"TLS 1.3, client CertificateVerify\0";
const SPACES: usize = 64;
/// What it signs has a hash behind that, of 64 octets at most.
const MAX_MESSAGE: usize = SPACES + CONTEXT.len() + 64;
/// Octets of a signature; RSA with 8192 bits has twice as few.
const MAX_SIGNATURE: usize = 2048;

/// Schemes that TLS 1.3 has for this (RFC 8446 section 4.2.3).
const SCHEMES: [SignatureScheme; 6] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
];

/// Certificates of those who vouch for users.
#[derive(Debug)]
pub(super) struct Authorities {
    verifier: Arc<dyn ClientCertVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
    name: ClientName,
}

impl Authorities {
    /// Errors say what is wrong with the text, which is to be PEM.
    pub(super) fn new(pem: &[u8], name: ClientName) -> Result<Authorities, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| format!("it is no PEM: {error}"))?;
            let added = roots.add(certificate);
            added.map_err(|error| format!("a certificate does not work: {error}"))?;
        }
        if roots.is_empty() {
            return Err("there is no certificate in the file".to_owned());
        }
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().map_err(|error| error.to_string())?;
        Ok(Authorities {
            verifier,
            algorithms,
            name,
        })
    }

    /// The user whose certificate it is, if it is good now and whoever showed it has the key.
    pub(super) fn user(&self, shown: &Shown) -> Option<String> {
        let chain = || {
            shown
                .chain
                .iter()
                .map(|one| CertificateDer::from(one.as_slice()))
        };
        let own = chain().next()?;
        let bounded = Shown::bounded(shown.chain.iter().map(Vec::as_slice));
        let signed = shown.message.get(SPACES..)?.starts_with(CONTEXT);
        if !bounded || !signed || shown.message.len() > MAX_MESSAGE {
            return None;
        }
        let others: Vec<CertificateDer<'_>> = chain().skip(1).collect();
        let now = UnixTime::since_unix_epoch(clock::now());
        self.verifier.verify_client_cert(&own, &others, now).ok()?;
        self.verify(&own, shown)?;
        match self.name {
            ClientName::CommonName => subject::common_name(&own),
            ClientName::Email => subject::email(&own),
        }
    }

    fn verify(&self, own: &CertificateDer<'_>, shown: &Shown) -> Option<()> {
        let scheme = SignatureScheme::from(shown.scheme);
        if !SCHEMES.contains(&scheme) || shown.signature.len() > MAX_SIGNATURE {
            return None;
        }
        let mut known = self.algorithms.mapping.iter();
        let (_, algorithms) = known.find(|(known, _)| *known == scheme)?;
        let key = webpki::EndEntityCert::try_from(own).ok()?;
        let verified = |algorithm: &&dyn rustls_pki_types::SignatureVerificationAlgorithm| {
            key.verify_signature(*algorithm, &shown.message, &shown.signature)
                .is_ok()
        };
        algorithms.first().is_some_and(verified).then_some(())
    }

    /// For one handshake.
    pub(super) fn asking(self: &Arc<Self>) -> Arc<Asking> {
        Arc::new(Asking {
            authorities: self.clone(),
            chain: OnceLock::new(),
            shown: OnceLock::new(),
        })
    }
}

/// Asks a client for a certificate and takes what it shows, good or not: a handshake does not fail over it, but
/// only a good one leads to EXTERNAL.
#[derive(Debug)]
pub(super) struct Asking {
    authorities: Arc<Authorities>,
    chain: OnceLock<Vec<Vec<u8>>>,
    shown: OnceLock<Shown>,
}

impl Asking {
    /// What was shown, if it is good.
    pub(super) fn shown(&self) -> Option<Shown> {
        let shown = self.shown.get()?;
        self.authorities.user(shown)?;
        Some(shown.clone())
    }
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain = || [own].into_iter().chain(others);
        if Shown::bounded(chain().map(|one| one.as_ref())) {
            let chain = chain().map(|one| one.as_ref().to_vec());
            drop(self.chain.set(chain.collect()));
        }
        Ok(ClientCertVerified::assertion())
    }

    /// What TLS 1.2 has signed is all that was said; nothing is made of it.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _own: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if let Some(chain) = self.chain.get()
            && signed.signature().len() <= MAX_SIGNATURE
        {
            let shown = Shown {
                chain: chain.clone(),
                scheme: signed.scheme.into(),
                message: message.to_vec(),
                signature: signed.signature().to_vec(),
            };
            drop(self.shown.set(shown));
        }
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.algorithms.supported_schemes()
    }
}
