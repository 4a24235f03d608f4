//! EXTERNAL: users who show certificates.

use crate::support::{Imap, PASSWORD, Pop3, Server, Start, line, secure_with};
use futures_rustls::rustls::SupportedProtocolVersion;
use futures_rustls::rustls::version::{TLS12, TLS13};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::net::TcpStream;

const SETTINGS: &str = "[auth]\nmechanisms = [\"plain\", \"external\"]\nmaster_users = [\"root\"]\n\
    [limits]\nlogin_failure_delay = \"1ms\"\nlogin_failure_delay_max = \"1ms\"\n\
    [tls]\nclient_ca = \"{directory}/ca.pem\"\n";

/// Who vouches for users.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
struct Identity(CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "users");
        let key = KeyPair::generate().unwrap();
        Authority {
            certificate: params.self_signed(&key).unwrap(),
            issuer: Issuer::new(params, key),
        }
    }

    fn identity(&self, name: &str, until: i32) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let address = format!("{name}@example.org");
        let address = SanType::Rfc822Name(address.as_str().try_into().unwrap());
        params.subject_alt_names.push(address);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Identity(signed.der().clone(), secret)
    }
}

fn server(authority: &Authority, more: &str) -> Server {
    let mut users: String = ["ann", "root"].map(|user| line(user, None)).concat();
    users.push_str("locked:!\n");
    Server::with(Start {
        settings: &format!("{SETTINGS}{more}"),
        users,
        files: vec![("ca.pem", authority.certificate.pem())],
        ..Start::default()
    })
}

fn connected(
    port: u16,
    identity: Option<&Identity>,
    version: &'static SupportedProtocolVersion,
) -> io::Result<crate::support::Tls> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    let identity = identity.map(|own| (vec![own.0.clone()], own.1.clone_key()));
    secure_with(stream, "localhost", version, identity)
}

/// What becomes of `AUTHENTICATE EXTERNAL` by IMAP, for that authorization identity.
fn imap(server: &Server, identity: Option<&Identity>, authzid: &str) -> String {
    let tls = connected(server.imaps, identity, &TLS13).unwrap();
    let mut imap = Imap::over(Box::new(tls)).unwrap();
    let offered = imap
        .ok("CAPABILITY")
        .untagged
        .concat()
        .contains("AUTH=EXTERNAL");
    let initial = match authzid {
        "" => "=".to_owned(),
        authzid => data_encoding::BASE64.encode(authzid.as_bytes()),
    };
    let status = imap
        .command(&format!("AUTHENTICATE EXTERNAL {initial}"))
        .unwrap()
        .status;
    let word = |n: usize| status.split(' ').nth(n).unwrap().to_owned();
    match offered {
        true => word(0),
        false => format!("not offered, {} {}", word(0), word(1)),
    }
}

const NOT_OFFERED: &str = "not offered, NO [CANNOT]";

#[test]
fn certificates_stand_for_their_users() {
    let authority = Authority::new();
    let server = server(&authority, "");
    let ann = authority.identity("ann", 2100);
    assert_eq!(imap(&server, Some(&ann), ""), "OK");
    assert_eq!(imap(&server, Some(&ann), "Ann"), "OK");
    assert_eq!(imap(&server, Some(&ann), "root"), "NO");
    server.wait_for_log("ann logged in from 127.0.0.1", 2);
    let root = authority.identity("root", 2100);
    assert_eq!(imap(&server, Some(&root), "ann"), "OK");
    server.wait_for_log("ann logged in from 127.0.0.1 by the master user root", 1);
    for other in ["nobody", "locked"] {
        assert_eq!(
            imap(&server, Some(&authority.identity(other, 2100)), ""),
            "NO"
        );
    }
    // Without a good one all else goes on.
    let foreign = Authority::new().identity("ann", 2100);
    for identity in [None, Some(&foreign), Some(&authority.identity("ann", 2021))] {
        assert_eq!(imap(&server, identity, ""), NOT_OFFERED);
        let tls = connected(server.imaps, identity, &TLS13).unwrap();
        let mut imap = Imap::over(Box::new(tls)).unwrap();
        assert!(
            imap.login("ann", PASSWORD)
                .unwrap()
                .status
                .starts_with("OK")
        );
    }
    let tls = connected(server.imaps, Some(&ann), &TLS12).unwrap();
    let mut old = Imap::over(Box::new(tls)).unwrap();
    assert!(!old.ok("CAPABILITY").untagged.concat().contains("EXTERNAL"));
    // A certificate without its key is nobody's.
    let stolen = Identity(ann.0.clone(), root.1.clone_key());
    if let Ok(tls) = connected(server.imaps, Some(&stolen), &TLS13) {
        assert!(
            !Imap::over(Box::new(tls))
                .unwrap()
                .ok("CAPABILITY")
                .untagged
                .concat()
                .contains("EXTERNAL")
        );
    }
    let tls = connected(server.pop3s, Some(&ann), &TLS13).unwrap();
    let mut pop3 = Pop3::over(Box::new(tls)).unwrap();
    assert!(
        pop3.list("CAPA")
            .contains(&"SASL PLAIN EXTERNAL".to_owned())
    );
    pop3.ok("AUTH EXTERNAL =");
    assert_eq!(pop3.ok("STAT"), "0 0");
}

#[test]
fn the_name_may_be_the_mail_address_and_authorities_can_change() {
    let (authority, next) = (Authority::new(), Authority::new());
    let server = server(&authority, "client_name = \"email\"\n");
    let own = |authority: &Authority| authority.identity("ann", 2100);
    assert_eq!(imap(&server, Some(&own(&authority)), ""), "NO");
    let users = std::fs::read_to_string(server.path("users")).unwrap();
    std::fs::write(
        server.path("users"),
        users.replace("ann:", "ann@example.org:"),
    )
    .unwrap();
    std::fs::write(server.path("ca.pem"), next.certificate.pem()).unwrap();
    server.signal(rustix::process::Signal::HUP);
    server.wait_for_log("reading users and certificates again", 1);
    crate::support::wait_until("the other authority", || {
        (imap(&server, Some(&own(&next)), "") == "OK").then_some(())
    });
    assert_eq!(imap(&server, Some(&own(&authority)), ""), NOT_OFFERED);
}

#[test]
fn where_nobody_vouches_clients_are_not_asked() {
    let server = Server::start("");
    let ann = Authority::new().identity("ann", 2100);
    assert_eq!(imap(&server, Some(&ann), ""), NOT_OFFERED);
}
