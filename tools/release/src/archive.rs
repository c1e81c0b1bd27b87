//! The archives for any Linux: programs with manual pages, completions and licenses, in a folder that can be copied over `/usr/local`.

use std::{fs, path::Path};

use crate::{
    command::{Failure, file},
    names::SERVER,
    programs::Program,
    source::Source,
    tree::{Effort, FILE, PROGRAM, Tree, gzip},
};

/// Writes `NAME-VERSION-linux-ARCH.tar.gz` with these programs.
pub(crate) fn write(
    source: &Source,
    programs: &[&Program],
    name: &str,
    out: &Path,
    effort: Effort,
) -> Result<(), Failure> {
    let folder = source.archive(name);
    let mut tree = Tree::default();
    for program in programs {
        tree.tree(&folder, content(source, program)?)?;
    }
    let path = out.join(format!("{folder}.tar.gz"));
    fs::write(&path, gzip(&tree.tar(source.time)?, effort)).map_err(file("write", &path))
}

/// The files of a program.
fn content(source: &Source, program: &Program) -> Result<Tree, Failure> {
    let names = program.names;
    let mut tree = program.share.clone();
    tree.file(format!("bin/{}", names.program), PROGRAM, program.binary.clone());
    let documents = format!("share/doc/{}", names.package);
    for document in ["LICENSE", "CHANGELOG.md"] {
        tree.file(format!("{documents}/{document}"), FILE, source.read(document)?);
    }
    tree.file(format!("{documents}/THIRD-PARTY-LICENSES"), FILE, program.licenses.clone());
    tree.file(format!("{documents}/sbom.cdx.json"), FILE, program.sbom.clone());
    if names.program == SERVER.program {
        tree.file(format!("{documents}/sealward.service"), FILE, source.read("deploy/sealward.service")?);
        tree.file(format!("{documents}/configuration.md"), FILE, source.read("docs/reference/configuration.md")?);
    }
    Ok(tree)
}
