//! A server in the foreground, with its log and its supervisor, from its start to its end.

use sealward_server::{
    app::{App, Running},
    config::Config,
    drain::Drained,
};

use super::{
    failure::Failure,
    log::{self, Logging},
    supervisor,
};

/// Starts the log, and a server that stops at SIGTERM or SIGINT.
pub(super) async fn start(config: Config) -> Result<(Running, Logging), Failure> {
    let logging = log::to_stderr(config.log, &config.limits);
    let running = match start_logged(config, &logging).await {
        Ok(running) => running,
        Err(failure) => {
            logging.end();
            return Err(failure);
        }
    };
    Ok((running, logging))
}

async fn start_logged(config: Config, logging: &Logging) -> Result<Running, Failure> {
    let from_environment: Vec<_> = config.source.environment.settings().map(|(setting, _)| setting).collect();
    if !from_environment.is_empty() {
        tracing::info!(settings = from_environment.join(", "), "settings from the environment in use");
    }
    let running = App::start(config).await?;
    running.end_on_signals()?;
    running.reloader().on_signals()?;
    running.report_dropped_lines(logging.dropped());
    let (mut log, set_level) = (running.log(), logging.set_level());
    tokio::spawn(async move {
        while log.changed().await.is_ok() {
            set_level(log.borrow_and_update().level);
        }
    });
    Ok(running)
}

/// Notifies the supervisor that the server is ready, and waits until it has ended.
pub(super) async fn wait((running, logging): (Running, Logging)) -> Result<(), Failure> {
    supervisor::ready(&format!("listens on {}", running.address()));
    let announced = running.drain().announced();
    let notified = async {
        announced.await;
        supervisor::stopping();
    };
    let (drained, ()) = tokio::join!(running.wait(), notified);
    match drained {
        Drained::Whole => tracing::info!("shutdown complete"),
        Drained::CutShort => {
            tracing::warn!(
                "shutdown cut short, calls or tasks unfinished; the next start resumes tasks that must finish"
            )
        }
    }
    logging.end();
    Ok(())
}
