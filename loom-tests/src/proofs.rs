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
    use filch_under_loom::__models::{
        blocking, cancel, compute, driver, group, io, local, queues, quiet, root, shutdown, sleep,
        spare, task,
    };

    use super::proves::Proof;

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
            .and("watch ∥ completion", cancel::watch_completion)
            .and("unwatch ∥ completion", cancel::unwatch_completion)
            .deepest("wake ∥ wake ∥ poll", 3)
            .deepest("hold ∥ completion", 3)
            .seeded("park-blindly", "MODEL: the last poll missed")
            .seeded("drop-before-wake", "Causality violation")
            .seeded("ask-before-closing", "MODEL: a task was overlooked")
            .seeded("park-deafly", "MODEL: a task was overlooked")
            .spare(
                "[request]/acquire",
                "the desk links no tasks; `shutdown_wake_close` fails without it",
            )
            .check();
    }

    #[test]
    fn wake_and_leave() {
        Proof::of("task: the last waker ∥ the last poll", task::wake_by_val_free)
            .about(&[])
            .seeded("touch-after-schedule", "Causality violation")
            .check();
    }

    /// Trees and groups are under locks: what is to be shown is that nobody waits in vain.
    #[test]
    fn cancel_catch() {
        Proof::of("cancel: request ∥ poll of a catch", cancel::catch_poll)
            .and("request ∥ wake ∥ poll", cancel::catch_parked)
            .and("a token dropped ∥ park", cancel::drop_token_park)
            .and("two tokens dropped ∥ poll", cancel::drop_tokens_poll)
            .and("uncancel ∥ delivery", cancel::uncancel_deliver)
            .about(&[])
            .seeded("park-deafly", "deadlock")
            .seeded("token-drops-silently", "MODEL: the request was lost")
            .seeded("no-verdict", "MODEL: the request is told")
            .check();
    }

    #[test]
    fn cancel_inner_outer() {
        Proof::of("cancel: the task ∥ a scope in it", cancel::cancel_inner_outer)
            .about(&[])
            .seeded("park-deafly", "MODEL: the request was lost")
            .check();
    }

    /// (Its orderings are those of `task_cell`, which has these models, too.)
    #[test]
    fn watch_completion() {
        Proof::of("watch: watch ∥ completion", cancel::watch_completion)
            .and("unwatch ∥ completion", cancel::unwatch_completion)
            .about(&[])
            .seeded("watch-without-looking", "deadlock")
            .check();
    }

    #[test]
    fn group_members() {
        Proof::of("group: the last member ends ∥ park", group::last_member_parks)
            .and("cancel ∥ poll", group::cancel_group_poll)
            .and("the task is cancelled ∥ a member's end", group::cancel_owner_member)
            .and("drop ∥ a member's end", group::drop_group_member)
            .deepest("drop ∥ a member's end", 3)
            .about(&[])
            .seeded("group-looks-first", "deadlock")
            .seeded("drop-without-hold", "Causality violation")
            .check();
    }

    #[test]
    fn root_wake() {
        Proof::of("root: wake ∥ wake ∥ block", root::wake_wake_block)
            .deepest("root: wake ∥ wake ∥ block", 3)
            .whim(Whim::SpuriousWake, 1)
            .about(&[])
            .seeded("park-blindly", "deadlock")
            .check();
    }

    #[test]
    fn sleep_push_parks() {
        Proof::of("sleep: push ∥ last searcher parks", sleep::push_last_searcher_parks)
            .and("push ∥ last searcher leaves", sleep::push_last_searcher_leaves)
            .and("notify ∥ retract", sleep::retract_notify_one)
            .and("two searchers leave", sleep::two_searchers_leave)
            .and("a push for one worker", sleep::notify_one_worker)
            .and("a flag for all", sleep::notify_all_stop)
            .preemptions(4)
            .whim(Whim::SpuriousWake, 1)
            .whim(Whim::WeakFailure, 1)
            .seeded("no-recheck", "deadlock")
            .seeded("count-twice", "MODEL: nobody sleeps or searches at the end")
            .seeded("leave-without-a-look", "deadlock")
            .check();
    }

    #[test]
    fn park_unpark() {
        Proof::of("park: unpark on a futex", sleep::unpark_futex)
            .and("in the driver", sleep::unpark_driver)
            .and("twice", sleep::unpark_twice)
            .preemptions(4)
            .whim(Whim::SpuriousWake, 1)
            .check();
    }

    #[test]
    fn slot_put_steal_take() {
        Proof::of("slot: put ∥ steal ∥ take", queues::slot_put_steal_take)
            .and("put ∥ open ∥ last park", queues::slot_open_last_park)
            .and("a place: swap ∥ swap", queues::place_swap_swap)
            .preemptions(4)
            .whim(Whim::SpuriousWake, 1)
            .about(&["[slot-put]", "[slot-steal]", "[slot-swap]"])
            .seeded("open-silently", "deadlock")
            .check();
    }

    /// (A fence in all threads is loom's ordinary one on either side.)
    #[test]
    fn slot_take_open() {
        const STORED: &str = "it is there so that the owner's null comes before what a thief's exchange finds; and to loom \
                              an exchange finds what was stored last by the order of execution";
        Proof::of("slot: take ∥ open, close ∥ steal", queues::slot_take_open_steal)
            .preemptions(3)
            .about(&["runtime/src/scheduler/slot.rs"])
            .spare("[taken]", STORED)
            .spare("[open-look]", STORED)
            .spare("[open]", STORED)
            .spare("[visit]", STORED)
            .seeded("take-silently", "MODEL: each task is taken once")
            .seeded("close-blindly", "MODEL: each task is taken once")
            .check();
    }

    #[test]
    fn deque_push_park() {
        Proof::of("deque: push ∥ steal ∥ last park", queues::deque_push_last_park)
            .preemptions(4)
            .whim(Whim::SpuriousWake, 1)
            .whim(Whim::StealRetry, 1)
            .seeded("retry-is-empty", "deadlock")
            .about(&["runtime/src/scheduler/sleep.rs"])
            .spare("[stop-fence]", "one worker leaves a search with nothing to look for")
            .spare("[stop-search]", "there is one searcher")
            .check();
    }

    #[test]
    fn injector_push_pop_close() {
        Proof::of("injector: push ∥ push ∥ pop", queues::injector_push_push_pop)
            .and("push ∥ close", queues::injector_push_close)
            .preemptions(4)
            .whim(Whim::WeakFailure, 1)
            .about(&["runtime/src/task/cell/links.rs"])
            .check();
    }

    #[test]
    fn injector_count_park() {
        Proof::of("injector: push ∥ count ∥ last park", queues::injector_count_last_park)
            .preemptions(3)
            .about(&[])
            .seeded("count-silently", "deadlock")
            .check();
    }

    #[test]
    fn shutdown_wake_close() {
        Proof::of("shutdown: wake ∥ close", shutdown::wake_close)
            .and("close ∥ leave", shutdown::close_leave)
            .deepest("shutdown: wake ∥ close", 3)
            .deepest("close ∥ leave", 3)
            .about(&["[request]/acquire"])
            .seeded("leave-silently", "deadlock")
            .check();
    }

    #[test]
    fn shutdown_close_held() {
        Proof::of("shutdown: close ∥ a task that is held back", shutdown::close_held)
            .about(&[])
            .seeded("leave-the-held", "deadlock")
            .seeded("complete-deafly", "deadlock")
            .check();
    }

    #[test]
    fn shutdown_drain() {
        Proof::of("shutdown: drain ∥ park", shutdown::drain_park)
            .and("drain ∥ a task ends", shutdown::drain_end)
            .about(&[])
            .seeded("drain-without-fence", "deadlock")
            .check();
    }

    #[test]
    fn local_close_leave() {
        Proof::of("local: wake ∥ close ∥ leave", local::wake_close_leave)
            .and("spawn ∥ close ∥ leave", local::spawn_close_leave)
            .deepest("local: wake ∥ close ∥ leave", 3)
            .about(&[])
            .seeded("leave-tasks-behind", "MODEL: dropped abroad")
            .seeded("leave-the-inbox-open", "MODEL: a task was left behind")
            .check();
    }

    #[test]
    fn quiet_rest_move_on() {
        const LATEST: &str = "an exchange of loom's always finds what was exchanged last; on weak \
                              machines a look elsewhere may be ahead of it";
        Proof::of("quiet: a worker wakes the root ∥ the root looks", quiet::worker_wakes_root)
            .and("a job leaves work ∥ the root rests last", quiet::job_leaves_work)
            .and("news from outside ∥ nothing to go to", quiet::news_while_moving)
            .preemptions(3)
            .about(&["runtime/src/scheduler/quiet.rs"])
            .spare("[quiet-wake]", LATEST)
            .spare("[quiet-claim]", LATEST)
            .seeded("claim-blindly", "MODEL: time moved")
            .seeded("wait-blindly", "deadlock")
            .check();
    }

    #[test]
    fn io_readiness() {
        Proof::of("io: event ∥ a task begins to wait", io::event_poll)
            .and("event ∥ an operation found nothing", io::event_clear)
            .and("event ∥ an operation in the other direction", io::event_clear_other)
            .and("event ∥ two tasks wait", io::event_two_waiters)
            .and("event ∥ a wait is dropped", io::event_forget)
            .and("event ∥ the next registration", io::event_next_registration)
            .and("the end ∥ a task begins to wait", io::shut_poll)
            .and("the end ∥ a registration", io::register_close)
            .preemptions(3)
            .whim(Whim::SpuriousWake, 1)
            .whim(Whim::WeakFailure, 1)
            .about(&["runtime/src/io/readiness.rs"])
            .seeded("wait-without-looking", "deadlock")
            .seeded("wake-before-marking", "deadlock")
            .seeded("clear-blindly", "deadlock")
            .seeded("mark-anybody", "MODEL: not meant for it")
            .seeded("wake-anybody", "MODEL: somebody else was woken")
            .seeded("begin-anew", "deadlock")
            .seeded("register-after-all", "deadlock")
            .check();
    }

    #[test]
    fn driver_hand_over() {
        Proof::of("driver: one worker, a task and an event", driver::push_one_worker)
            .and("the first socket ∥ a worker goes to sleep", driver::first_socket)
            .and("the first socket ∥ the end", driver::open_close)
            .and("the monitor looks ∥ a worker goes to sleep", driver::look_in_passing)
            .preemptions(3)
            .whim(Whim::SpuriousWake, 1)
            .about(&["[turn-fence]"])
            .seeded("ask-before-announcing", "deadlock")
            .seeded("alert-without-fence", "deadlock")
            .seeded("used-outside-the-lock", "MODEL: nobody looks")
            .seeded("look-in-passing", "deadlock")
            .check();
    }

    #[test]
    fn monitor_stops() {
        Proof::of("monitor: stop ∥ a worker is woken", driver::stop_watching_wake)
            .preemptions(3)
            .whim(Whim::SpuriousWake, 1)
            .about(&[])
            .seeded("stop-blindly", "deadlock")
            .seeded("look-before-waking", "deadlock")
            .check();
    }

    #[test]
    fn driver_spare_worker() {
        Proof::of("driver: a spare worker is dismissed", driver::dismiss_spare)
            .preemptions(2)
            .deepest("driver: a spare worker is dismissed", 2)
            .about(&[])
            .seeded("rest-silently", "deadlock")
            .check();
    }

    #[test]
    fn spare_summon() {
        Proof::of("spare: a push ∥ a spare worker goes to rest", spare::push_stuck)
            .and("a push ∥ the worker that was stuck parks", spare::push_returns)
            .and("summon ∥ it goes to rest", spare::dismiss_summon)
            .preemptions(1)
            .deepest("summon ∥ it goes to rest", 1)
            .about(&[])
            .seeded("summon-silently", "deadlock")
            .seeded("come-back-uncounted", "deadlock")
            .check();
    }

    #[test]
    fn spare_return() {
        Proof::of("spare: summon ∥ return ∥ rest", spare::summon_return_rest)
            .and("summon ∥ return ∥ park", spare::summon_return_park)
            .preemptions(1)
            .deepest("summon ∥ return ∥ park", 1)
            .about(&[])
            .seeded("park-without-a-look", "deadlock")
            .check();
    }

    #[test]
    fn spare_dismiss() {
        Proof::of("spare: dismiss ∥ the runtime drains", spare::dismiss_drain)
            .and("dismiss ∥ it has a task", spare::dismiss_with_task)
            .and("dismiss ∥ a push is left to it", spare::dismiss_push)
            .and("dismiss ∥ it parks", spare::dismiss_park)
            .preemptions(1)
            .deepest("spare: dismiss ∥ the runtime drains", 1)
            .deepest("dismiss ∥ it has a task", 1)
            .about(&["[dismiss-fence]", "[leave-fence]", "[drain-fence]"])
            .seeded("rest-unheard", "deadlock")
            .seeded("hand-over-silently", "deadlock")
            .seeded("rest-without-a-look", "deadlock")
            .check();
    }

    #[test]
    fn spare_slot() {
        Proof::of("spare: put ∥ open ∥ another parks", spare::slot_put_open_park)
            .and("block_in_place ∥ another parks", spare::block_park)
            .preemptions(1)
            .deepest("block_in_place ∥ another parks", 1)
            .about(&["[help-fence]", "[push-fence]"])
            .seeded("say-it-once", "deadlock")
            .seeded("look-past-slots", "deadlock")
            .seeded("block-silently", "deadlock")
            .check();
    }

    /// The real worker, and whoever puts something where it looks.
    #[test]
    fn worker_parks() {
        Proof::of("worker: parks ∥ the timer's wakes", spare::due_park)
            .and("a push from another thread", spare::inject_park)
            .and("a task for it alone", spare::home_park)
            .and("somebody counts", spare::count_park)
            .preemptions(1)
            .about(&["[inject-fence]", "[due-fence]", "[home-fence]", "[count-fence]"])
            .seeded("park-without-a-look", "deadlock")
            .seeded("park-past-the-inbox", "deadlock")
            .check();
    }

    #[test]
    fn spare_close() {
        Proof::of("spare: the end ∥ it rests", spare::rest_close)
            .and("the end ∥ it is summoned", spare::summon_close)
            .preemptions(1)
            .deepest("the end ∥ it is summoned", 1)
            .about(&["[close-fence]"])
            .seeded("rest-for-ever", "deadlock")
            .spare(
                "[close-fence]",
                "whoever is told of the end is told by its parker's word, which hands over what was \
                 written before: `notify_all_stop` has no fence; it stays for whoever looks at a \
                 worker's bit after this",
            )
            .check();
    }

    #[test]
    fn driver_two_workers() {
        Proof::of("driver: events ∥ two workers", driver::events_two_workers)
            .and("a task ∥ two workers", driver::push_two_workers)
            .preemptions(1)
            .deepest("driver: events ∥ two workers", 1)
            .deepest("a task ∥ two workers", 1)
            .whim(Whim::SpuriousWake, 1)
            .about(&[])
            .seeded("rather-the-futex", "deadlock")
            .check();
    }

    #[test]
    fn blocking_submit_exit() {
        Proof::of("blocking: submit ∥ idle exit", blocking::submit_idle_exit)
            .deepest("blocking: submit ∥ idle exit", 2)
            .whim(Whim::TimeUp, 1)
            .about(&[])
            .seeded("call-twice", "MODEL: the counts are right")
            .check();
    }

    #[test]
    fn blocking_cancel_take() {
        Proof::of("blocking: cancel ∥ take", blocking::cancel_take)
            .about(&[])
            .seeded("uncall", "deadlock")
            .check();
    }

    /// (Who has a job is decided by an exchange on its ticket, which `slot_put_steal_take` is about.)
    #[test]
    fn compute_cancel_take() {
        Proof::of("compute: cancel ∥ take", compute::cancel_take)
            .and("cancel ∥ take ∥ close", compute::cancel_take_close)
            .deepest("compute: cancel ∥ take", 2)
            .deepest("cancel ∥ take ∥ close", 3)
            .whim(Whim::StealRetry, 1)
            .about(&[])
            .seeded("retry-is-empty", "deadlock")
            .seeded("uncount-anyway", "MODEL: the counts are right")
            .check();
    }

    #[test]
    fn compute_submit_close() {
        Proof::of("compute: submit ∥ close", compute::submit_close)
            .about(&["runtime/src/compute/line.rs"])
            .seeded("join-without-looking", "deadlock")
            .seeded("leave-the-ticket", "MODEL: no ticket is left")
            .check();
    }

    #[test]
    fn blocking_submit_submit() {
        Proof::of("blocking: submit ∥ submit", blocking::submit_submit)
            .preemptions(1)
            .deepest("blocking: submit ∥ submit", 1)
            .whim(Whim::TimeUp, 1)
            .about(&[])
            .seeded("call-twice", "deadlock")
            .check();
    }
}

/// The timer's. It has no orderings to weaken: everything goes through locks.
mod timer {
    use filch_loom_primitive::Whim;
    use filch_timer::__models as timer;

    use super::proves::Proof;

    #[test]
    fn timer_register_park() {
        Proof::of("timer: register ∥ the thread parks", timer::register_park)
            .and("a far deadline", timer::register_far_park)
            .and("reset ∥ the thread parks", timer::reset_park)
            .and("register again ∥ the thread parks", timer::register_again_park)
            .and("register ∥ register ∥ the thread parks", timer::register_register_park)
            .and("register ∥ turn ∥ the thread parks", timer::register_turn_park)
            .preemptions(4)
            .whim(Whim::SpuriousWake, 1)
            .seeded("timer-no-news", "deadlock")
            .seeded("timer-no-second-visit", "deadlock")
            .seeded("timer-news-is-no-flag", "deadlock")
            .seeded("timer-alarm-off", "deadlock")
            .check();
    }

    #[test]
    fn timer_fire_cancel() {
        Proof::of("timer: wait ∥ fire", timer::wait_fire)
            .and("cancel ∥ fire", timer::cancel_fire)
            .and("reset ∥ fire", timer::reset_fire)
            .and("another waker ∥ fire", timer::replace_fire)
            .preemptions(4)
            .seeded("timer-waker-too-late", "MODEL: whoever polled last is woken")
            .check();
    }

    #[test]
    fn timer_shutdown() {
        Proof::of("timer: shutdown ∥ fire", timer::shutdown_fire)
            .and("shutdown ∥ cancel ∥ the thread parks", timer::shutdown_cancel_park)
            .preemptions(4)
            .whim(Whim::SpuriousWake, 1)
            .seeded("timer-stop-silently", "deadlock")
            .check();
    }
}

/// Everything once more, with more preemptions, where that ends.
mod deep {
    macro_rules! deep {
        ($($part:ident::$test:ident)*) => {
            $(
                #[test]
                #[ignore = "takes long: cargo test -p loom-tests -- --ignored deep:: --test-threads=1"]
                fn $test() {
                    super::proves::again(concat!(stringify!($part), "::", stringify!($test)));
                }
            )*
        };
    }

    deep! {
        runtime::task_cell
        runtime::wake_and_leave
        runtime::cancel_catch
        runtime::cancel_inner_outer
        runtime::watch_completion
        runtime::group_members
        runtime::root_wake
        runtime::sleep_push_parks
        runtime::park_unpark
        runtime::slot_put_steal_take
        runtime::slot_take_open
        runtime::deque_push_park
        runtime::injector_push_pop_close
        runtime::injector_count_park
        runtime::shutdown_wake_close
        runtime::shutdown_close_held
        runtime::shutdown_drain
        runtime::local_close_leave
        runtime::quiet_rest_move_on
        runtime::io_readiness
        runtime::driver_hand_over
        runtime::monitor_stops
        runtime::driver_spare_worker
        runtime::spare_summon
        runtime::spare_return
        runtime::spare_dismiss
        runtime::spare_slot
        runtime::worker_parks
        runtime::spare_close
        runtime::driver_two_workers
        runtime::blocking_submit_exit
        runtime::blocking_cancel_take
        runtime::compute_cancel_take
        runtime::compute_submit_close
        runtime::blocking_submit_submit
        timer::timer_register_park
        timer::timer_fire_cancel
        timer::timer_shutdown
    }
}
