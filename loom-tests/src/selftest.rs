//! Proofs that the harness proves: that it accepts small protocols known to be right, and refuses
//! whatever shows less than it claims.

#[path = "queue.rs"]
mod queue;
mod samples;

use filch_loom_primitive::Whim;

use super::proves::{Proof, Report, Verdict};

/// The report must not be a proof, for this reason.
#[track_caller]
fn refused(report: &Report, reason: &str) {
    println!("{report}");
    let found = report.problems.iter().any(|problem| problem.contains(reason));
    assert!(found, "not refused because of \"{reason}\"");
}

#[track_caller]
fn verdict<'a>(report: &'a Report, tag: &str) -> &'a Verdict {
    println!("{report}");
    &report.rows.iter().find(|row| row.tag == tag).expect("a tag in the report").verdict
}

#[test]
fn message_passing_needs_both_orderings() {
    let report = Proof::of("message passing", samples::message_passing).run();
    assert_eq!(*verdict(&report, "flag-store"), Verdict::Needed);
    assert_eq!(*verdict(&report, "flag-load"), Verdict::Needed);
    assert_eq!((report.rows.len(), report.problems.len()), (2, 0));
}

#[test]
fn dekker_needs_both_fences() {
    let report = Proof::of("Dekker", samples::dekker).run();
    assert_eq!(*verdict(&report, "left-fence"), Verdict::Needed);
    assert_eq!(*verdict(&report, "right-fence"), Verdict::Needed);
    assert_eq!((report.rows.len(), report.problems.len()), (2, 0));
}

#[test]
fn each_half_of_an_exchange_is_a_place() {
    let report = Proof::of("hand over and back", samples::hand_over).run();
    assert_eq!(*verdict(&report, "hand-over/acquire"), Verdict::Needed);
    assert_eq!(*verdict(&report, "hand-over/release"), Verdict::Needed);
    assert_eq!((report.rows.len(), report.problems.len()), (2, 0));
}

#[test]
fn a_failed_exchange_is_a_place() {
    let report = Proof::of("failing exchange", samples::failed_exchange).run();
    assert_eq!(*verdict(&report, "try-take/failure"), Verdict::Needed);
    assert!(report.problems.is_empty());
}

#[test]
fn a_sleeper_looks_again() {
    Proof::of("futex", samples::sleep)
        .whim(Whim::SpuriousWake, 1)
        .seeded("no-recheck", "deadlock; threads")
        .check();
}

#[test]
fn a_futex_hands_over_no_memory() {
    let report = Proof::of("futex", samples::sleep_and_look_once).run();
    assert_eq!(*verdict(&report, "look-after"), Verdict::Needed);
    assert!(report.problems.is_empty());
}

#[test]
fn a_futex_may_return_for_no_reason() {
    let report = Proof::of("futex", samples::sleep_only_once).run();
    assert!(report.problems.is_empty());
}

#[test]
fn whoever_does_not_expect_that_is_found_by_a_whim() {
    let proof = Proof::of("futex", samples::sleep_only_once).whim(Whim::SpuriousWake, 1);
    refused(&proof.run(), "MODEL: awake but not called");
}

#[test]
fn a_weak_exchange_may_fail_for_no_reason() {
    let proof = Proof::of("weak exchange", samples::weak_exchange_once).whim(Whim::WeakFailure, 1);
    refused(&proof.run(), "MODEL: 0 was not 0");
}

#[test]
fn a_lost_wake_up_is_a_deadlock() {
    let report = Proof::of("nobody wakes", samples::nobody_wakes).run();
    refused(&report, "deadlock");
}

#[test]
fn a_wake_up_passes_over_a_thread_that_does_not_sleep() {
    Proof::of("two sleepers", samples::two_sleepers).preemptions(3).check();
}

#[test]
fn time_passes_only_at_a_whim() {
    let report = Proof::of("timed wait", samples::timed_wait).run();
    refused(&report, "deadlock");
}

#[test]
fn at_a_whim_time_is_up() {
    let proof = Proof::of("timed wait", samples::timed_wait_or_not);
    proof.whim(Whim::TimeUp, 1).whim(Whim::SpuriousWake, 1).check();
}

#[test]
fn what_two_models_meet_one_must_need() {
    let proof = Proof::of("half of it", samples::hand_over_only);
    proof.and("the other half", samples::hand_back_only).check();
}

#[test]
fn expected_panics_are_no_findings() {
    Proof::of("message passing by a thread that panics", samples::expected_panic).check();
}

#[test]
fn refuses_an_ordering_that_nothing_needs() {
    let report = Proof::of("too strong", samples::too_strong).run();
    refused(&report, "fetch_add counter SURVIVED");
}

#[test]
fn accepts_it_as_a_spare() {
    let proof = Proof::of("too strong", samples::too_strong);
    proof.spare("[counter]", "nobody reads anything else").check();
}

#[test]
fn refuses_a_spare_that_is_needed() {
    let proof = Proof::of("message passing", samples::message_passing);
    let report = proof.spare("flag-load", "it looks harmless").run();
    refused(&report, "load flag-load is no spare");
}

#[test]
fn refuses_a_spare_that_is_not_met() {
    let proof = Proof::of("message passing", samples::message_passing);
    let report = proof.spare("flag-lode", "misspelt").run();
    refused(&report, "flag-lode names nothing");
}

#[test]
fn leaves_alone_what_a_proof_is_not_about() {
    let report = Proof::of("message passing", samples::message_passing).about(&[]).run();
    assert!(report.problems.is_empty() && report.rows.is_empty(), "{report}");
    assert!(report.to_string().contains("2 orderings of other protocols"), "{report}");
}

#[test]
fn refuses_a_proof_about_something_that_is_not_met() {
    let proof = Proof::of("message passing", samples::message_passing);
    let report = proof.about(&["runtime/src/lib.rs"]).run();
    refused(&report, "it is about runtime/src/lib.rs, but nothing there is met");
}

#[test]
fn refuses_a_seeded_bug_that_is_not_caught() {
    let proof = Proof::of("harmless bug", samples::harmless_bug);
    let report = proof.seeded("harmless", "MODEL: whatever").run();
    refused(&report, "seeded bug harmless SURVIVED");
}

#[test]
fn refuses_a_seeded_bug_that_does_something_else() {
    let proof = Proof::of("futex", samples::sleep).whim(Whim::SpuriousWake, 1);
    let report = proof.seeded("no-recheck", "MODEL: awake without work").run();
    refused(&report, "fails, but not with \"MODEL: awake without work\": deadlock");
}

#[test]
fn refuses_a_seeded_bug_that_nothing_asks_for() {
    let proof = Proof::of("message passing", samples::message_passing);
    let report = proof.seeded("no-recheck", "MODEL: whatever").run();
    refused(&report, "nothing asks for the seeded bug \"no-recheck\"");
}

#[test]
fn refuses_a_model_that_fails() {
    let report = Proof::of("unsound", samples::unsound).run();
    refused(&report, "the model \"unsound\" fails: Causality violation");
    // Loom says where both sides are.
    refused(&report, "samples.rs");
}

#[test]
fn refuses_a_model_that_runs_out_of_time() {
    let report = Proof::of("endless", samples::large).preemptions(20).max_secs(1).run();
    refused(&report, "out of time");
}

#[test]
fn refuses_a_model_that_runs_out_of_branches() {
    let report = Proof::of("a loop", samples::endless_loop).branches(500).run();
    refused(&report, "out of branches");
}

#[test]
fn refuses_a_twin_that_runs_out_of_time() {
    let report = Proof::of("slow", samples::slow_twin).seeded("slow", "").max_secs(2).run();
    refused(&report, "seeded bug slow: the twin is out of time");
}

#[test]
fn refuses_a_twin_that_only_crashes() {
    let proof = Proof::of("crash", samples::crashing_twin);
    let report = proof.seeded("crash", "index out of bounds").run();
    refused(&report, "neither well nor by an assertion");
}

#[test]
fn accepts_a_crash_that_was_named() {
    let proof = Proof::of("crash", samples::crashing_twin);
    proof.caught_by("index out of bounds").seeded("crash", "index out of bounds").check();
}

#[test]
fn refuses_a_twin_that_aborts() {
    let report = Proof::of("abort", samples::aborting_twin).seeded("abort", "").run();
    refused(&report, "neither well nor by an assertion");
}

#[test]
fn refuses_a_whim_without_opportunity() {
    let report = Proof::of("futex", samples::sleep).whim(Whim::SpuriousWake, 7).run();
    refused(&report, "no execution has 7 opportunities for a SpuriousWake");
}

#[test]
fn refuses_a_tag_of_two_places() {
    let report = Proof::of("twice", samples::tagged_twice).run();
    refused(&report, "[twice] is two places");
}

#[test]
fn the_stand_in_queue_hands_out_each_item_once() {
    Proof::of("queue", samples::thieves).whim(Whim::StealRetry, 2).check();
}

#[test]
fn a_look_into_the_queue_needs_a_fence() {
    Proof::of("queue", samples::push_and_announce).check();
}

#[test]
fn each_thread_has_its_own_locals() {
    Proof::of("thread-locals", samples::locals).check();
}
