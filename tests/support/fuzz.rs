//! A fuzzer for tests inside the crate: known inputs are changed at random for a bounded time. An input
//! that makes the code say something new joins those that are changed further.
//!
//! `DOVELET_FUZZ_SECONDS` says for how long (20), `DOVELET_FUZZ_SEED` repeats a run as far as time
//! allows; with `DOVELET_FUZZ_KEEP` inputs with new answers are added to `tests/fuzz/corpus/TARGET`. An
//! input that makes the code panic is always added there, so that it is tried first from then on.

#[allow(dead_code)] // no test uses all of it
#[path = "random.rs"]
mod random;

pub(crate) use random::Random;
use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest that one input may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Inputs that are changed, at most.
const POOL: usize = 4096;
/// Inputs that a run has to try besides those that are known, however slow the machine is.
const LEAST: u64 = 20;

/// Numbers at which something may turn over.
const NUMBERS: [&str; 9] = [
    "0",
    "1",
    "-1",
    "127",
    "65536",
    "2147483648",
    "4294967295",
    "9223372036854775808",
    "18446744073709551616",
];

/// What is fuzzed.
pub(crate) struct Target<'a> {
    /// The directory of its corpus.
    pub(crate) name: &'static str,
    /// Length of an input, at most.
    pub(crate) octets: usize,
    /// Pieces that its grammar is made of.
    pub(crate) words: &'a [&'a str],
    /// Inputs to begin with, besides its corpus.
    pub(crate) seeds: Vec<Vec<u8>>,
}

fn setting(name: &str, usual: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.and_then(|v| v.parse().ok()).unwrap_or(usual)
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

struct Run<'a, F> {
    target: Target<'a>,
    random: Random,
    answers: BTreeSet<u64>,
    try_it: F,
    tried: u64,
}

/// Runs `try_it` with the corpus, then with inputs made of it. What it returns is the sort of answer
/// that the input got; it panics if something is wrong.
pub(crate) fn fuzz(target: Target<'_>, try_it: impl FnMut(&[u8], &mut Random) -> String) {
    let seed = setting("DOVELET_FUZZ_SEED", Random::seed());
    println!("DOVELET_FUZZ_SEED={seed}");
    let end = Instant::now() + Duration::from_secs(setting("DOVELET_FUZZ_SECONDS", 20));
    let mut run = Run {
        target,
        random: Random::new(seed),
        answers: BTreeSet::new(),
        try_it,
        tried: 0,
    };
    run.begin();
    let known = run.tried;
    while Instant::now() < end || run.tried < known + LEAST {
        let input = run.input();
        if run.is_new(&input) {
            run.keep(input);
        }
    }
    let Run { tried, target, .. } = &run;
    println!(
        "{tried} inputs, {} of them to go on with",
        target.seeds.len()
    );
}

fn corpus(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fuzz/corpus").join(name)
}

impl<F: FnMut(&[u8], &mut Random) -> String> Run<'_, F> {
    /// Tries all that is known.
    fn begin(&mut self) {
        let directory = corpus(self.target.name);
        let entries =
            fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        assert!(!seeds.is_empty(), "{}: no corpus", directory.display());
        seeds.append(&mut self.target.seeds);
        seeds.retain(|seed| seed.len() <= self.target.octets);
        for seed in seeds {
            if self.is_new(&seed) {
                self.target.seeds.push(seed);
            }
        }
    }

    /// Tries an input; whether it got an answer of a new sort.
    fn is_new(&mut self, input: &[u8]) -> bool {
        self.tried += 1;
        // What ends the whole process leaves its input here.
        let current = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
        let current = current.join(self.target.name);
        if self.tried == 1 {
            fs::create_dir_all(current.parent().unwrap()).unwrap();
        }
        fs::write(&current, input).unwrap();
        let start = Instant::now();
        let answer = catch_unwind(AssertUnwindSafe(|| (self.try_it)(input, &mut self.random)));
        let answer = answer.ok().filter(|_| start.elapsed() < PATIENCE);
        let Some(answer) = answer else {
            let file = corpus(self.target.name).join(format!("crash-{:016x}", hash(input)));
            fs::write(&file, input).unwrap();
            panic!(
                "{} is wrong or slow with {}: {}",
                self.target.name,
                file.display(),
                input.escape_ascii()
            );
        };
        self.answers.insert(hash(answer))
    }

    fn keep(&mut self, input: Vec<u8>) {
        if std::env::var_os("DOVELET_FUZZ_KEEP").is_some() {
            let file = corpus(self.target.name).join(format!("{:016x}", hash(&input)));
            fs::write(file, &input).unwrap();
        }
        if self.target.seeds.len() < POOL {
            self.target.seeds.push(input);
        }
    }

    fn any(&mut self) -> Vec<u8> {
        let at = self.random.below(self.target.seeds.len() as u64);
        self.target.seeds[at as usize].clone()
    }

    /// A known input, changed.
    fn input(&mut self) -> Vec<u8> {
        let mut input = self.any();
        for _ in 0..1 + self.random.below(5) {
            self.change(&mut input);
        }
        input.truncate(self.target.octets);
        input
    }

    fn place(&mut self, input: &[u8]) -> usize {
        self.random.below(input.len() as u64 + 1) as usize
    }

    /// Two places in order, mostly near to each other.
    fn range(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let start = self.place(input);
        let most = [4, 32, input.len() as u64 + 1][self.random.below(3) as usize];
        let end = start + self.random.below(most) as usize;
        start..end.min(input.len())
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.place(input);
        let range = self.range(input);
        match self.random.below(10) {
            0 => input
                .get_mut(at)
                .into_iter()
                .for_each(|byte| *byte ^= 1 << self.random.below(8)),
            1 => input.insert(at, self.random.below(256) as u8),
            2 => drop(input.drain(range)),
            3 => {
                let piece = input[range].to_vec();
                input.splice(at..at, piece);
            }
            4 => {
                let piece = input[range].repeat(1 + self.random.below(64) as usize);
                input.splice(at..at, piece);
            }
            5 => {
                let other = self.any();
                let piece = self.range(&other);
                input.splice(range, other[piece].iter().copied());
            }
            6 => self.number(input),
            7 => {
                let byte = *b"\0\r\n \"\\(){}<>[]=?:;,*%\xff\x80"
                    .get(self.random.below(24) as usize)
                    .unwrap_or(&b'\n');
                input.insert(at, byte);
            }
            _ => {
                let word =
                    self.target.words[self.random.below(self.target.words.len() as u64) as usize];
                let place = if self.random.below(2) == 0 {
                    at..at
                } else {
                    range
                };
                input.splice(place, word.bytes());
            }
        }
    }

    /// Another number in the place of one.
    fn number(&mut self, input: &mut Vec<u8>) {
        let from = self.place(input);
        let digit = |byte: &u8| byte.is_ascii_digit();
        let Some(start) = input[from..].iter().position(digit).map(|at| from + at) else {
            return;
        };
        let length = input[start..].iter().take_while(|byte| digit(byte)).count();
        let number = NUMBERS[self.random.below(NUMBERS.len() as u64) as usize];
        input.splice(start..start + length, number.bytes());
    }
}
