//! Follows a re-encryption: a bar on a terminal, a line a message elsewhere.
//!
//! Ctrl-C ends the watching only: the server does the work, and continues it.

use std::{
    future::pending,
    io::{self, IsTerminal as _},
    pin::pin,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealward_client::{
    Action, Client, Code, Error,
    v1::{Reencryption, reencryption::State},
};

use crate::{failure::Failure, stderr};

/// Shows the progress until it ends, and answers with its last state; `None` if the server had nothing to say. A stream that breaks off,
/// with its connection or with the server, is begun again.
pub(crate) async fn follow(client: &Client, organization: &str) -> Result<Option<Reencryption>, Failure> {
    let mut interrupt = pin!(interrupt());
    let mut display = Display::for_stderr();
    let mut followed = Followed::default();
    loop {
        let outcome = tokio::select! {
            // Ctrl-C first, so that it is waited for before anything is shown.
            biased;
            () = &mut interrupt => return Err(detach(&mut display, organization)),
            outcome = followed.further(client, organization, &mut display) => outcome,
        };
        let error = match outcome {
            Ok(()) => {
                display.end();
                return Ok(followed.last);
            }
            Err(error) => error,
        };
        if !followed.may_resume(&error) {
            display.end();
            // What was done before is in no doubt: watching is all that failed.
            return Err(Failure::from(error).advised(goes_on(organization)));
        }
        if tokio::time::timeout(RESUME_PAUSE, &mut interrupt).await.is_ok() {
            return Err(detach(&mut display, organization));
        }
    }
}

fn detach(display: &mut Display, organization: &str) -> Failure {
    display.end();
    stderr::notice(&goes_on(organization));
    Failure::Detached
}

/// What was seen of a re-encryption.
#[derive(Default)]
struct Followed {
    last: Option<Reencryption>,
    /// How often watching failed since something was seen.
    failures: u32,
}

impl Followed {
    /// Watches until the re-encryption, or the stream, ends.
    async fn further(&mut self, client: &Client, organization: &str, display: &mut Display) -> Result<(), Error> {
        let mut stream = client.watch_reencryption(organization).await?;
        while let Some(progress) = stream.next().await? {
            self.failures = 0;
            display.show(&progress);
            self.last = Some(progress);
        }
        Ok(())
    }

    /// Whether to watch again after this error: one that passes, and has not come too often in a row.
    fn may_resume(&mut self, error: &Error) -> bool {
        self.failures += 1;
        let failures_max = if self.last.is_some() { FAILURES_MAX } else { FAILURES_MAX_AT_FIRST };
        let passes = matches!(error.action(), Action::Wait { .. });
        error.code() == Code::Unavailable && passes && self.failures <= failures_max
    }
}

/// How long to wait before a stream is begun again, and how often in a row: a server that is restarted takes seconds.
const RESUME_PAUSE: Duration = Duration::from_secs(1);
const FAILURES_MAX: u32 = 60;
const FAILURES_MAX_AT_FIRST: u32 = 5;

/// Waits for Ctrl-C. Where it can't be waited for, it ends the process by itself.
async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}

/// Where progress is shown.
pub(crate) enum Display {
    Bar(ProgressBar),
    Lines,
}

impl Display {
    fn for_stderr() -> Self {
        Self::styled(TEMPLATE)
    }

    /// For what only counts.
    pub(crate) fn counting() -> Self {
        Self::styled(COUNTING)
    }

    fn styled(template: &'static str) -> Self {
        if io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            Self::Bar(bar.with_style(ProgressStyle::with_template(template).expect("the template is a constant")))
        } else {
            Self::Lines
        }
    }

    fn show(&mut self, progress: &Reencryption) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(u64::try_from(progress.cells_total).unwrap_or_default());
                bar.set_position(u64::try_from(progress.cells_done).unwrap_or_default());
                bar.set_prefix(state_in_words(progress));
                bar.set_message(pace(progress));
                if is_last(progress) {
                    bar.finish_and_clear();
                    stderr::notice(&describe(progress));
                } else {
                    bar.tick();
                }
            }
            Self::Lines => stderr::notice(&describe(progress)),
        }
    }

    /// Shows how many of how many are done, where somebody is watching.
    pub(crate) fn count(&mut self, what: &'static str, done: i64, total: i64) {
        if let Self::Bar(bar) = self {
            bar.set_length(u64::try_from(total).unwrap_or_default());
            bar.set_position(u64::try_from(done).unwrap_or_default());
            bar.set_prefix(what);
            bar.tick();
        }
    }

    /// Leaves the terminal clean.
    pub(crate) fn end(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// All of it on a line.
fn describe(progress: &Reencryption) -> String {
    let Reencryption { cells_total, cells_done, cells_unreadable, cells_per_second, .. } = progress;
    let cells = format!("{cells_done} of {cells_total} cells");
    let state = state_in_words(progress);
    match progress.state() {
        State::None => state.to_owned(),
        // The first message of a change comes before the cells are counted.
        State::Running | State::Clearing if *cells_total == 0 => state.to_owned(),
        State::Running | State::Clearing if *cells_per_second >= RATE_SHOWN_MIN => {
            format!("{state}: {cells}, {cells_per_second:.0} a second")
        }
        State::Running | State::Clearing => format!("{state}: {cells}"),
        State::DoneWithUnreadableCells => format!("{state}: {cells}, and {cells_unreadable} that no key here opens"),
        State::Waiting | State::Finishing | State::Done | State::Unspecified => format!("{state}: {cells}"),
    }
}

fn state_in_words(progress: &Reencryption) -> &'static str {
    match progress.state() {
        State::None => "There has been no re-encryption: the key was never changed.",
        State::Waiting => "Waiting for the key to be restored",
        State::Running => "Running",
        State::Clearing => "Clearing",
        State::Finishing => "Finishing",
        State::Done | State::DoneWithUnreadableCells => "Done",
        State::Unspecified => "In a state that this client doesn't know",
    }
}

/// How fast it goes, and what is left at that.
fn pace(progress: &Reencryption) -> String {
    let rate = progress.cells_per_second;
    let left = progress.cells_total.saturating_sub(progress.cells_done);
    match progress.state() {
        State::Running | State::Clearing if rate >= RATE_SHOWN_MIN && left > 0 => {
            let seconds = (left as f64 / rate).ceil() as u64;
            let time = match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
                (0, 0, seconds) => format!("{seconds} s"),
                (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
                (hours, minutes, _) => format!("{hours} h {minutes} min"),
            };
            format!("{rate:.0} a second, about {time} left")
        }
        State::Finishing => "looking for cells under former keys".to_owned(),
        State::None
        | State::Waiting
        | State::Running
        | State::Clearing
        | State::Done
        | State::DoneWithUnreadableCells
        | State::Unspecified => String::new(),
    }
}

fn is_last(progress: &Reencryption) -> bool {
    match progress.state() {
        State::None | State::Done | State::DoneWithUnreadableCells => true,
        State::Waiting | State::Running | State::Clearing | State::Finishing | State::Unspecified => false,
    }
}

fn goes_on(organization: &str) -> String {
    let id = organization.strip_prefix("organizations/").unwrap_or(organization);
    format!("The re-encryption continues on the server. To watch it again: sealward key watch -o {id}")
}

/// What isn't 0 when it is rounded.
const RATE_SHOWN_MIN: f64 = 0.5;

const COUNTING: &str = "{prefix} {bar:30} {pos} of {len}";
const TEMPLATE: &str = "{prefix} {bar:30} {pos} of {len} cells  {msg}";

#[cfg(test)]
mod tests {
    use super::*;

    fn running(cells_total: i64, cells_done: i64, cells_per_second: f64) -> Reencryption {
        let mut progress = Reencryption { cells_total, cells_done, cells_per_second, ..Default::default() };
        progress.set_state(State::Running);
        progress
    }

    #[test]
    fn progress_reads_as_a_line() {
        assert_eq!(describe(&running(5_000, 1_200, 799.6)), "Running: 1200 of 5000 cells, 800 a second");
        assert_eq!(describe(&running(2, 1, 0.4)), "Running: 1 of 2 cells");
        assert_eq!(describe(&running(0, 0, 0.0)), "Running");
    }

    #[test]
    fn what_is_left_is_told_at_the_present_rate() {
        assert_eq!(pace(&running(100, 50, 10.0)), "10 a second, about 5 s left");
        assert_eq!(pace(&running(1_000, 100, 10.0)), "10 a second, about 1 min 30 s left");
        assert_eq!(pace(&running(1_000_000, 0, 100.0)), "100 a second, about 2 h 46 min left");
        assert_eq!(pace(&running(100, 0, 0.0)), "");
        assert_eq!(pace(&running(100, 100, 10.0)), "");
    }

    #[test]
    fn the_bar_can_be_drawn_and_a_detached_person_knows_how_to_come_back() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
        ProgressStyle::with_template(COUNTING).unwrap();
        assert!(goes_on("organizations/contoso").ends_with("sealward key watch -o contoso"));
    }
}
