//! What packs the server for devices, and what verifies the packages (`images/`): their own test, which needs Python.

use std::process::Command;

#[test]
fn packages_are_good_and_what_was_tampered_with_is_found() {
    let test = concat!(env!("CARGO_MANIFEST_DIR"), "/images/test/test_packages.py");
    let Ok(done) = Command::new("python3").arg("-B").arg(test).output() else {
        eprintln!("skipped: no python3");
        return;
    };
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
}
