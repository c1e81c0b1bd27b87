//! The files of the collector of traces, as reports show them. The exporter reads them itself, and logs when it can't use them.

use std::sync::Arc;

use crate::{certificates::Certificate, config::Traces, error_chain, finding::Finding, telemetry::traces::collector};

type Seen = Result<Vec<Certificate>, String>;

/// The files, and the result of the last look.
pub(super) struct CollectorFiles {
    settings: Option<Traces>,
    failure: Option<String>,
}

impl CollectorFiles {
    pub(super) fn new(settings: Option<Traces>) -> Self {
        Self { settings, failure: None }
    }

    /// Reads the files, on a thread that may wait for them; `None` without a collector.
    pub(super) fn reader(&self) -> Option<impl FnOnce() -> Seen + Send + 'static> {
        let settings = self.settings.clone()?;
        Some(move || collector::check(&settings).map_err(|error| error_chain::text(&error)))
    }

    /// Records what was read, and returns its certificates: none while the files can't be used, because then none is in use.
    pub(super) fn look(&mut self, seen: Seen) -> Arc<[Certificate]> {
        match seen {
            Ok(certificates) => {
                self.failure = None;
                certificates.into()
            }
            Err(failure) => {
                self.failure = Some(failure);
                Arc::default()
            }
        }
    }

    /// The finding that the files can't be used.
    pub(super) fn refused(&self) -> Option<Finding> {
        let problem = format!("the collector of traces can't be used: {}", self.failure.as_ref()?);
        Some(Finding::warning("traces", problem, collector::FIX_FILES))
    }
}
