//! Runs the service, and talks to it the way nobody should, too.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What takes longer than this hangs. (Threads that compute are of low priority: with other work on the machine they wait.)
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Any free port of an address that nobody else on this machine uses: elsewhere, a port that is given back may be another's a
/// moment later. (Only Linux has so many local addresses.)
fn alone(number: usize) -> SocketAddr {
    if !cfg!(target_os = "linux") {
        return SocketAddr::from(([127, 0, 0, 1], 0));
    }
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 128 + (number % 126) as u8, high, low], 0))
}

/// A service of its own at a port of its choice. It is killed at the latest when this is dropped.
pub(crate) struct Service {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<std::process::ChildStdout>,
    stderr: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Service {
    pub(crate) fn start(arguments: &[&str]) -> Service {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("filch-service-{}-{number}.log", std::process::id());
        let stderr = std::env::temp_dir().join(name);
        let mut child = Command::new(env!("CARGO_BIN_EXE_service"))
            .args(["--listen", &alone(number).to_string(), "--stop-at-eof"])
            .args(arguments)
            .env("FILCH_WORKER_THREADS", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut service =
            Service { child, stdin, stdout, stderr, address: SocketAddr::from(([0; 4], 0)) };
        let line = service.line();
        let address = line.strip_prefix("listening on http://");
        let address = address.unwrap_or_else(|| panic!("it said {line:?}: {}", service.log()));
        service.address = address.parse().unwrap();
        service
    }

    /// The next line that it prints. (That it does not hang is seen to by `timeout` of whoever runs the tests: the
    /// lines that are waited for are printed before it waits for anything.)
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// What it has written to stderr so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// A connection on which nothing can hang.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// A connection on which this much has been sent.
    pub(crate) fn send(&self, text: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = self.connect().unwrap();
        stream.write_all(text.as_ref()).unwrap();
        stream
    }

    /// Begins an upload, and comes back when the service is reading it.
    pub(crate) fn begin_upload(&self, length: usize) -> TcpStream {
        let mut stream = self.send(format!(
            "POST /thumbnail HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Expect: 100-continue\r\n\r\n"
        ));
        let mut line = [0; 25];
        stream.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, b"")
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        Answer::read(self.send(request(method, path, body)))
    }

    /// One of the figures of `/metrics`, by its name and labels.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("there is no {name} in {text}")).parse().unwrap()
    }

    /// Comes back when the figure has this value.
    #[track_caller]
    pub(crate) fn wait_for(&self, name: &str, value: f64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.figure(name);
            if now == value {
                return;
            }
            assert!(Instant::now() < deadline, "{name} stays {now}, instead of {value}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Asks it to end, as service managers do.
    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        // It was not waited for, so the number is still its own.
        let kill = format!("kill -TERM {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success(), "`{kill}`: {status}");
    }

    /// Ends its standard input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it, and answers what it has complained about.
    #[track_caller]
    pub(crate) fn complaints(mut self) -> Vec<String> {
        self.end_input();
        assert_eq!(self.wait().code(), Some(0), "{}", self.log());
        self.log().lines().map(str::to_owned).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.stderr);
    }
}

/// A request after which the connection is closed.
pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// As long as it says it is, or all that comes until the connection is closed.
    #[track_caller]
    pub(crate) fn read(stream: TcpStream) -> Answer {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let length = reader.read_line(&mut head).unwrap();
            assert!(length > 0, "it ended in the middle of a head: {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let lower = head.to_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length = length.map_or(u64::MAX, |length| length.trim().parse().unwrap());
        let mut body = Vec::new();
        reader.take(length).read_to_end(&mut body).unwrap();
        Answer { status, head, body }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}
