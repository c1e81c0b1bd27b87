//! The command line: what it can say, and what is done about it.
//!
//! stdout has the message for whoever started the server, and nothing else; the log and errors go to stderr.

mod dev;
mod serve;

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use fieldseal_server::{
    app::{App, Running},
    config::{Config, Log},
    drain::Drained,
};
use tokio::runtime::Runtime;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, reload, util::SubscriberInitExt};

use self::{dev::DevArguments, serve::ServeArguments};

/// Stores records whose sensitive fields are encrypted, one field at a time.
#[derive(Debug, Parser)]
#[command(name = "fieldseal-server", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server to try things out; needs no preparation.
    Dev(DevArguments),
    /// Run a server with a configuration of your own.
    Serve(ServeArguments),
}

/// What a command can fail with: the error says what, its sources say why.
type Failure = Box<dyn Error + Send + Sync>;

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = Runtime::new().map_err(Failure::from).and_then(|runtime| {
        let ended = runtime.block_on(async {
            match arguments.command {
                Command::Dev(arguments) => dev::run(&arguments).await,
                Command::Serve(arguments) => serve::run(&arguments).await,
            }
        });
        // What a drain didn't wait for isn't waited for here either.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(failure.as_ref());
            ExitCode::FAILURE
        }
    }
}

/// Starts a server that ends at SIGTERM or SIGINT.
async fn start(config: Config) -> Result<Running, Failure> {
    let exchange_level = log_to_stderr(config.log);
    let running = App::start(config).await?;
    running.drain().on_signals()?;
    running.reloader().on_signals()?;
    let mut log = running.log();
    tokio::spawn(async move {
        while log.changed().await.is_ok() {
            exchange_level(*log.borrow_and_update());
        }
    });
    Ok(running)
}

/// Waits until the server has ended.
async fn wait(running: Running) -> Result<(), Failure> {
    match running.wait().await {
        Drained::Whole => tracing::info!("ended"),
        Drained::CutShort => {
            tracing::warn!("ended with calls or tasks unfinished; the next start takes up what has to be")
        }
    }
    Ok(())
}

/// Begins to log; what it answers with exchanges the level.
fn log_to_stderr(log: Log) -> impl Fn(Log) {
    let (targets, handle) = reload::Layer::new(targets(log));
    let to_stderr = tracing_subscriber::fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    // Fails if there is one already, which then stays.
    let _there_is_one = tracing_subscriber::registry().with(to_stderr).with(targets).try_init();
    move |log| {
        // Fails if the log is gone.
        let _nobody_logs = handle.reload(self::targets(log));
    }
}

/// Fieldseal's own events as configured; those of the libraries under it only from `warn` up, since in detail they may tell what a
/// caller sent.
fn targets(log: Log) -> Targets {
    Targets::new().with_default(log.level.min(LevelFilter::WARN)).with_target("fieldseal", log.level)
}

/// Tells whoever started the server something. That nobody listens is no reason to end.
fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _nobody_listens = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// An error and what lies under it, one a line.
fn report(failure: &(dyn Error + 'static)) {
    let mut text = format!("error: {failure}\n");
    let mut next = failure.source();
    while let Some(cause) = next {
        text.push_str(&format!("  because: {cause}\n"));
        next = cause.source();
    }
    let _nobody_listens = io::stderr().write_all(text.as_bytes());
}

/// A path that means the same from any folder.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
