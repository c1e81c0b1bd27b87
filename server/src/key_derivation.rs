//! Key derivation off the runtime: a tenth of a second of processor time belongs on a thread made for that.

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
            // The closure can't panic; a runtime that shuts down cancels whoever waits here as well.
            match derivation.await {
                Ok(derived) => derived,
                Err(_) => std::future::pending().await,
            }
        })
    }
}
