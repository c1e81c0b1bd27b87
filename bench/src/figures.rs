//! The figures of a round of calls, and what rounds have in common.

use std::time::Duration;

use crate::outcome::Outcome;

/// The calls of one round on one server.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// Answered calls per second.
    pub(crate) rate: f64,
    /// The sorted times of the answered calls, in microseconds.
    times_us: Vec<u32>,
    /// The CPU time of the server per answered call, in microseconds.
    pub(crate) cpu_us: f64,
    /// Calls that weren't answered with success.
    pub(crate) refused: u64,
}

/// The log of a load generator: the times of the successful calls, the number of the others, and the time from the first start to the last end.
#[derive(Debug, PartialEq)]
pub(crate) struct Log {
    pub(crate) times_us: Vec<u32>,
    pub(crate) refused: u64,
    pub(crate) span: Duration,
}

impl Log {
    /// The number of calls.
    pub(crate) fn calls(&self) -> u64 {
        self.times_us.len() as u64 + self.refused
    }

    /// Parses lines of start, status and time, in microseconds and separated by tabs, as h2load writes them.
    pub(crate) fn parse(text: &str, success: i32) -> Outcome<Self> {
        let (mut log, mut first, mut last) =
            (Log { times_us: Vec::new(), refused: 0, span: Duration::ZERO }, u64::MAX, 0);
        for line in text.lines() {
            let mut fields = line.split('\t');
            let mut field = || fields.next().and_then(|field| field.parse::<i64>().ok());
            let (start, status, took) = (field(), field(), field());
            let (Some(start), Some(status), Some(took)) = (start, status, took) else {
                return Err(format!("a line of the load generator's log is malformed: {line}"));
            };
            let (start, took) = (start.unsigned_abs(), took.unsigned_abs());
            first = first.min(start);
            last = last.max(start + took);
            if status == i64::from(success) {
                log.times_us.push(u32::try_from(took).unwrap_or(u32::MAX));
            } else {
                log.refused += 1;
            }
        }
        log.span = Duration::from_micros(last.saturating_sub(first));
        log.times_us.sort_unstable();
        Ok(log)
    }
}

impl Round {
    /// The figures of a log, and of the CPU time that the server used for it.
    pub(crate) fn of(log: Log, cpu: Duration) -> Outcome<Self> {
        if log.times_us.is_empty() {
            return Err(format!("no call was answered, {} were refused", log.refused));
        }
        let answered = log.times_us.len() as f64;
        Ok(Self {
            rate: answered / log.span.as_secs_f64().max(f64::MIN_POSITIVE),
            cpu_us: cpu.as_secs_f64() * 1e6 / answered,
            times_us: log.times_us,
            refused: log.refused,
        })
    }

    /// The time in microseconds that this share of the calls didn't exceed.
    pub(crate) fn percentile_us(&self, share: f64) -> f64 {
        let index = (self.times_us.len() as f64 * share).ceil() as usize;
        self.times_us.get(index.max(1) - 1).or(self.times_us.last()).copied().map_or(f64::NAN, f64::from)
    }
}

/// The rounds of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(pub(crate) Vec<Round>);

impl Rounds {
    /// The median of a figure.
    pub(crate) fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(self.0.iter().map(figure).collect())
    }

    /// The median of the quotients of a figure and that of the round of `base` beside it.
    pub(crate) fn ratio(&self, base: &Rounds, figure: impl Fn(&Round) -> f64) -> f64 {
        median(self.0.iter().zip(&base.0).map(|(round, base)| figure(round) / figure(base)).collect())
    }

    /// The refused calls of all rounds, as a share of all calls.
    pub(crate) fn refused(&self) -> f64 {
        let refused: u64 = self.0.iter().map(|round| round.refused).sum();
        let answered: usize = self.0.iter().map(|round| round.times_us.len()).sum();
        refused as f64 / (refused as f64 + answered as f64)
    }
}

/// The median, or the mean of the two values in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.wrapping_sub(1)), at(middle)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(times_us: Vec<u32>) -> Round {
        let log = Log { times_us, refused: 0, span: Duration::from_secs(1) };
        Round::of(log, Duration::from_millis(1)).unwrap()
    }

    #[test]
    fn log_separates_successful_calls() {
        let log = Log::parse("1000\t200\t30\n1010\t-1\t5\n1020\t200\t10\n", 200).unwrap();
        assert_eq!(log, Log { times_us: vec![10, 30], refused: 1, span: Duration::from_micros(30) });
        assert!(Log::parse("1000\t200\n", 200).is_err());
    }

    #[test]
    fn percentile_is_a_time_that_occurred() {
        let hundred = round((1..=100).collect());
        assert_eq!(hundred.percentile_us(0.5), 50.0);
        assert_eq!(hundred.percentile_us(0.99), 99.0);
        assert_eq!(hundred.percentile_us(0.999), 100.0);
        assert_eq!(round(vec![7]).percentile_us(0.5), 7.0);
    }

    #[test]
    fn median_of_even_count_is_between() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn round_without_answers_is_an_error() {
        let log = Log { times_us: Vec::new(), refused: 3, span: Duration::ZERO };
        assert!(Round::of(log, Duration::ZERO).is_err());
    }
}
