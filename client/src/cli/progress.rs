//! Follows a re-encryption: a bar on a terminal, a line a message elsewhere.
//!
//! Ctrl-C ends the watching only: the server does the work, and goes on with it.

use std::{
    future::pending,
    io::{self, IsTerminal as _},
    pin::pin,
};

use fieldseal_client::{Client, v1::Reencryption, v1::reencryption::State};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{failure::Failure, output};

/// Shows the progress until it ends, and answers with its last state; `None` if the server had nothing to say.
pub(super) async fn follow(client: &Client, organization: &str) -> Result<Option<Reencryption>, Failure> {
    let mut stream = client.watch_reencryption(organization).await?;
    let mut interrupt = pin!(interrupt());
    let mut display = Display::for_stderr();
    let mut last = None;
    loop {
        let next = tokio::select! {
            // Ctrl-C first, so that it is waited for before anything is shown.
            biased;
            () = &mut interrupt => {
                display.end();
                output::notice(&detached(organization));
                return Err(Failure::Detached);
            }
            next = stream.next() => next,
        };
        match next {
            Ok(Some(progress)) => {
                display.show(&progress);
                last = Some(progress);
            }
            Ok(None) => {
                display.end();
                return Ok(last);
            }
            Err(error) => {
                display.end();
                return Err(error.into());
            }
        }
    }
}

/// Waits for Ctrl-C. Where it can't be waited for, it ends the process by itself.
async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}

/// Where progress is shown.
pub(super) enum Display {
    Bar(ProgressBar),
    Lines,
}

impl Display {
    fn for_stderr() -> Self {
        Self::styled(TEMPLATE)
    }

    /// For what only counts.
    pub(super) fn counting() -> Self {
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
                    output::notice(&describe(progress));
                } else {
                    bar.tick();
                }
            }
            Self::Lines => output::notice(&describe(progress)),
        }
    }

    /// Shows how many of how many are done, where somebody is watching.
    pub(super) fn count(&mut self, what: &'static str, done: i64, total: i64) {
        if let Self::Bar(bar) = self {
            bar.set_length(u64::try_from(total).unwrap_or_default());
            bar.set_position(u64::try_from(done).unwrap_or_default());
            bar.set_prefix(what);
            bar.tick();
        }
    }

    /// Leaves the terminal clean.
    pub(super) fn end(&mut self) {
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
        State::Running | State::Clearing => format!("{state}: {cells}, {cells_per_second:.0} a second"),
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
        State::Running | State::Clearing if rate > 0.0 => {
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

fn detached(organization: &str) -> String {
    let id = organization.strip_prefix("organizations/").unwrap_or(organization);
    format!("The server goes on by itself. To watch again: fieldseal key watch -o {id}")
}

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
    }

    #[test]
    fn what_is_left_is_told_at_the_present_rate() {
        assert_eq!(pace(&running(100, 50, 10.0)), "10 a second, about 5 s left");
        assert_eq!(pace(&running(1_000, 100, 10.0)), "10 a second, about 1 min 30 s left");
        assert_eq!(pace(&running(1_000_000, 0, 100.0)), "100 a second, about 2 h 46 min left");
        assert_eq!(pace(&running(100, 0, 0.0)), "");
    }

    #[test]
    fn the_bar_can_be_drawn_and_a_detached_person_knows_how_to_come_back() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
        ProgressStyle::with_template(COUNTING).unwrap();
        assert!(detached("organizations/contoso").ends_with("fieldseal key watch -o contoso"));
    }
}
