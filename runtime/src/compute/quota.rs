//! How many threads a lane has if nobody says.
//!
//! One for each CPU: they are lowered, so they only take what the workers leave. Under a *quota* of a cgroup that is not enough:
//! whoever uses it up stops the whole group, workers as well, until the next period begins. So the lane stays a CPU below it.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// The default number of threads.
pub(crate) fn default_threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| {
        let cpus = num_cpus::get();
        let groups = if cfg!(target_os = "linux") && !cfg!(miri) {
            fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
        } else {
            String::new()
        };
        threads(cpus, quota(&groups, Path::new("/sys/fs/cgroup")))
    })
}

fn threads(cpus: usize, quota: Option<f64>) -> usize {
    let most = quota.map_or(cpus, |quota| (quota as usize).saturating_sub(1));
    most.clamp(1, cpus.max(1))
}

/// The CPUs that the groups of this process may use, and the groups above them: the least of all quotas.
/// (Inside a container, the groups may be named as the host sees them, which is not where they are mounted. Their root is
/// looked at in any case.)
fn quota(groups: &str, root: &Path) -> Option<f64> {
    let mut least = None;
    for line in groups.lines() {
        // 4:cpu,cpuacct:/path or, in the second version, 0::/path
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, read): (_, fn(&Path) -> Option<f64>) = if controllers.is_empty() {
            (root.to_path_buf(), second)
        } else if controllers.split(',').any(|controller| controller == "cpu") {
            let named = root.join(controllers);
            (if named.is_dir() { named } else { root.join("cpu") }, first)
        } else {
            continue;
        };
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let quota = read(&mount.join(group)).filter(|quota| *quota > 0.0);
            least = match (least, quota) {
                (Some(least), Some(quota)) => Some(f64::min(least, quota)),
                (least, quota) => least.or(quota),
            };
        }
    }
    least
}

/// `max 100000`, or `150000 100000`.
fn second(group: &Path) -> Option<f64> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let mut parts = text.split_whitespace();
    ratio(parts.next()?, parts.next()?)
}

/// Two files; a quota of -1 is none.
fn first(group: &Path) -> Option<f64> {
    let read = |file| fs::read_to_string(group.join(file)).ok();
    ratio(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?)
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;

    #[test]
    fn under_a_quota_a_cpu_is_left_to_others() {
        assert_eq!(threads(8, None), 8);
        assert_eq!(threads(0, None), 1);
        for (quota, expected) in
            [(0.5, 1), (1.0, 1), (1.9, 1), (2.0, 1), (2.5, 1), (3.0, 2), (99.0, 8)]
        {
            assert_eq!(threads(8, Some(quota)), expected, "a quota of {quota}");
        }
    }

    #[test]
    fn the_least_quota_on_the_way_up_counts() {
        let root = std::env::temp_dir().join(format!("filch-quota-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("pod/cpu.max", "250000 100000\n");
        write("pod/inner/cpu.max", "max 100000\n");
        write("cpu,cpuacct/a/cpu.cfs_quota_us", "150000\n");
        write("cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
        write("cpu,cpuacct/b/cpu.cfs_quota_us", "-1\n");
        write("cpu,cpuacct/b/cpu.cfs_period_us", "100000\n");
        assert_eq!(quota("0::/pod/inner\n", &root), Some(2.5));
        assert_eq!(quota("0::/elsewhere\n", &root), None);
        assert_eq!(quota("4:cpu,cpuacct:/a\n1:name=systemd:/\n0::/\n", &root), Some(1.5));
        assert_eq!(quota("4:cpu,cpuacct:/b\n", &root), None);
        assert_eq!(quota("7:cpuset:/a\nnonsense\n", &root), None);
        fs::remove_dir_all(&root).unwrap();
    }
}
