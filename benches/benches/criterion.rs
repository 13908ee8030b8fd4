//! `cargo bench -p filch-benches --features criterion --bench criterion`: the core operations under criterion, for comparing two
//! versions on one machine (`--save-baseline`, `--baseline`). What compares runtimes is the suite: there they take turns.

use criterion::{Criterion, Throughput};

/// As the goals have it.
const WORKERS: usize = 2;

fn core_operations(criterion: &mut Criterion) {
    for operation in filch_benches::operations() {
        let mut group = criterion.benchmark_group(operation.name());
        group.throughput(Throughput::Elements(operation.batch(WORKERS) as u64));
        group.sample_size(20);
        for contender in operation.contenders() {
            group.bench_function(contender, |bencher| {
                bencher.iter(operation.start(contender, WORKERS));
            });
        }
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    core_operations(&mut criterion);
    criterion.final_summary();
}
