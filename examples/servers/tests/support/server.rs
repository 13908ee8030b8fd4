//! Runs a program that listens, and ends it.

use std::io::{self, BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What takes longer than this hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A program that listens at a port of its choice. It is killed at the latest when this is dropped.
pub(crate) struct Server {
    child: Child,
    lines: Mutex<Receiver<String>>,
    /// What it printed after "listening on ".
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(path: &str, arguments: &[&str]) -> Server {
        Server::start_at("127.0.0.1:0", path, arguments)
    }

    /// At an address that nobody else on this machine uses: elsewhere, the port that it gives back may be another's a moment
    /// later. (Only Linux has so many local addresses.)
    #[cfg(unix)]
    pub(crate) fn start_alone(path: &str, arguments: &[&str]) -> Server {
        let [.., high, low] = std::process::id().to_be_bytes();
        let alone = format!("127.128.{high}.{low}:0");
        let here = if cfg!(target_os = "linux") { &alone } else { "127.0.0.1:0" };
        Server::start_at(here, path, arguments)
    }

    fn start_at(address: &str, path: &str, arguments: &[&str]) -> Server {
        let mut child = Command::new(path)
            .arg(address)
            .args(arguments)
            .env("FILCH_WORKER_THREADS", "2")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{path} cannot be run: {error}"));
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = channel();
        // Ends with the program.
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|l| sender.send(l))
        });
        let mut server = Server { child, lines: Mutex::new(lines), url: String::new() };
        let line = server.line();
        let url = line.strip_prefix("listening on ");
        server.url = url.unwrap_or_else(|| panic!("it printed {line:?}")).to_owned();
        server
    }

    /// The next line that it prints.
    pub(crate) fn line(&self) -> String {
        match self.lines.lock().unwrap().recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("it prints nothing more"),
            Err(RecvTimeoutError::Disconnected) => panic!("it has ended"),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.url.rsplit('/').next().unwrap();
        address.parse().unwrap_or_else(|_| panic!("{:?} ends with no address", self.url))
    }

    /// A connection on which nothing can hang.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Still there, and has not run into anything that it does not survive.
    #[track_caller]
    pub(crate) fn assert_runs(&mut self) {
        let status = self.child.try_wait().unwrap();
        assert!(status.is_none(), "it has ended: {status:?}");
    }

    /// Asks it to end, as service managers do.
    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        // It was not waited for, so the number is still its own.
        let kill = format!("kill -TERM {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success(), "`{kill}`: {status}");
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
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
