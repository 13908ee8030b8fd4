# `just` lists the recipes.
_list:
    @just --list

# Everything: unit tests, doc tests, acceptance programs, loom models. Or a part: `just test -p filch-timer`.
test *arguments:
    cargo test {{ arguments }}

# What CI refuses: formatting, and any warning.
lint:
    .ci/run fmt clippy

# The documentation, private items included; opens it with `just doc --open`.
doc *arguments:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items -p filch -p filch-timer -p filch-macros {{ arguments }}

# The loom models and their twins.
loom *arguments:
    cargo test -p loom-tests {{ arguments }}

# Whole runtimes under shuttle, more often: `just shuttle-deep 20000 7` explores each scenario 20,000 times, random numbers from 7.
shuttle-deep iterations="20000" seed="1" *arguments:
    FILCH_SHUTTLE_ITERATIONS={{ iterations }} FILCH_SHUTTLE_SEED={{ seed }} cargo test -p shuttle-tests {{ arguments }}

# Fuzzes a target of models/ for so many seconds: `just fuzz tasks 600`. Wants a nightly toolchain.
fuzz target seconds="60":
    cargo install --quiet --locked --version 0.13.2 --root target/tools cargo-fuzz
    cd fuzz && PATH="$PWD/../target/tools/bin:$PATH" cargo +nightly fuzz run --fuzz-dir . {{ target }} -- -max_total_time={{ seconds }} -max_len=600 -timeout=30

# The models once more, with more preemptions where that ends: loom-tests/README.md says how many.
loom-deep *arguments:
    cargo test -p loom-tests -- --ignored deep:: --test-threads=1 {{ arguments }}

# The benchmarks.
bench *arguments:
    cargo bench -p filch-benches {{ arguments }}

# Instructions of each operation, against counts/baseline.txt. Installs its tool at the first time.
counts:
    .ci/counts

# What is counted becomes the baseline.
counts-accept:
    .ci/counts accept

# Use after free and leaks: the tests under AddressSanitizer. `just asan all`: also of the other libraries and the servers.
asan *arguments:
    .ci/sanitize asan {{ arguments }}

# Data races: the tests in which threads meet most, under ThreadSanitizer. `just tsan all`: all of them.
tsan *arguments:
    .ci/sanitize tsan {{ arguments }}

# Some of the tests under valgrind's memcheck. `just valgrind all`: all of them.
valgrind *arguments:
    .ci/sanitize valgrind {{ arguments }}

# Which lines the tests reach; `just coverage --write` renews the table in COVERAGE.md.
coverage *arguments:
    .ci/coverage {{ arguments }}

# Everything the runtime offers at once, at random: `just soak 1h --seed 7 --report soak.md`.
soak duration="5m" *arguments:
    cargo run --locked --release -p filch-soak -- --duration {{ duration }} {{ arguments }}

# All of CI, or some stages: `just ci fmt clippy`.
ci *stages:
    .ci/run {{ stages }}

# What takes too long for CI: `.ci/nightly` says what it is.
nightly *stages:
    .ci/nightly {{ stages }}

# Changes of the face since BASE (a tag, or any revision) that break its users.
semver base:
    .ci/nightly semver {{ base }}
