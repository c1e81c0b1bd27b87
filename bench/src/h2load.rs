//! h2load, the load generator for calls that all send the same request.
//!
//! It can't present a client certificate, so these calls have a bearer token. It doesn't see gRPC statuses: [`measure`] compares the bytes
//! that arrived with the bytes of the answer, because a refused call has no answer.

use std::{net::SocketAddr, path::Path, time::Duration};

use crate::{figures::Log, outcome::Outcome, process};

/// A load.
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) method: &'a str,
    pub(crate) token: &'a str,
    /// A file with the request and its gRPC prefix.
    pub(crate) request: &'a Path,
    /// The length of the answer with its prefix.
    pub(crate) answer_bytes: usize,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) amount: Amount,
    /// Calls per second on all connections together; as many as the server answers if it isn't set.
    pub(crate) rate: Option<f64>,
    /// The file for its log.
    pub(crate) log: &'a Path,
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    /// After this time. Calls in flight are cut off.
    Seconds(f64),
    /// After this number of calls.
    Calls(u64),
}

/// The lengths of answers vary with the numbers in them, such as timestamps.
const ANSWER_TOLERANCE: f64 = 0.02;

/// Runs h2load, and returns its log.
pub(crate) async fn run(load: &Load<'_>) -> Outcome<Log> {
    // h2load appends to a log that exists.
    let _absent = std::fs::remove_file(load.log);
    let (amount, seconds) = match load.amount {
        Amount::Seconds(seconds) => (format!("--duration={}ms", (seconds * 1e3) as u64), seconds),
        Amount::Calls(calls) => (format!("--requests={calls}"), CALLS_SECONDS_MAX),
    };
    let mut arguments = vec![
        "--npn-list=h2".to_owned(),
        amount,
        format!("--clients={}", load.connections),
        format!("--max-concurrent-streams={}", load.in_flight.div_ceil(load.connections)),
        format!("--data={}", load.request.display()),
        "--header=content-type: application/grpc".to_owned(),
        "--header=te: trailers".to_owned(),
        format!("--header=authorization: Bearer {}", load.token),
        format!("--log-file={}", load.log.display()),
    ];
    arguments.extend(load.rate.map(|rate| format!("--rps={}", rate / load.connections as f64)));
    arguments.push(format!("https://{}{}", load.address, load.method));
    let output = process::output("h2load", &arguments, Duration::from_secs_f64(seconds) + END).await?;

    let text = std::fs::read_to_string(load.log).map_err(|error| format!("{}: {error}", load.log.display()))?;
    let mut log = Log::parse(&text, HTTP_OK)?;
    let received = received_bytes(&output).ok_or_else(|| format!("h2load's output isn't understood: {output}"))?;
    let expected = log.times_us.len() as f64 * load.answer_bytes as f64;
    let missing = 1.0 - received as f64 / expected;
    if missing > ANSWER_TOLERANCE {
        log.refused += (missing * log.times_us.len() as f64) as u64;
    }
    Ok(log)
}

/// The time for h2load to start and end, beyond the time of its load.
const END: Duration = Duration::from_secs(20);
/// The maximum time of a load that ends with its last call.
const CALLS_SECONDS_MAX: f64 = 300.0;

const HTTP_OK: i32 = 200;

/// The bytes of all answers, from the line `traffic: 1.25MB (1313000) total, 31.0KB (31780) headers (space savings 91.45%), 1.00MB (1048576) data`.
fn received_bytes(output: &str) -> Option<u64> {
    let line = output.lines().find(|line| line.starts_with("traffic:"))?;
    let (before, _) = line.rsplit_once(") data")?;
    before.rsplit_once('(')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_bytes_are_those_of_the_data() {
        let output = "finished in 1.00s\n\
            traffic: 1.25MB (1313000) total, 31.0KB (31780) headers (space savings 91.45%), 1.00MB (1048576) data\n";
        assert_eq!(received_bytes(output), Some(1_048_576));
        assert_eq!(received_bytes("finished in 1.00s\n"), None);
    }
}
