//! What `metrics` prints is what Prometheus reads: each line is checked against the rules of its text format, and the numbers against
//! the work that was done.

use std::collections::BTreeMap;
use std::process::Command;

/// Names with their labels, and values.
type Samples = BTreeMap<String, f64>;

fn page() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_metrics")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap()
}

/// The samples; each after the lines that say what it is.
fn read(page: &str) -> Samples {
    let (mut samples, mut kinds) = (Samples::new(), BTreeMap::new());
    let mut last_help = None;
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            last_help = help.split(' ').next();
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(last_help, Some(name), "each family has a line of help");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert_eq!(kinds.insert(name, kind), None, "{name} stands there twice");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let bare = name.split('{').next().unwrap();
        let is_name = bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        assert!(is_name && bare.starts_with("filch_"), "{line}");
        let family = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(|end| bare.strip_suffix(end).filter(|name| kinds.contains_key(name)))
            .unwrap_or(bare);
        assert!(kinds.contains_key(family), "{line} has no TYPE");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(value >= 0.0, "{line}");
        assert_eq!(samples.insert(name.to_owned(), value), None, "{name} stands there twice");
    }
    samples
}

fn check_histogram(page: &str, samples: &Samples, name: &str) {
    let prefix = format!("{name}_bucket{{le=\"");
    let buckets: Vec<(f64, f64)> = page
        .lines()
        .filter_map(|line| line.strip_prefix(&prefix)?.split_once("\"} "))
        .map(|(end, count)| (end.parse().unwrap(), count.parse().unwrap()))
        .collect();
    assert_eq!(buckets.len(), 40);
    assert!(buckets.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1));
    assert_eq!(buckets[39], (f64::INFINITY, samples[&format!("{name}_count")]));
    assert!(buckets[39].1 >= 1.0, "{name} is empty");
    assert!(samples[&format!("{name}_sum")] > 0.0);
}

#[test]
fn it_prints_what_prometheus_reads() {
    let page = page();
    let samples = read(&page);
    let get = |name: &str| samples[&format!("filch_{name}")];
    // (There may have been spare workers.)
    let all = |name: &str| {
        let prefix = format!("filch_{name}{{worker=");
        samples.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(_, n)| n).sum::<f64>()
    };
    assert_eq!(get("workers"), 2.0);
    assert_eq!(get("tasks_ended_total{how=\"finished\"}"), 2000.0);
    assert_eq!(get("tasks_ended_total{how=\"panicked\"}"), 0.0);
    assert!(get("tasks_alive") >= 1.0, "one sleeps for an hour");
    assert!(all("polls_total") >= 2000.0, "each task is polled at least once");
    assert!(all("injected_total") >= 1000.0, "the main future is on a thread of its own");
    // (On a busy machine some of the sleeps are over before they can wait.)
    assert!(get("timers_fired_total") >= 100.0 && all("due_total") >= 100.0, "{page}");
    assert_eq!(get("timers"), 1.0);
    assert_eq!(get("compute_started_total"), 1.0);
    assert_eq!(get("blocking_threads"), 1.0);
    check_histogram(&page, &samples, "filch_poll_seconds");
    check_histogram(&page, &samples, "filch_wait_seconds");
}
