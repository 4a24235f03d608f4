//! Many connections of several kinds do random things to the same mailboxes at once, mail comes in,
//! another program meddles with the directories, and a model checks every response when it comes:
//! against what the connection was told before (`view`, `model`), and against what can be true while
//! others do what they do (`truth`). `wrong` shows that the model sees what it is for.
//!
//! `DOVELET_STRESS_SECONDS` says for how long (6), `DOVELET_STRESS_SEED` repeats the choices of a run, as
//! far as time allows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod client;
mod doing;
mod ending;
mod fact;
mod flags;
mod kind;
mod mailbox;
mod model;
mod others;
mod register;
mod response;
mod resync;
mod search;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod telling;
mod text;
mod truth;
mod view;
mod wrong;

use client::Client;
use doing::Doing;
use kind::{KINDS, Kind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};
use steps::MAILBOXES;
use support::{Random, Server};
use truth::Truth;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// How mailboxes are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Maildir,
    Sdbox,
    Mdbox,
    Mbox,
}

#[test]
fn every_response_is_true_over_maildir() {
    stress(Format::Maildir);
}

#[test]
fn every_response_is_true_over_sdbox() {
    stress(Format::Sdbox);
}

#[test]
fn every_response_is_true_over_mdbox() {
    stress(Format::Mdbox);
}

#[test]
fn every_response_is_true_over_mbox() {
    stress(Format::Mbox);
}

fn stress(format: Format) {
    let seconds = setting("DOVELET_STRESS_SECONDS").unwrap_or(6);
    let seed = setting("DOVELET_STRESS_SEED").unwrap_or_else(Random::seed);
    println!("DOVELET_STRESS_SEED={seed}");
    // Often a command about several messages goes in several steps.
    let step = if seed.is_multiple_of(3) { 1024 } else { 2 };
    let storage = match format {
        Format::Maildir => "",
        Format::Sdbox => "[storage]\nformat = \"sdbox\"\n",
        Format::Mdbox => "[storage]\nformat = \"mdbox\"\n",
        Format::Mbox => "[storage]\nformat = \"mbox\"\n",
    };
    let server = Server::start(&format!(
        "isolation = \"shared\"\n{storage}[limits]\nstep_messages = {step}\n"
    ));
    let (failed, end) = (
        AtomicBool::new(false),
        Instant::now() + Duration::from_secs(seconds),
    );
    let truths = [Truth::default(), Truth::default()];
    let here = (&server, &failed);
    let (ann, bob) = (("ann", &truths[0]), ("bob", &truths[1]));
    let all = KINDS.iter().map(|kind| (ann, kind));
    let all = all.chain(["plain", "qresync"].map(|name| (bob, Kind::named(name))));
    let mut clients: Vec<Client<'_>> = (seed..)
        .zip(all)
        .map(|(seed, (user, kind))| Client::new(here, user, kind, seed))
        .collect();
    let over = || Instant::now() >= end || failed.load(Ordering::SeqCst);
    let steps: u64 = scope(|scope| {
        let truth = ann.1;
        scope.spawn(|| others::deliver(&server, truth, seed, &over));
        if format == Format::Maildir {
            scope.spawn(|| others::meddle(&server, truth, seed, &over));
        }
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(|| run(client, end)))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    println!("{steps} commands");
    assert!(steps > 50 * seconds, "hardly any load: {steps} commands");
    for user in [ann, bob] {
        compare(here, user, &mut clients);
    }
}

/// Does things until the end; returns how many.
fn run(client: &mut Client<'_>, end: Instant) -> u64 {
    client.select();
    let mut steps = 0;
    while Instant::now() < end && !client.is_over() {
        client.step();
        steps += 1;
    }
    steps
}

/// Now that nobody changes anything, what each was told is what is there.
fn compare<'a>(
    here: (&'a Server, &'a AtomicBool),
    user: (&'static str, &'a Truth),
    clients: &mut [Client<'a>],
) {
    // What another program did last is noticed.
    sleep(Duration::from_millis(100));
    for mailbox in MAILBOXES {
        let mut fresh = Client::new(here, user, Kind::named("plain"), 0);
        fresh.run(Doing::Select {
            mailbox,
            resync: None,
        });
        fresh.look();
        let unseen = user.1.unseen(mailbox);
        assert!(
            unseen.is_empty(),
            "delivered to {mailbox} and not there: {unseen:?}"
        );
        let own = |client: &&mut Client<'_>| {
            client.name.starts_with(user.0) && client.model.mailbox == Some(mailbox)
        };
        for client in clients.iter_mut().filter(own) {
            client.run(Doing::Noop);
            client.look();
            let (own, right) = (&client.model.view, &fresh.model.view);
            let right: Vec<_> = right.believed().collect();
            assert_eq!(own.believed().collect::<Vec<_>>(), right, "{}", client.name);
        }
    }
}
