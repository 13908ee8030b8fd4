//! Signals. Each case is a process of its own (a copy of this one), and gets real signals.
//!
//! Between the two: the process says a line when it is ready for the next signal, the test answers with it. Nobody
//! waits for longer than [`STUCK`].

#![allow(missing_docs)]
#![cfg(unix)]

use std::future::{Future, poll_fn};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::pin::{Pin, pin};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::task::Poll;
use std::time::Duration;

use filch::signal::{SignalKind, Signals, ctrl_c, signal, terminate};
use filch::{Runtime, catch_cancel, run_interruptible, sleep, spawn};
use futures_core::Stream;
use signal_hook::low_level::raise;

const CASE: &str = "FILCH_TEST_SIGNAL";
const WORKERS: &str = "FILCH_TEST_SIGNAL_WORKERS";
const HOUR: Duration = Duration::from_secs(3600);
const STUCK: Duration = Duration::from_secs(30);
const SIGINT: i32 = 2;

fn runtime() -> Runtime {
    let workers = std::env::var(WORKERS).unwrap().parse().unwrap();
    Runtime::builder().worker_threads(workers).build().unwrap()
}

fn user1() -> Signals {
    signal(SignalKind::user_defined1()).unwrap()
}

/// Answers whether it is ready at its first poll.
async fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// What the processes do. (As a test of its own it does nothing.)
#[test]
fn process() {
    let Ok(case) = std::env::var(CASE) else { return };
    match case.as_str() {
        "block_on" => {
            let runtime = runtime();
            runtime.block_on(async {
                let stopped = ctrl_c();
                println!("ready");
                stopped.await.unwrap();
                println!("interrupted");
                let stopped = terminate();
                println!("ready");
                stopped.await.unwrap();
                println!("terminated");
            });
        }
        "task" => {
            let runtime = runtime();
            let task = runtime.spawn(async {
                let stopped = terminate();
                println!("ready");
                stopped.await.unwrap();
                println!("terminated");
            });
            runtime.block_on(task).unwrap();
        }
        "everybody" => {
            let runtime = runtime();
            runtime.block_on(async {
                let tasks: Vec<_> = (0..5)
                    .map(|_| {
                        let mut signals = user1();
                        spawn(async move { signals.recv().await })
                    })
                    .collect();
                let mut signals = user1();
                println!("ready");
                assert_eq!(signals.recv().await, Some(()));
                for task in tasks {
                    assert_eq!(task.await.unwrap(), Some(()));
                }
                println!("all of them");
            });
        }
        "stream" => {
            let runtime = runtime();
            runtime.block_on(async {
                let mut signals = user1();
                println!("ready");
                assert_eq!(signals.recv().await, Some(()));
                println!("once");
                assert_eq!(signals.recv().await, Some(()));
                println!("twice");
                let next = poll_fn(|cx| Pin::new(&mut signals).poll_next(cx));
                assert_eq!(next.await, Some(()));
                println!("thrice");
            });
        }
        "runtimes" => {
            let (one, two) = (runtime(), runtime());
            let hear = |runtime: &Runtime| {
                let (ready, is_ready) = mpsc::channel();
                let heard = runtime.spawn(async move {
                    let mut signals = user1();
                    ready.send(()).unwrap();
                    signals.recv().await
                });
                is_ready.recv().unwrap();
                heard
            };
            let heard = [hear(&one), hear(&two)];
            println!("ready");
            for mut heard in heard {
                assert_eq!(heard.join_timeout(STUCK).unwrap().unwrap(), Some(()));
            }
            println!("both");
            let mut left = hear(&two);
            let kept = one.block_on(async { user1() });
            drop(one);
            println!("ready");
            assert_eq!(left.join_timeout(STUCK).unwrap().unwrap(), Some(()));
            println!("the other");
            drop(kept);
        }
        "default" => {
            runtime().block_on(async {
                drop(ctrl_c());
                drop(signal(SignalKind::interrupt()).unwrap());
            });
            // Nobody listens to it, and yet the process lives: it hears another one that comes later.
            let stopped = terminate();
            println!("ready");
            runtime().block_on(stopped).unwrap();
            println!("alive");
        }
        "interruptible" => {
            let result = run_interruptible(async {
                let mut signals = signal(SignalKind::interrupt()).unwrap();
                println!("ready");
                let cancelled = catch_cancel(sleep(HOUR)).await.unwrap_err();
                assert_eq!(signals.recv().await, Some(()));
                println!("both");
                let _keep = signals;
                sleep(HOUR).await;
                cancelled.resume().await;
            });
            println!("result: {}", result.unwrap_err());
        }
        "descriptors" => {
            let count = || std::fs::read_dir("/dev/fd").unwrap().count();
            runtime().block_on(async {
                drop(user1()); // the driver has some of its own
                let before = count();
                let signals: Vec<_> = (0..10).map(|_| user1()).collect();
                assert_eq!(count(), before + 20);
                drop((signals, ctrl_c(), signal(SignalKind::from_raw(9999))));
                assert_eq!(count(), before);
            });
            println!("none left");
        }
        other => unreachable!("{other}"),
    }
}

struct Process {
    child: Child,
    lines: Receiver<io::Result<String>>,
}

impl Process {
    fn start(case: &str, workers: usize) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process", "--nocapture", "--test-threads=1"])
            .env(CASE, case)
            .env(WORKERS, workers.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || stdout.lines().try_for_each(|text| line.send(text)));
        Process { child, lines }
    }

    #[track_caller]
    fn expect(&mut self, text: &str) {
        loop {
            match self.lines.recv_timeout(STUCK) {
                Ok(line) if line.as_ref().unwrap().contains(text) => return,
                Ok(_) => {}
                Err(error) => panic!("the process did not say `{text}`: {error}"),
            }
        }
    }

    fn kill(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// To be called after its last words.
    #[track_caller]
    fn end(&mut self) -> ExitStatus {
        // Its end of the pipe is closed by then.
        while self.lines.recv_timeout(STUCK).is_ok() {}
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn with_one_and_four(case: &str, test: impl Fn(&mut Process)) {
    for workers in [1, 4] {
        let mut process = Process::start(case, workers);
        test(&mut process);
        assert!(process.end().success(), "with {workers} workers");
    }
}

#[test]
fn the_main_future_hears_ctrl_c_and_terminate() {
    with_one_and_four("block_on", |process| {
        process.expect("ready");
        process.kill("-INT");
        process.expect("interrupted");
        process.expect("ready");
        process.kill("-TERM");
        process.expect("terminated");
    });
}

#[test]
fn a_task_hears_a_signal() {
    with_one_and_four("task", |process| {
        process.expect("ready");
        process.kill("-TERM");
        process.expect("terminated");
    });
}

#[test]
fn every_listener_hears_it() {
    with_one_and_four("everybody", |process| {
        process.expect("ready");
        process.kill("-USR1");
        process.expect("all of them");
    });
}

#[test]
fn a_stream_goes_on() {
    with_one_and_four("stream", |process| {
        process.expect("ready");
        for heard in ["once", "twice", "thrice"] {
            process.kill("-USR1");
            process.expect(heard);
        }
    });
}

#[test]
fn several_runtimes_hear_it_and_the_end_of_one_is_nothing_to_the_other() {
    with_one_and_four("runtimes", |process| {
        process.expect("ready");
        process.kill("-USR1");
        process.expect("both");
        process.expect("ready");
        process.kill("-USR1");
        process.expect("the other");
    });
}

#[test]
fn the_default_does_not_come_back() {
    with_one_and_four("default", |process| {
        process.expect("ready");
        process.kill("-INT");
        process.kill("-TERM");
        process.expect("alive");
    });
}

#[test]
fn beside_run_interruptible_both_hear_the_first_and_the_second_ends_the_process() {
    let mut process = Process::start("interruptible", 1);
    process.expect("ready");
    process.kill("-INT");
    process.expect("both");
    process.kill("-INT");
    assert_eq!(process.end().signal(), Some(SIGINT));
}

#[test]
fn a_dropped_listener_gives_its_file_descriptors_back() {
    with_one_and_four("descriptors", |process| process.expect("none left"));
}

// ── in this process: each test has a signal of its own ────────────────────────────────────────

/// Runs it in the main future, and in a task, with one worker and with four.
fn everywhere<F>(test: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for workers in [1, 4] {
        let runtime = Runtime::builder().worker_threads(workers).build().unwrap();
        runtime.block_on(async {
            filch::timeout(STUCK, test()).await.expect("the main future hangs");
            filch::timeout(STUCK, spawn(test())).await.expect("the task hangs").unwrap();
        });
    }
}

fn send(kind: SignalKind) {
    raise(kind.as_raw()).unwrap();
}

#[test]
fn what_comes_before_anybody_waits_is_kept_and_is_one() {
    let kind = SignalKind::user_defined2();
    everywhere(move || async move {
        let mut signals = signal(kind).unwrap();
        assert_eq!(at_once(signals.recv()).await, None, "nothing was sent yet");
        send(kind);
        send(kind);
        assert_eq!(signals.recv().await, Some(()));
        assert_eq!(at_once(signals.recv()).await, None, "two that nobody looked for are one");
        send(kind);
        assert_eq!(signals.recv().await, Some(()));
        assert_eq!(signals.kind(), kind);
    });
}

#[test]
fn a_dropped_wait_loses_nothing() {
    let kind = SignalKind::hangup();
    everywhere(move || async move {
        let mut signals = signal(kind).unwrap();
        for _ in 0..3 {
            // It has waited, and is dropped before the signal comes; another one after it came.
            assert_eq!(at_once(signals.recv()).await, None);
            send(kind);
            drop(signals.recv());
            assert_eq!(signals.recv().await, Some(()));
        }
        let cut = filch::timeout(Duration::ZERO, signals.recv()).await;
        assert!(cut.is_err());
        send(kind);
        assert_eq!(signals.recv().await, Some(()));
    });
}

#[test]
fn a_thousand_that_nobody_takes_block_nobody() {
    let kind = SignalKind::alarm();
    everywhere(move || async move {
        let mut signals = signal(kind).unwrap();
        (0..1000).for_each(|_| send(kind));
        assert_eq!(signals.recv().await, Some(()));
        assert_eq!(at_once(signals.recv()).await, None, "all of it was taken at once");
        send(kind);
        assert_eq!(signals.recv().await, Some(()));
    });
}

#[test]
fn none_is_lost_in_a_thousand_rounds() {
    let kind = SignalKind::window_change();
    everywhere(move || async move {
        let mut signals = signal(kind).unwrap();
        let (next, rounds) = mpsc::channel();
        let sender = std::thread::spawn(move || {
            // Sometimes before the wait, sometimes in it, sometimes after it began.
            while let Ok(()) = rounds.recv() {
                send(kind);
            }
        });
        for _ in 0..1000 {
            next.send(()).unwrap();
            assert_eq!(signals.recv().await, Some(()));
        }
        drop(next);
        sender.join().unwrap();
    });
}

#[test]
fn a_future_counts_from_the_call_on_even_outside_a_runtime() {
    let interrupted = ctrl_c();
    let terminated = terminate();
    send(SignalKind::interrupt());
    send(SignalKind::terminate());
    let result = filch::run(filch::timeout(STUCK, async {
        interrupted.await?;
        terminated.await
    }));
    result.unwrap().unwrap();
}

#[test]
fn after_the_end_of_its_runtime_a_listener_ends() {
    for workers in [1, 4] {
        let build = || Runtime::builder().worker_threads(workers).build().unwrap();
        let (ends, stays) = (build(), build());
        let mut signals = ends.block_on(async { signal(SignalKind::io()).unwrap() });
        let (waits, is_waiting) = mpsc::channel();
        let mut listener = stays.spawn(async move {
            assert_eq!(at_once(signals.recv()).await, None);
            waits.send(()).unwrap();
            assert_eq!(signals.recv().await, None);
            assert_eq!(signals.recv().await, None, "and so it remains");
            assert_eq!(poll_fn(|cx| Pin::new(&mut signals).poll_next(cx)).await, None);
        });
        is_waiting.recv_timeout(STUCK).unwrap();
        drop(ends);
        listener.join_timeout(STUCK).expect("it ends").unwrap();
    }
}

#[test]
fn a_runtime_ends_while_its_tasks_listen() {
    for workers in [1, 4] {
        let runtime = Runtime::builder().worker_threads(workers).build().unwrap();
        let (listens, is_listening) = mpsc::channel();
        let mut task = runtime.spawn(async move {
            let mut signals = signal(SignalKind::io()).unwrap();
            assert_eq!(at_once(signals.recv()).await, None);
            listens.send(()).unwrap();
            signals.recv().await
        });
        is_listening.recv_timeout(STUCK).unwrap();
        runtime.shutdown(STUCK);
        assert!(task.join_timeout(STUCK).expect("it ends").unwrap_err().is_cancelled());
    }
}

#[test]
fn outside_a_runtime_there_is_an_error() {
    let error = signal(SignalKind::io()).unwrap_err();
    assert!(error.to_string().contains("outside a filch runtime"), "{error}");
    let error = futures_lite::future::block_on(ctrl_c()).unwrap_err();
    assert!(error.to_string().contains("outside a filch runtime"), "{error}");
}

#[test]
fn what_cannot_be_listened_to_is_an_error() {
    filch::run(async {
        let stop = signal_hook::consts::SIGSTOP;
        for number in [4, 8, 9, 11, stop, 0, -1, 9999] {
            let error = signal(SignalKind::from_raw(number)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{number}: {error}");
        }
        let error = signal(SignalKind::from_raw(9)).unwrap_err();
        assert!(error.to_string().starts_with("SIGKILL cannot be listened to"), "{error}");
    });
}
