//! The beginning of every role: its setup, then giving up what it does not need.

use super::control::Message;
use super::setup::Setup;
use super::{logging, refusal};
use crate::sys::seccomp::Filter;
use crate::sys::{confine, landlock, limits, memory, message, random, seccomp, signals, spawn};
use futures_rustls::rustls::crypto::ring;
use std::hash::RandomState;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

/// If this process was started as a role: runs it and returns its exit code.
pub(crate) fn role_main() -> Option<ExitCode> {
    let argument = std::env::args_os().nth(1)?;
    let role = argument.to_str()?.strip_prefix(spawn::ROLE)?;
    Some(match begin(role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            log::error!("{role} ends: {why}");
            ExitCode::FAILURE
        }
    })
}

fn begin(role: &str) -> Result<(), String> {
    // In this order: one that waits already is then forgotten.
    signals::leave_to_parent();
    signals::release();
    limits::no_core_dumps();
    memory::one_heap();
    let channel = spawn::inherited();
    let received = message::receive(&channel).map_err(|e| format!("no setup came: {e}"))?;
    let (bytes, descriptors) =
        received.ok_or("this is not for people: it is started by `dovelet serve`")?;
    let Some(Message::Setup(setup)) = Message::decode(&bytes) else {
        return Err("the setup is broken".to_owned());
    };
    logging::start(logging::level(setup.log_level));
    limits::open_files(u64::from(setup.limits.max_connections) * 2 + 200);
    let octets = match role {
        "front" => setup.limits.front_memory_octets,
        "auth" => setup.limits.auth_memory_octets,
        _ => setup.limits.engine_memory_octets,
    };
    // Whatever started the server may have set a lower one.
    if let Err(error) = limits::memory(octets) {
        log::debug!("its memory is limited otherwise: {error}");
    }
    if random::needs_file() {
        open_random();
    }
    if let Err(why) = confine_to(role, &setup) {
        if role == "engine" {
            refusal::turn_away(&channel, &why);
        }
        return Err(why);
    }
    #[cfg(debug_assertions)]
    super::compromised::play(role, &channel);
    run(role, *setup, channel, descriptors)
}

fn run(role: &str, setup: Setup, channel: OwnedFd, more: Vec<OwnedFd>) -> Result<(), String> {
    match role {
        "front" => super::front::run(setup, channel, more).map_err(|e| e.to_string()),
        "auth" => super::auth::run(setup, channel, more).map_err(|e| e.to_string()),
        "engine" => super::engine::run(setup, channel),
        _ => Err("there is no such role".to_owned()),
    }
}

/// Has all that draws random numbers open the file they come from and keep it: once the role is
/// confined there are no files.
fn open_random() {
    let mut octet = [0];
    let _ = RandomState::new();
    let drawn = getrandom::fill(&mut octet).is_ok()
        && ring::default_provider()
            .secure_random
            .fill(&mut octet)
            .is_ok();
    if !drawn {
        log::error!("this machine has no random numbers");
    }
}

/// Says what this kernel cannot do for the safety of the roles: once, when the server starts.
pub(super) fn log_missing() {
    if landlock::version() == 0 {
        log::warn!(
            "this kernel has no Landlock: roles are kept from files by their accounts alone"
        );
    }
    if !seccomp::is_supported() {
        log::warn!("this kernel has no seccomp filters: roles can make every system call");
    }
}

fn confine_to(role: &str, setup: &Setup) -> Result<(), String> {
    let why = |doing: &'static str| move |error: std::io::Error| format!("{doing}: {error}");
    let files = role == "engine";
    if files {
        // Only the setup of a shared engine knows what all its users have in common.
        log::debug!("the engine may touch {:?}", setup.trees);
    }
    if let Some(identity) = setup.identity {
        confine::become_identity(identity, setup.jail.as_deref())
            .map_err(why("becoming another user"))?;
    }
    confine::no_new_rights().map_err(why("giving up new rights"))?;
    landlock::restrict(&setup.trees).map_err(why("restricting file access"))?;
    let filter = if files {
        Filter::Engine
    } else {
        Filter::NoFiles
    };
    // Where there are none the parent has said so.
    seccomp::restrict(filter).map_err(why("filtering system calls"))?;
    Ok(())
}
