//! Row 4: Ctrl-C. Each case is a process of its own, and gets a real signal.

#![allow(missing_docs)]
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use filch::{Interrupted, catch_cancel, run_interruptible, sleep, spawn};

const CASE: &str = "FILCH_TEST_INTERRUPT";
const HOUR: Duration = Duration::from_secs(3600);
const SIGINT: i32 = 2;

/// What the processes do. (As a test of its own it does nothing.)
#[test]
fn process() {
    let Ok(case) = std::env::var(CASE) else { return };
    match case.as_str() {
        "cleanup" => {
            let result: Result<(), Interrupted> = run_interruptible(async {
                spawn(async {
                    let cancelled = catch_cancel(sleep(HOUR)).await;
                    println!("a task's cleanup");
                    cancelled
                });
                let cancelled = catch_cancel(async {
                    filch::yield_now().await;
                    println!("ready");
                    sleep(HOUR).await;
                });
                let cancelled = cancelled.await.unwrap_err();
                sleep(Duration::from_millis(1)).await;
                println!("main's cleanup: {}", cancelled.reason().unwrap());
                cancelled.resume().await;
            });
            println!("result: {}", result.unwrap_err());
        }
        "swallow" => {
            let result = run_interruptible(async {
                println!("ready");
                catch_cancel(sleep(HOUR)).await.unwrap_err().uncancel();
                sleep(Duration::from_millis(1)).await;
                7
            });
            println!("result: {}", result.unwrap());
        }
        "twice" => {
            let _ = run_interruptible(async {
                println!("ready");
                let _shields = catch_cancel(sleep(HOUR)).await;
                println!("once");
                loop {
                    // Not even a task that never waits holds the second one up.
                    std::hint::spin_loop();
                }
            });
        }
        "value" => println!("result: {}", run_interruptible(async { 3 }).unwrap()),
        other => unreachable!("{other}"),
    }
}

struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn start(case: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process", "--nocapture", "--test-threads=1"])
            .env(CASE, case)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Process { child, lines }
    }

    fn expect(&mut self, text: &str) {
        for line in self.lines.by_ref() {
            if line.unwrap().contains(text) {
                return;
            }
        }
        panic!("the process ended before it said `{text}`");
    }

    fn interrupt(&self) {
        let kill = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

#[test]
fn row_04_the_first_one_cancels_main_and_cleanups_run() {
    let mut process = Process::start("cleanup");
    process.expect("ready");
    process.interrupt();
    process.expect("main's cleanup: Ctrl-C (SIGINT)");
    process.expect("a task's cleanup");
    process.expect("result: interrupted: Ctrl-C (SIGINT)");
    assert!(process.end().success());
}

#[test]
fn row_04_main_may_take_it_back_and_give_its_value() {
    let mut process = Process::start("swallow");
    process.expect("ready");
    process.interrupt();
    process.expect("result: 7");
    assert!(process.end().success());
}

#[test]
fn row_04_the_second_one_ends_the_process_at_once() {
    let mut process = Process::start("twice");
    process.expect("ready");
    process.interrupt();
    process.expect("once");
    process.interrupt();
    assert_eq!(process.end().signal(), Some(SIGINT));
}

#[test]
fn row_04_without_a_signal_it_is_as_run() {
    let mut process = Process::start("value");
    process.expect("result: 3");
    assert!(process.end().success());
}
