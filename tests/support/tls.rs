//! A blocking client of TLS that trusts everybody and says whom it met.

use futures_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use futures_rustls::rustls::crypto::{CryptoProvider, ring};
use futures_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        futures_rustls::rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        futures_rustls::rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// TLS over a connection, asking for the server `name`, with this version only.
pub(crate) fn secure(
    stream: TcpStream,
    name: &str,
    version: &'static SupportedProtocolVersion,
) -> io::Result<Tls> {
    secure_with(stream, name, version, None)
}

/// A chain of certificates, and the key of the first.
pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// As `secure`, showing that certificate.
pub(crate) fn secure_with(
    mut stream: TcpStream,
    name: &str,
    version: &'static SupportedProtocolVersion,
    identity: Option<Identity>,
) -> io::Result<Tls> {
    let provider = ring::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider.clone()))
        .with_protocol_versions(&[version])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    let config = match identity {
        None => config.with_no_client_auth(),
        Some((chain, key)) => {
            let config = config.with_client_auth_cert(chain, key);
            config.map_err(io::Error::other)?
        }
    };
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name);
    let mut connection = connection.map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// TLS 1.3 from the first octet.
pub(crate) fn implicit(port: u16, name: &str) -> io::Result<Tls> {
    let version = &futures_rustls::rustls::version::TLS13;
    secure(super::imap::tcp(port)?, name, version)
}

/// SHA-256 of the certificate that the server showed, as the server prints its own.
pub(crate) fn fingerprint(tls: &Tls) -> String {
    let shown = tls.conn.peer_certificates().unwrap_or_default();
    let hash = Sha256::digest(shown.first().map_or(&[][..], |der| der.as_ref()));
    let pairs: Vec<String> = hash.iter().map(|octet| format!("{octet:02X}")).collect();
    pairs.join(":")
}
