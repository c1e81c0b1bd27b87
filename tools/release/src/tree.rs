//! Files with modes and owners, and their archives. Equal trees give equal bytes: entries are sorted, and have one time.
//!
//! Modes come from here, never from the file system, so the user's umask changes nothing.

use std::{
    collections::{BTreeMap, btree_map},
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use crate::command::{Failure, file};

/// A folder with its content, by path.
#[derive(Clone, Default)]
pub(crate) struct Tree(BTreeMap<String, Entry>);

#[derive(Clone)]
struct Entry {
    kind: Kind,
    mode: u32,
    /// User and group.
    owner: u32,
}

#[derive(Clone)]
enum Kind {
    Folder,
    File(Vec<u8>),
    Link(String),
}

/// How much time goes into the compression.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    Least,
    Best,
}

pub(crate) const FILE: u32 = 0o644;
pub(crate) const PROGRAM: u32 = 0o755;

impl Tree {
    /// Adds a file that belongs to root.
    pub(crate) fn file(&mut self, path: impl Into<String>, mode: u32, content: impl Into<Vec<u8>>) {
        self.add(path.into(), Entry { kind: Kind::File(content.into()), mode, owner: 0 });
    }

    /// Adds a folder.
    pub(crate) fn folder(&mut self, path: impl Into<String>, mode: u32, owner: u32) {
        self.add(path.into(), Entry { kind: Kind::Folder, mode, owner });
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: impl Into<String>, target: impl Into<String>) {
        self.add(path.into(), Entry { kind: Kind::Link(target.into()), mode: 0o777, owner: 0 });
    }

    /// Adds a tree below a folder. Two files with one path are an error.
    pub(crate) fn tree(&mut self, folder: &str, tree: Tree) -> Result<(), Failure> {
        for (path, entry) in tree.0 {
            let path = format!("{folder}/{path}");
            if !matches!(entry.kind, Kind::Folder) && self.0.contains_key(&path) {
                return Err(Failure::wrong(format!("two packages have the file {path}")));
            }
            self.add(path, entry);
        }
        Ok(())
    }

    /// Adds an entry, and the folders above it that are missing.
    fn add(&mut self, path: String, entry: Entry) {
        for (position, _) in path.match_indices('/') {
            let parent = path.get(..position).unwrap_or_default().to_owned();
            if let btree_map::Entry::Vacant(vacant) = self.0.entry(parent) {
                vacant.insert(Entry { kind: Kind::Folder, mode: 0o755, owner: 0 });
            }
        }
        self.0.insert(path, entry);
    }

    /// The paths and contents of the files.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().filter_map(|(path, entry)| match &entry.kind {
            Kind::File(content) => Some((path.as_str(), content.as_slice())),
            Kind::Folder | Kind::Link(_) => None,
        })
    }

    /// The tar archive of the tree.
    pub(crate) fn tar(&self, time: u64) -> Result<Vec<u8>, Failure> {
        let mut archive = Builder::new(Vec::new());
        for (path, entry) in &self.0 {
            append(&mut archive, path, entry, time)
                .map_err(|error| Failure::wrong(format!("can't archive {path}: {error}")))?;
        }
        archive.into_inner().map_err(|error| Failure::wrong(format!("can't archive: {error}")))
    }

    /// Writes the tree to a folder that exists, for tools that need files. Owners aren't set.
    pub(crate) fn write_to(&self, folder: &Path) -> Result<(), Failure> {
        for (path, entry) in &self.0 {
            let path = folder.join(path);
            match &entry.kind {
                Kind::Folder => fs::create_dir(&path).map_err(file("create", &path))?,
                Kind::File(content) => fs::write(&path, content).map_err(file("write", &path))?,
                Kind::Link(target) => {
                    symlink(target, &path).map_err(file("link", &path))?;
                    continue;
                }
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode))
                .map_err(file("set the mode of", &path))?;
        }
        Ok(())
    }
}

fn append(archive: &mut Builder<Vec<u8>>, path: &str, entry: &Entry, time: u64) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_mtime(time);
    header.set_uid(entry.owner.into());
    header.set_gid(entry.owner.into());
    header.set_size(0);
    match &entry.kind {
        Kind::Folder => {
            header.set_entry_type(EntryType::Directory);
            archive.append_data(&mut header, format!("{path}/"), std::io::empty())
        }
        Kind::File(content) => {
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content.as_slice())
        }
        Kind::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            archive.append_link(&mut header, path, target)
        }
    }
}

/// Compresses with gzip, without a name and a time.
pub(crate) fn gzip(content: &[u8], effort: Effort) -> Vec<u8> {
    let level = match effort {
        Effort::Least => Compression::fast(),
        Effort::Best => Compression::best(),
    };
    let mut encoder = GzBuilder::new().write(Vec::new(), level);
    let written = encoder.write_all(content).and_then(|()| encoder.finish());
    written.expect("a vector can always be written to")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(order: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for path in order {
            tree.file(*path, FILE, path.as_bytes());
        }
        tree.folder("var/lib", 0o700, 65532);
        tree.link("lib64", "usr/lib64");
        tree
    }

    #[test]
    fn order_of_additions_does_not_change_the_archive() {
        let one = tree(&["usr/bin/a", "b", "usr/c"]).tar(1_000).unwrap();
        let other = tree(&["usr/c", "usr/bin/a", "b"]).tar(1_000).unwrap();
        assert!(one == other);
        assert!(gzip(&one, Effort::Best) == gzip(&other, Effort::Best));
    }

    #[test]
    fn archive_has_the_entries_with_their_modes_owners_and_one_time() {
        let archive = tree(&["usr/bin/a"]).tar(1_000).unwrap();
        let mut archive = tar::Archive::new(archive.as_slice());
        let listed: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!(header.mtime().unwrap(), 1_000);
                let path = entry.path().unwrap().display().to_string();
                format!("{:o} {} {path}", header.mode().unwrap(), header.uid().unwrap())
            })
            .collect();
        assert_eq!(
            listed,
            ["777 0 lib64", "755 0 usr/", "755 0 usr/bin/", "644 0 usr/bin/a", "755 0 var/", "700 65532 var/lib/"]
        );
    }

    #[test]
    fn two_files_with_one_path_are_refused() {
        let mut both = Tree::default();
        both.tree("root", tree(&["usr/bin/a"])).unwrap();
        let mut other = Tree::default();
        other.file("usr/bin/b", FILE, "");
        both.tree("root", other).unwrap();
        let mut again = Tree::default();
        again.file("usr/bin/a", FILE, "");
        assert!(both.tree("root", again).is_err());
    }

    #[test]
    fn long_path_survives() {
        let path = format!("{}/file", "a".repeat(150));
        let archive = tree(&[&path]).tar(0).unwrap();
        let mut archive = tar::Archive::new(archive.as_slice());
        assert!(archive.entries().unwrap().any(|entry| entry.unwrap().path().unwrap().to_string_lossy() == path));
    }
}
