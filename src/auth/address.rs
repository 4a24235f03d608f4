//! From the address of a message to names a user may have.

/// A user name to try, and the subaddress it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Lower case.
    pub(crate) name: String,
    /// Behind the first delimiter of the local part, as it was written (RFC 5233); never empty.
    pub(crate) detail: Option<String>,
}

/// The names that may stand for `address`, the best first: the whole address, the address
/// without its detail, the local part, the local part without its detail. At most four. The
/// domain begins behind the last `@`; a local part must not be in quotes any more. Any character of
/// `delimiters` begins a detail.
pub(crate) fn candidates(address: &str, delimiters: &str) -> Vec<Candidate> {
    let (local, domain) = match address.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (address, None),
    };
    let (base, detail) = match local.split_once(|c| delimiters.contains(c)) {
        Some((base, detail)) => (base, Some(detail)),
        None => (local, None),
    };
    let mut found = Vec::with_capacity(4);
    let mut add = |local: &str, domain: Option<&str>, detail: Option<&str>| {
        let name = domain.map_or_else(|| local.to_owned(), |domain| format!("{local}@{domain}"));
        if !local.is_empty() {
            found.push(Candidate {
                name: name.to_ascii_lowercase(),
                detail: detail.filter(|d| !d.is_empty()).map(str::to_owned),
            });
        }
    };
    for domain in [domain, None].iter().skip(usize::from(domain.is_none())) {
        add(local, *domain, None);
        if detail.is_some() {
            add(base, *domain, detail);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_order() {
        for (address, expected) in [
            ("Ann@Example.org", &["ann@example.org", "ann"][..]),
            (
                "Ann+Box@x.org",
                &["ann+box@x.org", "ann@x.org Box", "ann+box", "ann Box"],
            ),
            ("ann", &["ann"]),
            ("ann+a+b", &["ann+a+b", "ann a+b"]),
            ("a@b@c", &["a@b@c", "a@b"]),
            ("+x@y", &["+x@y", "+x"]),
            ("ann@", &["ann@", "ann"]),
            ("@", &[]),
            ("", &[]),
        ] {
            let found = candidates(address, "+")
                .into_iter()
                .map(|c| match c.detail {
                    Some(detail) => format!("{} {detail}", c.name),
                    None => c.name,
                });
            assert_eq!(found.collect::<Vec<_>>(), expected, "{address}");
        }
        let detail = |delimiters| {
            let last = candidates("ann-a+b", delimiters).pop()?;
            Some((last.name, last.detail?))
        };
        assert_eq!(detail("+-"), Some(("ann".into(), "a+b".into())));
        assert_eq!(detail("+"), Some(("ann-a".into(), "b".into())));
        assert_eq!(detail(""), None);
    }
}
