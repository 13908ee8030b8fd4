//! Each target for a few seconds, on stable Rust: what was found before, and what was never tried.
//!
//! Without more said, the fresh ones are the same each time. `FILCH_FUZZ_CASES=100000` tries so many others; `FILCH_FUZZ_SEED=7` says which;
//! `FILCH_FUZZ_INPUT=0a1b…` is one program, as a failure has printed it, or a file.

use std::cell::RefCell;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use filch_models::{Target, Verdict};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// A program that has not ended by then hangs.
const HANG: Duration = Duration::from_secs(30);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.trim().as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Ends the process, and tells which program it was, if it takes too long.
struct Watched {
    begin: mpsc::Sender<Option<Vec<u8>>>,
}

impl Watched {
    fn new(target: Target) -> Watched {
        let (begin, begun) = mpsc::channel::<Option<Vec<u8>>>();
        std::thread::spawn(move || {
            let mut running: Option<Vec<u8>> = None;
            loop {
                match (begun.recv_timeout(HANG), running.take()) {
                    (Ok(next), _) => running = next,
                    (Err(mpsc::RecvTimeoutError::Disconnected), _) => return,
                    (Err(mpsc::RecvTimeoutError::Timeout), None) => {}
                    (Err(mpsc::RecvTimeoutError::Timeout), Some(bytes)) => {
                        eprintln!("{}: it hangs: FILCH_FUZZ_INPUT={}", target.name, hex(&bytes));
                        std::process::exit(102);
                    }
                }
            }
        });
        Watched { begin }
    }

    fn run(&self, target: Target, bytes: &[u8]) -> Verdict {
        self.begin.send(Some(bytes.to_vec())).unwrap();
        let verdict = (target.run)(bytes);
        self.begin.send(None).unwrap();
        verdict
    }
}

fn check(target: Target, cases: u64) {
    let watched = Watched::new(target);
    let report = |bytes: &[u8], what: &str| {
        panic!("{}: {what}\n  FILCH_FUZZ_INPUT={}", target.name, hex(bytes));
    };
    let replay = |bytes: &[u8]| {
        if let Err(what) = watched.run(target, bytes) {
            report(bytes, &what);
        }
    };
    if let Ok(input) = std::env::var("FILCH_FUZZ_INPUT") {
        return replay(&std::fs::read(&input).unwrap_or_else(|_| unhex(&input)));
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target.name);
    let mut known = 0;
    for file in std::fs::read_dir(corpus).into_iter().flatten() {
        replay(&std::fs::read(file.unwrap().path()).unwrap());
        known += 1;
    }
    let asked_for = number("FILCH_FUZZ_CASES");
    let cases = asked_for.unwrap_or(cases);
    let other = || match asked_for {
        // A test that failed once in a hundred runs would be believed by nobody.
        None => 1,
        Some(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    let seed = number("FILCH_FUZZ_SEED").unwrap_or_else(other);
    println!("{}: {known} known programs, {cases} fresh ones, FILCH_FUZZ_SEED={seed}", target.name);
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: u32::try_from(cases).unwrap(),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        // A program of sockets that hangs takes 20 s each time.
        max_shrink_time: 120_000,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &key);
    // What is said of the shortest program is said of the last one that failed.
    let said = RefCell::new(String::new());
    let outcome =
        TestRunner::new_with_rng(config, rng).run(&vec(any::<u8>(), 0..target.longest), |bytes| {
            watched.run(target, &bytes).map_err(|what| {
                *said.borrow_mut() = what;
                TestCaseError::fail("")
            })
        });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(_, bytes)) => report(&bytes, &said.borrow()),
        Err(TestError::Abort(reason)) => panic!("{}: {reason}", target.name),
    }
}

#[test]
fn timer() {
    check(filch_models::timer::TARGET, 500);
}

#[test]
fn tasks() {
    check(filch_models::tasks::TARGET, 500);
}

#[cfg(unix)]
#[test]
fn net() {
    check(filch_models::net::TARGET, 300);
}

#[test]
fn branches() {
    check(filch_models::branches::TARGET, 1000);
}
