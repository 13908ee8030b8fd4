//! Many connections: open ones that cost nothing, and a storm of short ones.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use filch::Runtime;
use filch::net::TcpListener;

const STUCK: Duration = Duration::from_secs(60);
const SERVER: &str = "FILCH_TEST_STRESS_NET_SERVER";

fn connect(address: SocketAddr) -> StdStream {
    let stream = StdStream::connect(address).unwrap();
    stream.set_read_timeout(Some(STUCK)).unwrap();
    stream
}

fn echo_once(stream: &mut StdStream) {
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

async fn serve(listener: TcpListener, served: Arc<AtomicUsize>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let served = Arc::clone(&served);
        drop(filch::spawn(async move {
            let mut byte = [0];
            while stream.read(&mut byte).await.is_ok_and(|read| read == 1) {
                served.fetch_add(1, Ordering::Relaxed);
                if stream.write_all(&byte).await.is_err() {
                    break;
                }
            }
        }));
    }
}

/// How often the threads of a process went to sleep or were put aside.
fn switches(process: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let status = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    let count = |status: String| -> u64 {
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        lines.map(|line| line.split_whitespace().last().unwrap().parse::<u64>().unwrap()).sum()
    };
    status.map(count).sum()
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn most_open_files() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}

/// Not a test: the server of the next one, which runs this binary a second time.
#[test]
fn server() {
    if std::env::var_os(SERVER).is_none() {
        return;
    }
    let runtime = Runtime::builder().worker_threads(2).build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    println!("\nlistens {}", listener.local_addr().unwrap());
    drop(runtime.spawn(serve(listener, Arc::default())));
    // Until the parent closes its end.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn ten_thousand_open_connections_cost_no_cpu_and_still_answer() {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["server", "--exact", "--nocapture"])
        .env(SERVER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| line.ok()?.strip_prefix("listens ")?.parse().ok()).unwrap();

    let count = 10_000.min(most_open_files() - 100);
    let mut clients: Vec<_> = (0..count).map(|_| connect(address)).collect();
    clients.iter_mut().for_each(echo_once);

    // Once the last has been served and the monitor has stopped, no thread of the server even wakes up.
    let (limit, mut calm) = (Instant::now() + STUCK, Duration::ZERO);
    let mut before = switches(server.id());
    while calm < Duration::from_secs(1) {
        assert!(Instant::now() < limit, "{count} idle connections keep the server awake");
        std::thread::sleep(Duration::from_millis(250));
        let now = switches(server.id());
        calm = if now == before { calm + Duration::from_millis(250) } else { Duration::ZERO };
        before = now;
    }
    clients.iter_mut().step_by(97).for_each(echo_once);
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}

#[test]
fn a_storm_of_short_connections_leaves_nothing_behind() {
    // Where no other test opens and closes files.
    support::alone("a_storm_of_short_connections_leaves_nothing_behind", storm_alone);
}

fn storm_alone() {
    const THREADS: usize = 4;
    const EACH: usize = 1_500;
    let runtime = Runtime::builder().worker_threads(2).build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let served = Arc::new(AtomicUsize::new(0));
    drop(runtime.spawn(serve(listener, Arc::clone(&served))));
    echo_once(&mut connect(address));
    let files_before = open_files();
    let storm = |thread: usize| {
        move || {
            for i in 0..EACH {
                let mut client = connect(address);
                match (thread + i) % 3 {
                    // Orderly, at once, and with an answer that nobody reads (which resets the connection).
                    0 => echo_once(&mut client),
                    1 => {}
                    _ => client.write_all(b"xyz").unwrap(),
                }
            }
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|thread| std::thread::spawn(storm(thread))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(served.load(Ordering::Relaxed) > THREADS * EACH / 3);
    echo_once(&mut connect(address));
    let limit = Instant::now() + STUCK;
    while open_files() > files_before + 8 || runtime.handle().tasks().len() > 2 {
        assert!(Instant::now() < limit, "connections are left behind");
        std::thread::sleep(Duration::from_millis(10));
    }
}
