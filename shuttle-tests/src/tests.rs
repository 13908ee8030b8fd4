//! Whole runtimes under shuttle: real workers, real sleep protocol, real everything but deque and poller, in orders that
//! a machine would hardly ever choose. See README.md.

mod explore;
mod scenarios;
mod support;
mod twins;

use filch_under_shuttle as filch;

/// A test for each scenario.
macro_rules! explorations {
    ($($name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                explore::named(stringify!($name));
            }
        )+

        #[test]
        fn the_same_order_is_the_same_run() {
            explore::all_twice(20);
        }

        #[test]
        fn every_scenario_is_explored() {
            let tested = [$(stringify!($name)),+];
            for (name, ..) in scenarios::ALL.iter().copied().flatten() {
                assert!(tested.contains(name), "{name} is not in the list");
            }
        }
    };
}

explorations! {
    spawn_tree, spawns_from_outside, wakes_from_everywhere, ping_pong, yields_beside_wakes, local_tasks, several_sets, all_at_once,
    two_runtimes, panics, roots,
    cancel_beside_the_end, abort_beside_wakes, groups_that_fail, group_cancelled, groups_that_end, gathered, caught_requests, dropped_handles,
    sleeps_by_hand, sleeps, timeouts_beside_the_end, stuck_worker, all_stuck, stuck_after_a_rest,
    jobs, jobs_and_time, block_in_place,
    events, events_beside_work, events_beside_the_end,
    drop_while_spawning, shutdown_while_spawning, drop_beside_first_waits, cleanups, shutdown_beside_wakes, dropped_inside,
}
