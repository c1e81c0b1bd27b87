//! Whether the release is reproducible: two builds that differ in everything that must not matter.

use std::{
    collections::BTreeSet,
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

/// Builds the last commit twice, compares the files, and keeps those of the first build in `out`.
pub(crate) fn verify(source: &Source, out: &Path, with_clients: bool) -> Result<(), Failure> {
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    // Before the builds, which take long: each fails if it contains other files.
    let kept = BUILDS.map(|surroundings| beside(out, surroundings.user));
    for kept in kept.iter().map(PathBuf::as_path).chain([out]) {
        sums::clear(kept)?;
    }
    let mut builds = Vec::new();
    for surroundings in &BUILDS {
        let built = build(source, folder.path(), surroundings, with_clients)?;
        builds.push((sums::read(&built)?, built));
    }
    let [(sums, first), (others, second)] = builds.as_slice() else {
        return Err(Failure::wrong("there are two builds"));
    };
    if sums == others {
        keep(first, out)?;
        println!("{} files are equal in both builds of {}:\n{}", sums.len(), source.commit, sums::listing(out)?);
        return Ok(());
    }
    // For a look at what differs, for example with diffoscope.
    for (built, kept) in [first, second].into_iter().zip(&kept) {
        keep(built, kept)?;
    }
    let names: BTreeSet<&String> = sums.keys().chain(others.keys()).collect();
    let differing: Vec<_> = names.into_iter().filter(|name| sums.get(*name) != others.get(*name)).collect();
    Err(Failure::wrong(format!(
        "the two builds of {} differ in {differing:?}: compare {}",
        source.commit,
        kept.map(|kept| kept.display().to_string()).join(" and ")
    )))
}

/// The folder beside `out` whose name continues with this word.
fn beside(out: &Path, word: &str) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push("-");
    name.push(word);
    out.with_file_name(name)
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
    // The toolchains of this home: by default, rustup looks for them in HOME.
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

/// Copies the files of a build to a folder that has none.
fn keep(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(file("create", to))?;
    output(Command::new("cp").arg("-a").arg(from.join(".")).arg(to))?;
    Ok(())
}
