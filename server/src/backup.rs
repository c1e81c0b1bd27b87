//! Backups: taking one beside a running server, and restoring one into an empty data folder. Their check is part of `check`.

mod folder;
pub(crate) mod names;
mod owner;
mod restore;
mod take;

pub use self::{
    owner::OtherUser,
    restore::{RestoreError, Restored, is_restorable_into, restore},
    take::{BackUpError, BackedUp, back_up},
};
