//! SHA256SUMS, and its signature with the tool that every Debian has: `ssh-keygen -Y`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::{
    command::{Failure, file, output},
    files::entries,
};

const SUMS: &str = "SHA256SUMS";

/// The namespace of signatures: one for another purpose isn't accepted.
pub(crate) const NAMESPACE: &str = "sealward-release";

/// The SHA-256 of content, in hexadecimal.
pub(crate) fn sha256(content: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(content))
}

/// Removes the files of an earlier release from its folder. A folder with other files is an error: it is probably another folder.
pub(crate) fn clear(out: &Path) -> Result<(), Failure> {
    if !out.exists() {
        return Ok(());
    }
    let files = packages(out)?;
    if !files.is_empty() && !out.join(SUMS).exists() {
        return Err(Failure::wrong(format!(
            "{} contains files that aren't of a release: name another folder",
            out.display()
        )));
    }
    let sums = [out.join(SUMS), signature(out)];
    for path in files.iter().chain(&sums).filter(|path| path.exists()) {
        fs::remove_file(path).map_err(file("remove", path))?;
    }
    Ok(())
}

/// Writes SHA256SUMS, and signs it.
pub(crate) fn write(out: &Path, key: Option<&Path>) -> Result<(), Failure> {
    let mut sums = String::new();
    for path in packages(out)? {
        let content = fs::read(&path).map_err(file("read", &path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        sums.push_str(&format!("{}  {name}\n", sha256(&content)));
    }
    let path = out.join(SUMS);
    fs::write(&path, sums).map_err(file("write", &path))?;
    let Some(key) = key else { return Ok(()) };
    output(Command::new("ssh-keygen").args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(key).arg(&path))?;
    Ok(())
}

/// The sums of all packages, by name.
pub(crate) fn read(out: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let path = out.join(SUMS);
    let sums = fs::read_to_string(&path).map_err(file("read", &path))?;
    let lines = sums.lines().filter_map(|line| line.split_once("  "));
    Ok(lines.map(|(sum, name)| (name.to_owned(), sum.to_owned())).collect())
}

/// The sizes and sums of all packages, for people.
pub(crate) fn listing(out: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    for (name, sum) in read(out)? {
        let path = out.join(&name);
        let size = fs::metadata(&path).map_err(file("read", &path))?.len();
        text.push_str(&format!("{sum}  {size:>10}  {name}\n"));
    }
    Ok(text)
}

/// The packages in the folder, sorted.
pub(crate) fn packages(out: &Path) -> Result<Vec<PathBuf>, Failure> {
    let paths = entries(out)?.into_iter();
    Ok(paths.filter(|path| *path != out.join(SUMS) && *path != signature(out)).collect())
}

fn signature(out: &Path) -> PathBuf {
    out.join(format!("{SUMS}.sig"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands of docs/install.md.
    fn verified(out: &Path, allowed: &str) -> bool {
        fs::write(out.join("../allowed_signers"), allowed).unwrap();
        let script = format!(
            "sha256sum --quiet --check {SUMS} && \
             ssh-keygen -Y verify -f ../allowed_signers -I release@sealward -n {NAMESPACE} -s {SUMS}.sig <{SUMS}"
        );
        Command::new("sh").args(["-c", &script]).current_dir(out).output().unwrap().status.success()
    }

    #[test]
    fn signature_and_sums_are_verified_by_the_documented_commands() {
        let folder = tempfile::tempdir().unwrap();
        let [key, other] = ["key", "other"].map(|name| folder.path().join(name));
        for key in [&key, &other] {
            output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key)).unwrap();
        }
        let public =
            |key: &Path| format!("release@sealward {}", fs::read_to_string(key.with_extension("pub")).unwrap());
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        fs::write(out.join("a.tar.gz"), "content").unwrap();
        write(&out, Some(&key)).unwrap();

        assert!(verified(&out, &public(&key)));
        assert!(!verified(&out, &public(&other)));
        fs::write(out.join("a.tar.gz"), "other content").unwrap();
        assert!(!verified(&out, &public(&key)));
        write(&out, None).unwrap();
        assert!(!verified(&out, &public(&key)));
    }

    #[test]
    fn folder_of_other_files_is_not_cleared() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        assert!(clear(folder.path()).is_err());
        assert!(folder.path().join("thesis.tex").exists());
        write(folder.path(), None).unwrap();
        clear(folder.path()).unwrap();
        assert!(packages(folder.path()).unwrap().is_empty());
    }
}
