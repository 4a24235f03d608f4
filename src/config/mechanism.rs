//! SASL mechanisms (RFC 4422 section 3.1) by name, and sets of them.

/// A mechanism that this server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    Login,
    ScramSha256,
    ScramSha256Plus,
    ScramSha1,
    ScramSha1Plus,
    CramMd5,
    External,
    Anonymous,
}

impl Mechanism {
    /// In the order in which they are listed.
    pub(crate) const ALL: [Mechanism; 9] = [
        Mechanism::Plain,
        Mechanism::Login,
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha256,
        Mechanism::ScramSha1Plus,
        Mechanism::ScramSha1,
        Mechanism::CramMd5,
        Mechanism::External,
        Mechanism::Anonymous,
    ];

    /// The registered name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Mechanism::CramMd5 => "CRAM-MD5",
            Mechanism::External => "EXTERNAL",
            Mechanism::Anonymous => "ANONYMOUS",
        }
    }

    /// The mechanism of that name, whatever the case of its letters.
    pub(crate) fn named(name: &str) -> Option<Mechanism> {
        let mut all = Mechanism::ALL.into_iter();
        all.find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// The mechanism with channel binding that goes with this one.
    pub(crate) fn plus(self) -> Option<Mechanism> {
        match self {
            Mechanism::ScramSha256 => Some(Mechanism::ScramSha256Plus),
            Mechanism::ScramSha1 => Some(Mechanism::ScramSha1Plus),
            _ => None,
        }
    }

    /// True if it needs channel binding.
    pub(crate) fn binds(self) -> bool {
        matches!(self, Mechanism::ScramSha256Plus | Mechanism::ScramSha1Plus)
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of mechanisms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mechanisms(u16);

impl Mechanisms {
    /// Those that every stored password can serve.
    pub(crate) const PASSWORD: Mechanisms =
        Mechanisms((1 << Mechanism::Plain as u16) | (1 << Mechanism::Login as u16));

    /// The set with this one, too.
    #[must_use]
    pub(crate) fn with(self, mechanism: Mechanism) -> Mechanisms {
        Mechanisms(self.0 | mechanism.bit())
    }

    pub(crate) fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & mechanism.bit() != 0
    }

    /// In the order in which they are listed.
    pub(crate) fn iter(self) -> impl Iterator<Item = Mechanism> {
        let all = Mechanism::ALL.into_iter();
        all.filter(move |mechanism| self.contains(*mechanism))
    }

    /// Without those that need channel binding, unless there is some.
    #[must_use]
    pub(crate) fn bound(self, binding: bool) -> Mechanisms {
        let all = self.iter().filter(|m| binding || !m.binds());
        all.fold(Mechanisms::default(), Mechanisms::with)
    }

    /// Without EXTERNAL, unless the client has shown a certificate that is good.
    #[must_use]
    pub(crate) fn certified(self, certified: bool) -> Mechanisms {
        let external = match certified {
            true => 0,
            false => Mechanism::External.bit(),
        };
        Mechanisms(self.0 & !external)
    }

    /// Without ANONYMOUS.
    #[must_use]
    pub(crate) fn named(self) -> Mechanisms {
        Mechanisms(self.0 & !Mechanism::Anonymous.bit())
    }

    /// The set as a number, for other processes.
    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    /// The set of that number; what is none is left out.
    pub(crate) fn of_bits(bits: u16) -> Mechanisms {
        let all = Mechanism::ALL.into_iter().filter(|m| bits & m.bit() != 0);
        all.fold(Mechanisms::default(), Mechanisms::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for mechanism in Mechanism::ALL {
            assert_eq!(
                Mechanism::named(&mechanism.name().to_ascii_lowercase()),
                Some(mechanism)
            );
            let set = Mechanisms::default().with(mechanism);
            assert!(set.iter().eq([mechanism]) && set != Mechanisms::default());
            assert_eq!(Mechanisms::of_bits(set.bits()), set);
            assert_eq!(set.bound(false) == set, !mechanism.binds());
            assert_eq!(set.bound(true), set);
            let external = mechanism == Mechanism::External;
            assert_eq!(set.certified(false) == set, !external);
            assert_eq!(set.certified(true), set);
        }
        assert_eq!(Mechanism::named("SCRAM-SHA-512"), None);
        let all = Mechanisms::of_bits(u16::MAX);
        assert_eq!(all.iter().count(), Mechanism::ALL.len());
        assert!(
            Mechanisms::PASSWORD
                .iter()
                .eq([Mechanism::Plain, Mechanism::Login])
        );
    }
}
