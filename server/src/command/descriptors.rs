//! `descriptors`: prints the descriptors of the contract, which tools otherwise get from server reflection.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use clap::Args;
use sealward_server::descriptors;

use super::{failure::Failure, print, shell::absolute};

/// The arguments of `descriptors`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-server descriptors --output sealward.protoset
  sealward-server descriptors --output /srv/www/sealward.protoset

The output is an encoded google.protobuf.FileDescriptorSet. It has the files
that server reflection serves: the contract with its comments, grpc.health.v1,
grpc.reflection, and the types of error details in google.rpc. It needs no
configuration and no running server. grpcurl and ghz read it with -protoset
and --protoset, buf curl with --schema. An existing FILE is replaced.

Exit codes: 0 success, 1 failure, 2 invalid command line.")]
pub(super) struct DescriptorsArguments {
    /// The file to write, instead of stdout.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Why the descriptors can't be written.
#[derive(Debug, thiserror::Error)]
enum OutputError {
    #[error("the descriptors are binary, and stdout is a terminal: use --output FILE, or redirect stdout")]
    Terminal,
    #[error("{} can't be written", .0.display())]
    File(PathBuf, #[source] io::Error),
}

pub(super) fn run(arguments: DescriptorsArguments) -> Result<(), Failure> {
    let set = descriptors::complete(sealward::FILE_DESCRIPTOR_SET)?;
    match arguments.output {
        Some(file) => write_file(&absolute(file), &set)?,
        None => write_stdout(&set)?,
    }
    Ok(())
}

fn write_file(file: &Path, set: &[u8]) -> Result<(), OutputError> {
    descriptors::write(file, set).map_err(|error| OutputError::File(file.to_owned(), error))
}

fn write_stdout(set: &[u8]) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(OutputError::Terminal.into());
    }
    Ok(print::to_stdout(set)?)
}
