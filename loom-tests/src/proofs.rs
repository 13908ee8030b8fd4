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
    use filch_under_loom::__models::{blocking, queues, shutdown, sleep, task};

    use super::proves::Proof;

    /// How a task that nobody waits for begins and ends, in whatever model.
    const TASK: [&str; 4] = ["[extra-get]", "[hold-look]", "[complete]", "[detach]"];

    #[test]
    fn task_cell() {
        Proof::of("task: wake by value ∥ poll", task::wake_by_val_poll)
            .and("wake ∥ wake ∥ poll", task::wake_wake_poll)
            .and("drop ∥ completion", task::detach_completion)
            .and("close ∥ track", task::close_track)
            .and("request ∥ poll", task::request_poll)
            .and("hold ∥ completion, detached", task::hold_detached)
            .and("abort ∥ hold", task::abort_extra)
            .and("abort ∥ abort", task::abort_abort)
            .and("join ∥ completion", task::join_completion)
            .and("two polls and a drop ∥ completion", task::join_drop_completion)
            .and("abort ∥ poll", task::abort_poll)
            .and("hold ∥ completion", task::hold_completion)
            .seeded("park-blindly", "MODEL: the last poll missed")
            .seeded("drop-before-wake", "Causality violation")
            .seeded("ask-before-closing", "MODEL: a task was overlooked")
            .check();
    }

    #[test]
    fn shutdown_wake_close() {
        Proof::of("shutdown: wake ∥ close", shutdown::wake_close)
            .seeded("leave-silently", "deadlock")
            .check();
    }

    #[test]
    fn sleep_push_parks() {
        Proof::of("sleep: push ∥ last searcher parks", sleep::push_last_searcher_parks)
            .and("push ∥ last searcher leaves", sleep::push_last_searcher_leaves)
            .and("notify ∥ retract", sleep::retract_notify_one)
            .and("a push for one worker", sleep::notify_one_worker)
            .and("a flag for all", sleep::notify_all_stop)
            .whim(Whim::SpuriousWake, 1)
            .seeded("no-recheck", "deadlock")
            .seeded("leave-without-a-look", "deadlock")
            .check();
    }

    #[test]
    fn park_unpark() {
        Proof::of("park: unpark on a futex", sleep::unpark_futex)
            .and("in the driver", sleep::unpark_driver)
            .and("twice", sleep::unpark_twice)
            .whim(Whim::SpuriousWake, 1)
            .check();
    }

    #[test]
    fn slot_put_steal_take() {
        Proof::of("slot: put ∥ steal ∥ take", queues::slot_put_steal_take)
            .and("put ∥ open ∥ last park", queues::slot_open_last_park)
            .whim(Whim::SpuriousWake, 1)
            .seeded("open-silently", "deadlock")
            .check();
    }

    #[test]
    fn injector_push_pop_close() {
        Proof::of("injector: push ∥ push ∥ pop", queues::injector_push_push_pop)
            .and("push ∥ close", queues::injector_push_close)
            .check();
    }

    #[test]
    fn blocking_submit_exit() {
        Proof::of("blocking: submit ∥ idle exit", blocking::submit_idle_exit)
            .and("submit ∥ submit ∥ idle exit", blocking::submit_submit_idle_exit)
            .whim(Whim::TimeUp, 1)
            .check();
    }
}
