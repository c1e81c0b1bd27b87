//! The packages of the client libraries, each built by the tools of its language from a copy of its folder.
//!
//! The versions of these tools are in the packages, so they are pinned. Maven, Node.js and Go are those of `cargo xtask tools`.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{
    command::{Failure, file, output, run},
    source::Source,
};

/// Builds wheels and source packages of Python.
const HATCHLING: &str = "hatchling==1.33.0";

/// Makes jars of sources.
const MAVEN_SOURCES: &str = "org.apache.maven.plugins:maven-source-plugin:3.3.1:jar-no-fork";

/// Writes the packages of all languages.
pub(crate) fn write(source: &Source, out: &Path) -> Result<(), Failure> {
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    for (language, build) in [
        ("python", python as fn(&Source, &Path, &Path) -> Result<(), Failure>),
        ("typescript", typescript),
        ("java", java),
        ("go", go),
    ] {
        let copy = copy(source, language, folder.path())?;
        build(source, &copy, out)?;
    }
    Ok(())
}

/// Copies the committed files of a client, with the same modes for every umask.
fn copy(source: &Source, language: &str, folder: &Path) -> Result<std::path::PathBuf, Failure> {
    let archive = folder.join(format!("{language}.tar"));
    let path = format!("clients/{language}");
    output(
        source.command("git").args(["-c", "tar.umask=0022", "archive", "--output"]).arg(&archive).args(["HEAD", &path]),
    )?;
    output(source.command("tar").arg("-xpf").arg(&archive).arg("-C").arg(folder))?;
    Ok(folder.join(path))
}

/// A wheel and a source package.
fn python(source: &Source, folder: &Path, out: &Path) -> Result<(), Failure> {
    let environment = folder.join("environment");
    output(source.command("python3").args(["-m", "venv"]).arg(&environment))?;
    let python = environment.join("bin/python");
    let mut install = source.command(&python);
    output(install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", HATCHLING]))?;
    output(source.command(&python).current_dir(folder).args(["-m", "hatchling", "build", "-d"]).arg(out))?;
    Ok(())
}

/// The tarball that `npm publish` would upload.
fn typescript(source: &Source, folder: &Path, out: &Path) -> Result<(), Failure> {
    let npm = || {
        let mut npm = source.command("npm");
        npm.current_dir(folder);
        npm
    };
    output(npm().args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]))?;
    output(npm().args(["pack", "--silent", "--pack-destination"]).arg(out))?;
    Ok(())
}

/// The jars of classes and of sources, and the project files with which Maven finds the dependencies.
fn java(source: &Source, folder: &Path, out: &Path) -> Result<(), Failure> {
    let built = folder.join("built");
    let mut maven = source.command("mvn");
    maven.args(["-B", "-ntp", "-q", "-f"]).arg(folder.join("pom.xml"));
    maven.arg(format!("-Dsealward.build={}", built.display())).arg("-Dmaven.test.skip=true");
    maven.arg(format!("-Dproject.build.outputTimestamp={}", source.time_rfc3339()?));
    run(maven.args(["package", MAVEN_SOURCES]))?;
    let version = &source.version;
    let jar = |kind: &str| {
        (built.join(format!("sealward-client-{version}{kind}.jar")), format!("sealward-client-{version}{kind}.jar"))
    };
    let pom = |module: &str, name: &str| (folder.join(module).join("pom.xml"), format!("{name}-{version}.pom"));
    let files = [
        jar(""),
        jar("-sources"),
        pom("client", "sealward-client"),
        pom("bom", "sealward-bom"),
        pom(".", "sealward-parent"),
    ];
    for (built, name) in files {
        fs::copy(&built, out.join(name)).map_err(file("copy", &built))?;
    }
    Ok(())
}

/// The zip file that a module proxy serves.
fn go(source: &Source, folder: &Path, out: &Path) -> Result<(), Failure> {
    let mut go = source.command("go");
    go.current_dir(source.root.join("tools/release/go-module-zip")).args(["run", "."]).arg(folder);
    go.arg(format!("v{}", source.version)).arg(out.join(format!("sealward-go-{}.zip", source.version)));
    output(&mut go)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sums;

    #[test]
    #[ignore = "needs Python, Node.js, Maven and Go, and takes a minute: cargo xtask tools"]
    fn packages_of_all_languages_are_the_same_twice() {
        let source = Source::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
        let folder = TempDir::new().unwrap();
        let built = ["one", "other"].map(|name| {
            let out = folder.path().join(name);
            fs::create_dir(&out).unwrap();
            write(&source, &out).unwrap();
            sums::write(&out, None).unwrap();
            sums::listing(&out).unwrap()
        });
        println!("{}", built[0]);
        assert_eq!(built[0].lines().count(), 9);
        assert_eq!(built[0], built[1]);
    }
}
