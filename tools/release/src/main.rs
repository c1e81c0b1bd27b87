//! Builds the release: `cargo xtask release` runs it, see `--help`.
//!
//! Everything that is released is a function of the commit, the pinned toolchain and the Debian release of the machine. The parts, in the
//! order of their use:
//!
//! * [`source`]: the commit, its time and its version; [`names`] and [`programs`]: the two programs, without the paths of this machine
//! * [`inventory`]: the crates in a program; [`sbom`], [`audit_data`] and [`licenses`] describe them
//! * [`files`]: reading folders in order
//! * [`tree`]: files with modes and owners, and how they become the same archive every time
//! * [`glibc`]: the oldest C library that runs the programs; [`build_info`]: what they are built with
//! * [`archive`], [`debian`], [`image`], [`chart`], [`clients`]: the packages; [`sums`]: their checksums and the signature
//! * [`check`]: whether the packages work; [`verify`]: whether a second build has the same bytes

mod archive;
mod audit_data;
mod build_info;
mod chart;
mod check;
mod clients;
mod command;
mod debian;
mod files;
mod glibc;
mod image;
mod inventory;
mod licenses;
mod names;
mod programs;
mod sbom;
mod source;
mod sums;
mod tree;
mod verify;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use rustix::fs::Mode;

use crate::{
    command::{Failure, file},
    inventory::Inventory,
    names::{CLI, SERVER},
    programs::Program,
    source::Source,
    tree::Effort,
};

/// Build the packages of a release from the last commit of this repository.
///
/// Writes the archives of the server and of the command line, the Debian packages, the container image as an OCI archive, the Helm chart, the packages of the
/// clients, an SBOM of each program, BUILD-INFO with the commit and the versions of the compilers, SHA256SUMS, and with --key a signature of it.
/// The same commit gives the same files on each machine with the same BUILD-INFO.
#[derive(Parser)]
#[command(name = "cargo xtask release")]
struct Arguments {
    /// The folder for the packages. It must not contain other files.
    #[arg(long, value_name = "DIR", default_value = "target/packages")]
    out: PathBuf,
    /// The private key for the signature of SHA256SUMS, in OpenSSH's format. Default: no signature.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Package the programs in this folder instead of building them, with little compression and without the clients. For tests.
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Check the packages: lintian, the image unpacked and started as its user, a call, the SBOM. Needs root and the tools of `cargo xtask
    /// tools`.
    #[arg(long)]
    check: bool,
    /// Check the packages that are in the folder, and build nothing.
    #[arg(long, conflicts_with_all = ["binaries", "key", "verify"])]
    check_only: bool,
    /// Also run the image under Podman, and check the life of the Debian packages in a Debian that is booted in a container. Takes some minutes.
    #[arg(long)]
    in_debian: bool,
    /// Build the last commit twice, with different folders, homes, time zones, languages and umasks, and compare all files.
    #[arg(long, conflicts_with_all = ["binaries", "check", "key"])]
    verify: bool,
    /// The repository. Default: the one that this program was built from.
    #[arg(long, value_name = "DIR", hide = true)]
    source: Option<PathBuf>,
    /// The folder of the build.
    #[arg(long, value_name = "DIR", hide = true)]
    target: Option<PathBuf>,
    /// Leave out the packages of the clients.
    #[arg(long)]
    no_clients: bool,
    /// Build although files differ from the last commit. The packages then name the commit as HASH-changed. For tests of the release itself.
    #[arg(long, conflicts_with_all = ["key", "verify"])]
    allow_changes: bool,
}

fn main() -> ExitCode {
    // Tools such as npm put the modes of the files that they write into their packages.
    rustix::process::umask(Mode::from_raw_mode(UMASK));
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("cargo xtask release: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The umask of the release and of all tools that it runs, whatever that of the user is.
const UMASK: u32 = 0o022;

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let root = match &arguments.source {
        Some(root) => root.clone(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned(),
    };
    let source = Source::open(&root)?;
    let out = root.join(&arguments.out);
    if arguments.verify {
        source.must_be_committed()?;
        return verify::verify(&source, &out, !arguments.no_clients);
    }
    if !arguments.check_only {
        let target = arguments.target.clone().unwrap_or_else(|| root.join("target/reproducible"));
        release(&source, arguments, &out, &target)?;
    }
    if arguments.check || arguments.check_only {
        check::check(&source, &out, arguments.binaries.is_none(), arguments.in_debian)?;
    }
    Ok(())
}

/// Writes all packages to `out`.
fn release(source: &Source, arguments: &Arguments, out: &Path, target: &Path) -> Result<(), Failure> {
    if arguments.binaries.is_none() && !arguments.allow_changes {
        source.must_be_committed()?;
    }
    sums::clear(out)?;
    fs::create_dir_all(out).map_err(file("create", out))?;
    let effort = if arguments.binaries.is_some() { Effort::Least } else { Effort::Best };
    let folder = match &arguments.binaries {
        Some(folder) => source.root.join(folder),
        None => programs::build(source, target)?,
    };
    let load = |names| Program::load(source, &folder, names, &Inventory::of(source, names)?);
    let (server, cli) = (load(&SERVER)?, load(&CLI)?);
    let is_release = arguments.binaries.is_none();
    glibc::check(source, &[&server, &cli], is_release)?;

    archive::write(source, &[&server, &cli], "sealward", out, effort)?;
    archive::write(source, &[&cli], "sealward-cli", out, effort)?;
    for program in [&server, &cli] {
        debian::write(source, program, out, effort)?;
        let sbom = out.join(format!("{}-{}.cdx.json", program.names.package, source.version));
        fs::write(&sbom, &program.sbom).map_err(file("write", &sbom))?;
    }
    image::write(source, &server, out, effort)?;
    chart::write(source, out, effort)?;
    let with_clients = is_release && !arguments.no_clients;
    if with_clients {
        clients::write(source, out)?;
    }
    let build_info = out.join(build_info::NAME);
    fs::write(&build_info, build_info::content(source, with_clients)?).map_err(file("write", &build_info))?;
    sums::write(out, arguments.key.as_deref())?;
    print!("{}", sums::listing(out)?);
    Ok(())
}
