//! Servers, seen from this process: each in a process of its own, so that its CPU time is its own.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::service::{self, Service};

/// The hidden argument that makes this program a server; followed by the service and the contender.
pub(crate) const SERVE: &str = "serve";

/// What the servers' processes are run under, if anything: a program that counts or traces.
static UNDER: OnceLock<Vec<String>> = OnceLock::new();

/// From now on servers are run under `command`, its words apart by spaces.
pub(crate) fn run_under(command: &str) {
    let _ = UNDER.set(command.split_whitespace().map(str::to_owned).collect());
}

/// A server that ends by itself is waited for so long.
const GRACE: Duration = Duration::from_secs(5);

/// A running server. It is gone when this is dropped.
pub(crate) struct Server {
    /// Closed, it ends the server.
    control: Option<Box<dyn Write>>,
    answers: Box<dyn BufRead>,
    port: u16,
    /// What it serves, and who it is.
    title: String,
    /// `None` in tests, where no program can be started once more: there it is a thread.
    process: Option<Child>,
}

impl Server {
    pub(crate) fn start(service: Service, contender: &str, workers: usize) -> io::Result<Server> {
        let mut server = if cfg!(test) {
            Server::in_thread(service, contender, workers)?
        } else {
            Server::in_process(service, contender, workers)?
        };
        let port = server.answer()?;
        server.port = port.parse().map_err(io::Error::other)?;
        Ok(server)
    }

    fn in_process(service: Service, contender: &str, workers: usize) -> io::Result<Server> {
        let program = env::current_exe()?;
        let mut command = match UNDER.get().and_then(|words| words.split_first()) {
            None => Command::new(program),
            Some((first, words)) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
        };
        command.arg(format!("--{SERVE}")).args([&service.to_string(), contender]);
        command.args(["--workers", &workers.to_string()]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let control = process.stdin.take().expect("piped");
        let answers = process.stdout.take().expect("piped");
        Ok(Server {
            control: Some(Box::new(control)),
            answers: Box::new(BufReader::new(answers)),
            port: 0,
            title: format!("{contender}, {service}, {workers} workers"),
            process: Some(process),
        })
    }

    fn in_thread(service: Service, contender: &str, workers: usize) -> io::Result<Server> {
        let run = service::of(contender).expect("a contender that serves");
        let pipe = std::net::TcpListener::bind("127.0.0.1:0")?;
        let near = std::net::TcpStream::connect(pipe.local_addr()?)?;
        let far = pipe.accept()?.0;
        let control = BufReader::new(far.try_clone()?);
        thread::spawn(move || run(service, workers, Box::new(control), Box::new(far)));
        Ok(Server {
            control: Some(Box::new(near.try_clone()?)),
            answers: Box::new(BufReader::new(near)),
            port: 0,
            title: format!("{contender}, {service}, {workers} workers"),
            process: None,
        })
    }

    /// It has answered so many requests: for those who look at it from outside.
    pub(crate) fn say(&self, requests: usize) {
        if UNDER.get().is_some() {
            eprintln!("\n{}: {requests} requests", self.title);
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// CPU time of its process so far, in nanoseconds; NaN if the system does not tell.
    pub(crate) fn cpu_ns(&mut self) -> io::Result<f64> {
        self.ask(service::ASK_CPU)?.parse().map_err(io::Error::other)
    }

    /// Memory of its process now, in bytes; NaN if the system does not tell.
    pub(crate) fn resident(&mut self) -> io::Result<f64> {
        self.ask(service::ASK_MEMORY)?.parse().map_err(io::Error::other)
    }

    /// Has it compute beside its connections from now on.
    pub(crate) fn start_jobs(&mut self) -> io::Result<()> {
        self.ask(service::START_JOBS).map(drop)
    }

    /// No job runs any more when this returns.
    pub(crate) fn stop_jobs(&mut self) -> io::Result<()> {
        self.ask(service::STOP_JOBS).map(drop)
    }

    /// How many jobs it has done, and when that was by its clock, in nanoseconds.
    pub(crate) fn jobs_done(&mut self) -> io::Result<(f64, f64)> {
        let answer = self.ask(service::ASK_JOBS)?;
        let (jobs, time_ns) = answer.split_once(' ').ok_or_else(|| io::Error::other("no pair"))?;
        Ok((jobs.parse().map_err(io::Error::other)?, time_ns.parse().map_err(io::Error::other)?))
    }

    fn ask(&mut self, question: &str) -> io::Result<String> {
        let control = self.control.as_mut().expect("taken only by drop");
        writeln!(control, "{question}")?;
        control.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err(io::Error::other("the server has ended")),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.control.take());
        let Some(process) = &mut self.process else { return };
        let start = Instant::now();
        while let Ok(None) = process.try_wait() {
            if start.elapsed() > GRACE {
                eprintln!("a server does not end when it is told to; it is killed");
                let _ = process.kill();
                let _ = process.wait();
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}
