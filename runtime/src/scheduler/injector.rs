//! Where tasks come in from outside the workers.
//!
//! Pushers only ever exchange the top of a stack, so none of them can hold a worker up, however
//! long it is preempted. Workers take everything at once, note it in a list, newest first,
//! and share it from that list's end under a lock that only workers take. (crossbeam's injector was not
//! taken: a pusher preempted between reserving its slot and writing it makes workers spin.)
//!
//! A push is one exchange, and on x86-64 the fence before its notice is that same exchange (a fence behind it, and a count of
//! pushes that all threads shared, made `remote_spawn` with 16 threads 6 % slower and `spawn_many_local` 8 %: medians of
//! 205 and 108 interleaved rounds on a busy machine; with 2 and 4 threads there was no difference). Tried: asking for the two cache
//! lines of each task of a share while it is moved to the deque (1 to 3 % slower). And four stacks, one for a thread, each on lines
//! of its own, looked at in turn: 3 % faster with 16 threads, no difference with 2, 8 % slower with 4. What was largest then was the
//! way through the stack (16 to 21 %), each task of which comes from the cache of whoever pushed it. Workers went it twice, to turn the
//! links round and to follow them; now they note the tasks on the first way (`remote_spawn` with 2 threads 8 % faster, with 4
//! threads 3 %, with 16 as before, `spawn_many_local` 4 to 8 %).

use std::collections::VecDeque;

use super::queue::Queue;
use crate::primitive::{AtomicUsize, Mutex, Ordering};
use crate::task::Runnable;
use crate::task::cell::{Chain, Stack};

#[derive(Debug)]
pub(crate) struct Injector {
    incoming: Stack,
    /// In order of arrival; what earlier batches left.
    ready: Mutex<Ready>,
    /// The length of `ready`, for those who only look.
    left: AtomicUsize,
}

#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// The oldest last.
    tasks: Vec<Runnable>,
    /// What was turned round only to be counted.
    behind: VecDeque<Chain>,
}

impl Ready {
    /// (Nearly always nobody has counted, and there is nothing behind.)
    #[inline]
    fn len(&self) -> usize {
        self.tasks.len() + if self.behind.is_empty() { 0 } else { self.len_behind() }
    }

    #[cold]
    fn len_behind(&self) -> usize {
        self.behind.iter().map(Chain::len).sum()
    }

    #[cold]
    fn next_behind(&mut self) -> Option<Runnable> {
        self.tasks.extend(self.behind.pop_front()?);
        self.tasks.reverse();
        self.tasks.pop()
    }
}

impl Iterator for Ready {
    type Item = Runnable;

    #[inline]
    fn next(&mut self) -> Option<Runnable> {
        match self.tasks.pop() {
            None if !self.behind.is_empty() => self.next_behind(),
            next => next,
        }
    }
}

/// Of the memory for a peak so much is kept, in tasks.
const KEPT: usize = 4096;

/// What a worker got.
#[derive(Debug)]
pub(crate) struct Popped {
    pub(crate) first: Runnable,
    /// How many, with this one: the others lie in the worker's queue now.
    pub(crate) taken: usize,
    /// There is more for others.
    pub(crate) left: bool,
}

impl Injector {
    pub(crate) fn new() -> Injector {
        Injector {
            incoming: Stack::new(),
            ready: Mutex::new(Ready::default()),
            left: AtomicUsize::new(0),
        }
    }

    /// From any thread. Gives the task back if the injector is closed.
    pub(crate) fn push(&self, task: Runnable) -> Result<(), Runnable> {
        self.incoming.push(task)
    }

    /// A look that may be out of date.
    pub(crate) fn is_empty(&self) -> bool {
        self.incoming.is_empty() && self.left.load(Ordering::Relaxed) == 0
    }

    /// A worker takes its share, which `share` tells from what there is: the oldest task is the
    /// answer, the rest goes into its queue.
    pub(crate) fn pop(
        &self,
        to: &Queue<Runnable>,
        share: impl FnOnce(usize) -> usize,
    ) -> Option<Popped> {
        if self.is_empty() {
            return None;
        }
        let mut ready = self.ready.lock();
        if ready.len() == 0 {
            self.incoming.take_all_into(&mut ready.tasks);
        }
        let before = ready.len();
        let share = share(before);
        let first = ready.next()?;
        ready.by_ref().take(share.saturating_sub(1)).for_each(|task| to.push(task));
        let left = ready.len();
        if left == 0 {
            ready.tasks.shrink_to(KEPT);
        }
        // Relaxed: whoever must not miss this looks after a fence (see the sleep protocol).
        self.left.store(left, Ordering::Relaxed);
        Some(Popped { first, taken: before - left, left: left > 0 })
    }

    /// How many there are, for those who ask seldom: turns round what came in, and leaves it for the workers. A worker on
    /// its way to sleep may find nothing meanwhile, so this is to be followed by what follows a push.
    pub(crate) fn count(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut ready = self.ready.lock();
        // Before it is taken, so that it is not taken for empty.
        self.left.store(ready.len() + 1, Ordering::Relaxed);
        let incoming = self.incoming.take_all();
        if incoming.len() > 0 {
            ready.behind.push_back(incoming);
        }
        let count = ready.len();
        self.left.store(count, Ordering::Relaxed);
        count
    }

    /// Takes no more; what was in it is handed out.
    pub(crate) fn close(&self) -> (Ready, Chain) {
        let incoming = self.incoming.close();
        let ready = std::mem::take(&mut *self.ready.lock());
        self.left.store(0, Ordering::Relaxed);
        (ready, incoming)
    }

    /// Takes pushes again, for the next runtime.
    pub(crate) fn reopen(&self) {
        self.incoming.reopen();
    }
}
