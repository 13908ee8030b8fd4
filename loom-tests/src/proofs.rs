//! Every protocol of the runtime and the timer, proved with loom: `cargo test -p loom-tests`.
//!
//! The models are in `src/models`, compiled into the loom build of the runtime, where they can
//! name what is private to it. Here each is run, together with its twins; [`proves`] says how.

mod proves;
mod selftest;

/// What `src/queue.rs` finds in the runtime.
mod primitive {
    pub(crate) use filch_loom_primitive::{AtomicUsize, Mutex, Ordering, Whim, whim};
}

/// The runtime's protocols.
mod runtime {
    use filch_loom_primitive::Whim;
    use filch_under_loom::__models::{queues, sleep, task};

    use super::proves::Proof;

    #[test]
    fn task_wake_wake_poll() {
        Proof::of("task: wake ∥ wake ∥ poll", task::wake_wake_poll)
            .and("by value", task::wake_by_val_poll)
            .check();
    }

    #[test]
    fn task_join_completion_drop() {
        Proof::of("task: join ∥ completion", task::join_completion)
            .and("two polls, then a drop", task::join_drop_completion)
            .and("a drop", task::detach_completion)
            .whim(Whim::SpuriousWake, 1)
            .check();
    }

    #[test]
    fn task_abort_poll() {
        Proof::of("task: abort ∥ poll", task::abort_poll)
            .and("abort ∥ abort", task::abort_abort)
            .check();
    }

    #[test]
    fn task_hold_completion() {
        Proof::of("task: hold ∥ completion", task::hold_completion).check();
    }

    #[test]
    fn sleep_push_parks() {
        Proof::of("sleep: push ∥ last searcher parks", sleep::push_last_searcher_parks)
            .and("push ∥ last searcher leaves", sleep::push_last_searcher_leaves)
            .and("a push for one worker", sleep::notify_one_worker)
            .and("a flag for all", sleep::notify_all_stop)
            .whim(Whim::SpuriousWake, 1)
            .check();
    }

    #[test]
    fn park_unpark() {
        Proof::of("park: unpark on a futex", sleep::unpark_futex)
            .and("in the driver", sleep::unpark_driver)
            .and("twice", sleep::unpark_twice)
            .whim(Whim::SpuriousWake, 2)
            .check();
    }

    #[test]
    fn slot_put_steal_take() {
        Proof::of("slot: put ∥ steal ∥ take", queues::slot_put_steal_take).check();
    }

    #[test]
    fn injector_push_pop_close() {
        Proof::of("injector: push ∥ push ∥ pop", queues::injector_push_push_pop)
            .and("push ∥ close", queues::injector_push_close)
            .check();
    }
}
