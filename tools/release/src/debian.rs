//! The Debian packages, built by `dpkg-deb` from a folder.
//!
//! `sealward-server` has the unit that systemd runs the service with. Its user is made by systemd while the service runs (`DynamicUser=`),
//! and owns `/var/lib/sealward`. The package therefore creates no user, and doesn't start the service: it has no configuration yet.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use tempfile::TempDir;

use crate::{
    command::{Failure, file, text},
    names::{Names, SERVER},
    programs::Program,
    source::Source,
    tree::{Effort, FILE, PROGRAM, Tree, gzip},
};

const MAINTAINER: &str = "Sealward <maintainers@sealward.example>";

/// The units of systemd, in `deploy/`. The scripts name them too.
pub(crate) const UNITS: &[&str] = &["sealward.service", "sealward-backup.service", "sealward-backup.timer"];

/// Scripts of the server's package, by name.
const SCRIPTS: &[(&str, &str)] = &[
    ("preinst", include_str!("../debian/preinst")),
    ("postinst", include_str!("../debian/postinst")),
    ("prerm", include_str!("../debian/prerm")),
    ("postrm", include_str!("../debian/postrm")),
];

/// Writes the package of a program.
pub(crate) fn write(source: &Source, program: &Program, out: &Path, effort: Effort) -> Result<(), Failure> {
    let version = &source.version;
    let names = program.names;
    let staging = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    let folder = staging.path().join("package");
    fs::create_dir(&folder).map_err(file("create", &folder))?;
    // It is an entry of the package too.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).map_err(file("set the mode of", &folder))?;
    let mut tree = content(source, program)?;
    let sums = md5_sums(source, &tree)?;
    let installed_size_kib = tree.files().map(|(_, content)| content.len().div_ceil(1024)).sum::<usize>();

    let architecture = text(source.command("dpkg").arg("--print-architecture"))?;
    let depends = depends(source, &program.binary)?;
    let control = control(names, version, &architecture, &depends, installed_size_kib);
    tree.file("DEBIAN/control", FILE, control);
    tree.file("DEBIAN/md5sums", FILE, sums);
    if names.program == SERVER.program {
        for (name, script) in SCRIPTS {
            tree.file(format!("DEBIAN/{name}"), PROGRAM, *script);
        }
    }
    tree.write_to(&folder)?;

    let package = out.join(format!("{}_{version}_{architecture}.deb", names.package));
    let mut dpkg_deb = source.command("dpkg-deb");
    // One thread: several would make other blocks. Times later than SOURCE_DATE_EPOCH, which are all, become it.
    dpkg_deb.args(["--root-owner-group", "--threads-max=1", "--uniform-compression"]);
    dpkg_deb.args(match effort {
        Effort::Best => ["-Zxz", "-z6"],
        Effort::Least => ["-Zgzip", "-z1"],
    });
    text(dpkg_deb.arg("--build").arg(&folder).arg(&package))?;
    Ok(())
}

/// The installed files.
fn content(source: &Source, program: &Program) -> Result<Tree, Failure> {
    let names = program.names;
    let mut tree = Tree::default();
    for (path, content) in program.share.files() {
        // Debian wants compressed manual pages.
        if path.contains("/man/") {
            tree.file(format!("usr/{path}.gz"), FILE, gzip(content, Effort::Best));
        } else {
            tree.file(format!("usr/{path}"), FILE, content);
        }
    }
    tree.file(format!("usr/bin/{}", names.program), PROGRAM, program.binary.clone());

    let documents = format!("usr/share/doc/{}", names.package);
    tree.file(format!("{documents}/copyright"), FILE, include_str!("../debian/copyright"));
    tree.file(format!("{documents}/changelog.gz"), FILE, gzip(changelog(source, names)?.as_bytes(), Effort::Best));
    tree.file(format!("{documents}/NEWS.md.gz"), FILE, gzip(&source.read("CHANGELOG.md")?, Effort::Best));
    let licenses = gzip(program.licenses.as_bytes(), Effort::Best);
    tree.file(format!("{documents}/third-party-notices.gz"), FILE, licenses);
    tree.file(format!("{documents}/sbom.cdx.json.gz"), FILE, gzip(&program.sbom, Effort::Best));
    if names.program == SERVER.program {
        for unit in UNITS {
            tree.file(format!("usr/lib/systemd/system/{unit}"), FILE, source.read(&format!("deploy/{unit}"))?);
        }
        tree.file(format!("{documents}/configuration.md"), FILE, source.read("docs/reference/configuration.md")?);
        tree.file(
            format!("{documents}/examples/encrypted-root-key.conf"),
            FILE,
            source.read("deploy/encrypted-root-key.conf")?,
        );
        tree.folder("etc/sealward", 0o755, 0);
    }
    Ok(tree)
}

fn control(names: &Names, version: &str, architecture: &str, depends: &str, installed_size_kib: usize) -> String {
    let (others, description) = if names.program == SERVER.program {
        ("Recommends: ca-certificates, sealward\n", include_str!("../debian/description-server"))
    } else {
        ("Recommends: ca-certificates\nSuggests: sealward-server\n", include_str!("../debian/description-cli"))
    };
    format!(
        "Package: {}\nVersion: {version}\nSection: net\nPriority: optional\nArchitecture: {architecture}\n\
         Maintainer: {MAINTAINER}\nInstalled-Size: {installed_size_kib}\nDepends: {depends}\n{others}\
         Homepage: https://git.example.com/sealward\nDescription: {}\n{description}",
        names.package, names.summary
    )
}

/// The packages of the shared libraries that a program needs, with their least versions.
fn depends(source: &Source, binary: &[u8]) -> Result<String, Failure> {
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    let mut tree = Tree::default();
    // dpkg-shlibdeps reads the names of the packages here.
    tree.file("debian/control", FILE, "Source: sealward\n\nPackage: program\nArchitecture: any\n");
    tree.file("program", PROGRAM, binary);
    tree.write_to(folder.path())?;
    let mut command = source.command("dpkg-shlibdeps");
    let printed = text(command.current_dir(folder.path()).args(["-O", "-eprogram"]))?;
    let depends = printed.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    depends.map(str::to_owned).ok_or_else(|| Failure::wrong(format!("dpkg-shlibdeps printed `{printed}`")))
}

fn changelog(source: &Source, names: &Names) -> Result<String, Failure> {
    let time = source.time_rfc2822()?;
    Ok(format!(
        "{} ({}) stable; urgency=medium\n\n  * See NEWS.md.gz for the changes.\n\n -- {MAINTAINER}  {time}\n",
        names.package, source.version
    ))
}

/// The checksums that `dpkg --verify` and debsums read.
fn md5_sums(source: &Source, tree: &Tree) -> Result<String, Failure> {
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    tree.write_to(folder.path())?;
    let mut command = source.command("md5sum");
    command.current_dir(folder.path()).args(tree.files().map(|(path, _)| path));
    Ok(format!("{}\n", text(&mut command)?))
}
