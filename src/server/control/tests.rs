//! What comes back of every message between processes.

use super::*;
use crate::auth::{Closed, Secret, User, Verdict};
use crate::codec::packed::Method;
use crate::config::{
    Delete, FetchFailure, Form, Format, Imap, InfoSeparator, Layout, Limits, Namespace, Network,
    Pop3, Workarounds,
};
use crate::mail::{Keyword, MailboxName};
use crate::server::setup::Served;
use crate::sys::accounts::Identity;

#[test]
fn messages_come_back_and_broken_ones_do_not() {
    let owner = Owner {
        name: "ann".into(),
        uid: Some(7),
        gid: None,
        home: Some("/h".into()),
        mail: Some("mail=mbox:~/m".into()),
    };
    let setup = Setup {
        identity: Some(Identity { uid: 1, gid: 2 }),
        trees: vec!["/a".into(), "/b".into()],
        hostname: "h".into(),
        imap: Imap {
            admin: Some("mailto:a@b".into()),
            fetch_failure: FetchFailure::DisconnectAfter,
            workarounds: Workarounds {
                lsub_flags: true,
                ..Workarounds::default()
            },
        },
        pop3: Pop3 {
            deleted_flag: Keyword::new("$x"),
            delete: Delete::Flag,
            save_uidl: true,
            ..Pop3::default()
        },
        form: Form {
            format: Format::Mdbox,
            compression: Some(Method::Lz4),
            layout: Layout::Nested,
            info_separator: InfoSeparator::Exclamation,
            attachments: Some("/a".into()),
            inbox: Some("/i".into()),
            alternate: Some("/s".into()),
            namespaces: Vec::new(),
        },
        mechanisms: Some(Mechanisms::PASSWORD),
        seed: b"seed".to_vec(),
        listeners: vec![Served {
            protocol: Protocol::Pop3,
            unix: false,
            tls: 2,
            proxy_protocol: true,
        }],
        limits: Limits {
            message_octets: 1 << 40,
            trusted_networks: vec![Network {
                address: "10.0.0.0".parse().unwrap(),
                prefix: 8,
            }],
            ..Limits::default()
        },
        ..Setup::default()
    };
    let all = [
        Message::Setup(Box::new(setup.clone())),
        Message::Groups {
            connection: 3,
            last: true,
            groups: vec![vec![1, 2], vec![]],
        },
        Message::Released {
            connections: vec![7, 1 << 40],
        },
        Message::Certificate {
            number: 1,
            last: true,
            certificate: Certificate {
                name: "h".into(),
                chain: b"c".to_vec(),
                key: b"k".to_vec(),
            },
        },
        Message::Verdict {
            connection: 2,
            judgement: Judgement {
                verdict: Verdict::Closed(Box::new(Closed {
                    user: "ann".into(),
                    server: Some("h:1".into()),
                    reason: None,
                })),
                user: "ann".into(),
                told: b"v=".to_vec(),
            },
        },
        Message::LookUp {
            connection: 2,
            wanted: Wanted::User("ann".into()),
        },
        Message::LookUp {
            connection: 2,
            wanted: Wanted::Names { after: "a".into() },
        },
        Message::Found {
            connection: 2,
            found: Found::User(
                User {
                    name: "ann".into(),
                    uid: None,
                    gid: Some(7),
                    home: Some("/h".into()),
                    mail: Some("mail=mbox:~/m".into()),
                },
                Some("maildir:/m".into()),
            ),
        },
        Message::Found {
            connection: 2,
            found: Found::Names(vec!["a".into(), "b".into()]),
        },
        Message::Authorities {
            pem: b"x".to_vec(),
            name: crate::config::ClientName::Email,
        },
        Message::AppPasswords,
        Message::AppPasswordUsed {
            user: "ann".into(),
            id: "abcd".into(),
        },
        Message::Rehash {
            user: "ann".into(),
            mark: 1 << 63,
            hash: "{PLAIN}x".into(),
        },
        Message::Found {
            connection: 2,
            found: Found::Unavailable,
        },
        Message::Found {
            connection: 2,
            found: Found::Text("a".into()),
        },
        Message::LookUp {
            connection: 2,
            wanted: Wanted::Domain("d".into()),
        },
        Message::LookUp {
            connection: 2,
            wanted: Wanted::Mailbox("m".into()),
        },
        Message::LookUp {
            connection: 2,
            wanted: Wanted::Alias("a".into()),
        },
        Message::Verify {
            connection: 1,
            protocol: Protocol::Imap,
            address: "::1".parse().unwrap(),
            authzid: String::new(),
            authcid: "ann".into(),
            proof: Proof::Apop {
                stamp: "<1@h>".into(),
                digest: b"x".to_vec(),
            },
        },
        Message::Verify {
            connection: 1,
            protocol: Protocol::Imap,
            address: "::1".parse().unwrap(),
            authzid: "bob".into(),
            authcid: "ann".into(),
            proof: Proof::Password(Secret::from(&b"x"[..])),
        },
        Message::Begin {
            connection: 1,
            protocol: Protocol::Imap,
            address: "::1".parse().unwrap(),
            mechanism: Mechanism::ScramSha256Plus,
            binding: Binding {
                exporter: Some(b"e".to_vec()),
                end_point: None,
            },
            message: b"n,,".to_vec(),
        },
        Message::Respond {
            connection: 1,
            message: b"c=".to_vec(),
        },
        Message::Challenge {
            connection: 1,
            challenge: b"r=".to_vec(),
        },
        Message::Mechanisms {
            mechanisms: Mechanisms::PASSWORD,
            apop: true,
        },
        Message::Users {
            files: vec!["/etc/users".into(), "b".into()],
            aliases: true,
        },
        Message::Grant {
            connection: 1,
            ticket: 2,
            owner,
            address: b"a@b".to_vec(),
            detail: Some("d".into()),
        },
        Message::Closed {
            connection: 1 << 40,
            last: 7,
        },
        Message::Visit {
            user: "ann".into(),
            location: Location {
                root: "/mail/ann".into(),
                form: Form {
                    namespaces: vec![Namespace {
                        prefix: MailboxName::new("old/mail").unwrap(),
                        location: Location {
                            root: "/old/ann".into(),
                            form: setup.form.clone(),
                        },
                    }],
                    ..Form::default()
                },
            },
        },
        Message::Idle,
    ];
    for message in &all {
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes).unwrap().encode(), bytes);
        for end in 0..bytes.len() {
            assert!(Message::decode(&bytes[..end]).is_none());
        }
    }
    let Some(Message::Visit { location, .. }) = Message::decode(&all[all.len() - 2].encode())
    else {
        panic!();
    };
    assert_eq!(location.form.namespaces[0].location.form, setup.form);
    match Message::decode(&all[0].encode()) {
        Some(Message::Setup(back)) => assert_eq!(*back, setup),
        _ => panic!(),
    }
    assert!(Message::decode(&[99]).is_none());
}
