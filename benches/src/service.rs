//! Servers, seen from inside: what they do, written once for all contenders.

mod http;
mod mixed;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io::{self, BufRead, Write};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use futures_lite::future;

pub(crate) use self::mixed::{CHUNKS, Mix};
#[cfg(feature = "filch")]
use crate::contender::Filch;
use crate::contender::{AsyncExecutor, Contender, Serves, Tokio, TokioCurrentThread};
use crate::usage;

/// What a server does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Sends back what it reads.
    Echo,
    /// The same, with a limit for each read that is never reached.
    EchoTimeout,
    /// Answers requests by HTTP, after computing for so many steps each.
    Http { steps: u64 },
    /// The same as echo, beside calls that compute.
    Mixed(Mix),
}

const TIMEOUT: Duration = Duration::from_secs(30);
/// More than a request of the echo workloads has.
const BUFFER: usize = 1024;

/// The question a server answers: how much CPU time its process has used, in nanoseconds.
pub(crate) const ASK_CPU: &str = "cpu";

/// How much memory it has in RAM, in bytes.
pub(crate) const ASK_MEMORY: &str = "memory";

/// A request that it begin to compute beside its connections, that it stop, and how much has been done.
pub(crate) const START_JOBS: &str = "start";
pub(crate) const STOP_JOBS: &str = "stop";
pub(crate) const ASK_JOBS: &str = "jobs";

/// A server, until its control ends. Its first answer is its port, then one comes to each question.
pub(crate) type Run =
    fn(Service, usize, Box<dyn BufRead + Send>, Box<dyn Write + Send>) -> io::Result<()>;

/// The server of this contender.
pub(crate) fn of(contender: &str) -> Option<Run> {
    match contender {
        #[cfg(feature = "filch")]
        Filch::NAME => Some(run::<Filch>),
        Tokio::NAME => Some(run::<Tokio>),
        TokioCurrentThread::NAME => Some(run::<TokioCurrentThread>),
        AsyncExecutor::NAME => Some(run::<AsyncExecutor>),
        other => mixed::of(other),
    }
}

fn run<S: Serves>(
    service: Service,
    workers: usize,
    control: Box<dyn BufRead + Send>,
    answers: Box<dyn Write + Send>,
) -> io::Result<()> {
    let connection = move |stream| match service {
        Service::Echo | Service::Mixed(_) => detach::<S>(echo::<S>(stream)),
        Service::EchoTimeout => detach::<S>(echo_with_timeout::<S>(stream)),
        Service::Http { steps } => detach::<S>(http::connection::<S>(stream, steps)),
    };
    serve::<S>(&S::new(workers), control, answers, |_| None, connection)
}

/// Hands connections to `connection` until its control ends. To questions that not every server is asked, `special` has the answers.
fn serve<S: Serves>(
    runtime: &S,
    control: Box<dyn BufRead + Send>,
    mut answers: Box<dyn Write + Send>,
    special: impl FnMut(&str) -> Option<String> + Send + 'static,
    connection: impl Fn(S::Stream),
) -> io::Result<()> {
    let (stop, stopped) = async_channel::bounded::<()>(1);
    runtime.block_on(async move {
        let (listener, port) = S::listen().await?;
        writeln!(answers, "{port}")?;
        answers.flush()?;
        let control = thread::spawn(move || {
            let answered = answer(control, answers, special);
            drop(stop);
            answered
        });
        let accept = async {
            loop {
                connection(S::accept(&listener).await?);
            }
        };
        let stopped = async {
            let _ = stopped.recv().await;
            io::Result::Ok(())
        };
        future::or(stopped, accept).await?;
        control.join().expect("it does not panic")
    })
}

fn answer(
    control: impl BufRead,
    mut answers: impl Write,
    mut special: impl FnMut(&str) -> Option<String>,
) -> io::Result<()> {
    for question in control.lines() {
        let answer = match question?.as_str() {
            ASK_CPU => {
                let nanos = usage::cpu_time().map(|time| time.as_nanos().to_string());
                nanos.unwrap_or_else(|| "NaN".to_owned())
            }
            ASK_MEMORY => {
                usage::resident_now().map_or_else(|| "NaN".to_owned(), |bytes| bytes.to_string())
            }
            other => {
                special(other).ok_or_else(|| io::Error::other(format!("what is {other:?}?")))?
            }
        };
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}

/// A connection that fails is at its end: who is at the other end will tell.
fn detach<S: Serves>(connection: impl Future<Output = io::Result<()>> + Send + 'static) {
    S::detach(S::spawn(connection));
}

async fn echo<S: Serves>(mut stream: S::Stream) -> io::Result<()> {
    let mut buffer = [0; BUFFER];
    loop {
        match S::read(&mut stream, &mut buffer).await? {
            0 => return Ok(()),
            length => S::write_all(&mut stream, &buffer[..length]).await?,
        }
    }
}

async fn echo_with_timeout<S: Serves>(mut stream: S::Stream) -> io::Result<()> {
    let mut buffer = [0; BUFFER];
    loop {
        let read = S::timeout(TIMEOUT, S::read(&mut stream, &mut buffer)).await;
        match read.map_err(|_| io::ErrorKind::TimedOut)?? {
            0 => return Ok(()),
            length => S::write_all(&mut stream, &buffer[..length]).await?,
        }
    }
}

/// How a server's process is told.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Service::Echo => write!(f, "echo"),
            Service::EchoTimeout => write!(f, "echo-timeout"),
            Service::Http { steps } => write!(f, "http:{steps}"),
            Service::Mixed(mix) => write!(f, "mixed:{mix}"),
        }
    }
}

impl FromStr for Service {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Service, Self::Err> {
        match text.split_once(':') {
            None if text == "echo" => Ok(Service::Echo),
            None if text == "echo-timeout" => Ok(Service::EchoTimeout),
            Some(("http", steps)) => Ok(Service::Http { steps: steps.parse()? }),
            Some(("mixed", mix)) => Ok(Service::Mixed(mix.parse()?)),
            _ => Err(format!("no such service: {text:?}").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_survives_its_way_between_processes() {
        let mixed = Service::Mixed(Mix { jobs: 8, chunk: 9, bytes: 10 });
        for service in [Service::Echo, Service::EchoTimeout, Service::Http { steps: 7 }, mixed] {
            assert_eq!(service.to_string().parse::<Service>().unwrap(), service);
        }
        assert!("ech".parse::<Service>().is_err());
    }
}
