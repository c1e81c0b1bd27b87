//! Fail points: named places between the steps of operations that must survive a crash at any time. A test ends the
//! process at a fail point and checks the state after the next start. Outside tests, a fail point has no effect.

use std::str::FromStr;

/// Receives every fail point that is reached.
pub trait FailPoints: Send + Sync {
    /// Called when the step before the fail point is durable and the step after it hasn't started.
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

            /// Returns the name.
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
    /// Change and abandon: the lock is held, and nothing is written.
    KeyWorkStarted = "key-work-started";
    /// Change and abandon: the new text is in the configuration database.
    KeyTextStored = "key-text-stored";
    /// Change and abandon: the new ring is stored.
    RingReplaced = "ring-replaced";
    /// Re-encryption: the cells are counted.
    CellsCounted = "cells-counted";
    /// Re-encryption: a batch of cells is sealed again or cleared, and the cursor is behind it; or a column has no
    /// cells left.
    BatchDone = "batch-done";
    /// Re-encryption: all batches are done, and the full scan found no old cell.
    ScanDone = "scan-done";
    /// Re-encryption: the old data keys are removed from the ring.
    DataKeysDestroyed = "data-keys-destroyed";
    /// Re-encryption: the old key texts are deleted.
    TextsForgotten = "texts-forgotten";
    /// Re-encryption: the destroyed data is removed from the files.
    FilesScrubbed = "files-scrubbed";
    /// Re-encryption: the ring is idle again.
    ReencryptionSettled = "reencryption-settled";
    /// The data keys kept for cells that have since been repaired are removed from the ring.
    KeptKeysDestroyed = "kept-keys-destroyed";
    /// Restore: the attempt is counted.
    RestoreCounted = "restore-counted";
    /// Restore: the text was right, and the audit record is written.
    RestoreRecorded = "restore-recorded";
    /// Restore: the text is in the configuration database.
    RestoredTextStored = "restored-text-stored";
    /// Create: the row and the text are in the configuration database.
    CreateStarted = "create-started";
    /// Create: the database exists.
    DatabaseCreated = "database-created";
    /// Create: the row has the state *ready*.
    CreateReady = "create-ready";
    /// Delete: the row has the state *deleting*.
    DeleteStarted = "delete-started";
    /// Delete: the ring is deleted.
    RingDestroyed = "ring-destroyed";
    /// Delete: the key texts are deleted.
    DeletedTextsForgotten = "deleted-texts-forgotten";
    /// Delete: the database is removed.
    DatabaseRemoved = "database-removed";
    /// Delete: the tombstone is stored.
    DeleteDone = "delete-done";
    /// Import: the row is in the configuration database.
    ImportStarted = "import-started";
    /// Import as a copy: the attempt to open the file with the given text is counted.
    CopyCounted = "copy-counted";
    /// Import as a copy: the text was right, and the attempt no longer counts.
    CopyOpened = "copy-opened";
    /// Import as a copy: the new ring is in the database, which isn't published yet.
    CopyRingStored = "copy-ring-stored";
    /// Import as a copy: the new text is in the configuration database.
    CopyTextStored = "copy-text-stored";
    /// Import: a part of the rows is in the database, which isn't published yet.
    ImportPartStored = "import-part-stored";
    /// Import: all rows are stored and verified.
    ImportVerified = "import-verified";
    /// Import: the database is published.
    ImportPublished = "import-published";
    /// Import: the row has the state *ready*.
    ImportReady = "import-ready";
    /// Start: a database is about to be migrated to the schema.
    MigrationDue = "migration-due";
    /// Start: a database has the tables of the schema.
    Migrated = "migrated";
    /// Start: an organization's key texts are sealed under the first root key.
    TextsResealed = "texts-resealed";
    /// Start: root keys that no sealed value needs are forgotten.
    RootKeysRetired = "root-keys-retired";
}

/// The text isn't the name of a fail point.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown fail point `{0}`")]
pub struct UnknownFailPoint(String);

impl FromStr for FailPoint {
    type Err = UnknownFailPoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        FailPoint::ALL
            .iter()
            .copied()
            .find(|point| point.name() == text)
            .ok_or_else(|| UnknownFailPoint(text.to_owned()))
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
