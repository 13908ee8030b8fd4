//! What the system knows of this process.

use std::fs;

/// Of this process, now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) rss_kib: u64,
    pub(crate) fds: u64,
    pub(crate) threads: u64,
    /// User and system time.
    pub(crate) cpu_seconds: f64,
}

impl Usage {
    /// (Zeros where there is no `/proc`.)
    pub(crate) fn now() -> Usage {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        // (The one that reads the folder is not counted.)
        let fds = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64 - 1);
        Usage {
            rss_kib: field("VmRSS:"),
            fds,
            threads: field("Threads:"),
            cpu_seconds: cpu_seconds().unwrap_or(0.0),
        }
    }
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // (The name in front may contain anything.)
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / 100.0)
}

/// What each open file is, for those who look for one that was left behind.
pub(crate) fn open_files() -> Vec<String> {
    let Ok(files) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let name = |file: fs::DirEntry| {
        let target = fs::read_link(file.path()).ok()?;
        Some(format!("{} → {}", file.file_name().to_string_lossy(), target.display()))
    };
    files.filter_map(|file| name(file.ok()?)).collect()
}

/// The name of each thread, with what it sleeps in, if the system tells.
pub(crate) fn threads() -> Vec<String> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let name = |task: fs::DirEntry| {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let (name, sleeps_in) = (read("comm"), read("wchan"));
        format!("{} {}", name.trim(), sleeps_in.trim())
    };
    tasks.filter_map(|task| Some(name(task.ok()?))).collect()
}

fn first_line(path: &str, prefix: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(prefix))?;
    Some(line.split_once(':').map_or(line, |(_, value)| value).trim().to_owned())
}

/// The machine, in a line.
pub(crate) fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, |cpus| cpus.get());
    let model = first_line("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".into());
    let kernel = first_line("/proc/sys/kernel/osrelease", "").unwrap_or_default();
    format!("{model}, {cpus} CPUs, {} {kernel}", std::env::consts::OS)
}

/// How many threads want to run on this machine, on average over the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}
