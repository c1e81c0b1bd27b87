//! The two programs: built without a trace of the machine, stripped, and with the list of their crates inside.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    audit_data,
    command::{Failure, file, output, run},
    files::entries,
    inventory::{self, Inventory},
    licenses,
    names::{CLI, Names, SERVER},
    sbom,
    source::Source,
    tree::{FILE, Tree},
};

/// A program with everything that is packaged with it.
pub(crate) struct Program {
    pub(crate) names: &'static Names,
    pub(crate) binary: Vec<u8>,
    /// Manual pages and completions, from `share/` on.
    pub(crate) share: Tree,
    /// CycloneDX, as JSON.
    pub(crate) sbom: Vec<u8>,
    /// The licenses of all crates.
    pub(crate) licenses: String,
}

impl Program {
    /// Takes a program from a folder.
    pub(crate) fn load(
        source: &Source,
        folder: &Path,
        names: &'static Names,
        inventory: &Inventory,
    ) -> Result<Self, Failure> {
        let built = folder.join(names.program);
        let binary = finished(source, &built, &audit_data::section(inventory)?)?;
        let share = share(source, &built, names)?;
        let sbom = sbom::document(source, names, inventory)?;
        Ok(Self { names, binary, share, sbom, licenses: licenses::text(source, inventory)? })
    }
}

/// Builds both programs, and returns their folder.
pub(crate) fn build(source: &Source, target: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(target).map_err(file("create", target))?;
    let target = target.canonicalize().map_err(file("find", target))?;
    let wrapper = target.join("rustc-wrapper.sh");
    fs::write(&wrapper, include_str!("rustc-wrapper.sh")).map_err(file("write", &wrapper))?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).map_err(file("set the mode of", &wrapper))?;

    let cargo = || source.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // So that all sources are there when their folder is listed.
    run(cargo().args(["fetch", "--quiet", "--locked", "--target", &inventory::host(source)?]))?;
    let mut cargo = cargo();
    cargo.args(["build", "--release", "--locked", "--package", SERVER.krate, "--package", CLI.krate]);
    cargo.env("CARGO_TARGET_DIR", &target).env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    cargo.env("RUSTC_WRAPPER", &wrapper).env("SEALWARD_RELEASE_ROOT", &source.root);
    // The contract knows a commit or none.
    cargo.env("SEALWARD_COMMIT", if source.changed.is_empty() { source.commit.as_str() } else { "" });
    // C code has paths in assertions. `-g0`: those of debugging information aren't wanted either.
    let mut c_flags = vec!["-g0".to_owned(), without_path(&target, "/target")?];
    for registry in registries()? {
        c_flags.push(without_path(&registry, "/source")?);
    }
    for name in ["CFLAGS", "CXXFLAGS"] {
        cargo.env(name, c_flags.join(" "));
    }
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(name);
    }
    run(&mut cargo)?;
    Ok(target.join("release"))
}

/// The flag that gives a folder another name in C code. Flags are separated by spaces, so the folder can't have one.
fn without_path(folder: &Path, name: &str) -> Result<String, Failure> {
    let folder = folder.display().to_string();
    if folder.contains(char::is_whitespace) {
        return Err(Failure::wrong(format!(
            "the path {folder} contains a space, which a flag of a C compiler can't: move the repository or Cargo's home"
        )));
    }
    Ok(format!("-ffile-prefix-map={folder}={name}"))
}

/// The folders of the sources of crates, one for each registry that Cargo has used.
fn registries() -> Result<Vec<PathBuf>, Failure> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let sources = home.ok_or_else(|| Failure::wrong("neither CARGO_HOME nor HOME is set"))?.join("registry/src");
    entries(&sources)
}

/// The program without symbols, and with the list of its crates in the section that `cargo audit bin` and scanners read.
fn finished(source: &Source, built: &Path, audit_data: &[u8]) -> Result<Vec<u8>, Failure> {
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    let (section, finished) = (folder.path().join("audit"), folder.path().join("program"));
    fs::write(&section, audit_data).map_err(file("write", &section))?;
    let mut objcopy = source.command("objcopy");
    objcopy.args(["--strip-all", "--remove-section=.comment", "--add-section"]);
    objcopy.arg(format!("{}={}", audit_data::SECTION, section.display()));
    objcopy.arg("--set-section-flags").arg(format!("{}=noload,readonly", audit_data::SECTION));
    output(objcopy.arg(built).arg(&finished))?;
    fs::read(&finished).map_err(file("read", &finished))
}

/// The manual pages and the completions, which the program writes itself.
fn share(source: &Source, built: &Path, names: &Names) -> Result<Tree, Failure> {
    let mut share = Tree::default();
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    output(source.command(built).args(names.manual).arg(folder.path()))?;
    for page in entries(folder.path())? {
        let content = fs::read(&page).map_err(file("read", &page))?;
        let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let section = name.rsplit('.').next().unwrap_or_default();
        share.file(format!("share/man/man{section}/{name}"), FILE, content);
    }
    let program = names.program;
    for (shell, path) in [
        ("bash", format!("share/bash-completion/completions/{program}")),
        ("fish", format!("share/fish/vendor_completions.d/{program}.fish")),
        ("zsh", format!("share/zsh/vendor-completions/_{program}")),
    ] {
        share.file(path, FILE, output(source.command(built).args(names.completions).arg(shell))?);
    }
    Ok(share)
}
