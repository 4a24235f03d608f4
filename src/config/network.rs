//! Ranges of IP addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// All addresses that share the first `prefix` bits with `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkFault {
    /// Not `ADDRESS` and not `ADDRESS/PREFIX`.
    Syntax,
    /// The prefix is longer than the address: 32 bits, or 128 for IPv6.
    Prefix,
}

impl Network {
    /// Returns whether `ip` is in this network; an IPv4 address that came through an IPv6 socket
    /// (`::ffff:192.0.2.1`) counts as IPv4.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.address.is_ipv4()
            && masked(ip, self.prefix) == masked(self.address, self.prefix)
    }
}

/// `ip` with zeros behind its first `prefix` bits.
fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix));
            IpAddr::V4((v4.to_bits() & mask.unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix));
            IpAddr::V6((v6.to_bits() & mask.unwrap_or(0)).into())
        }
    }
}

impl FromStr for Network {
    type Err = NetworkFault;

    fn from_str(text: &str) -> Result<Network, NetworkFault> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkFault::Syntax)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty() => {
                digits.parse().map_err(|_| NetworkFault::Prefix)?
            }
            Some(_) => return Err(NetworkFault::Syntax),
        };
        if prefix > bits {
            return Err(NetworkFault::Prefix);
        }
        Ok(Network {
            address: masked(address, prefix),
            prefix,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        let cases = [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.9", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe80::1", false),
            ("2001:db8::1", "2001:db8::1", true),
        ];
        for (network, ip, expected) in cases {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(
                parsed.contains(ip.parse().unwrap()),
                expected,
                "{network} {ip}"
            );
        }
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in [
            "",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "x/8",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkFault::Syntax), "{text}");
        }
        for text in ["10.0.0.0/33", "10.0.0.0/300", "::/129"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkFault::Prefix), "{text}");
        }
    }

    #[test]
    fn text_form_is_normal() {
        assert_eq!(
            "10.1.2.3/8".parse::<Network>().unwrap().to_string(),
            "10.0.0.0/8"
        );
        assert_eq!("::1".parse::<Network>().unwrap().to_string(), "::1/128");
    }
}
