//! `BUILD-INFO`: the commit of a release, and what it was built with. A build with the same has the same files.

use anstream::adapter::strip_str;

use crate::{
    command::{Failure, text},
    source::Source,
};

/// The file's name.
pub(crate) const NAME: &str = "BUILD-INFO";

/// The Debian packages whose content gets into the packages: libraries, CAs, the linker, and the tool that writes Debian packages.
const PACKAGES: &[&str] = &["binutils", "ca-certificates", "dpkg-dev", "libc6", "libc6-dev", "libgcc-s1"];

/// Compilers, with the arguments that print a version.
const COMPILERS: &[&[&str]] = &[&["rustc", "--version"], &["cc", "--version"]];

/// The tools of the clients' languages.
const CLIENT_TOOLS: &[&[&str]] = &[
    &["python3", "--version"],
    &["node", "--version"],
    &["npm", "--version"],
    &["javac", "-version"],
    &["mvn", "--batch-mode", "--version"],
    &["go", "version"],
];

/// The content of the file: a name and its value on each line.
pub(crate) fn content(source: &Source, with_clients: bool) -> Result<String, Failure> {
    let debian = source.read("/etc/debian_version")?;
    let mut lines = vec![
        format!("version: {}", source.version),
        format!("commit: {}", source.revision()),
        format!("time: {}", source.time_rfc3339()?),
        format!("Debian: {}", String::from_utf8_lossy(&debian).trim_end()),
    ];
    let mut query = source.command("dpkg-query");
    query.args(["--show", "--showformat", r"${Package}: ${Version}\n"]).args(PACKAGES);
    lines.push(text(&mut query)?);
    let client_tools = if with_clients { CLIENT_TOOLS } else { &[] };
    for words in COMPILERS.iter().chain(client_tools) {
        let [program, arguments @ ..] = words else { continue };
        let printed = text(source.command(program).args(arguments))?;
        // Maven resets the colors of a terminal even if there is none.
        let printed = strip_str(&printed).to_string();
        lines.push(format!("{program}: {}", printed.lines().next().unwrap_or_default()));
    }
    let content = lines.join("\n") + "\n";
    if content.contains(|character: char| character.is_control() && character != '\n') {
        return Err(Failure::wrong(format!("a compiler's version has control characters: {content:?}")));
    }
    Ok(content)
}
