//! Follows a re-encryption, and shows progress: as a bar on a terminal, otherwise as one line per message.
//!
//! Ctrl-C stops following. The server continues the re-encryption.

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

use crate::{failure::Failure, output::stderr};

/// Shows the progress of a re-encryption until it ends. Returns its last state, or `None` if the server sent no message. Reconnects if the
/// stream breaks.
pub(crate) async fn follow(client: &Client, organization: &str) -> Result<Option<Reencryption>, Failure> {
    let mut interrupt = pin!(interrupt());
    let mut display = Display::for_stderr();
    let mut watch = Watch::default();
    loop {
        let outcome = tokio::select! {
            // Ctrl-C first, so that its handler is installed before anything is shown.
            biased;
            () = &mut interrupt => return Err(interrupted(&mut display, organization)),
            outcome = watch.run(client, organization, &mut display) => outcome,
        };
        let error = match outcome {
            Ok(()) => {
                display.end();
                return Ok(watch.last);
            }
            Err(error) => error,
        };
        if !watch.may_resume(&error) {
            display.end();
            // The advice of the error itself would suggest that the re-encryption failed.
            return Err(Failure::from(error).with_advice(continues_message(organization)));
        }
        if tokio::time::timeout(RESUME_PAUSE, &mut interrupt).await.is_ok() {
            return Err(interrupted(&mut display, organization));
        }
    }
}

fn interrupted(display: &mut Display, organization: &str) -> Failure {
    display.end();
    stderr::notice(&continues_message(organization));
    Failure::Interrupted
}

/// The state of following a re-encryption.
#[derive(Default)]
struct Watch {
    last: Option<Reencryption>,
    /// Consecutive failures since the last message.
    failures: u32,
}

impl Watch {
    /// Follows until the re-encryption or the stream ends.
    async fn run(&mut self, client: &Client, organization: &str, display: &mut Display) -> Result<(), Error> {
        let mut stream = client.watch_reencryption(organization).await?;
        while let Some(progress) = stream.next().await? {
            self.failures = 0;
            display.show(&progress);
            self.last = Some(progress);
        }
        Ok(())
    }

    /// Whether to reconnect after this error: it is transient, and the number of consecutive failures is within the limit.
    fn may_resume(&mut self, error: &Error) -> bool {
        self.failures += 1;
        let failures_max = if self.last.is_some() { FAILURES_MAX } else { FAILURES_MAX_AT_FIRST };
        let is_transient = matches!(error.action(), Action::Wait { .. });
        error.code() == Code::Unavailable && is_transient && self.failures <= failures_max
    }
}

/// Pause before a reconnect, and maximum consecutive failures: a restart of the server takes seconds.
const RESUME_PAUSE: Duration = Duration::from_secs(1);
const FAILURES_MAX: u32 = 60;
const FAILURES_MAX_AT_FIRST: u32 = 5;

/// Waits for Ctrl-C. If no handler can be installed, Ctrl-C ends the process.
async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}

/// A progress bar, or lines if stderr isn't a terminal.
pub(crate) enum Display {
    Bar(ProgressBar),
    Lines,
}

impl Display {
    fn for_stderr() -> Self {
        Self::styled(REENCRYPTION_TEMPLATE)
    }

    /// For [`count`](Self::count).
    pub(crate) fn for_counts() -> Self {
        Self::styled(COUNT_TEMPLATE)
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
                bar.set_prefix(state_text(progress));
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

    /// Shows a count on the progress bar. Prints no lines without a terminal.
    pub(crate) fn count(&mut self, label: &'static str, done: i64, total: i64) {
        if let Self::Bar(bar) = self {
            bar.set_length(u64::try_from(total).unwrap_or_default());
            bar.set_position(u64::try_from(done).unwrap_or_default());
            bar.set_prefix(label);
            bar.tick();
        }
    }

    /// Removes the bar from the terminal.
    pub(crate) fn end(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// The progress as one line.
fn describe(progress: &Reencryption) -> String {
    let Reencryption { cells_total, cells_done, cells_unreadable, cells_per_second, .. } = progress;
    let cells = format!("{cells_done} of {cells_total} cells");
    let state = state_text(progress);
    match progress.state() {
        State::None => state.to_owned(),
        // The first message is sent before the cells are counted.
        State::Running | State::Clearing if *cells_total == 0 => state.to_owned(),
        State::Running | State::Clearing if *cells_per_second >= RATE_SHOWN_MIN => {
            format!("{state}: {cells}, {cells_per_second:.0}/s")
        }
        State::Running | State::Clearing => format!("{state}: {cells}"),
        State::DoneWithUnreadableCells => format!("{state}: {cells}, {cells_unreadable} unreadable"),
        State::Waiting | State::Finishing | State::Done | State::Unspecified => format!("{state}: {cells}"),
    }
}

fn state_text(progress: &Reencryption) -> &'static str {
    match progress.state() {
        State::None => "No re-encryption: the key was never changed.",
        State::Waiting => "Waiting for the key to be restored",
        State::Running => "Running",
        State::Clearing => "Clearing",
        State::Finishing => "Finishing",
        State::Done | State::DoneWithUnreadableCells => "Done",
        State::Unspecified => "Unknown state",
    }
}

/// The rate, and the estimated time that is left.
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
            format!("{rate:.0}/s, about {time} left")
        }
        State::Finishing => "scanning for cells under previous keys".to_owned(),
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

fn continues_message(organization: &str) -> String {
    let id = organization.strip_prefix("organizations/").unwrap_or(organization);
    format!("The re-encryption continues on the server. To follow it again: sealward key watch -o {id}")
}

/// The smallest rate that doesn't round to 0.
const RATE_SHOWN_MIN: f64 = 0.5;

const COUNT_TEMPLATE: &str = "{prefix} {bar:30} {pos} of {len}";
const REENCRYPTION_TEMPLATE: &str = "{prefix} {bar:30} {pos} of {len} cells  {msg}";

#[cfg(test)]
mod tests {
    use super::*;

    fn running(cells_total: i64, cells_done: i64, cells_per_second: f64) -> Reencryption {
        let mut progress = Reencryption { cells_total, cells_done, cells_per_second, ..Default::default() };
        progress.set_state(State::Running);
        progress
    }

    #[test]
    fn progress_is_printed_on_one_line() {
        assert_eq!(describe(&running(5_000, 1_200, 799.6)), "Running: 1200 of 5000 cells, 800/s");
        assert_eq!(describe(&running(2, 1, 0.4)), "Running: 1 of 2 cells");
        assert_eq!(describe(&running(0, 0, 0.0)), "Running");
    }

    #[test]
    fn remaining_time_follows_the_current_rate() {
        assert_eq!(pace(&running(100, 50, 10.0)), "10/s, about 5 s left");
        assert_eq!(pace(&running(1_000, 100, 10.0)), "10/s, about 1 min 30 s left");
        assert_eq!(pace(&running(1_000_000, 0, 100.0)), "100/s, about 2 h 46 min left");
        assert_eq!(pace(&running(100, 0, 0.0)), "");
        assert_eq!(pace(&running(100, 100, 10.0)), "");
    }

    #[test]
    fn bar_is_drawn_and_detaching_prints_the_command_to_resume() {
        ProgressStyle::with_template(REENCRYPTION_TEMPLATE).unwrap();
        ProgressStyle::with_template(COUNT_TEMPLATE).unwrap();
        assert!(continues_message("organizations/contoso").ends_with("sealward key watch -o contoso"));
    }
}
