//! The executable under test.

use std::path::PathBuf;
use std::process::Command;

/// The words that run it: `DOVELET_BIN` of the environment, which is a path, after an emulator and its
/// options if need be; else what cargo built.
fn words() -> Vec<String> {
    let words = std::env::var("DOVELET_BIN").unwrap_or_default();
    if words.trim().is_empty() {
        return vec![env!("CARGO_BIN_EXE_dovelet").to_owned()];
    }
    words.split_whitespace().map(str::to_owned).collect()
}

/// Its file.
pub(crate) fn executable() -> PathBuf {
    words().pop().unwrap_or_default().into()
}

/// Runs it.
pub(crate) fn dovelet() -> Command {
    let words = words();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    if let Some(emulator) = emulator(&words) {
        command.env("DOVELET_EMULATOR", emulator);
    }
    command
}

/// The same as words of a shell's line.
pub(crate) fn dovelet_words() -> String {
    let words = words();
    let line = words.join(" ");
    match emulator(&words) {
        Some(emulator) => format!("env DOVELET_EMULATOR='{emulator}' {line}"),
        None => line,
    }
}

/// Whether the machine cannot run it by itself: then what is seen of its processes is the emulator's.
pub(crate) fn is_emulated() -> bool {
    words().len() > 1
}

/// What roles are started with.
fn emulator(words: &[String]) -> Option<String> {
    (words.len() > 1).then(|| words[..words.len() - 1].join(" "))
}
