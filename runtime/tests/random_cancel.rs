//! Random trees of everything that has to do with cancellation, cancelled at random. Whatever happens:
//! nothing hangs, no request is lost, no child outlives its group, nothing is dropped twice or not at
//! all, and nobody sees the end of a task before its future is gone.
//!
//! One worker and the manual clock: the same seed does the same. With several workers and threads
//! outside only the trees are the same. `FILCH_RANDOM_SECS=300` runs that long; `FILCH_RANDOM_SEED=7`
//! runs one seed, alone.

mod support {
    pub(crate) mod woken;
}

use std::future::{pending, poll_fn};
use std::io::Write as _;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use filch::{
    CancelScope, Cancelled, GroupError, JoinHandle, Runtime, TaskGroup, catch_cancel, gather,
    shield, sleep, task, task_group, timeout, wait_for, yield_now,
};
use futures_lite::future::{or, zip};
use support::woken::{Boxed, all};

const MICRO: Duration = Duration::from_micros(1);

/// Why a part of a tree has ended early.
#[derive(Debug)]
#[allow(dead_code, reason = "it carries tokens about")]
enum Stop {
    Failed,
    Cut(Cancelled),
    Group(GroupError<Stop>),
    Boxed(Box<dyn std::error::Error + Send + Sync>),
}

impl From<Cancelled> for Stop {
    fn from(token: Cancelled) -> Stop {
        // Tokens ride in whatever people make of them.
        if token.reason().is_some() { Stop::Boxed(token.into()) } else { Stop::Cut(token) }
    }
}

type Outcome = Result<(), Stop>;
type Tree = Boxed<Outcome>;

/// xorshift64; forked for each part, so that no schedule changes what a tree looks like.
struct Random(u64);

impl Random {
    fn of(seed: u64) -> Random {
        Random((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    fn fork(&mut self) -> Random {
        Random::of(self.next())
    }
}

/// All that the parts of a run share.
#[derive(Default)]
struct World {
    created: AtomicUsize,
    dropped: AtomicUsize,
    tasks: Mutex<Vec<task::Task>>,
    scopes: Mutex<Vec<CancelScope>>,
    /// Tokens that somebody has put aside.
    kept: Mutex<Vec<Cancelled>>,
    /// From now on no request is taken back, and nothing new begins.
    stopping: RwLock<bool>,
    wrong: Mutex<Vec<String>>,
}

/// What a task answers for.
#[derive(Default)]
struct Owner {
    alive: AtomicUsize,
    /// How many children of each of its groups live.
    children: Mutex<Vec<Arc<AtomicUsize>>>,
}

/// Lives in a future.
struct Guard {
    world: Arc<World>,
    counts: Vec<Arc<AtomicUsize>>,
    owner: Option<Arc<Owner>>,
}

impl Guard {
    fn new(world: &Arc<World>, counts: Vec<Arc<AtomicUsize>>, owner: Option<Arc<Owner>>) -> Guard {
        world.created.fetch_add(1, Ordering::Relaxed);
        counts.iter().for_each(|count| _ = count.fetch_add(1, Ordering::Relaxed));
        owner.iter().for_each(|owner| _ = owner.alive.fetch_add(1, Ordering::Relaxed));
        Guard { world: Arc::clone(world), counts, owner }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.world.dropped.fetch_add(1, Ordering::Relaxed);
        self.counts.iter().for_each(|count| _ = count.fetch_sub(1, Ordering::Release));
        self.owner.iter().for_each(|owner| _ = owner.alive.fetch_sub(1, Ordering::Release));
    }
}

impl World {
    fn is_stopping(&self) -> bool {
        *self.stopping.read().unwrap()
    }

    /// Does it, unless it is too late.
    fn unless_stopping<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        let stopping = self.stopping.read().unwrap();
        (!*stopping).then(f)
    }

    fn check(&self, right: bool, what: &str) {
        if !right {
            self.wrong.lock().unwrap().push(what.to_owned());
        }
    }

    fn a_task(&self, random: &mut Random) -> Option<task::Task> {
        let tasks = self.tasks.lock().unwrap();
        let index = random.below(tasks.len().max(1) as u64) as usize;
        tasks.get(index).cloned()
    }

    /// Something that anybody may do at any time.
    fn inject(&self, random: &mut Random) {
        let kind = random.below(16);
        say(|| format!("inject {kind}"));
        match kind {
            0..6 => drop(self.a_task(random).map(|task| task.cancel())),
            6..8 => drop(self.a_task(random).map(|task| task.cancel_with("for a reason"))),
            8..10 => {
                let task = self.a_task(random);
                self.unless_stopping(|| task.map(|task| task.uncancel()));
            }
            10 => drop(self.a_task(random).map(|task| task.abort())),
            11..14 => {
                let scopes = self.scopes.lock().unwrap().clone();
                let index = random.below(scopes.len().max(1) as u64) as usize;
                scopes.get(index).into_iter().for_each(CancelScope::cancel);
            }
            _ => {
                let token = self.kept.lock().unwrap().pop();
                drop(token);
            }
        }
    }

    /// A task is known from now on, and looked at when it ends.
    fn register<T>(self: &Arc<World>, handle: &JoinHandle<T>, owner: Arc<Owner>) {
        let world = Arc::clone(self);
        handle.task().on_done(move |_| {
            let alive = owner.alive.load(Ordering::Acquire);
            world.check(alive == 0, "a task has ended, and its future lives");
            let children = owner.children.lock().unwrap();
            let orphans = children.iter().any(|count| count.load(Ordering::Acquire) > 0);
            world.check(!orphans, "a task has ended before its children");
        });
        self.tasks.lock().unwrap().push(handle.task());
    }
}

/// Tells what happens, when one seed is run alone.
fn say(what: impl FnOnce() -> String) {
    static ALONE: OnceLock<bool> = OnceLock::new();
    if *ALONE.get_or_init(|| number("FILCH_RANDOM_SEED").is_some()) {
        eprintln!("{}", what());
    }
}

/// Tells that it ends.
struct Said(String);

impl Drop for Said {
    fn drop(&mut self) {
        say(|| format!("ended: {}", self.0));
    }
}

/// Where in a tree something is.
#[derive(Clone)]
struct Here {
    world: Arc<World>,
    owner: Arc<Owner>,
    depth: u32,
    /// Nothing in here waits for ever, for something else waits for it that is not to be cut.
    finite: bool,
    /// Behind a shield or a token, or beside one that is not polled: whoever waited to be dropped for a
    /// request in here would wait for himself.
    shielded: bool,
}

impl Here {
    fn deeper(&self) -> Here {
        Here { depth: self.depth.saturating_sub(1), ..self.clone() }
    }

    fn shielded(&self) -> Here {
        Here { finite: true, shielded: true, ..self.deeper() }
    }

    fn tree(&self, random: &mut Random) -> Tree {
        let guard = Guard::new(&self.world, Vec::new(), Some(Arc::clone(&self.owner)));
        let (here, mut random) = (self.clone(), random.fork());
        Box::pin(async move {
            let _guard = guard;
            here.grow(&mut random).await
        })
    }

    /// A tree beside others, which are waited for as well: a token in its output would shield them.
    fn branch(&self, random: &mut Random) -> Tree {
        let tree = self.deeper().tree(random);
        Box::pin(async move { tree.await.map_err(|_| Stop::Failed) })
    }

    /// A count of children for which this task answers.
    fn children(&self) -> Arc<AtomicUsize> {
        let count = Arc::<AtomicUsize>::default();
        self.owner.children.lock().unwrap().push(Arc::clone(&count));
        count
    }

    /// The future of another task, of which these counts know.
    fn child(&self, random: &mut Random, counts: Vec<Arc<AtomicUsize>>) -> (Tree, Arc<Owner>) {
        let owner = Arc::<Owner>::default();
        let here = Here { owner: Arc::clone(&owner), shielded: false, ..self.deeper() };
        let guard = Guard::new(&self.world, counts, Some(Arc::clone(&owner)));
        let tree = here.tree(random);
        let future = async move {
            let _guard = guard;
            tree.await
        };
        (Box::pin(future), owner)
    }

    fn spawn(&self, random: &mut Random, counts: Vec<Arc<AtomicUsize>>) -> JoinHandle<Outcome> {
        let (future, owner) = self.child(random, counts);
        let handle = match random.below(4) {
            0 => task::Builder::new().eager().spawn(future),
            1 => task::Builder::new().name("child").spawn(future),
            _ => filch::spawn(future),
        };
        self.world.register(&handle, owner);
        handle
    }

    async fn pause(&self, random: &mut Random) {
        match random.below(4) {
            0 => {}
            1 => yield_now().await,
            2 => sleep(random.below(20) as u32 * MICRO).await,
            _ => {
                for _ in 0..random.below(5) {
                    yield_now().await;
                }
            }
        }
        if random.below(6) == 0 {
            self.world.inject(random);
        }
    }

    async fn grow(&self, random: &mut Random) -> Outcome {
        self.pause(random).await;
        if self.world.is_stopping() || self.depth == 0 {
            return self.leaf(random).await;
        }
        let (kind, number) = (random.below(14), self.world.created.load(Ordering::Relaxed));
        let finite = if self.finite { ", finite" } else { "" };
        let id = task::current().unwrap().id();
        let _said = Said(format!("part {number} of kind {kind} in task {id}{finite}"));
        say(|| format!("begun: {}", _said.0));
        match kind {
            0 => self.leaf(random).await,
            1..4 => self.catch(random).await,
            4 => shield(self.shielded().tree(random)).await,
            5 => match timeout(random.below(40) as u32 * MICRO, self.deeper().tree(random)).await {
                Ok(outcome) => outcome,
                Err(_) => self.leaf(random).await,
            },
            6 => {
                let scope = CancelScope::new();
                self.world.scopes.lock().unwrap().push(scope.clone());
                match scope.run(self.deeper().tree(random)).await {
                    Ok(outcome) => outcome,
                    Err(report) if random.below(2) == 0 => Err(report.into()),
                    Err(_) => Ok(()),
                }
            }
            7..9 => self.group(random).await,
            9 => self.children_of_mine(random).await,
            10 => {
                let (a, b) = (self.branch(random), self.branch(random));
                let (a, b) = zip(a, b).await;
                a.and(b)
            }
            11 => {
                let trees = (0..=random.below(3)).map(|_| self.branch(random)).collect();
                all(trees).await.into_iter().collect()
            }
            12 => or(self.deeper().tree(random), self.deeper().tree(random)).await,
            _ => self.lose(random).await,
        }
    }

    async fn leaf(&self, random: &mut Random) -> Outcome {
        self.pause(random).await;
        match random.below(12) {
            0 => Err(Stop::Failed),
            1 if random.below(8) == 0 => panic!("planned"),
            2 => {
                task::current().unwrap().cancel();
                Ok(())
            }
            3..8 if !self.finite => pending().await,
            _ => {
                self.pause(random).await;
                Ok(())
            }
        }
    }

    async fn catch(&self, random: &mut Random) -> Outcome {
        let token = match catch_cancel(self.deeper().tree(random)).await {
            Ok(outcome) => return outcome,
            Err(token) => token,
        };
        if random.below(2) == 0 {
            // The cleanup.
            let _ = self.shielded().tree(random).await;
        }
        match random.below(8) {
            0 if !self.shielded => token.resume().await,
            0 | 1 => drop(token),
            2 | 3 => {
                // (If it is too late, it is dropped.)
                self.world.unless_stopping(|| token.uncancel());
            }
            4 => return Err(token.into()),
            5 => {
                let last_error = token;
                let outcome = self.shielded().tree(random).await;
                drop(last_error);
                outcome?;
            }
            6 => _ = self.world.unless_stopping(|| self.world.kept.lock().unwrap().push(token)),
            _ => {
                drop(token);
                // Something begins that the request is not for.
                return self.deeper().tree(random).await;
            }
        }
        self.leaf(random).await
    }

    async fn group(&self, random: &mut Random) -> Outcome {
        let count = self.children();
        let (here, members) = (self.deeper(), Arc::clone(&count));
        let body_random = random.fork();
        let result = task_group(async move |group: TaskGroup<Stop>| -> Outcome {
            let mut random = body_random;
            for _ in 0..random.below(4) {
                here.member(&group, &mut random, &members);
                here.pause(&mut random).await;
            }
            if random.below(8) == 0 {
                group.cancel();
            }
            here.tree(&mut random).await
        })
        .await;
        let left = count.load(Ordering::Acquire);
        self.world.check(left == 0, "a group has ended before its members");
        match result {
            Err(error) if random.below(2) == 0 => Err(Stop::Group(error)),
            _ => Ok(()),
        }
    }

    fn member(&self, group: &TaskGroup<Stop>, random: &mut Random, count: &Arc<AtomicUsize>) {
        let (tree, owner) = self.child(random, vec![Arc::clone(count)]);
        let (here, again, nested) = (self.clone(), group.clone(), Arc::clone(count));
        let mut later = random.fork();
        let handle = group.spawn(async move {
            let outcome = tree.await;
            if later.below(4) == 0 && !here.world.is_stopping() {
                // Also while the group is being cancelled.
                Here { depth: 0, ..here }.member(&again, &mut later, &nested);
            }
            outcome
        });
        self.world.register(&handle, owner);
    }

    async fn children_of_mine(&self, random: &mut Random) -> Outcome {
        match random.below(6) {
            0 => drop(self.spawn(random, Vec::new())),
            1 => {
                let (handle, patience) = (self.spawn(random, Vec::new()), 1000 * MICRO);
                let _ = timeout(patience, handle).await;
            }
            2 | 3 => {
                let count = self.children();
                let handle = self.spawn(random, vec![Arc::clone(&count)]);
                if random.below(2) == 0 {
                    let _ = handle.linked().await;
                } else {
                    let _ = wait_for(random.below(40) as u32 * MICRO, handle).await;
                }
                self.world.check(count.load(Ordering::Acquire) == 0, "a child was not waited for");
            }
            _ => {
                let count = self.children();
                // (Nobody knows these tasks, who could ask them again when one took a request back.)
                let here = Here { finite: true, ..self.clone() };
                let new = |_| here.child(random, vec![Arc::clone(&count)]).0;
                let futures: Vec<_> = (0..3).map(new).collect();
                let _ = gather(futures).settled().await;
                self.world.check(count.load(Ordering::Acquire) == 0, "a gather was left early");
            }
        }
        Ok(())
    }

    /// Polls something for a while, and keeps it unpolled while something else runs.
    async fn lose(&self, random: &mut Random) -> Outcome {
        let mut loser = pin!(self.deeper().tree(random));
        let mut polls = random.below(6);
        let early = poll_fn(|cx| {
            if let Poll::Ready(outcome) = loser.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            match polls {
                0 => return Poll::Ready(None),
                _ => polls -= 1,
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        if let Some(outcome) = early.await {
            return outcome;
        }
        // (Nothing that waits to be dropped: it would wait for a shield in there that nobody polls.)
        for _ in 0..random.below(4) {
            Here { finite: true, ..self.clone() }.leaf(random).await?;
        }
        if random.below(2) == 0 { loser.await } else { Ok(()) }
    }
}

/// One world, from its trees to the end of its last task.
fn run(seed: u64, workers: usize, threads: u64) {
    let world = Arc::<World>::default();
    let runtime = Runtime::builder()
        .worker_threads(workers)
        .manual_clock(true)
        .on_unhandled_failure(|_| {})
        .build()
        .unwrap();
    let mut random = Random::of(seed);
    let over = Arc::new(AtomicBool::new(false));
    let outside: Vec<_> = (0..threads)
        .map(|_| {
            let (world, over, mut random) = (Arc::clone(&world), Arc::clone(&over), random.fork());
            std::thread::spawn(move || {
                for _ in 0..200 {
                    for _ in 0..random.below(2000) {
                        std::hint::spin_loop();
                    }
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    world.inject(&mut random);
                }
            })
        })
        .collect();
    // A task like the others: then one worker is all there is.
    let (world_here, handle) = (Arc::clone(&world), runtime.handle());
    let driver = runtime.spawn(async move {
        let world = world_here;
        let here = Here {
            world: Arc::clone(&world),
            owner: Arc::default(),
            depth: 5,
            finite: false,
            shielded: false,
        };
        let mut roots = Vec::new();
        for _ in 0..=random.below(3) {
            let (tree, owner) = here.child(&mut random, Vec::new());
            let root = filch::spawn(async move {
                let _ = tree.await;
                pending::<()>().await;
            });
            world.register(&root, owner);
            roots.push(root);
        }
        for _ in 0..random.below(10) {
            sleep(random.below(50) as u32 * MICRO).await;
            world.inject(&mut random);
        }
        sleep(random.below(300) as u32 * MICRO).await;
        over.store(true, Ordering::Relaxed);
        *world.stopping.write().unwrap() = true;
        let kept = std::mem::take(&mut *world.kept.lock().unwrap());
        drop(kept);

        // One request to each: none is taken back from now on, so all must end.
        let mut asked = 0;
        for _ in 0..1000 {
            let tasks = world.tasks.lock().unwrap().clone();
            tasks[asked..].iter().for_each(|task| _ = task.cancel_with("the last one"));
            asked = tasks.len();
            if tasks.iter().all(task::Task::is_finished) {
                break;
            }
            sleep(100 * MICRO).await;
        }
        for mut root in roots {
            match root.try_join() {
                None => return Some(format!("{:?}", handle.tasks())),
                Some(Ok(())) => unreachable!(),
                Some(Err(error)) => {
                    world.check(error.is_cancelled() || error.is_panic(), "how did it end?");
                    let text = error.to_string();
                    world.check(!text.contains("shut down"), "nobody has shut it down");
                }
            }
        }
        let tasks = world.tasks.lock().unwrap().clone();
        if tasks.iter().all(task::Task::is_finished) {
            return None;
        }
        Some(format!("{:?}", handle.tasks()))
    });
    let hang = runtime.block_on(driver).unwrap();
    outside.into_iter().for_each(|thread| thread.join().unwrap());
    let how = format!("FILCH_RANDOM_SEED={seed}, {workers} workers, {threads} threads");
    if let Some(tasks) = hang {
        eprintln!("{how}: a request was lost: {tasks}");
        std::process::exit(101);
    }
    drop(runtime);
    world.tasks.lock().unwrap().clear();
    let wrong = world.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{how}: {wrong:?}");
    let (created, dropped) = (&world.created, &world.dropped);
    let counts = (created.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed));
    assert_eq!(counts.0, counts.1, "{how}: created and dropped");
}

/// Kills the process if a seed takes too long in real time. It is told of each that begins, and goes with whoever tells it.
fn watchdog(workers: usize) -> mpsc::Sender<u64> {
    /// Under a sanitizer all is slower.
    const LIMIT: Duration = Duration::from_secs(if cfg!(filch_no_pool) { 300 } else { 30 });
    static STARTED: AtomicBool = AtomicBool::new(false);
    if !STARTED.swap(true, Ordering::Relaxed) {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<&str>();
            if text.is_none_or(|text| !text.contains("planned")) {
                default(info);
            }
        }));
    }
    let (begins, begun) = mpsc::channel();
    std::thread::spawn(move || {
        let mut last = None;
        loop {
            match begun.recv_timeout(LIMIT) {
                Ok(seed) => last = Some(seed),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        // (What `eprintln` says would be kept for the test's end.)
        let text = format!("FILCH_RANDOM_SEED={}, {workers} workers: it hangs", last.unwrap_or(0));
        let _ = writeln!(std::io::stderr(), "{text}");
        std::process::exit(102);
    });
    begins
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Each seed of a batch; or one; or as many as there is time for.
fn batch(seeds: u64, workers: usize, threads: u64) {
    if let Some(seed) = number("FILCH_RANDOM_SEED") {
        return run(seed, workers, threads);
    }
    let time = number("FILCH_RANDOM_SECS").map(Duration::from_secs);
    let watchdog = watchdog(workers);
    let start = Instant::now();
    let mut done = 0;
    while time.map_or(done < seeds, |time| start.elapsed() < time) {
        watchdog.send(done).unwrap();
        run(done, workers, threads);
        done += 1;
    }
    println!("{done} seeds in {:?}", start.elapsed());
}

#[test]
fn one_worker() {
    batch(1500, 1, 0);
}

#[test]
fn four_workers_and_two_threads_outside() {
    batch(500, 4, 2);
}
