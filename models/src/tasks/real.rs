//! A program on the real runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use filch::time::now;
use filch::{
    CancelScope, Cancelled, JoinError, Runtime, TaskGroup, catch_cancel, gather, shield, sleep,
    sleep_until, spawn, spawn_blocking, task, task_group, timeout, wait_for, yield_now,
};

use super::program::{Act, Answer, Child, End, Event, How, Log, Outcome, Program, Record, Step};

/// Why a step has ended early.
enum Stop {
    Failed(usize),
    Token(Cancelled),
}

type Ended = Result<(), Stop>;
type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// The payload of planned panics, which no hook hears of.
struct Planned;

struct World {
    start: Instant,
    logs: Vec<Mutex<Log>>,
    tasks: Mutex<Vec<Option<task::Task>>>,
    scopes: Vec<CancelScope>,
}

/// Where a step is.
#[derive(Clone)]
struct Here {
    world: Arc<World>,
    task: usize,
    /// The innermost group whose body it is in.
    group: Option<TaskGroup<usize>>,
}

impl World {
    fn log(&self, task: usize, event: Event) {
        let at = now().saturating_duration_since(self.start);
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.logs[task].lock().unwrap().push((at, event));
    }

    fn register(self: &Arc<World>, number: usize, task: &task::Task) {
        let world = Arc::clone(self);
        task.on_done(move |_| world.log(number, Event::Ended));
        self.tasks.lock().unwrap()[number] = Some(task.clone());
    }
}

/// Tells when a task's future is dropped.
struct Witness(Here);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.world.log(self.0.task, Event::Dropped);
    }
}

fn ns(ns: u64) -> Duration {
    Duration::from_nanos(ns)
}

fn outcome(result: &Result<Ended, JoinError>) -> Outcome {
    match result {
        // (Of a request that was taken back; with any other it would be cancelled.)
        Ok(Ok(()) | Err(Stop::Token(_))) => Outcome::Ok,
        Ok(Err(Stop::Failed(n))) => Outcome::Failed(*n),
        Err(error) if error.is_cancelled() => Outcome::Cancelled,
        Err(_) => Outcome::Panicked,
    }
}

impl Here {
    fn log(&self, event: Event) {
        self.world.log(self.task, event);
    }

    /// The future of another task.
    fn child(&self, child: Child) -> Running {
        let here = Here { world: Arc::clone(&self.world), task: child.task, group: None };
        let (witness, running) = (Witness(here.clone()), here.run(*child.step));
        Box::pin(async move {
            let _witness = witness;
            sleep(ns(child.birth)).await;
            running.await
        })
    }

    fn spawn(&self, child: Child) -> filch::JoinHandle<Ended> {
        let number = child.task;
        let handle = spawn(self.child(child));
        self.world.register(number, &handle.task());
        handle
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
            Step::Yield(n) => {
                yield_now().await;
                self.log(Event::Yielded(n));
            }
            Step::Blocking(n) => {
                // (It need not suspend.)
                yield_now().await;
                let _ = spawn_blocking(|| ()).await;
                self.log(Event::Blocked(n));
            }
            Step::CancelSelf => _ = task::current().expect("it is a task").cancel(),
            Step::UncancelSelf => _ = task::current().expect("it is a task").uncancel(),
            Step::CancelGroup => self.group.iter().for_each(TaskGroup::cancel),
            Step::Fail(n) => return Err(Stop::Failed(n)),
            Step::Panic => std::panic::resume_unwind(Box::new(Planned)),
            Step::Timeout(n, time, step) => match timeout(ns(time), self.run(*step)).await {
                Ok(ended) => return ended,
                Err(_) => self.log(Event::Elapsed(n)),
            },
            Step::Catch(n, tried, cleanup, answer) => {
                let token = match catch_cancel(self.run(*tried)).await {
                    Ok(ended) => return ended,
                    Err(token) => token,
                };
                self.log(Event::Caught(n));
                let ended = self.run(*cleanup).await;
                match answer {
                    Answer::Resume => {
                        // It may hold a token, which would hold up this one.
                        drop(ended);
                        token.resume().await;
                    }
                    Answer::Drop => drop(token),
                    Answer::Uncancel => _ = token.uncancel(),
                    Answer::Return => return ended.and(Err(Stop::Token(token))),
                }
                return ended;
            }
            Step::Shield(step) => return shield(self.run(*step)).await,
            Step::Scope(n, scope, step) => {
                let scope = self.world.scopes[scope].clone();
                match scope.run(self.run(*step)).await {
                    Ok(ended) => return ended,
                    Err(_) => self.log(Event::Cut(n)),
                }
            }
            Step::Group(n, members, body) => {
                let inside = self.clone();
                let ended = task_group(async move |group: TaskGroup<usize>| {
                    for child in members {
                        let (number, member) = (child.task, inside.child(child));
                        let handle = group.spawn(async move { without_token(member.await) });
                        inside.world.register(number, &handle.task());
                    }
                    let here = Here { group: Some(group), ..inside };
                    without_token(here.run(*body).await)
                })
                .await;
                self.log(match ended {
                    Ok(()) => Event::GroupOk(n),
                    Err(error) => {
                        let mut errors: Vec<_> = error.errors().iter().map(|f| f.error).collect();
                        errors.sort_unstable();
                        Event::GroupErr(n, errors)
                    }
                });
            }
            Step::Spawn(n, how, child) => {
                let handle = self.spawn(child);
                let result = match how {
                    How::Detach => return Ok(()),
                    How::Join => handle.await,
                    How::Linked => handle.linked().await,
                    How::WaitFor(time) => match wait_for(ns(time), handle).await {
                        Ok(result) => result,
                        Err(_) => {
                            self.log(Event::Elapsed(n));
                            return Ok(());
                        }
                    },
                };
                self.log(Event::Joined(n, outcome(&result)));
            }
            Step::Gather(n, children, settled) => {
                let futures: Vec<_> = children
                    .into_iter()
                    .map(|child| {
                        let (world, number) = (Arc::clone(&self.world), child.task);
                        let running = self.child(child);
                        // (Who spawns them keeps their handles: each registers itself.)
                        async move {
                            world.register(number, &task::current().expect("it is a task"));
                            running.await
                        }
                    })
                    .collect();
                if settled {
                    let all = gather(futures).settled().await;
                    self.log(Event::Gathered(n, all.iter().map(outcome).collect()));
                } else {
                    match gather(futures).await {
                        Ok(all) => {
                            let all = all.into_iter().map(|ended| outcome(&Ok(ended)));
                            self.log(Event::Gathered(n, all.collect()));
                        }
                        Err(error) => self.log(Event::GatherFailed(n, outcome(&Err(error)))),
                    }
                }
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

/// A token is dropped where a task or a body ends.
fn without_token(ended: Ended) -> Result<(), usize> {
    match ended {
        Ok(()) => Ok(()),
        Err(Stop::Failed(n)) => Err(n),
        Err(Stop::Token(token)) => {
            drop(token);
            Ok(())
        }
    }
}

pub(super) fn run(program: Program, workers: usize) -> Record {
    let builder = Runtime::builder().worker_threads(workers).manual_clock(true);
    let runtime = builder.on_unhandled_failure(|_| {}).build().expect("a runtime");
    let Program { roots, acts, end, tasks, scopes } = program;
    let root_count = tasks;
    let (world, answers) = runtime.block_on(async move {
        let world = Arc::new(World {
            start: now(),
            logs: (0..tasks).map(|_| Mutex::default()).collect(),
            tasks: Mutex::new(vec![None; root_count]),
            scopes: (0..scopes).map(|_| CancelScope::new()).collect(),
        });
        let here = Here { world: Arc::clone(&world), task: 0, group: None };
        let handles: Vec<_> = roots.into_iter().map(|child| here.spawn(child)).collect();
        let mut answers = Vec::new();
        for (at, act) in acts {
            sleep_until(world.start + ns(at)).await;
            let task = |number: usize| world.tasks.lock().unwrap()[number].clone();
            answers.push(match act {
                Act::Cancel(number) => task(number).map(|task| task.cancel()),
                Act::Uncancel(number) => {
                    let _ = task(number).map(|task| task.uncancel());
                    None
                }
                Act::Abort(number) => {
                    let _ = task(number).map(|task| task.abort());
                    None
                }
                Act::CancelScope(number) => {
                    world.scopes[number].cancel();
                    None
                }
            });
        }
        match end {
            End::Wait => {
                for handle in handles {
                    let _ = handle.await;
                }
                // Those that were left behind, and those that they spawn.
                loop {
                    let left = world.tasks.lock().unwrap().clone();
                    if left.iter().flatten().all(task::Task::is_finished) {
                        break;
                    }
                    sleep(Duration::from_secs(3600)).await;
                }
            }
            End::Grace(at) | End::Drop(at) => sleep_until(world.start + ns(at)).await,
        }
        (world, answers)
    });
    let report = match end {
        End::Grace(_) => {
            let report = runtime.shutdown(Duration::from_secs(25));
            Some([report.finished, report.cancelled, report.aborted, report.panicked])
        }
        End::Wait | End::Drop(_) => {
            drop(runtime);
            None
        }
    };
    let logs = world.logs.iter().map(|log| std::mem::take(&mut *log.lock().unwrap())).collect();
    Record { logs, answers, report }
}
