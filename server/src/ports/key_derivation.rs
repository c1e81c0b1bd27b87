//! Key derivation outside the async runtime, since it takes a tenth of a second of processor time.

use sealward_core::{
    crypto::{
        kek::{self, KdfOutOfBounds, KdfParameters},
        secret::{Kek, KeyText},
    },
    port::KeyDerivation,
    store::Pending,
};

/// Derives keys on the runtime's blocking threads.
pub(crate) struct BlockingKeyDerivation;

impl KeyDerivation for BlockingKeyDerivation {
    fn derive(&self, text: KeyText, parameters: KdfParameters) -> Pending<'_, (KeyText, Result<Kek, KdfOutOfBounds>)> {
        Box::pin(async move {
            let derivation = tokio::task::spawn_blocking(move || {
                let kek = kek::derive(&text, &parameters);
                (text, kek)
            });
            // The closure can't panic, and a runtime that shuts down also cancels this waiting task.
            match derivation.await {
                Ok(derived) => derived,
                Err(_) => std::future::pending().await,
            }
        })
    }
}
