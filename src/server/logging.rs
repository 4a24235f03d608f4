//! The log: `simple_logger` writes it to standard error, and no failure of that touches the server.
//!
//! A log ends in strange ways: its reader is gone (EPIPE), reads no more (a full pipe), its disk is full
//! (ENOSPC), its terminal was closed (EIO). `simple_logger` panics where a line cannot be written, and
//! waits where a pipe is full. Mail goes before lines of a log, so standard error never waits (see
//! [`stderr`]), a panic of the logger ends here, and the line is lost. No look at the descriptor beforehand
//! could tell a full disk. How many lines were lost is the first that is told once they can be written again.

use crate::sys::stderr;
use log::{LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
use std::cell::Cell;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

/// Lines of this process that could not be written since the last that could.
static LOST: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// This thread writes a line: a panic is no news.
    static WRITING: Cell<bool> = const { Cell::new(false) };
}

/// Has this process log to standard error up to `level`; once, later calls change nothing. A process
/// that others inherit standard error from first calls [`stderr::never_wait`].
pub(crate) fn start(level: LevelFilter) {
    let logger = SimpleLogger::new()
        .with_level(level)
        .with_module_level("polling", LevelFilter::Off)
        .with_module_level("async_io", LevelFilter::Off);
    let most = logger.max_level();
    if log::set_boxed_logger(Box::new(Forgiving(logger))).is_err() {
        return;
    }
    log::set_max_level(most);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !WRITING.get() {
            usual(panic);
        }
    }));
}

/// The level that a setup has as a number.
pub(super) fn level(number: u8) -> LevelFilter {
    let mut levels = LevelFilter::iter();
    levels
        .nth(usize::from(number))
        .unwrap_or(LevelFilter::Trace)
}

/// A line of the log as it is, without level and module in front.
pub(super) fn print(line: &str) {
    if log::max_level() >= LevelFilter::Info {
        write_or_lose(|| {
            // In one piece: others write to the same place.
            let whole = format!("{line}\n");
            std::io::stderr().write_all(whole.as_bytes()).is_ok()
        });
    }
}

/// The logger that loses what it cannot write.
struct Forgiving(SimpleLogger);

impl Log for Forgiving {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.0.enabled(record.metadata()) {
            write_or_lose(|| survives(|| self.0.log(record)));
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Writes a line by `write`, which returns whether it could; before it what was lost since the last one.
fn write_or_lose(write: impl Fn() -> bool) {
    let lost = LOST.swap(0, Ordering::Relaxed);
    let told = lost == 0 || (stderr::ready() && tell(lost));
    if !told {
        LOST.fetch_add(lost, Ordering::Relaxed);
    }
    if !(told && stderr::ready() && write()) {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Behind an end of line: the last line may have been cut.
fn tell(lost: u32) -> bool {
    let whole = format!("\nWARN  [dovelet] {lost} lines of the log could not be written\n");
    std::io::stderr().write_all(whole.as_bytes()).is_ok()
}

/// Whether `write` comes to its end.
fn survives(write: impl FnOnce()) -> bool {
    let before = WRITING.replace(true);
    let survived = catch_unwind(AssertUnwindSafe(write)).is_ok();
    WRITING.set(before);
    survived
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_the_numbers_of_the_configuration() {
        for level in LevelFilter::iter() {
            assert_eq!(super::level(level as u8), level);
        }
        assert_eq!(super::level(99), LevelFilter::Trace);
    }

    #[test]
    fn a_logger_that_panics_loses_its_line() {
        assert!(survives(|| ()));
        assert!(!survives(|| panic!("failed printing to stderr")));
        assert!(!WRITING.get());
    }
}
