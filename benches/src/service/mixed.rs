//! A server that computes beside its connections: so many jobs are always in flight, each of which is submitted when its predecessor
//! has ended. The server itself keeps them up, so that no load has to.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::{ASK_JOBS, Run, START_JOBS, STOP_JOBS, Service, detach, echo, serve};
#[cfg(feature = "filch")]
use crate::contender::FilchCompute;
use crate::contender::{Computes, Contender, TokioBlocking, TokioRayon, TokioSemaphore};
use crate::work;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    /// Jobs in flight.
    pub(crate) jobs: usize,
    /// The steps of a part of a job.
    pub(crate) chunk: u64,
    /// What a job returns; dropped by the task that waited for it.
    pub(crate) bytes: usize,
}

/// Parts of a job. Progress is counted in parts: 64 jobs that run at the same time end at the same time, and would say little
/// about a second.
pub(crate) const CHUNKS: u64 = 20;

/// The server of this contender.
pub(super) fn of(contender: &str) -> Option<Run> {
    match contender {
        #[cfg(feature = "filch")]
        FilchCompute::NAME => Some(run::<FilchCompute>),
        TokioBlocking::NAME => Some(run::<TokioBlocking>),
        TokioSemaphore::NAME => Some(run::<TokioSemaphore>),
        TokioRayon::NAME => Some(run::<TokioRayon>),
        _ => None,
    }
}

/// What the jobs and the control share.
#[derive(Default)]
struct Jobs {
    wanted: AtomicBool,
    /// Parts that were done.
    chunks: AtomicU64,
}

impl Jobs {
    /// A job; shorter if no more jobs are wanted.
    fn compute(&self, mix: Mix) -> Vec<u8> {
        // Not zeros, which nobody would have touched.
        let answer = vec![1; mix.bytes];
        for _ in 0..CHUNKS {
            if !self.wanted.load(Ordering::Relaxed) {
                break;
            }
            work::steps(mix.chunk);
            self.chunks.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

fn run<C: Computes>(
    service: Service,
    workers: usize,
    control: Box<dyn BufRead + Send>,
    answers: Box<dyn Write + Send>,
) -> io::Result<()> {
    let Service::Mixed(mix) = service else {
        return Err(io::Error::other("it is there for a mix"));
    };
    let cores = thread::available_parallelism()?.get();
    let runtime = <C::On as Contender>::new(workers);
    let place = Arc::new(C::new(cores));
    let jobs = Arc::new(Jobs::default());
    let (go, told) = async_channel::bounded(mix.jobs);
    let (end, ended) = async_channel::bounded(mix.jobs);
    for _ in 0..mix.jobs {
        let (place, jobs) = (Arc::clone(&place), Arc::clone(&jobs));
        let (told, end) = (told.clone(), end.clone());
        C::On::detach(runtime.spawn_remote(keep_up(place, jobs, mix, told, end)));
    }
    let start = Instant::now();
    let special = move |question: &str| {
        match question {
            START_JOBS => {
                jobs.wanted.store(true, Ordering::Relaxed);
                (0..mix.jobs).for_each(|_| go.send_blocking(()).expect("they wait for it"));
            }
            STOP_JOBS => {
                jobs.wanted.store(false, Ordering::Relaxed);
                (0..mix.jobs).for_each(|_| ended.recv_blocking().expect("they end"));
            }
            ASK_JOBS => {
                let done = jobs.chunks.load(Ordering::Relaxed) as f64 / CHUNKS as f64;
                return Some(format!("{done} {}", start.elapsed().as_nanos()));
            }
            _ => return None,
        }
        Some(String::new())
    };
    serve::<C::On>(&runtime, control, answers, special, |stream| {
        detach::<C::On>(echo::<C::On>(stream));
    })
}

/// One job in flight, whenever jobs are wanted.
async fn keep_up<C: Computes>(
    place: Arc<C>,
    jobs: Arc<Jobs>,
    mix: Mix,
    told: async_channel::Receiver<()>,
    end: async_channel::Sender<()>,
) {
    while let Ok(()) = told.recv().await {
        while jobs.wanted.load(Ordering::Relaxed) {
            let here = Arc::clone(&jobs);
            let answer = place.compute(move || here.compute(mix)).await;
            assert_eq!(answer.len(), mix.bytes);
            drop(answer);
        }
        if end.send(()).await.is_err() {
            return;
        }
    }
}

/// How a server's process is told.
impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.jobs, self.chunk, self.bytes)
    }
}

impl FromStr for Mix {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Mix, Self::Err> {
        let mut numbers = text.split(',');
        let mut next = || numbers.next().ok_or("a mix is three numbers");
        Ok(Mix { jobs: next()?.parse()?, chunk: next()?.parse()?, bytes: next()?.parse()? })
    }
}
