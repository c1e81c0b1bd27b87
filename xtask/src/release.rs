//! `cargo xtask release`: builds and runs `tools/release`, which knows everything about packages.

use std::process::{Command, ExitCode};

use crate::{
    clients::CLIENTS,
    tools::{Missing, Output, Tools},
};

pub(crate) const SUMMARY: &str = "builds the packages of a release, and checks that they work and can be reproduced";

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let tools = Tools::new();
    let is_help = arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help"));
    if !is_help && let Err(missing) = install(&tools, &mut Output::Terminal) {
        eprintln!("{missing}");
        return ExitCode::FAILURE;
    }
    match program(&tools).args(arguments).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("can't start cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn install(tools: &Tools, output: &mut Output) -> Result<(), Missing> {
    install_builders(tools, output)?;
    tools.helm(output)?;
    tools.booted_debian(output)
}

/// Installs what a release is built with: the tools of packages, and of the languages of the clients.
pub(crate) fn install_builders(tools: &Tools, output: &mut Output) -> Result<(), Missing> {
    tools.packaging(output)?;
    CLIENTS.iter().try_for_each(|client| client.prepare(tools, output))
}

/// The command that packages the programs of the debug build, and checks the packages: for `cargo xtask test`.
pub(crate) fn check(tools: &Tools, output: &mut Output) -> Result<Command, Missing> {
    tools.packaging(output)?;
    tools.helm(output)?;
    let mut command = tools.command(&tools.root().join("target/debug/sealward-release").to_string_lossy());
    command.args(["--binaries", "target/debug", "--out", "target/packages-of-test", "--check"]);
    Ok(command)
}

fn program(tools: &Tools) -> Command {
    let mut command = tools.cargo();
    command.args(["run", "--quiet", "--locked", "--package", "sealward-release", "--"]);
    command
}
