//! Figures of this process, from `/proc` and the system.

use std::{fs, time::Duration};

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// The figures. Those that the system doesn't report are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ProcessFigures {
    pub(super) of_stat: Option<OfStat>,
    pub(super) start_time: Option<f64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
}

/// The figures in `/proc/self/stat`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OfStat {
    pub(super) cpu: Duration,
    pub(super) threads: u64,
    pub(super) virtual_bytes: u64,
    pub(super) resident_bytes: u64,
    /// The start of the process after that of the system.
    started_after: Duration,
}

impl ProcessFigures {
    /// Reads the figures.
    pub(super) fn read() -> Self {
        let of_stat = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| OfStat::parse(&stat));
        let boot_time = fs::read_to_string("/proc/stat").ok().and_then(|stat| boot_time(&stat));
        let start_time = |stat: OfStat| Some(boot_time? as f64 + stat.started_after.as_secs_f64());
        // Includes the one that reads the folder.
        let open_fds = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1));
        Self {
            of_stat,
            start_time: of_stat.and_then(start_time),
            open_fds: open_fds.and_then(|count| u64::try_from(count).ok()),
            max_fds: getrlimit(Resource::Nofile).current,
        }
    }
}

impl OfStat {
    /// Parses the line of proc_pid_stat(5). The second field is a name in parentheses, which may contain any character.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // The numbers in the manual count from 1, and the first of these fields is number 3.
        let number = |field: usize| fields.get(field.checked_sub(3)?)?.parse::<u64>().ok();
        let ticks = |ticks: u64| Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64);
        Some(Self {
            cpu: ticks(number(14)?.saturating_add(number(15)?)),
            threads: number(20)?,
            started_after: ticks(number(22)?),
            virtual_bytes: number(23)?,
            resident_bytes: number(24)?.saturating_mul(u64::try_from(page_size()).ok()?),
        })
    }
}

/// The start of the system in Unix time, in proc_stat(5).
fn boot_time(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use sealward_core::port::Clock as _;

    use super::*;
    use crate::ports::clock::SystemClock;

    #[test]
    fn name_of_the_process_is_not_mistaken_for_fields() {
        let stat = "7 (a) S 1 (b) R 2 3 4 5 6 7 8 9 10 11 200 100 14 15 16 17 9 0 500 4096 3 25 26";
        let parsed = OfStat::parse(stat).unwrap();
        let ticks = clock_ticks_per_second() as f64;
        assert_eq!((parsed.threads, parsed.virtual_bytes), (9, 4096));
        assert_eq!(parsed.resident_bytes, 3 * u64::try_from(page_size()).unwrap());
        assert_eq!(parsed.cpu, Duration::from_secs_f64(300.0 / ticks));
        assert_eq!(parsed.started_after, Duration::from_secs_f64(500.0 / ticks));
        assert_eq!(OfStat::parse("7 (a) S 1 2"), None);
    }

    #[test]
    fn this_process_has_all_figures() {
        let figures = ProcessFigures::read();
        let stat = figures.of_stat.unwrap();
        assert!(stat.threads > 0 && stat.resident_bytes > 1 << 20 && stat.virtual_bytes >= stat.resident_bytes);
        assert!(figures.open_fds.unwrap() > 2 && figures.max_fds.unwrap() >= figures.open_fds.unwrap());
        let now = SystemClock.now().unix_micros() as f64 / 1e6;
        assert!((0.0..86_400.0).contains(&(now - figures.start_time.unwrap() + 1.0)), "{figures:?}");
    }
}
