//! CPU time and memory of this process, and CPU time of all. What a system does not tell is `None`, and a dash in the table.

use std::time::Duration;

/// CPU time that all threads of this process have used so far.
pub(crate) fn cpu_time() -> Option<Duration> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let seconds = u64::try_from(time.tv_sec).ok()?;
        let nanos = u32::try_from(time.tv_nsec).ok()?;
        Some(Duration::new(seconds, nanos))
    }
    #[cfg(not(unix))]
    None
}

/// CPU time that everything on this machine has used so far, on all cores.
pub(crate) fn cpu_time_of_all() -> Option<Duration> {
    // Of which idle and waiting are no use. The unit is a hundredth of a second on every Linux.
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let mut fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let mut next = || fields.next()?.parse::<u64>().ok();
    let (user, nice, system, _idle, _waiting) = (next()?, next()?, next()?, next()?, next()?);
    let (irq, softirq, steal) = (next()?, next()?, next()?);
    Some(Duration::from_millis(10 * (user + nice + system + irq + softirq + steal)))
}

/// Lets this process, and those it starts, open so many files if the system does. The answer is how many they are now.
pub(crate) fn allow_files(wanted: u64) -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let Some(current) = limit.current.filter(|current| *current < wanted) else {
            return limit.current;
        };
        let most = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit });
        Some(if raised.is_ok() { most } else { current })
    }
    #[cfg(not(unix))]
    {
        let _ = wanted;
        None
    }
}

/// Memory of this process that is in RAM now, in bytes.
pub(crate) fn resident_now() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// The most that [`resident_now`] has ever been.
pub(crate) fn resident_peak() -> Option<u64> {
    status_bytes("VmHWM:")
}

fn status_bytes(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_all() {
        let (peak, now) = (resident_peak().unwrap(), resident_now().unwrap());
        assert!(now > 100_000, "{now}");
        assert!(peak > 100_000, "{peak}");
        // Not more than it has, so that no other test has more.
        let files = allow_files(1).unwrap();
        assert!(files > 1 && allow_files(files).unwrap() == files);
        assert!(cpu_time().unwrap() > Duration::ZERO);
        assert!(cpu_time_of_all().unwrap() > Duration::ZERO);
    }
}
