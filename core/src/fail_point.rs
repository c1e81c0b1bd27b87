//! Fail points: the named places between the steps of what must survive a crash anywhere. A test ends the process at one of them and looks
//! at what the next start makes of it; in service nothing happens there.

use std::str::FromStr;

/// Told of every fail point that is reached.
pub trait FailPoints: Send + Sync {
    /// The step before it is done, durably; the one after it isn't begun.
    fn reached(&self, point: FailPoint);
}

macro_rules! fail_points {
    ($($(#[$doc:meta])+ $name:ident = $text:literal;)+) => {
        /// A place between two steps.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FailPoint {
            $($(#[$doc])+ $name,)+
        }

        impl FailPoint {
            /// Every fail point.
            pub const ALL: &[FailPoint] = &[$(FailPoint::$name),+];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(FailPoint::$name => $text,)+
                }
            }
        }
    };
}

fail_points! {
    /// Change and abandon: the lock is held, nothing is written.
    KeyWorkBegun = "key-work-begun";
    /// Change and abandon: the new text is in the configuration database.
    KeyTextStored = "key-text-stored";
    /// Change and abandon: the new ring is in place.
    RingReplaced = "ring-replaced";
    /// Re-encryption: the cells are counted.
    CellsCounted = "cells-counted";
    /// Re-encryption: some cells are sealed again, or cleared, and the cursor is behind them; or a column has no cell left.
    BatchDone = "batch-done";
    /// Re-encryption: the walk is over, and the scan has found nothing left.
    ScanDone = "scan-done";
    /// Re-encryption: the old data keys are out of the ring.
    DataKeysDestroyed = "data-keys-destroyed";
    /// Re-encryption: the former texts are forgotten.
    TextsForgotten = "texts-forgotten";
    /// Re-encryption: what was destroyed is gone from the files.
    FilesScrubbed = "files-scrubbed";
    /// Re-encryption: it is over.
    ReencryptionSettled = "reencryption-settled";
    /// The data keys of healed cells are out of the ring.
    KeptKeysDestroyed = "kept-keys-destroyed";
    /// Restore: the attempt is counted.
    RestoreCounted = "restore-counted";
    /// Restore: the text was right, which is in the trail.
    RestoreRecorded = "restore-recorded";
    /// Restore: the text is in the configuration database.
    RestoredTextStored = "restored-text-stored";
    /// Create: the row and the text are in the configuration database.
    CreateBegun = "create-begun";
    /// Create: the database is there.
    DatabaseCreated = "database-created";
    /// Create: the row says that the database is there.
    CreateReady = "create-ready";
    /// Delete: the row says so.
    DeleteBegun = "delete-begun";
    /// Delete: the ring is gone.
    RingDestroyed = "ring-destroyed";
    /// Delete: the texts are gone.
    DeletedTextsForgotten = "deleted-texts-forgotten";
    /// Delete: the database is gone.
    DatabaseRemoved = "database-removed";
    /// Delete: the tombstone stands.
    DeleteDone = "delete-done";
    /// Import: the row is in the configuration database.
    ImportBegun = "import-begun";
    /// Import: a part of the rows is in the database, which nobody sees yet.
    ImportPartStored = "import-part-stored";
    /// Import: everything is there and verified.
    ImportVerified = "import-verified";
    /// Import: the database is where it belongs.
    ImportPublished = "import-published";
    /// Import: the row says that the database is there.
    ImportReady = "import-ready";
    /// Start: a database is about to be brought to the schema.
    MigrationDue = "migration-due";
    /// Start: a database has the tables of the schema.
    Migrated = "migrated";
    /// Start: an organization's key texts are sealed under the first root key.
    TextsResealed = "texts-resealed";
    /// Start: root keys that nothing needs are forgotten.
    RootKeysRetired = "root-keys-retired";
}

/// A text that names no fail point.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no fail point")]
pub struct NoFailPoint(String);

impl FromStr for FailPoint {
    type Err = NoFailPoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        FailPoint::ALL.iter().copied().find(|point| point.name() == text).ok_or_else(|| NoFailPoint(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fail_point_reads_back_from_its_name() {
        for point in FailPoint::ALL {
            assert_eq!(point.name().parse(), Ok(*point));
        }
        assert!("nowhere".parse::<FailPoint>().is_err());
    }
}
