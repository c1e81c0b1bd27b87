//! The clients in other languages, in `clients/`: how their tests and their generation are run.
//!
//! Each folder has two scripts: `test` installs the packages of its language and runs everything, `generate` writes the generated code, or
//! compares it with `--check`. The tools of the languages themselves come from [`Tools`].

use std::process::Command;

use crate::tools::{Missing, Output, Tools};

/// A client.
pub(crate) struct Client {
    /// The language, which is the name of its check and of its folder.
    pub(crate) language: &'static str,
    /// Installs the language's tools.
    prepare: fn(&Tools, &mut Output) -> Result<(), Missing>,
    /// The script that tests it.
    test: &'static str,
}

/// All clients besides the Rust library.
pub(crate) const CLIENTS: &[Client] = &[
    Client { language: "python", prepare: Tools::python, test: "test" },
    Client { language: "go", prepare: Tools::go, test: "test" },
    Client { language: "typescript", prepare: Tools::node, test: "test" },
    Client { language: "java", prepare: Tools::java, test: "test" },
    Client { language: "csharp", prepare: Tools::java, test: "check" },
];

impl Client {
    /// Installs the language's tools.
    pub(crate) fn prepare(&self, tools: &Tools, output: &mut Output) -> Result<(), Missing> {
        (self.prepare)(tools, output)
    }

    /// The command that tests the client with the programs of the debug build.
    pub(crate) fn test(&self, tools: &Tools) -> Command {
        let mut command = self.script(tools, self.test);
        let programs = tools.root().join("target/debug");
        command.env("SEALWARD_SERVER", programs.join("sealward-server")).env("SEALWARD", programs.join("sealward"));
        command
    }

    /// The command that writes the generated code, or compares it.
    pub(crate) fn generate(&self, tools: &Tools, is_check: bool) -> Command {
        let mut command = self.script(tools, "generate");
        if is_check {
            command.arg("--check");
        }
        command
    }

    fn script(&self, tools: &Tools, name: &str) -> Command {
        tools.command(&tools.root().join("clients").join(self.language).join(name).to_string_lossy())
    }
}
