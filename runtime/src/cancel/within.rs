//! Cancel, and abort what has not ended by then.
//!
//! No task waits for that: the timer holds a waker that aborts. It is taken back when the task ends.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use filch_timer::Entry;

use crate::context;
use crate::primitive::Mutex;
use crate::task::extra::{self, Force, Request, Watch};
use crate::task::{Ending, JoinHandle, Task, TaskRef};

impl Task {
    /// Asks the task to end, and aborts it if its cleanup takes longer than this. `false` if it has
    /// ended already.
    ///
    /// # Panics
    ///
    /// Outside a runtime, whose timer it needs.
    ///
    /// ```
    /// use std::time::Duration;
    /// filch::run(async {
    ///     let stubborn = filch::spawn(async {
    ///         let _shields_for_ever = filch::catch_cancel(std::future::pending::<()>()).await;
    ///         std::future::pending::<()>().await;
    ///     });
    ///     filch::yield_now().await;
    ///     stubborn.cancel_within(Duration::from_millis(2));
    ///     assert!(stubborn.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    #[track_caller]
    pub fn cancel_within(&self, grace: Duration) -> bool {
        let request = Request::here();
        if !extra::on_request(self.task(), request.clone(), Force::Cancel) {
            return false;
        }
        let reaper =
            Arc::new(Reaper { task: self.task().clone(), request, entry: Mutex::new(None) });
        // Watched first: an end that comes before the entry is there finds nothing, and the timer
        // then wakes a reaper that has nothing to do.
        let _ = extra::watch(self.task(), Arc::clone(&reaper) as Arc<dyn Watch>, 0);
        let waker = Waker::from(Arc::clone(&reaper));
        let set = context::with(|handle| {
            let mut entry = handle.timer().entry(grace);
            let due = entry.poll(handle.timer(), &mut Context::from_waker(&waker)).is_ready();
            *reaper.entry.lock() = Some(entry);
            due
        });
        match set {
            Some(true) => waker.wake(),
            Some(false) => {}
            None => context::none("Task::cancel_within"),
        }
        if self.is_finished() {
            reaper.let_go();
        }
        true
    }
}

impl<T> JoinHandle<T> {
    /// Asks the task to end, and aborts it if its cleanup takes longer than this: see
    /// [`Task::cancel_within`].
    ///
    /// # Panics
    ///
    /// As that.
    #[track_caller]
    pub fn cancel_within(&self, grace: Duration) -> bool {
        self.task().cancel_within(grace)
    }
}

struct Reaper {
    task: TaskRef,
    request: Request,
    /// Keeps the waker of this very reaper, until one of the two has come.
    entry: Mutex<Option<Entry>>,
}

impl Reaper {
    fn let_go(&self) {
        let entry = self.entry.lock().take();
        drop(entry);
    }
}

impl Wake for Reaper {
    fn wake(self: Arc<Self>) {
        self.let_go();
        extra::on_request(&self.task, self.request.clone(), Force::Abort);
    }
}

impl Watch for Reaper {
    fn ended(&self, _: &TaskRef, _: usize, _: Ending) {
        self.let_go();
    }
}
