//! Whether the packages work: each is unpacked by the tool of its users, and the programs in it are run.

mod engine;
mod figures;
mod life;
mod server;
mod sizes;

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use flate2::read::ZlibDecoder;
use serde_json::Value;

use crate::{
    audit_data, chart,
    command::{Failure, file, output, silent, text},
    debian::UNITS,
    files::walk,
    image,
    names::{CLI, Names, SERVER},
    source::Source,
    sums,
};
use server::Server;

/// Checks the packages in `out`. Those of a debug build aren't a release, and have other sizes.
pub(crate) fn check(source: &Source, out: &Path, is_release: bool, in_debian: bool) -> Result<(), Failure> {
    // Whatever is unpacked works in a folder whose path has spaces, and letters beyond ASCII.
    let folder = tempfile::Builder::new().prefix("a folder für packages ").tempdir();
    let folder = folder.map_err(file("create", Path::new("a temporary folder")))?;
    let root = folder.path().join("debian");
    let debian = checked("Debian packages", || debian_packages(source, out, &root))?;
    checked("systemd units", || units(source, &root))?;
    checked("archives", || archives(source, out, folder.path()))?;
    checked("lists of crates", || {
        [&SERVER, &CLI].into_iter().try_for_each(|names| list_of_crates(source, out, &root.join("usr/bin"), names))
    })?;
    let image =
        checked("container image", || container_image(source, out, folder.path(), &root.join("usr/bin/sealward")))?;
    checked("Helm chart", || helm_chart(source, out))?;
    figures::print(source, folder.path(), &image)?;
    if is_release {
        checked("documented sizes", || sizes::compare(source, out))?;
    }
    if in_debian {
        checked("container engine", || engine::run(source, out, &root.join("usr/bin/sealward")))?;
        checked("schema of the bills of materials", || schema(source, out, folder.path()))?;
        checked("life of the packages", || life::life(source, out, &debian))?;
    }
    Ok(())
}

fn checked<T>(name: &str, check: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let checked = check()?;
    println!("{name}: ok");
    Ok(checked)
}

/// Runs lintian, and unpacks the packages to `root`.
fn debian_packages(source: &Source, out: &Path, root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let packages = with_extension(out, ".deb")?;
    if packages.len() != 2 {
        return Err(Failure::wrong(format!("there should be two Debian packages: {packages:?}")));
    }
    fs::create_dir(root).map_err(file("create", root))?;
    for package in &packages {
        // As root, lintian would only run with a warning.
        let mut lintian = source.command("lintian");
        lintian.args(["--allow-root", "--fail-on", "error,warning", "--suppress-tags", LINTIAN_EXCEPTIONS]);
        output(lintian.arg(package))?;
        output(source.command("dpkg-deb").arg("--extract").arg(package).arg(root))?;
        let control = root.join("control");
        output(source.command("dpkg-deb").arg("--control").arg(package).arg(&control))?;
        output(source.command("md5sum").current_dir(root).args(["--check", "--strict", "--quiet", "control/md5sums"]))?;
        fs::remove_dir_all(&control).map_err(file("remove", &control))?;
    }
    for names in [&SERVER, &CLI] {
        version(source, &root.join("usr/bin").join(names.program))?;
        let page = root.join(format!("usr/share/man/{}.gz", names.page));
        fs::metadata(&page).map_err(file("find", &page))?;
    }
    output(source.command("bash").arg("-n").arg(root.join("usr/share/bash-completion/completions/sealward")))?;
    Ok(packages)
}

/// systemd's own check of the units, as installed, with and without the encrypted root key; and its judgement of their sandboxes.
fn units(source: &Source, root: &Path) -> Result<(), Failure> {
    let analyze = |arguments: &[&str]| {
        let mut command = source.command("systemd-analyze");
        command.arg(format!("--root={}", root.display())).args(arguments);
        command
    };
    // The program that the units name besides ours has to exist.
    let shell = root.join("bin/sh");
    fs::create_dir_all(root.join("bin")).map_err(file("create", &shell))?;
    fs::copy("/bin/sh", &shell).map_err(file("copy", &shell))?;
    for with_encrypted_key in [false, true] {
        if with_encrypted_key {
            let example = root.join("usr/share/doc/sealward-server/examples/encrypted-root-key.conf");
            let addition = root.join("etc/systemd/system/sealward.service.d");
            fs::create_dir_all(&addition).map_err(file("create", &addition))?;
            fs::copy(&example, addition.join("encrypted-root-key.conf")).map_err(file("copy", &example))?;
        }
        silent(analyze(&["verify", "--man=no", "--recursive-errors=no"]).args(UNITS))?;
    }
    for service in UNITS.iter().filter(|unit| unit.ends_with(".service")) {
        let judged = text(&mut analyze(&["security", "--offline=true", "--no-pager", EXPOSURE_MAX, service]))?;
        println!("{}", judged.lines().last().unwrap_or_default());
    }
    Ok(())
}

/// Unpacks the archives, and runs the programs in them.
fn archives(source: &Source, out: &Path, folder: &Path) -> Result<(), Failure> {
    for (name, programs) in [("sealward", vec![&SERVER, &CLI]), ("sealward-cli", vec![&CLI])] {
        let name = source.archive(name);
        output(source.command("tar").arg("-xzf").arg(out.join(format!("{name}.tar.gz"))).arg("-C").arg(folder))?;
        for names in programs {
            version(source, &folder.join(&name).join("bin").join(names.program))?;
            let licenses = folder.join(&name).join("share/doc").join(names.package).join("THIRD-PARTY-LICENSES");
            fs::metadata(&licenses).map_err(file("find", &licenses))?;
        }
    }
    Ok(())
}

/// Compares the list of crates in a program with the SBOM beside it.
fn list_of_crates(source: &Source, out: &Path, programs: &Path, names: &Names) -> Result<(), Failure> {
    let program = programs.join(names.program);
    let section = program.with_extension("section");
    let mut objcopy = source.command("objcopy");
    objcopy.args(["-O", "binary", "--set-section-flags"]).arg(format!("{}=alloc", audit_data::SECTION));
    objcopy.arg(format!("--only-section={}", audit_data::SECTION)).arg(&program).arg(&section);
    output(&mut objcopy)?;
    let compressed = fs::read(&section).map_err(file("read", &section))?;
    let mut list = String::new();
    ZlibDecoder::new(compressed.as_slice()).read_to_string(&mut list).map_err(file("decompress", &section))?;

    let path = out.join(format!("{}-{}.cdx.json", names.package, source.version));
    let sbom = fs::read(&path).map_err(file("read", &path))?;
    let parsed = |json: &[u8]| -> Result<Value, Failure> {
        serde_json::from_slice(json).map_err(|error| Failure::wrong(format!("{}: {error}", names.program)))
    };
    let part = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let key = |value: &Value| format!("{} {}", part(value, "name"), part(value, "version"));
    let listed: BTreeSet<String> = items(&parsed(list.as_bytes())?, "packages").iter().map(key).collect();
    let sbom = parsed(&sbom)?;
    let crates = items(&sbom, "components")
        .iter()
        .filter(|component| component["purl"].as_str().is_some_and(|url| url.starts_with("pkg:cargo/")));
    let mut described: BTreeSet<String> = crates.map(key).collect();
    described.insert(format!("{} {}", names.krate, source.version));
    if listed == described && listed.len() > 50 {
        return Ok(());
    }
    let differing: Vec<_> = listed.symmetric_difference(&described).collect();
    Err(Failure::wrong(format!("{} and its SBOM differ: {differing:?}", names.program)))
}

/// Validates the SBOMs with CycloneDX's own library.
fn schema(source: &Source, out: &Path, folder: &Path) -> Result<(), Failure> {
    let environment = folder.join("python");
    output(source.command("python3").args(["-m", "venv"]).arg(&environment))?;
    let python = environment.join("bin/python");
    let mut install = source.command(&python);
    output(install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", CYCLONEDX]))?;
    silent(source.command(&python).args(["-c", VALIDATE]).args(with_extension(out, ".cdx.json")?))
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Unpacks the image, and runs the server in it as its user and as a user that the image doesn't know, with a read-only root. Returns the root.
fn container_image(source: &Source, out: &Path, folder: &Path, cli: &Path) -> Result<PathBuf, Failure> {
    let layout = folder.join("oci");
    fs::create_dir(&layout).map_err(file("create", &layout))?;
    output(source.command("tar").arg("-xf").arg(out.join(image::name(source)?)).arg("-C").arg(&layout))?;
    let bundle = folder.join("bundle");
    let image = format!("{}:{}", layout.display(), source.version);
    output(source.command("umoci").args(["unpack", "--image", &image]).arg(&bundle))?;
    let root = bundle.join("rootfs");

    let configuration = bundle.join("config.json");
    let configuration = fs::read(&configuration).map_err(file("read", &configuration))?;
    let configuration: Value =
        serde_json::from_slice(&configuration).map_err(|error| Failure::wrong(error.to_string()))?;
    let process = configuration.get("process").unwrap_or(&Value::Null);
    let user = process.pointer("/user/uid").and_then(Value::as_u64);
    let arguments = ["/usr/bin/sealward-server", "serve", "--config", "/etc/sealward/sealward.toml"];
    if user != Some(image::USER.into()) || items(process, "args") != arguments {
        return Err(Failure::wrong(format!("an engine would start {process}")));
    }
    no_shell_no_setuid(&root)?;
    let data = fs::metadata(root.join(image::DATA)).map_err(file("find", &root.join(image::DATA)))?;
    if (data.uid(), data.gid(), data.mode() & 0o7777) != (image::USER, image::USER, 0o700) {
        return Err(Failure::wrong(format!("the data folder has the mode {:o} of {}", data.mode(), data.uid())));
    }

    for (user, group) in [(image::USER, image::USER), OTHER_USER] {
        let server = Server::start_in_image(&root, &folder.join(format!("data of {user}")), (user, group))?;
        server.call(cli)?;
        server.stop()?;
    }
    Ok(root)
}

/// Lints the archive of the chart, and compares what Helm renders from it with what it renders from the folder.
fn helm_chart(source: &Source, out: &Path) -> Result<(), Failure> {
    let chart = out.join(chart::name(source));
    let helm = |arguments: &[&str], chart: &Path| {
        let mut command = source.command("helm");
        text(command.args(arguments).arg(chart).args(["--values", "deploy/helm/cases/everything.yaml"]))
    };
    helm(&["lint", "--strict", "--quiet"], &chart)?;
    let rendered = helm(&["template", "sealward"], &chart)?;
    if rendered.contains("kind: StatefulSet") && rendered == helm(&["template", "sealward"], Path::new(chart::FOLDER))?
    {
        return Ok(());
    }
    Err(Failure::wrong(format!("{} isn't rendered like {}", chart.display(), chart::FOLDER)))
}

/// Every program in the image but ours and the loader would help an intruder.
fn no_shell_no_setuid(root: &Path) -> Result<(), Failure> {
    let mut programs = Vec::new();
    walk(root, &mut |path| {
        let metadata = fs::symlink_metadata(path).map_err(file("find", path))?;
        if metadata.mode() & 0o6000 != 0 {
            return Err(Failure::wrong(format!("{} has the mode {:o}", path.display(), metadata.mode())));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if metadata.is_file() && metadata.mode() & 0o111 != 0 && !name.contains(".so") {
            programs.push(path.strip_prefix(root).unwrap_or(path).to_owned());
        }
        Ok(())
    })?;
    if programs == [Path::new("usr/bin/sealward-server")] {
        return Ok(());
    }
    Err(Failure::wrong(format!("the image has other programs: {programs:?}")))
}

/// Runs `PROGRAM --version`.
fn version(source: &Source, program: &Path) -> Result<(), Failure> {
    let printed = text(source.command(program).arg("--version"))?;
    let first = printed.lines().next().unwrap_or_default();
    let expected = format!("{} {}", program.file_name().unwrap_or_default().to_string_lossy(), source.version);
    if first == expected { Ok(()) } else { Err(Failure::wrong(format!("`{first}` isn't `{expected}`"))) }
}

fn with_extension(out: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    Ok(sums::packages(out)?.into_iter().filter(|path| path.to_string_lossy().ends_with(extension)).collect())
}

/// A user and group as OpenShift chooses them: the user from a range of the project, and the group of root.
const OTHER_USER: (u32, u32) = (1_000_680_000, 0);

const CYCLONEDX: &str = "cyclonedx-python-lib[json-validation]==11.12.0";

/// Prints what is wrong with the files that are its arguments.
const VALIDATE: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
validator = JsonStrictValidator(SchemaVersion.V1_6)
assert len(sys.argv) > 1
for name in sys.argv[1:]:
    error = validator.validate_str(open(name).read())
    if error is not None:
        print(name, error)
";

/// Tags of lintian that don't apply, with a comma between them. `initial-upload-closes-no-bugs` and its like are for packages in Debian itself.
const LINTIAN_EXCEPTIONS: &str = "initial-upload-closes-no-bugs";

/// The highest exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE_MAX: &str = "--threshold=15";
