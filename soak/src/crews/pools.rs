//! Calls that wait and calls that compute, some of which are taken back.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use filch::JoinHandle;

use super::chosen;
use crate::world::Crew;

fn computed(length: u64) -> u64 {
    (0..length).fold(1, |sum, i| black_box(sum ^ i.wrapping_mul(0x9e37_79b9)))
}

pub(crate) async fn round(crew: Crew, mut rng: Rng) {
    crew.step("jobs that wait");
    let mut jobs: Vec<(u64, JoinHandle<u64>)> = Vec::new();
    for number in 0..rng.u64(1..40) {
        let ms = rng.u64(0..20);
        let how = rng.u32(0..8);
        let again = crew.runtime.clone();
        let ledger = crew.ledger.clone();
        let job = crew.ledger.job(move || {
            match how {
                0 => panic!("planned: in a job"),
                1 => drop(again.spawn(ledger.enter(async {}))),
                2 => {
                    // A well-behaved job asks now and then.
                    for _ in 0..ms {
                        if filch::blocking::cancel_requested() {
                            break;
                        }
                        thread::sleep(Duration::from_millis(1));
                    }
                }
                _ => thread::sleep(Duration::from_millis(ms)),
            }
            number
        });
        jobs.push((number, filch::spawn_blocking(job)));
    }
    crew.step("jobs that compute");
    for number in 0..rng.u64(1..20) {
        let (how, length) = (rng.u32(0..8), rng.u64(0..200_000));
        let job = crew.ledger.job(move || {
            match how {
                0 => panic!("planned: in a compute job"),
                1 => {
                    // rayon works in there.
                    let halves = || computed(length / 2);
                    black_box(rayon_core::join(halves, halves));
                }
                _ => _ = black_box(computed(length)),
            }
            number
        });
        jobs.push((number, filch::spawn_compute(job)));
    }
    crew.step("jobs are taken back");
    for (_, job) in chosen(&jobs, &mut rng, 5) {
        if rng.bool() {
            job.cancel()
        } else {
            job.abort()
        };
    }
    crew.step("jobs return");
    for (number, job) in jobs {
        if rng.u32(0..10) == 0 {
            // Nobody waits for it: it stands in the books all the same.
            continue;
        }
        let value = crew.expect_planned(job.await);
        crew.world
            .check(value.is_none_or(|value| value == number), || "another job's value".into());
    }
    crew.world.nap(Duration::from_millis(rng.u64(0..100))).await;
}
