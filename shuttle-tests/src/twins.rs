//! Scenarios with a bug in the runtime: each must be found, or a scenario that holds shows nothing.
//!
//! A twin is this test program once more, in a process of its own: a failed execution leaves its threads' stacks behind.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use filch_shuttle_primitive::BUG;

use crate::explore::{ITERATIONS, REPLAY, SCHEDULES, SEED};

/// So many executions are enough for each of them. (Most are found in the first fifty, the last one in the eight hundredth.)
const ENOUGH: &str = "4000";
/// A twin that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(120);

/// What came of it.
struct Ended {
    is_success: bool,
    said: String,
}

/// Runs a scenario in a process of its own, with a bug.
fn run(bug: &str, scenario: &str, folder: &Path, replay: Option<&Path>) -> Ended {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["--exact", scenario, "--nocapture", "--test-threads", "1"]);
    command.env(BUG, bug).env(ITERATIONS, ENOUGH).env(SEED, "1").env(SCHEDULES, folder);
    command.env("RUST_BACKTRACE", "0").env_remove(REPLAY);
    if let Some(file) = replay {
        command.env(REPLAY, file);
    }
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process");
    let mut errors = child.stderr.take().expect("it is piped");
    let (sender, said) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = errors.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    let said = said.recv_timeout(LONGEST);
    if said.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().expect("it has ended");
    reader.join().expect("the reader does not panic");
    let said = said.unwrap_or_else(|_| panic!("{scenario} with {bug} hangs"));
    Ended { is_success: status.success(), said }
}

/// A folder for the schedules of one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("twins").join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

/// The scenario finds the bug, and says so in these words.
fn finds(bug: &str, scenario: &str, words: &str) {
    let ended = run(bug, scenario, &folder(bug), None);
    let said = &ended.said;
    assert!(!ended.is_success, "{scenario} does not find {bug} in {ENOUGH} executions");
    assert!(said.contains(words), "{scenario} with {bug} fails otherwise:\n{said}");
    let place = said.lines().find(|line| line.contains("has failed in execution"));
    println!("{bug}: {}", place.unwrap_or_else(|| panic!("it did not say when:\n{said}")));
}

macro_rules! twins {
    ($($name:ident: $bug:literal in $scenario:literal says $words:literal,)+) => {
        $(
            #[test]
            fn $name() {
                finds($bug, $scenario, $words);
            }
        )+
    };
}

twins! {
    a_worker_that_does_not_look_again: "park-without-a-look" in "jobs_and_time" says "deadlock!",
    a_worker_that_forgets_its_inbox: "park-past-the-inbox" in "local_tasks" says "deadlock!",
    a_searcher_that_leaves_without_a_look: "leave-without-a-look" in "all_at_once" says "deadlock!",
    an_unpark_that_leaves_no_token: "no-token" in "dropped_inside" says "deadlock!",
    a_list_that_takes_tasks_too_late: "enter-late" in "drop_beside_first_waits" says "deadlock!",
    a_task_that_misses_its_wake: "park-blindly" in "local_tasks" says "deadlock!",
    a_task_that_misses_its_request: "park-deafly" in "cleanups" says "aborted: 1",
    an_end_that_is_not_watched: "watch-without-looking" in "gathered" says "deadlock!",
    a_timer_that_stops_silently: "timer-stop-silently" in "sleeps" says "deadlock!",
    a_socket_that_misses_its_event: "wait-without-looking" in "events" says "deadlock!",
    a_blocking_thread_called_twice: "call-twice" in "jobs" says "attempt to subtract with overflow",
}

/// The file that a failure leaves leads to the same failure, and one that fits nothing does not pass.
#[test]
fn a_failure_can_be_run_again() {
    let folder = folder("again");
    let (bug, scenario) = ("park-blindly", "wakes_from_everywhere");
    let first = run(bug, scenario, &folder, None);
    assert!(!first.is_success && first.said.contains("deadlock!"), "{}", first.said);
    let file = folder.join("schedule000.txt");
    assert!(first.said.contains("schedule000.txt"), "{}", first.said);
    let again = run(bug, scenario, &folder, Some(&file));
    assert!(!again.is_success && again.said.contains("deadlock!"), "{}", again.said);
    assert!(!again.said.contains("schedule ended early"), "{}", again.said);
}
