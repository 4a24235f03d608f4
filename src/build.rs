//! Build script: asks the linker to make the executable small, where it can.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Functions that came out the same are kept once; relocations are packed (DT_RELR).
const ARGUMENTS: [&str; 2] = ["-Wl,--icf=all", "-Wl,-z,pack-relative-relocs"];

fn main() {
    println!("cargo:rerun-if-changed=src/build.rs");
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    // In builds for debugging whoever looks at addresses shall find every function; static executables
    // relocate themselves, and not every libc's start knows packed relocations.
    if set("PROFILE") != "release" || set("CARGO_CFG_TARGET_ENV") != "gnu" {
        return;
    }
    for argument in ARGUMENTS {
        if links_with(argument).is_some_and(|links| links) {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
    }
}

/// Whether an empty program can be linked so, with the compiler, the target and the linker of this build.
fn links_with(argument: &str) -> Option<bool> {
    let set = |name: &str| std::env::var(name).ok();
    let output = Path::new(&set("OUT_DIR")?).join("linked");
    let mut command = Command::new(set("RUSTC")?);
    command
        .args([
            "--edition=2024",
            "--crate-type=bin",
            "--target",
            &set("TARGET")?,
        ])
        .args(
            set("CARGO_ENCODED_RUSTFLAGS")?
                .split('\x1f')
                .filter(|flag| !flag.is_empty()),
        )
        .args(set("RUSTC_LINKER").map(|linker| format!("-Clinker={linker}")))
        .args(["-C", &format!("link-arg={argument}"), "-"])
        .arg("-o")
        .arg(output)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    child.stdin.take()?.write_all(b"fn main() {}").ok()?;
    Some(child.wait().ok()?.success())
}
