//! The certificates of a server, read or, where there is none, made.

use super::authorities::Authorities;
use super::control::Certificate;
use super::error::Error;
use super::tls::Fault;
use crate::config::{ClientName, Config, Unusable};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Octets of the certificates of those who vouch for users.
const MAX_AUTHORITIES_OCTETS: usize = 64 << 10;

/// Years that a certificate of our own is good for.
const YEARS: i32 = 10;

/// The year when this was written: no clock that is right shows an earlier one.
const WRITTEN: i32 = 2026;

/// Files of the default certificate and its key.
pub(super) fn files(config: &Config) -> (PathBuf, PathBuf) {
    match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => {
            let directory = config.data_dir.join("tls");
            (directory.join("cert.pem"), directory.join("key.pem"))
        }
    }
}

/// Reads every certificate; makes the default one if it is neither configured nor there.
pub(super) fn load(config: &Config) -> Result<Vec<Certificate>, Error> {
    let (certificate, key) = files(config);
    if config.tls.certificate.is_none() && !certificate.exists() {
        make(&config.hostname, &certificate, &key)?;
    }
    let mut all = vec![read("", &certificate, &key)?];
    for one in &config.tls.names {
        all.push(read(&one.name, &one.certificate, &one.key)?);
    }
    Ok(all)
}

/// Who vouches for clients' certificates, as PEM, if somebody does.
pub(super) fn authorities(config: &Config) -> Result<Option<Vec<u8>>, Error> {
    let Some(path) = &config.tls.client_ca else {
        return Ok(None);
    };
    let pem = vouching(path, config.tls.client_name);
    let pem = pem.map_err(|why| Error::Tls(format!("[tls] client_ca {why}")))?;
    Ok(Some(pem))
}

/// What keeps a server from using the file of those who vouch for clients' certificates.
pub(crate) fn inspect_authorities(path: &Path, name: ClientName) -> Result<(), String> {
    vouching(path, name).map(drop)
}

/// Errors: with the file.
fn vouching(path: &Path, name: ClientName) -> Result<Vec<u8>, String> {
    let because = |why: String| format!("{}: {why}", path.display());
    let mut pem = Vec::new();
    let read = super::layout::open(path).and_then(|file| {
        let most = u64::try_from(MAX_AUTHORITIES_OCTETS).unwrap_or(u64::MAX);
        file.take(most + 1).read_to_end(&mut pem)
    });
    read.map_err(|error| because(error.to_string()))?;
    if pem.len() > MAX_AUTHORITIES_OCTETS {
        return Err(because("more than 64 KiB".to_owned()));
    }
    Authorities::new(&pem, name).map_err(because)?;
    Ok(pem)
}

/// What keeps a server from using a certificate and its key; nothing is made.
pub(crate) fn inspect(certificate: &Path, key: &Path) -> Result<(), Unusable> {
    pair("", certificate, key).map(drop)
}

fn read(name: &str, certificate: &Path, key: &Path) -> Result<Certificate, Error> {
    let table = super::tls::table(name);
    pair(name, certificate, key).map_err(|fault| {
        Error::Tls(match fault {
            Unusable::Certificate(why) => format!("{table} certificate {why}"),
            Unusable::Key(why) => format!("{table} key {why}"),
        })
    })
}

/// Errors: which of the two is to blame, with its file.
fn pair(name: &str, certificate: &Path, key: &Path) -> Result<Certificate, Unusable> {
    let read = |path: &Path| {
        let mut bytes = Vec::new();
        super::layout::open(path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(bytes)
    };
    let pair = Certificate {
        name: name.to_owned(),
        chain: read(certificate).map_err(Unusable::Certificate)?,
        key: read(key).map_err(Unusable::Key)?,
    };
    super::tls::check(&pair).map_err(|fault| {
        let (certificate, key) = (certificate.display(), key.display());
        match fault {
            Fault::Certificate(why) => Unusable::Certificate(format!("{certificate}: {why}")),
            Fault::Key(why) => Unusable::Key(format!("{key}: {why}")),
            Fault::Pair(why) => Unusable::Key(format!("{key} for {certificate}: {why}")),
        }
    })?;
    Ok(pair)
}

/// The year of that time; of a clock that was never set, the first one that it can be.
fn year(seconds: i64) -> i32 {
    let year = i32::try_from(seconds / 31_556_952).map_or(0, |years| 1970 + years);
    year.max(WRITTEN)
}

/// Makes a certificate and its key. Durable: whoever finds the certificate finds both whole, also if the power
/// fails in the midst of the first start.
fn make(hostname: &str, certificate: &Path, key: &Path) -> Result<(), Error> {
    // As clients on this machine may name it.
    let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut names = vec![hostname.to_owned()];
    names.extend(local.into_iter().filter(|name| name != hostname));
    let made = (|| {
        let mut params = rcgen::CertificateParams::new(names)?;
        let year = year(crate::sys::clock::now_seconds());
        params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
        params.not_after = rcgen::date_time_ymd(year + YEARS, 1, 1);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, hostname);
        let pair = rcgen::KeyPair::generate()?;
        let signed = params.self_signed(&pair)?;
        Ok::<_, rcgen::Error>((signed.pem(), pair.serialize_pem()))
    })();
    let (chain, secret) = made.map_err(|error| Error::Tls(error.to_string()))?;
    super::layout::write_secret(key, secret.as_bytes())?;
    let unfinished = certificate.with_extension("new");
    super::layout::write_secret(&unfinished, chain.as_bytes())?;
    fs::rename(&unfinished, certificate)
        .and_then(|()| {
            let above = certificate.parent().map(fs::File::open);
            above.map_or(Ok(()), |directory| directory?.sync_all())
        })
        .map_err(|e| Error::file("writing", certificate, e))
}

/// SHA-256 of the default certificate as mail programs show it.
pub(super) fn fingerprint(certificates: &[Certificate]) -> String {
    let first = certificates
        .first()
        .and_then(|one| CertificateDer::from_pem_slice(&one.chain).ok());
    let Some(der) = first else {
        return String::new();
    };
    let hash = Sha256::digest(&der);
    let pairs: Vec<String> = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_clock_makes_a_certificate_for_today() {
        // It was good from 1969 to 1980.
        assert_eq!(year(0), WRITTEN);
        assert_eq!(year(1_000_000_000), WRITTEN);
        assert_eq!(year(1_893_456_000 + 86_400), 2030);
        assert_eq!(year(i64::MAX), WRITTEN);
    }

    #[test]
    fn a_first_start_that_was_cut_short_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (
            directory.path().join("cert.pem"),
            directory.path().join("key.pem"),
        );
        fs::write(&key, "").unwrap();
        fs::write(directory.path().join("cert.new"), "-----BEGIN").unwrap();
        make("mail.example.org", &certificate, &key).unwrap();
        inspect(&certificate, &key).unwrap();
        let mut left: Vec<_> = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["cert.pem", "key.pem"]);
    }
}
