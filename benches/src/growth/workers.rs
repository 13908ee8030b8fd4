//! More and more workers, on the cores there are.

use std::time::Instant;

use super::Grows;
use super::tasks::{OFTEN, TIME, time_each};
use crate::contender::Serves;

/// The same work on so many workers. Figures: time per task spawned inside, spawned outside, per yield; time to start and stop a
/// worker.
#[derive(Clone, Copy)]
pub(super) struct Workers;

const YIELDERS: usize = 200;
const YIELDS: usize = 50;

impl Grows for Workers {
    fn measure<C: Serves>(self, size: usize, _: usize) -> Vec<f64> {
        let rt = C::new(size);
        let inside = time_each(OFTEN, || {
            rt.in_task(async {
                let handles: Vec<_> = (0..OFTEN).map(|_| C::spawn(async {})).collect();
                for handle in handles {
                    C::join(handle).await;
                }
            });
        });
        let outside = time_each(OFTEN, || {
            let handles: Vec<_> = (0..OFTEN).map(|_| rt.spawn_remote(async {})).collect();
            rt.block_on(async {
                for handle in handles {
                    C::join(handle).await;
                }
            });
        });
        let yields = time_each(YIELDERS * YIELDS, || {
            rt.in_task(async {
                let yielder = || async {
                    for _ in 0..YIELDS {
                        C::yield_now().await;
                    }
                };
                let handles: Vec<_> = (0..YIELDERS).map(|_| C::spawn(yielder())).collect();
                for handle in handles {
                    C::join(handle).await;
                }
            });
        });
        drop(rt);
        let start = Instant::now();
        let mut runtimes = 0;
        while start.elapsed() < TIME {
            C::new(size).in_task(async {});
            runtimes += 1;
        }
        let start_stop = start.elapsed().as_nanos() as f64 / (runtimes * size) as f64;
        vec![inside, outside, yields, start_stop]
    }
}
