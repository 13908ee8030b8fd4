//! The programs of Python's *Coroutines and Tasks* print what Python prints, when Python prints it.
//!
//! With one worker the order of all lines is fixed, if the machine lets it poll. With several, lines of one instant may
//! swap, so that the lines of each second are compared as a set.

mod support;

use std::time::Duration;

use support::{Order, Program, check_all};

const SECOND: Duration = Duration::from_secs(1);
const HALF_SECOND: Duration = Duration::from_millis(500);

const PROGRAMS: &[Program] = &[
    Program {
        path: env!("CARGO_BIN_EXE_hello"),
        timetable: &[(0, "hello"), (1, "world")],
        unit: SECOND,
    },
    Program {
        path: env!("CARGO_BIN_EXE_say_after"),
        timetable: &[(0, "started at X"), (1, "hello"), (3, "world"), (3, "finished at X+3")],
        unit: SECOND,
    },
    Program {
        path: env!("CARGO_BIN_EXE_say_after_tasks"),
        timetable: &[(0, "started at X"), (1, "hello"), (2, "world"), (2, "finished at X+2")],
        unit: SECOND,
    },
    Program { path: env!("CARGO_BIN_EXE_nested"), timetable: &[(0, "42")], unit: SECOND },
    Program {
        path: env!("CARGO_BIN_EXE_display_date"),
        // A sixth line would be the work of a timer that fired early.
        timetable: &[
            (0, "DATE X"),
            (1, "DATE X+1"),
            (2, "DATE X+2"),
            (3, "DATE X+3"),
            (4, "DATE X+4"),
        ],
        unit: SECOND,
    },
    Program {
        path: env!("CARGO_BIN_EXE_to_thread"),
        timetable: &[
            (0, "started main at X"),
            (0, "start blocking_io at X"),
            (1, "blocking_io complete at X+1"),
            (1, "finished main at X+1"),
        ],
        unit: SECOND,
    },
    Program { path: env!("CARGO_BIN_EXE_threadsafe"), timetable: &[(1, "3")], unit: SECOND },
    Program {
        path: env!("CARGO_BIN_EXE_say_after_group"),
        timetable: &[(0, "started at X"), (1, "hello"), (2, "world"), (2, "finished at X+2")],
        unit: SECOND,
    },
    Program { path: env!("CARGO_BIN_EXE_wait_for"), timetable: &[(1, "timeout!")], unit: SECOND },
    Program {
        path: env!("CARGO_BIN_EXE_as_completed"),
        timetable: &[(1, "IPv6 connection established."), (2, "IPv4 connection established.")],
        unit: SECOND,
    },
    Program {
        path: env!("CARGO_BIN_EXE_gather"),
        timetable: &[
            (0, "Task A: Compute factorial(2), currently i=2..."),
            (0, "Task B: Compute factorial(3), currently i=2..."),
            (0, "Task C: Compute factorial(4), currently i=2..."),
            (1, "Task A: factorial(2) = 2"),
            (1, "Task B: Compute factorial(3), currently i=3..."),
            (1, "Task C: Compute factorial(4), currently i=3..."),
            (2, "Task B: factorial(3) = 6"),
            (2, "Task C: Compute factorial(4), currently i=4..."),
            (3, "Task C: factorial(4) = 24"),
            (3, "[2, 6, 24]"),
        ],
        unit: SECOND,
    },
];

/// Those where a line comes at half a second: their tables count half seconds.
const IN_HALF_SECONDS: &[Program] = &[
    Program {
        path: env!("CARGO_BIN_EXE_terminate_group_by_error"),
        timetable: TERMINATED,
        unit: HALF_SECOND,
    },
    Program {
        path: env!("CARGO_BIN_EXE_terminate_group"),
        timetable: TERMINATED,
        unit: HALF_SECOND,
    },
];

const TERMINATED: &[(u64, &str)] =
    &[(0, "Task 1: start"), (0, "Task 2: start"), (1, "Task 1: done")];

/// Those that promise the order of their lines on any number of workers.
const ORDERED: &[Program] = &[
    Program {
        path: env!("CARGO_BIN_EXE_cancel_me"),
        timetable: &[
            (0, "cancel_me(): before sleep"),
            (1, "cancel_me(): cancel sleep"),
            (1, "cancel_me(): after sleep"),
            (1, "main(): cancel_me is cancelled now"),
        ],
        unit: SECOND,
    },
    Program {
        path: env!("CARGO_BIN_EXE_cancel_me_cleanup"),
        timetable: &[
            (0, "cancel_me(): before sleep"),
            (1, "cancel_me(): cancel sleep"),
            (1, "cancel_me(): cleaned up"),
            (1, "cancel_me(): after sleep"),
            (1, "main(): cancel_me is cancelled now"),
        ],
        unit: SECOND,
    },
    Program {
        path: env!("CARGO_BIN_EXE_cancel_me_uncancel"),
        timetable: &[
            (0, "cancel_me(): before sleep"),
            (1, "cancel_me(): cancel sleep"),
            (1, "cancel_me(): after sleep"),
            (1, "main(): cancel_me gives 42"),
        ],
        unit: SECOND,
    },
    Program {
        path: env!("CARGO_BIN_EXE_cancel_me_unstarted"),
        timetable: &[(0, "main(): cancel_me is cancelled now")],
        unit: SECOND,
    },
];

#[test]
fn one_worker_prints_the_lines_in_order() {
    check_all(&all(), 1, Order::Exact);
}

#[test]
fn four_workers_print_the_same_lines_in_each_second() {
    check_all(&[PROGRAMS, IN_HALF_SECONDS].concat(), 4, Order::WithinSeconds);
}

#[test]
fn four_workers_keep_the_order_where_it_is_promised() {
    check_all(ORDERED, 4, Order::Exact);
}

fn all() -> Vec<Program> {
    [PROGRAMS, IN_HALF_SECONDS, ORDERED].concat()
}

/// The comparison itself: it must see what it is there for.
mod comparison {
    use super::support::{Line, Order, Program, Run};
    use std::time::Duration;

    const PROGRAM: Program = Program {
        path: "bin/two",
        timetable: &[(0, "a at X"), (1, "b"), (1, "c at X+1")],
        unit: Duration::from_secs(1),
    };

    /// Lines with their arrivals in milliseconds; the wall clock stands at 59.900 s of some minute at the start.
    fn run(lines: &[(u64, &str)], total: u64) -> Run {
        let line = |(offset, text): &(u64, &str)| Line {
            offset: Duration::from_millis(*offset),
            clock: Duration::from_millis(600_000_000 - 100 + offset),
            text: (*text).to_owned(),
        };
        Run {
            lines: lines.iter().map(line).collect(),
            stderr: String::new(),
            total: Duration::from_millis(total),
            status: Some(std::process::ExitStatus::default()),
        }
    }

    #[track_caller]
    fn fails_with(run: &Run, order: Order, part: &str) {
        let message = PROGRAM.compare(run, order).expect_err("this differs");
        assert!(message.contains(part), "{part:?} is not in\n{message}");
    }

    #[test]
    fn accepts_what_is_expected() {
        let as_expected = run(&[(10, "a at 15:09:59"), (1010, "b"), (1020, "c at 15:10:00")], 1030);
        PROGRAM.compare(&as_expected, Order::Exact).unwrap();
        // Printed just after the change of the second that the first line came just before.
        let carried = run(&[(90, "a at 15:09:59"), (1110, "b"), (1120, "c at 15:10:01")], 1130);
        PROGRAM.compare(&carried, Order::Exact).unwrap();
    }

    #[test]
    fn swapped_lines_are_for_several_workers_only() {
        let swapped = run(&[(10, "a at 15:09:59"), (1010, "c at 15:10:00"), (1020, "b")], 1030);
        fails_with(&swapped, Order::Exact, "  - 1 s  b\n    1 s  c at X+1\n  + 1 s  b\n");
        PROGRAM.compare(&swapped, Order::WithinSeconds).unwrap();
    }

    #[test]
    fn a_line_too_many_or_too_few_is_shown() {
        let lines = [(10, "a at 15:09:59"), (1010, "b"), (1020, "c at 15:10:00"), (1030, "d")];
        fails_with(&run(&lines, 1040), Order::WithinSeconds, "  + 1 s  d\n");
        fails_with(&run(&lines[..2], 1040), Order::Exact, "  - 1 s  c at X+1\n");
    }

    #[test]
    fn early_late_and_wrong_times_are_shown() {
        let early = [(10, "a at 15:09:59"), (999, "b"), (1020, "c at 15:10:00")];
        fails_with(&run(&early, 1030), Order::WithinSeconds, "  + 0 s  b\n");
        let late = [(10, "a at 15:09:59"), (1400, "b"), (1410, "c at 15:10:01")];
        fails_with(&run(&late, 1430), Order::Exact, "\"b\" came after 1.400 s");
        let wrong = [(10, "a at 15:09:59"), (1010, "b"), (1020, "c at 15:10:03")];
        fails_with(&run(&wrong, 1030), Order::Exact, "  + 1 s  c at 15:10:03\n");
    }

    #[test]
    fn only_what_is_late_or_swapped_may_be_the_machines_fault() {
        let swapped = run(&[(10, "a at 15:09:59"), (1010, "c at 15:10:00"), (1020, "b")], 1030);
        let late = run(&[(10, "a at 15:09:59"), (1400, "b"), (3410, "c at 15:10:03")], 9000);
        assert!(PROGRAM.may_be_delayed(&swapped) && PROGRAM.may_be_delayed(&late));
        let early = [(10, "a at 15:09:59"), (999, "b"), (1020, "c at 15:10:00")];
        assert!(!PROGRAM.may_be_delayed(&run(&early, 1030)));
        assert!(!PROGRAM.may_be_delayed(&run(&early[..2], 1030)), "one is missing");
        assert!(!PROGRAM.may_be_delayed(&Run { total: Duration::from_millis(990), ..late }));
        assert!(!PROGRAM.may_be_delayed(&Run { status: None, ..swapped }));
    }

    #[test]
    fn a_wrong_end_is_shown() {
        let lines = [(10, "a at 15:09:59"), (1010, "b"), (1020, "c at 15:10:00")];
        fails_with(&run(&lines, 900), Order::Exact, "it lived");
        fails_with(&run(&lines, 9000), Order::Exact, "it lived");
        fails_with(&Run { status: None, ..run(&lines, 1030) }, Order::Exact, "was killed");
        let noisy = Run { stderr: "thread panicked\n".to_owned(), ..run(&lines, 1030) };
        fails_with(&noisy, Order::Exact, "stderr:\nthread panicked");
    }
}
