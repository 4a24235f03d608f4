//! Whose a certificate is (RFC 5280).

use super::der::{element, elements};

/// `id-at-commonName` and `id-ce-subjectAltName`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE: &[u8] = &[0x55, 0x1d, 0x11];

/// The common name of the subject. `None` if there is none, more than one, or one in no UTF-8.
pub(super) fn common_name(certificate: &[u8]) -> Option<String> {
    // Serial number, algorithm, issuer and validity come before the subject.
    let (_, subject) = fields(certificate)?.nth(4)?;
    let attributes = elements(subject).flat_map(|(_, set)| elements(set));
    let named = attributes.filter_map(|(_, attribute)| {
        let (_, kind, behind) = element(attribute)?;
        let (tag, text, _) = element(behind)?;
        (kind == COMMON_NAME).then_some((tag, text))
    });
    // UTF8String, PrintableString, IA5String.
    one(named.map(|(tag, text)| matches!(tag, 0x0c | 0x13 | 0x16).then_some(text)))
}

/// The mail address among the alternative names of the subject. `None` if there is none, or more than one.
pub(super) fn email(certificate: &[u8]) -> Option<String> {
    let (_, extensions) = fields(certificate)?.find(|(tag, _)| *tag == 0xa3)?;
    let (_, extensions, _) = element(extensions)?;
    let names = elements(extensions).find_map(|(_, extension)| {
        let mut parts = elements(extension);
        let own = parts.next().is_some_and(|(_, kind)| kind == ALTERNATIVE);
        // Behind it whether it is critical, if that is said.
        parts.last().map(|(_, value)| value).filter(|_| own)
    })?;
    let (_, names, _) = element(names)?;
    let addresses = elements(names).filter(|(tag, _)| *tag == 0x81);
    one(addresses.map(|(_, address)| Some(address)))
}

/// Of `Certificate ::= SEQUENCE { tbsCertificate, ... }` the fields of the first, from the serial number on.
fn fields(certificate: &[u8]) -> Option<impl Iterator<Item = (u8, &[u8])>> {
    let (_, content, _) = element(certificate)?;
    let (_, content, _) = element(content)?;
    Some(elements(content).skip_while(|(tag, _)| *tag == 0xa0))
}

/// The only one, as text. Two would be two users, and whoever signs may have looked at either.
fn one<'a>(mut all: impl Iterator<Item = Option<&'a [u8]>>) -> Option<String> {
    let first = all.next()??;
    let text = std::str::from_utf8(first).ok()?;
    let good = all.next().is_none() && !text.is_empty() && !text.contains('\0');
    good.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    fn made(names: &[DnValue], addresses: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["mail.test".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Test");
        for (number, name) in names.iter().enumerate() {
            // The same type can be there once only.
            match number {
                0 => params
                    .distinguished_name
                    .push(DnType::CommonName, name.clone()),
                _ => {
                    let kind = DnType::CustomDnType(vec![2, 5, 4, 3]);
                    params.distinguished_name.push(kind, name.clone());
                }
            }
        }
        let address = |address: &&str| SanType::Rfc822Name((*address).try_into().unwrap());
        params
            .subject_alt_names
            .extend(addresses.iter().map(address));
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_found_if_there_is_one() {
        let text = |text: &str| DnValue::Utf8String(text.to_owned());
        let printable = DnValue::PrintableString("ann".try_into().unwrap());
        let wide = DnValue::BmpString("ann".try_into().unwrap());
        for (names, expected) in [
            (vec![text("ann")], Some("ann")),
            (vec![printable], Some("ann")),
            (vec![text("zo\u{eb}")], Some("zo\u{eb}")),
            (vec![wide], None),
            (vec![text("")], None),
            (vec![text("a\0b")], None),
            (vec![text("ann"), text("bob")], None),
            (vec![], None),
        ] {
            let der = made(&names, &[]);
            assert_eq!(common_name(&der).as_deref(), expected, "{names:?}");
            assert_eq!(email(&der), None);
        }
        for (addresses, expected) in [
            (vec!["ann@test"], Some("ann@test")),
            (vec!["ann@test", "bob@test"], None),
        ] {
            let der = made(&[text("x")], &addresses);
            assert_eq!(email(&der).as_deref(), expected, "{addresses:?}");
        }
    }

    #[test]
    fn what_is_cut_short_or_changed_is_no_reason_to_end() {
        let mut der = made(&[DnValue::Utf8String("ann".to_owned())], &["ann@test"]);
        for end in 0..der.len() {
            common_name(&der[..end]);
            email(&der[..end]);
        }
        for at in 0..der.len() {
            let before = der[at];
            for value in [0, 0x7f, 0x80, 0x83, 0xff] {
                der[at] = value;
                common_name(&der);
                email(&der);
            }
            der[at] = before;
        }
        assert_eq!(common_name(&der).as_deref(), Some("ann"));
    }
}
