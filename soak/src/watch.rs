//! Who watches while everybody works: a line every few seconds, and an end with a report if somebody hangs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use filch::Handle;

use crate::ledger::Ledger;
use crate::system::{self, Usage};
use crate::world::{JUMP, Patience, Post, World};
use crate::{HEAP, clock};

const LINE: Duration = Duration::from_secs(5);
/// So many lines of the tree of tasks are shown.
const TREE_LINES: usize = 400;

/// Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    /// `hung` is called when somebody has made no progress for as long as patience lasts, and is to end the process.
    pub(crate) fn start(
        world: &'static World,
        runtime: Handle,
        ledger: Arc<Ledger>,
        patience: Duration,
        hung: impl Fn() + Send + 'static,
    ) -> Watch {
        let over = Arc::new(AtomicBool::new(false));
        let here = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let (mut last_line, mut last_ended, mut began) = (Instant::now(), 0, Instant::now());
            let mut patient = HashMap::new();
            while !here.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(500));
                let pause = began.elapsed();
                began = Instant::now();
                if pause > JUMP {
                    println!("{}  nothing ran for {pause:.1?}", clock(world.began.elapsed()));
                    let mut pauses = world.pauses.lock().unwrap();
                    *pauses = (pauses.0 + 1, pauses.1 + pause);
                }
                if let Some(post) = hangs(world, patience, &mut patient) {
                    tell(world, &runtime, &post);
                    hung();
                    return;
                }
                if last_line.elapsed() >= LINE {
                    let sums = ledger.sums();
                    let ended = sums.ended() + ledger.taken().ended();
                    let rate = (ended - last_ended) as f64 / last_line.elapsed().as_secs_f64();
                    (last_line, last_ended) = (Instant::now(), ended);
                    line(world, &runtime, sums.created - sums.ended(), rate);
                }
            }
        });
        Watch { over, thread: Some(thread) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn line(world: &World, runtime: &Handle, live: u64, rate: f64) {
    let (usage, metrics) = (Usage::now(), runtime.metrics());
    println!(
        "{}  {rate:7.0} tasks/s  live {live:6}  timers {:6}  sockets {:4}  RSS {:4} MiB  heap {:4} MiB  fds {:4}  \
         threads {:3} (spare {})  stalls {}  worst lateness {:.0} ms  wrong {}",
        clock(world.began.elapsed()),
        metrics.timers,
        metrics.sockets,
        usage.rss_kib >> 10,
        HEAP.allocated() >> 20,
        usage.fds,
        usage.threads,
        metrics.spare_workers,
        metrics.stalls,
        world.lateness().2.as_secs_f64() * 1e3,
        world.wrongs().0,
    );
}

/// The first whose patience with one round is over.
fn hangs(
    world: &World,
    limit: Duration,
    patient: &mut HashMap<String, (u64, Patience)>,
) -> Option<Arc<Post>> {
    let posts = world.posts.lock().unwrap();
    let hangs = |post: &&Arc<Post>| {
        let Some(round) = post.round() else { return false };
        let new = || (round, Patience::new(limit));
        let (seen, patience) = patient.entry(post.name.clone()).or_insert_with(new);
        if *seen != round {
            (*seen, *patience) = new();
        }
        patience.is_over()
    };
    posts.iter().find(hangs).cloned()
}

/// Who waits for whom, around the one that hangs first, and then all the rest.
fn tell(world: &World, runtime: &Handle, post: &Post) {
    let time = post.busy_for(world).unwrap_or_default();
    world.wrong(format!("{} hangs: for {time:?} in `{}`", post.name, post.last_step()));
    for post in world.posts.lock().unwrap().iter() {
        let time = post.busy_for(world);
        eprintln!("  {:12} {:>12?} in `{}`", post.name, time.unwrap_or_default(), post.last_step());
    }
    eprintln!("{:#?}", runtime.metrics());
    let tree = runtime.task_tree();
    let text = tree.to_string();
    let own = text.lines().skip_while(|line| !line.starts_with(&post.name));
    let own =
        own.enumerate().take_while(|(i, line)| *i == 0 || line.starts_with([' ', '│', '├', '└']));
    own.take(TREE_LINES).for_each(|(_, line)| eprintln!("{line}"));
    eprintln!("all of {} tasks:", tree.tasks().count());
    text.lines().take(TREE_LINES).for_each(|line| eprintln!("{line}"));
    eprintln!("circles: {:?}", tree.cycles());
    eprintln!("threads: {}", system::threads().join(", "));
}
