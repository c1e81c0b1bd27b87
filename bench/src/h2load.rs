//! h2load, the load generator for calls that all send the same request.
//!
//! It can't present a client certificate, so these calls have a bearer token. It doesn't see gRPC statuses: [`run`] compares the bytes that
//! arrived with the bytes of the answers, because a refused call has no answer, and a refused record of an import has a longer result.

use std::{net::SocketAddr, path::Path, time::Duration};

use crate::{figures::Log, outcome::Outcome, process};

/// A load.
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    /// The paths, which are requested in turn.
    pub(crate) paths: &'a [String],
    /// Lines of `name: value`.
    pub(crate) headers: &'a [String],
    /// A file with the body of each request; with it, the method is POST, otherwise GET.
    pub(crate) body: Option<&'a Path>,
    /// The HTTP status of success.
    pub(crate) success: i32,
    /// The length of each answer, if refused calls have to be found by their missing answers.
    pub(crate) answer_bytes: Option<usize>,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) amount: Amount,
    /// Calls per second on all connections together; as many as the server answers if it isn't set.
    pub(crate) rate: Option<f64>,
    /// The file for its log.
    pub(crate) log: &'a Path,
}

/// The headers of a gRPC call with a bearer token.
pub(crate) fn grpc_headers(token: &str) -> [String; 3] {
    ["content-type: application/grpc".to_owned(), "te: trailers".to_owned(), format!("authorization: Bearer {token}")]
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
        format!("--log-file={}", load.log.display()),
    ];
    arguments.extend(load.headers.iter().map(|header| format!("--header={header}")));
    arguments.extend(load.body.map(|body| format!("--data={}", body.display())));
    arguments.extend(load.rate.map(|rate| format!("--rps={}", rate / load.connections as f64)));
    arguments.extend(load.paths.iter().map(|path| format!("https://{}{path}", load.address)));
    let output = process::output("h2load", &arguments, Duration::from_secs_f64(seconds) + END).await?;

    let text = std::fs::read_to_string(load.log).map_err(|error| format!("{}: {error}", load.log.display()))?;
    let mut log = Log::parse(&text, load.success)?;
    if let Some(answer_bytes) = load.answer_bytes {
        let received = received_bytes(&output).ok_or_else(|| format!("h2load's output isn't understood: {output}"))?;
        let expected = log.times_us.len() as f64 * answer_bytes as f64;
        let missing = (1.0 - received as f64 / expected).abs();
        if missing > ANSWER_TOLERANCE {
            log.refused += (missing * log.times_us.len() as f64) as u64;
        }
    }
    Ok(log)
}

/// The time for h2load to start and end, beyond the time of its load.
const END: Duration = Duration::from_secs(20);
/// The maximum time of a load that ends with its last call.
const CALLS_SECONDS_MAX: f64 = 300.0;

/// The HTTP status of every gRPC answer.
pub(crate) const HTTP_OK: i32 = 200;

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
