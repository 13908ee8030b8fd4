//! A runtime without anything to do makes no system call: its threads sleep until something happens.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::future::pending;
use std::io::{self, Write};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use filch::Runtime;
use filch::net::{TcpListener, TcpStream, UdpSocket};

/// Says in the trace where the time begins, and ends, in which nothing is to happen: what is said is written to stderr.
const BEGIN: &str = "filch is idle from here";
const END: &str = "filch was idle until here";
const IDLE: Duration = Duration::from_secs(10);
/// The monitor looks every 5 ms until it stops.
const SETTLED: Duration = Duration::from_millis(500);
const STUCK: Duration = Duration::from_secs(30);
const CHILD: &str = "FILCH_TEST_IDLE";

#[test]
fn an_idle_runtime_makes_no_system_call() {
    if std::env::var_os(CHILD).is_some() {
        return be_idle();
    }
    let trace = std::env::temp_dir().join(format!("filch-idle-{}", std::process::id()));
    let strace = Command::new("strace")
        .args(["-f", "-qq", "-s", "80", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "an_idle_runtime_makes_no_system_call", "--nocapture"])
        .env(CHILD, "1")
        .output();
    let output = match strace {
        Ok(output) => output,
        Err(error) => return println!("skipped: strace cannot be started ({error})"),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && stderr.contains("ptrace") {
        return println!("skipped: strace may not trace here ({stderr})");
    }
    assert!(output.status.success(), "{stderr}");
    let text = fs::read_to_string(&trace).unwrap();
    fs::remove_file(&trace).unwrap();
    let calls: Vec<_> = text
        .lines()
        .skip_while(|line| !line.contains(BEGIN))
        .skip(1)
        .take_while(|line| !line.contains(END))
        .collect();
    assert!(text.contains(END), "the trace has no end: {text}");
    // The child's test itself sleeps; and strace may show that the begin was written in two parts.
    let is_own =
        |line: &&str| line.contains("clock_nanosleep") || line.contains("<... write resumed>");
    assert!(calls.iter().any(is_own), "the trace shows the sleep: {calls:#?}");
    let others: Vec<_> = calls.iter().filter(|line| !is_own(line)).collect();
    assert!(others.is_empty(), "an idle runtime has called the system: {others:#?}");
}

/// In the child: everything that may be open while nothing happens, and then nothing.
fn be_idle() {
    let runtime = Runtime::builder().worker_threads(3).build().unwrap();
    let sockets = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        drop(filch::spawn(async move { server.read(&mut [0]).await }));
        drop(filch::spawn(async move { datagrams.recv_from(&mut [0]).await }));
        let hour = Duration::from_secs(3600);
        for i in 1..=100 {
            drop(filch::spawn(filch::sleep(i * hour)));
            drop(filch::spawn(filch::timeout(i * hour, pending::<()>())));
        }
        filch::spawn_compute(|| ()).await.unwrap();
        (client, listener)
    });
    drop(runtime.spawn(async { filch::yield_now().await }));
    wait_until_nothing_happens();
    say(BEGIN);
    thread::sleep(IDLE);
    say(END);
    assert!(runtime.handle().metrics().timers >= 200);
    drop(sockets);
}

/// In one call. (`eprintln` makes two.)
fn say(text: &str) {
    io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// Whoever makes calls again and again sleeps in between, and the system counts that.
fn wait_until_nothing_happens() {
    let start = Instant::now();
    let (mut last, mut since) = (switches(), Instant::now());
    while since.elapsed() < SETTLED {
        assert!(start.elapsed() < STUCK, "something goes on happening: {last:?}");
        thread::sleep(Duration::from_millis(20));
        let now = switches();
        // (On a busy machine one may wait for a processor all the time.)
        if now != last || !now.values().all(|thread| thread.contains("S (sleeping)")) {
            (last, since) = (now, Instant::now());
        }
    }
}

/// For each other thread of this process, its name, how often it went to sleep, and whether it sleeps.
fn switches() -> BTreeMap<String, String> {
    let mine = fs::read_link("/proc/thread-self").unwrap();
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let others = tasks.filter(|task| task.file_name() != mine.file_name());
    let line = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    others
        .filter_map(|task| {
            let status = fs::read_to_string(task.join("status")).ok()?;
            let id = format!("{} {}", line(&status, "Pid:"), line(&status, "Name:"));
            let state = line(&status, "State:");
            Some((id, format!("{} {state}", line(&status, "voluntary_ctxt_switches:"))))
        })
        .collect()
}
