//! Only the owner of a data folder backs it up or restores into it: another user would leave files that the server can't open.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

/// The data folder belongs to another user.
#[derive(Debug, thiserror::Error)]
#[error("the data folder {path} belongs to user {owner}, and this runs as user {us}: run it as the server's user")]
pub struct OtherUser {
    /// The data folder.
    pub path: PathBuf,
    /// Its owner.
    pub owner: u32,
    /// The user of this process.
    pub us: u32,
}

/// Returns the user of this process if the data folder belongs to it.
///
/// # Errors
/// If the owner can't be read.
pub(super) fn check(data_dir: &Path) -> io::Result<Result<u32, OtherUser>> {
    let owner = fs::metadata(data_dir)?.uid();
    let us = geteuid().as_raw();
    Ok(if owner == us { Ok(us) } else { Err(OtherUser { path: data_dir.to_owned(), owner, us }) })
}
