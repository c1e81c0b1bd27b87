//! The text of the Rust files and manifests of the repository. Nothing here knows Rust.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The text of each file, by its path in the repository: Rust files and manifests.
pub(crate) type Texts = BTreeMap<PathBuf, String>;

/// Adds the Rust files and manifests in a folder of the repository. It skips folders of builds and hidden folders.
///
/// # Errors
/// A folder or file can't be read.
pub(crate) fn read_folder(root: &Path, folder: &Path, texts: &mut Texts) -> Result<(), String> {
    let trouble = |error: std::io::Error| format!("{}: {error}", root.join(folder).display());
    for entry in fs::read_dir(root.join(folder)).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = folder.join(&name);
        if entry.file_type().map_err(trouble)?.is_dir() {
            if name != "target" && !name.starts_with('.') {
                read_folder(root, &path, texts)?;
            }
        } else if name == "Cargo.toml" || name.ends_with(".rs") {
            texts.insert(path, fs::read_to_string(entry.path()).map_err(trouble)?);
        }
    }
    Ok(())
}
