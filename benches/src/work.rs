//! Work of a known size: so many steps, the same for all.
//!
//! A loop that looks at the clock would do less the more often its thread is interrupted, and a server with more threads than there
//! are cores would look faster than it is.

use std::hint;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Computes for this many steps.
pub(crate) fn steps(count: u64) {
    let mut number = 1u64;
    for _ in 0..count {
        number = hint::black_box(number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
    }
}

/// How many steps take so long where nothing else runs.
pub(crate) fn steps_for(time: Duration) -> u64 {
    static PER_MILLISECOND: OnceLock<f64> = OnceLock::new();
    let per_millisecond = *PER_MILLISECOND.get_or_init(|| {
        const STEPS: u64 = 100_000;
        let tries = (0..50).map(|_| {
            let start = Instant::now();
            steps(STEPS);
            start.elapsed()
        });
        // The fastest was disturbed least.
        let fastest = tries.min().expect("there are some");
        STEPS as f64 / (fastest.as_secs_f64() * 1e3)
    });
    (per_millisecond * time.as_secs_f64() * 1e3) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_proportional_to_time() {
        assert_eq!(steps_for(Duration::ZERO), 0);
        let (one, ten) =
            (steps_for(Duration::from_millis(1)), steps_for(Duration::from_millis(10)));
        assert!(one > 1_000, "{one}");
        assert!(ten.abs_diff(10 * one) <= 10, "{one} {ten}");
    }
}
