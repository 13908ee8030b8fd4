//! What few tasks have: a name, locals, a request to end, watchers, something that holds back their completion.
//!
//! An ordinary task has none of it: one null pointer in its header. The rest of the runtime
//! meets these fields in three hooks, and nothing else above the task reaches in:
//!
//! | hook               | called                                                    | by            |
//! |--------------------|-----------------------------------------------------------|---------------|
//! | [`on_request`]     | somebody asks the task to end                             | the requester |
//! | [`after_pending`]  | a request waits, before a poll or before parking          | the owner     |
//! | [`before_publish`] | the future is gone and the output stored                  | the owner     |
//!
//! (And once more after the end: [`tell`] runs the watchers.)

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::sync::{Arc, OnceLock};

use super::Id;
use super::cell::{self, Ending, Header, TaskRef, contained};
use super::local::Locals;
use super::pool::Boxed;
use super::tree::{NodeId, Tree, When};
use crate::error::JoinError;
#[cfg(filch_loom)]
use crate::primitive::seeded;
use crate::primitive::{AtomicUsize, Mutex, MutexGuard, Ordering};

/// The rare fields of a task.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    name: Option<Arc<str>>,
    locals: Locals,
    /// The task whose group (or `gather`) this one belongs to.
    parent: Option<Id>,
    /// Where it stands until it is started, if that is a place it may leave. (In one word: with two, all that have
    /// rare fields would need a larger block.)
    line: Option<Box<Arc<dyn Line>>>,
    /// Who gets a request to end.
    tree: OnceLock<Box<Mutex<Tree>>>,
    /// The task has failed in a way that its output cannot say: drop it, this is why.
    failure: Mutex<Option<JoinError>>,
    watchers: Mutex<Watchers>,
    watched_from_start: bool,
    /// The runtime's own: nobody hears of its end.
    uncounted: bool,
    /// How many [`Hold`]s there are.
    holds: AtomicUsize,
    /// The tasks that hold it back: what ends it the hard way ends them, too.
    holders: Mutex<BTreeMap<Id, TaskRef>>,
    /// How the task ended, while that is held back.
    ending: Mutex<Option<Ending>>,
}

/// A place where one task stands until it is started.
pub(crate) trait Line: std::fmt::Debug + Send + Sync {
    /// The task was asked to end, and the request is marked. (It may have left long ago.)
    fn requested(&self, task: &TaskRef);
}

/// A request to end: later ones do not replace the first one.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) reason: Option<Cow<'static, str>>,
    pub(crate) place: &'static Location<'static>,
}

impl Request {
    /// Without a reason, from whoever calls.
    #[track_caller]
    pub(crate) fn here() -> Request {
        Request { reason: None, place: Location::caller() }
    }
}

/// How much a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    /// Catches and shields in the task are respected.
    Cancel,
    /// Everything is dropped at the next suspension.
    Abort,
}

/// What the owner of a cancelled task does.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Drop the future now.
    Drop,
    /// Go on: the request was delivered to something inside the future, or waits for it.
    GoOn,
}

/// Whether a finished task may be seen to be finished.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Publish {
    Now,
    Held,
}

impl Extra {
    pub(crate) fn named(name: &str) -> Boxed<Extra> {
        Boxed::new(Extra { name: Some(name.into()), ..Extra::default() })
    }

    /// For a task of the runtime's own, which is not in what it tells of tasks that have ended.
    pub(crate) fn uncounted() -> Boxed<Extra> {
        Boxed::new(Extra { uncounted: true, ..Extra::default() })
    }

    pub(crate) fn is_uncounted(&self) -> bool {
        self.uncounted
    }

    /// For a child of the current task, which is watched from the start.
    pub(crate) fn watch_from_start(&mut self, watch: Arc<dyn Watch>, key: usize) {
        self.parent = cell::with_current(Header::id);
        self.watched_from_start = true;
        let _ = self.watchers.lock().add(watch, key);
    }

    pub(crate) fn is_watched_from_start(&self) -> bool {
        self.watched_from_start
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        *self.ending.lock()
    }

    pub(crate) fn is_named(&self) -> bool {
        self.name.is_some()
    }

    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.name.clone()
    }

    pub(crate) fn parent(&self) -> Option<Id> {
        self.parent
    }

    pub(crate) fn locals(&self) -> &Locals {
        &self.locals
    }

    /// Before the task is made.
    pub(crate) fn stands_in(&mut self, line: Arc<dyn Line>) {
        self.line = Some(Box::new(line));
    }

    pub(crate) fn line(&self) -> Option<&dyn Line> {
        self.line.as_ref().map(|line| &***line)
    }

    fn holders(&self) -> Vec<TaskRef> {
        self.holders.lock().values().cloned().collect()
    }

    /// Whoever changes something in it that matters lets the owner know with
    /// [`TaskRef::request`], after the lock.
    pub(crate) fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.get_or_init(Box::default).lock()
    }

    /// If anything was ever asked or caught in the task.
    pub(crate) fn tree_if_any(&self) -> Option<MutexGuard<'_, Tree>> {
        self.tree.get().map(|tree| tree.lock())
    }
}

// ── requests ──────────────────────────────────────────────────────────────────────────────────

/// Asks a task to end. `false` if it has ended already.
pub(crate) fn on_request(task: &TaskRef, request: Request, force: Force) -> bool {
    if force == Force::Cancel {
        return ask(task, request, force);
    }
    let asked = ask(task, request.clone(), force);
    // Perhaps it only waits for them.
    let holders = task.header().extra().map_or_else(Vec::new, Extra::holders);
    if holders.is_empty() { asked } else { abort_holders(task, holders, &request) || asked }
}

fn ask(task: &TaskRef, request: Request, force: Force) -> bool {
    if task.header().state().is_complete() {
        return false;
    }
    let extra = task.header().extra_or_new();
    let mut tree = extra.tree();
    match force {
        Force::Cancel => tree.raise(NodeId::ROOT, request),
        Force::Abort => tree.raise_hard(request),
    }
    drop(tree);
    // The owner may have found it already, for it looks for others' sake as well, and be done.
    task.request() || extra.tree().has_reached()
}

/// And those that hold back the holders, each once: they may hold back each other.
#[cold]
fn abort_holders(task: &TaskRef, mut left: Vec<TaskRef>, request: &Request) -> bool {
    let (mut seen, mut asked) = (BTreeSet::from([task.header().id()]), false);
    while let Some(task) = left.pop() {
        if seen.insert(task.header().id()) {
            asked |= ask(&task, request.clone(), Force::Abort);
            left.extend(task.header().extra().into_iter().flat_map(Extra::holders));
        }
    }
    asked
}

/// A request waits: is the future to be dropped?
pub(crate) fn after_pending(task: &Header, when: When) -> Verdict {
    if task.state().is_shut() {
        task.extra_or_new().tree().raise_once(shut_down());
    }
    let Some(extra) = task.extra() else { return Verdict::GoOn };
    if extra.failure.lock().is_some() {
        return Verdict::Drop;
    }
    let delivery = extra.tree().deliver(when);
    if delivery.drop {
        return Verdict::Drop;
    }
    for waker in delivery.wakers {
        contained(|| waker.wake());
    }
    if delivery.look_again {
        let _ = task.state().request();
    }
    Verdict::GoOn
}

/// What stands for the request of a runtime that shuts down.
fn shut_down() -> Request {
    Request { reason: Some(Cow::Borrowed(SHUT_DOWN)), place: Location::caller() }
}

pub(crate) const SHUT_DOWN: &str = "the runtime was shut down";

/// The error of a task whose future was dropped by request.
pub(crate) fn cancelled(task: &Header) -> JoinError {
    let Some(extra) = task.extra() else { return JoinError::shut_down(task.label()) };
    if let Some(failure) = extra.failure.lock().take() {
        return failure;
    }
    let request = extra.tree_if_any().and_then(|tree| tree.first(NodeId::ROOT).cloned());
    match request {
        Some(request) => because(task, request),
        None => JoinError::shut_down(task.label()),
    }
}

fn because(task: &Header, request: Request) -> JoinError {
    if task.state().is_shut() && request.reason.as_deref() == Some(SHUT_DOWN) {
        JoinError::shut_down(task.label())
    } else {
        JoinError::cancelled(task.label(), request)
    }
}

/// The future has ended with an output; but if a token of a request to the task lives, that output
/// was cut short by it (the token may be in there), and the task counts as cancelled.
pub(crate) fn overruled(task: &Header) -> Option<JoinError> {
    let extra = task.extra()?;
    let tree = extra.tree_if_any()?;
    // Under one lock: another thread may withdraw the request.
    let request = tree.first(NodeId::ROOT).filter(|_| tree.is_ridden(NodeId::ROOT)).cloned();
    drop(tree);
    Some(because(task, request?))
}

/// For futures that cannot express in their output how they ended: the current task is dropped
/// when this poll returns Pending, and this is its error.
pub(crate) fn fail_current(error: impl FnOnce(crate::error::Label) -> JoinError) {
    let task = cell::current().expect("only a task can fail");
    let error = error(task.header().label());
    *task.header().extra_or_new().failure.lock() = Some(error);
    task.request();
}

// ── the end ───────────────────────────────────────────────────────────────────────────────────

/// May the completion be published?
pub(crate) fn before_publish(extra: &Extra, ending: Ending) -> Publish {
    // Acquire: partner is the Release of `Hold::drop`: what the holder did happens before the
    // joiner sees the end.
    // [hold-look]
    if extra.holds.load(Ordering::Acquire) == 0 {
        return Publish::Now;
    }
    *extra.ending.lock() = Some(ending);
    Publish::Held
}

/// While it lives, its task is not seen to be complete: the future is gone, the output stored,
/// but joiners wait. (A task waits so for children it was dropped together with.)
#[derive(Debug)]
pub(crate) struct Hold {
    task: TaskRef,
}

impl Hold {
    /// Must be called while the task is polled (or before it is), by the task's owner: later the
    /// output may be published already.
    pub(crate) fn new(task: TaskRef) -> Hold {
        // Relaxed: the owner itself looks at the count later.
        task.header().extra_or_new().holds.fetch_add(1, Ordering::Relaxed);
        Hold { task }
    }

    /// It is given to this task.
    pub(crate) fn begins(&self, holder: &TaskRef) {
        let holders = &self.task.header().extra_or_new().holders;
        let before = holders.lock().insert(holder.header().id(), holder.clone());
        drop(before);
    }

    /// That task has ended.
    pub(crate) fn ends(&self, holder: &TaskRef) {
        let holders = &self.task.header().extra_or_new().holders;
        let ended = holders.lock().remove(&holder.header().id());
        drop(ended);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The race: the owner sees a hold and parks; meanwhile the last hold goes. Either the
        // owner's look comes after this write, or its park comes before our wake-up, which then
        // schedules the task, or in between, and then the park finds NOTIFIED and looks again.
        let extra = self.task.header().extra_or_new();
        // [hold-drop] partner: `before_publish`.
        if extra.holds.fetch_sub(1, Ordering::Release) == 1 {
            self.task.wake();
        }
    }
}

/// Somebody who wants to know when a task has ended.
pub(crate) trait Watch: Send + Sync {
    /// Called once, after the end is visible to everybody, by the thread that ended the task (or,
    /// if the task had ended before, never: see [`Watched`]). `key` is what it was added with.
    fn ended(&self, task: &TaskRef, key: usize, ending: Ending);
}

/// Those who watch a task. Mostly there is one.
#[derive(Default)]
struct Watchers {
    first: Option<Watcher>,
    more: Vec<Watcher>,
    next: u64,
}

struct Watcher {
    id: WatchId,
    key: usize,
    watch: Arc<dyn Watch>,
}

/// Finds a watcher again, among those of its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct WatchId(u64);

/// What became of an attempt to watch.
#[must_use]
#[derive(Debug)]
pub(crate) enum Watched {
    /// [`Watch::ended`] will be called.
    Waiting(WatchId),
    /// The task has ended, and nobody will be called.
    Ended,
}

impl Watchers {
    fn add(&mut self, watch: Arc<dyn Watch>, key: usize) -> WatchId {
        let id = WatchId(self.next);
        self.next += 1;
        let watcher = Watcher { id, key, watch };
        if self.first.is_none() {
            self.first = Some(watcher);
        } else {
            self.more.push(watcher);
        }
        id
    }

    fn remove(&mut self, id: WatchId) -> Option<Watcher> {
        if self.first.as_ref().is_some_and(|watcher| watcher.id == id) {
            let first = self.first.take();
            if !self.more.is_empty() {
                self.first = Some(self.more.remove(0));
            }
            return first;
        }
        let index = self.more.iter().position(|watcher| watcher.id == id)?;
        Some(self.more.remove(index))
    }
}

/// Adds a watcher.
///
/// The race with the end: the watcher is put into its place, then `WATCHED` is set, in one step
/// that fails if the task is complete. The completer learns of the bit in the very step that
/// completes, and looks into the place only after that. So either it finds the watcher, or the
/// step fails here, and then whoever takes the watcher out of its place first deals with it.
pub(crate) fn watch(task: &TaskRef, watch: Arc<dyn Watch>, key: usize) -> Watched {
    let extra = task.header().extra_or_new();
    let id = extra.watchers.lock().add(watch, key);
    let watched = task.header().state().watch();
    #[cfg(filch_loom)] // A twin relies on having looked before.
    let watched = watched || seeded("watch-without-looking");
    if !watched && unwatch(task, id) {
        return Watched::Ended;
    }
    Watched::Waiting(id)
}

/// Takes a watcher back. `false`: it was called, or is about to be.
pub(crate) fn unwatch(task: &TaskRef, id: WatchId) -> bool {
    let watcher = match task.header().extra() {
        Some(extra) => extra.watchers.lock().remove(id),
        None => None,
    };
    watcher.is_some()
}

/// The task is complete: tells those who watch it.
pub(crate) fn tell(task: &TaskRef, ending: Ending) {
    let Some(extra) = task.header().extra() else { return };
    let mut watchers = extra.watchers.lock();
    let (first, more) = (watchers.first.take(), std::mem::take(&mut watchers.more));
    drop(watchers);
    for Watcher { key, watch, .. } in first.into_iter().chain(more) {
        contained(|| watch.ended(task, key, ending));
        contained(|| drop(watch));
    }
}

impl std::fmt::Debug for Watchers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watchers")
    }
}
