//! What can be said on the command line.

use std::num::NonZero;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub(crate) const USAGE: &str = "\
service [--listen ADDRESS]     serves, at 127.0.0.1 and a free port unless told otherwise
service --load                 starts a server, drives it for some seconds, tells how it did
service --make-sample FILE     writes a picture to try it with

to serve:
  --grace SECONDS              after SIGTERM or SIGINT: for requests in flight (10)
  --head-timeout SECONDS       for a request's head, and between requests (10)
  --body-timeout SECONDS       for an upload (30)
  --max-body BYTES             the longest upload (10000000)
  --queue JOBS                 thumbnails that may wait for a CPU (64); more are answered with 503
  --compute-threads COUNT      as many as CPUs unless told otherwise
  --pretend-slow SECONDS       each thumbnail takes at least that long (0)
  --stop-at-eof                the end of standard input asks to stop, as SIGTERM does

to load:
  --seconds SECONDS            for each of the two measurements (4)";

#[derive(Debug)]
pub(crate) enum Mode {
    Help,
    Serve,
    Load,
    MakeSample(PathBuf),
}

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) mode: Mode,
    pub(crate) listen: String,
    pub(crate) grace: Duration,
    pub(crate) head_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) max_body: usize,
    pub(crate) queue: usize,
    pub(crate) compute_threads: Option<NonZero<usize>>,
    pub(crate) pretend_slow: Duration,
    pub(crate) stop_at_eof: bool,
    pub(crate) seconds: Duration,
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments {
            mode: Mode::Serve,
            listen: "127.0.0.1:0".to_owned(),
            grace: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            max_body: 10_000_000,
            queue: 64,
            compute_threads: None,
            pretend_slow: Duration::ZERO,
            stop_at_eof: false,
            seconds: Duration::from_secs(4),
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--help" | "-h" => arguments.mode = Mode::Help,
                "--load" => arguments.mode = Mode::Load,
                "--seconds" => arguments.seconds = seconds(&word, &value()?)?,
                "--make-sample" => arguments.mode = Mode::MakeSample(value()?.into()),
                "--listen" => arguments.listen = value()?,
                "--grace" => arguments.grace = seconds(&word, &value()?)?,
                "--head-timeout" => arguments.head_timeout = seconds(&word, &value()?)?,
                "--body-timeout" => arguments.body_timeout = seconds(&word, &value()?)?,
                "--max-body" => arguments.max_body = number(&word, &value()?)?,
                "--queue" => arguments.queue = number(&word, &value()?)?,
                "--compute-threads" => {
                    arguments.compute_threads = Some(number(&word, &value()?)?);
                }
                "--pretend-slow" => arguments.pretend_slow = seconds(&word, &value()?)?,
                "--stop-at-eof" => arguments.stop_at_eof = true,
                _ => return Err(format!("there is no argument {word:?}")),
            }
        }
        Ok(arguments)
    }
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name}: {text:?} is no such number"))
}

fn seconds(name: &str, text: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number(name, text)?)
        .map_err(|_| format!("{name}: {text:?} is no length of time"))
}
