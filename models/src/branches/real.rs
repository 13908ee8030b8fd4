//! A program on the real runtime.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use filch::time::now;
use filch::{
    Cancelled, Runtime, TaskGroup, catch_cancel, shield, sleep, spawn, task_group, timeout,
};

use super::{Answer, Event, LATE, Log, Member, Ns, Program, Step};

type Ended = Result<(), Cancelled>;
type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// What has happened, and when.
#[derive(Clone)]
struct World(Arc<(Instant, Mutex<Log>)>);

/// Tells when the task's future is dropped.
struct Witness(World);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.log(Event::Dropped);
    }
}

fn ns(ns: Ns) -> Duration {
    Duration::from_nanos(ns)
}

/// The first one is polled first, as in the model.
async fn both(mut futures: [Running; 2], first_token_ends: bool) -> Ended {
    let mut ended = [None, None];
    let (one, other) = poll_fn(|cx| {
        for (future, ended) in futures.iter_mut().zip(&mut ended) {
            if ended.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(Err(token)) if first_token_ends => {
                        return Poll::Ready((Err(token), Ok(())));
                    }
                    Poll::Ready(value) => *ended = Some(value),
                    Poll::Pending => {}
                }
            }
        }
        match &mut ended {
            [one @ Some(_), other @ Some(_)] => {
                Poll::Ready((one.take().expect("it is there"), other.take().expect("it is there")))
            }
            _ => Poll::Pending,
        }
    })
    .await;
    one.and(other)
}

async fn member(member: Member) {
    if let Err(token) = catch_cancel(sleep(ns(member.sleeps))).await {
        sleep(ns(member.cleans_up)).await;
        token.resume().await;
    }
}

impl World {
    fn log(&self, event: Event) {
        let (start, log) = &*self.0;
        let at = now().saturating_duration_since(*start);
        log.lock().unwrap().push((u64::try_from(at.as_nanos()).unwrap_or(u64::MAX), event));
    }

    fn run(&self, step: Step) -> Running {
        let here = self.clone();
        Box::pin(async move { here.perform(step).await })
    }

    async fn perform(self, step: Step) -> Ended {
        match step {
            Step::Sleep(n, time) => {
                sleep(ns(time)).await;
                self.log(Event::Slept(n));
            }
            Step::Catch(n, tried, cleanup, answer) => {
                let token = match catch_cancel(self.run(*tried)).await {
                    Ok(ended) => return ended,
                    Err(token) => token,
                };
                self.log(Event::Caught(n));
                let ended = self.run(*cleanup).await;
                self.log(Event::CleanedUp(n));
                match answer {
                    Answer::Resume => {
                        // It may hold a token, which would hold up this one.
                        drop(ended);
                        token.resume().await;
                    }
                    Answer::Drop => drop(token),
                    Answer::Uncancel => _ = token.uncancel(),
                    Answer::Return => return ended.and(Err(token)),
                }
                return ended;
            }
            Step::Shield(step) => return shield(self.run(*step)).await,
            Step::Group(n, members, body) => {
                let inside = self.clone();
                task_group(async move |group: TaskGroup<std::convert::Infallible>| {
                    members.into_iter().for_each(|one| drop(group.spawn(member(one))));
                    // A token is dropped where a body ends.
                    drop(inside.run(*body).await);
                })
                .await;
                self.log(Event::Grouped(n));
            }
            Step::Zip(n, one, other) => {
                let ended = both([self.run(*one), self.run(*other)], false).await;
                self.log(Event::Zipped(n));
                return ended;
            }
            Step::Try(n, one, other) => {
                let ended = both([self.run(*one), self.run(*other)], true).await;
                self.log(Event::Zipped(n));
                return ended;
            }
            Step::Seq(steps) => {
                for step in steps {
                    self.run(step).await?;
                }
            }
        }
        Ok(())
    }
}

pub(super) fn run(program: Program, workers: usize) -> Result<Log, String> {
    let builder = Runtime::builder().worker_threads(workers).manual_clock(true);
    let runtime = builder.build().expect("a runtime");
    let Program { step, cancel } = program;
    runtime.block_on(async move {
        let world = World(Arc::new((now(), Mutex::default())));
        let (here, witness) = (world.clone(), Witness(world.clone()));
        let mut running = spawn(async move {
            let _witness = witness;
            here.run(step).await
        });
        let mut result = timeout(ns(cancel), &mut running).await;
        if result.is_err() {
            running.cancel();
            result = timeout(ns(LATE), &mut running).await;
        }
        let result = match result {
            Ok(result) => result,
            Err(_) => {
                if running.task().info().held_by.is_none() {
                    return Err("it stands still, and nobody knows who holds it up".into());
                }
                world.log(Event::Stuck);
                running.abort();
                running.await
            }
        };
        match result {
            Err(error) if !error.is_cancelled() => return Err(error.to_string()),
            result => world.log(Event::Ended { cancelled: result.is_err() }),
        }
        let log = std::mem::take(&mut *world.0.1.lock().unwrap());
        Ok(log)
    })
}
