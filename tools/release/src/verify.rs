//! Whether the release is reproducible: two builds that differ in everything that must not matter.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    command::{Failure, file, output, run},
    source::Source,
    sums,
};

/// What differs between the builds.
struct Surroundings {
    /// The folder of the source, below a temporary one.
    folder: &'static str,
    time_zone: &'static str,
    language: &'static str,
    umask: &'static str,
    user: &'static str,
}

const BUILDS: [Surroundings; 2] = [
    Surroundings { folder: "one", time_zone: "UTC", language: "C", umask: "022", user: "first" },
    Surroundings {
        folder: "second/with/a-longer/path",
        time_zone: "Asia/Kathmandu",
        language: "de_DE.UTF-8",
        umask: "077",
        user: "second",
    },
];

/// Builds twice, compares the files, and keeps those of the first build in `out`.
pub(crate) fn verify(source: &Source, out: &Path, with_clients: bool) -> Result<(), Failure> {
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    let mut outs = Vec::new();
    for surroundings in &BUILDS {
        outs.push(build(source, folder.path(), surroundings, with_clients)?);
    }
    let [one, other] = outs.as_slice() else { return Err(Failure::wrong("there are two builds")) };
    let names = |out: &Path| -> Result<Vec<OsString>, Failure> {
        Ok(sums::packages(out)?.iter().filter_map(|path| path.file_name().map(OsString::from)).collect())
    };
    let (names, others) = (names(one)?, names(other)?);
    if names != others {
        return Err(Failure::wrong(format!("the builds have different files: {names:?} and {others:?}")));
    }
    let mut differing = Vec::new();
    for name in &names {
        let read = |out: &Path| fs::read(out.join(name)).map_err(file("read", &out.join(name)));
        if read(one)? != read(other)? {
            differing.push(name.to_string_lossy().into_owned());
        }
    }
    // For a look at what differs, for example with diffoscope.
    for (path, name) in outs.iter().zip(["first", "second"]) {
        let kept = if differing.is_empty() && name == "first" { out.to_owned() } else { out.join(name) };
        if differing.is_empty() && name == "second" {
            continue;
        }
        keep(path, &kept)?;
    }
    if differing.is_empty() {
        println!("{} files are equal in both builds:\n{}", names.len(), sums::listing(out)?);
        return Ok(());
    }
    let compare = format!("compare {} and {}", out.join("first").display(), out.join("second").display());
    Err(Failure::wrong(format!("these files differ between the builds, {compare}: {}", differing.join(", "))))
}

/// Builds the release from a clone, and returns its folder.
fn build(source: &Source, folder: &Path, surroundings: &Surroundings, with_clients: bool) -> Result<PathBuf, Failure> {
    let root = folder.join(surroundings.folder);
    let home = folder.join(format!("home-of-{}", surroundings.user));
    let out = folder.join(format!("out-of-{}", surroundings.user));
    for folder in [&root, &home] {
        fs::create_dir_all(folder).map_err(file("create", folder))?;
    }
    let cargo_home = provide_cargo_home(&home)?;
    let script = format!(
        "umask {} && git clone --quiet --no-hardlinks \"$1\" \"$2\" && git -C \"$2\" checkout --quiet {} && shift 2 && exec \"$@\"",
        surroundings.umask, source.commit
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(&source.root).arg(&root);
    command.arg(std::env::current_exe().map_err(file("find", Path::new("this program")))?);
    command.arg("--source").arg(&root).arg("--out").arg(&out).arg("--target").arg(root.join("target/reproducible"));
    if !with_clients {
        command.arg("--no-clients");
    }
    // Rustup finds its toolchains by HOME, unless it is told.
    let rustup = output(Command::new("rustup").args(["show", "home"]))?;
    command.env("RUSTUP_HOME", String::from_utf8_lossy(&rustup).trim_end());
    command
        .env("HOME", &home)
        .env("CARGO_HOME", cargo_home)
        .env("USER", surroundings.user)
        .env("LOGNAME", surroundings.user);
    command.env("TZ", surroundings.time_zone).env("LANG", surroundings.language).env("LC_ALL", surroundings.language);
    run(&mut command)?;
    Ok(out)
}

/// A folder for Cargo, with the packages that are already here, so that a build doesn't download them again.
fn provide_cargo_home(home: &Path) -> Result<PathBuf, Failure> {
    let new = home.join(".cargo");
    fs::create_dir_all(new.join("registry")).map_err(file("create", &new))?;
    let old = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let old = old.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let old = old.ok_or_else(|| Failure::wrong("neither CARGO_HOME nor HOME is set"))?;
    for part in ["config.toml", "registry/cache", "registry/index"] {
        if old.join(part).exists() {
            output(Command::new("cp").arg("-a").arg(old.join(part)).arg(new.join(part)))?;
        }
    }
    Ok(new)
}

fn keep(from: &Path, to: &Path) -> Result<(), Failure> {
    if to.exists() {
        sums::clear(to)?;
    }
    fs::create_dir_all(to).map_err(file("create", to))?;
    output(Command::new("cp").arg("-a").arg(from.join(".")).arg(to))?;
    Ok(())
}
