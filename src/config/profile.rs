//! What a kind of machine can bear: limits and isolation, compiled in.

use std::path::Path;

use super::bounds;
use super::builder;
use super::fault::Faults;
use super::limits::Limits;
use super::manual::{LIMIT, TOP};
use super::model::Isolation;
use super::parse::ISOLATIONS;
use super::reader::Reader;

macro_rules! profiles {
    ($($name:literal),*) => {
        /// The names of all profiles, the default first.
        pub(crate) const BOARDS: &[&str] = &[$($name),*];

        fn text(name: &str) -> Option<&'static str> {
            match name {
                $($name => Some(include_str!(concat!("../../board/profiles/", $name, ".toml"))),)*
                _ => None,
            }
        }
    };
}

profiles!("generic", "nas", "raspberrypi", "openwrt-128", "openwrt-64");

/// What a profile supplies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) isolation: Isolation,
    pub(super) limits: Limits,
}

/// Returns the profile of that name, if there is one.
pub(super) fn profile(name: &str) -> Option<Profile> {
    let text = text(name)?;
    Some(read(text, &mut Faults::new(text)))
}

fn read(text: &str, faults: &mut Faults) -> Profile {
    let mut profile = Profile {
        isolation: Isolation::User,
        limits: Limits::default(),
    };
    let root = builder::read(text, faults);
    let directory = Path::new("");
    let mut reader = Reader { faults, directory };
    let top = reader.part(TOP, &root, 0);
    if let Some(isolation) = reader.word(&top, "isolation", &ISOLATIONS) {
        profile.isolation = isolation;
    }
    if let Some(part) = reader.table(&top, LIMIT) {
        bounds::read(&mut reader, &part, &mut profile.limits);
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::LIMITS;

    #[test]
    fn every_profile_is_whole_and_without_fault() {
        for name in BOARDS {
            let text = text(name).unwrap();
            let mut faults = Faults::new(text);
            read(text, &mut faults);
            assert_eq!(faults.located(text), [], "{name}");
            for limit in LIMITS {
                let line = format!("\n{} = ", limit.name);
                assert!(text.contains(&line), "{name} lacks {}", limit.name);
            }
        }
    }

    #[test]
    fn generic_is_the_default_of_the_limits() {
        let generic = profile("generic").unwrap();
        assert_eq!(generic.limits, Limits::default());
        assert_eq!(generic.isolation, Isolation::User);
    }

    #[test]
    fn only_routers_share_an_engine() {
        for name in BOARDS {
            let shared = profile(name).unwrap().isolation == Isolation::Shared;
            assert_eq!(shared, name.starts_with("openwrt"), "{name}");
        }
        assert_eq!(profile("toaster"), None);
    }

    #[test]
    fn smaller_boards_bear_less() {
        let limits = |name| profile(name).unwrap().limits;
        let order = ["openwrt-64", "openwrt-128", "raspberrypi", "nas"];
        let keep = ["argon2_passes", "login_failure_delay"];
        for pair in order.windows(2) {
            let (small, large) = (limits(pair[0]), limits(pair[1]));
            for limit in LIMITS.iter().filter(|l| !keep.contains(&l.name)) {
                let (small, large) = ((limit.value)(&small), (limit.value)(&large));
                assert!(small <= large, "{pair:?} {}", limit.name);
            }
        }
    }
}
