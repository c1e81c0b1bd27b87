//! `sealward-bench`: measures a Sealward server beside a bare tonic server, the *echo*, on the same machine in the same run.
//!
//! Every server and every load generator is a process. This program is three of them: the measurement, the echo, and the load generator
//! for requests that differ from call to call. `cargo xtask bench` builds and runs it.

mod answers;
mod deployment;
mod driver;
mod echo;
mod figures;
mod growth;
mod h2load;
mod instructions;
mod load;
mod machine;
mod many;
mod outcome;
mod peers;
mod picture;
mod process;
mod rates;
mod report;
mod restart;
mod run;
mod shape;
mod table;
mod target;
mod work;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "sealward-bench", subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    measurement: run::Arguments,
}

/// The parts of the bench that are processes of their own.
#[derive(Subcommand)]
enum Part {
    /// Counts the instructions of a call on the hot paths.
    Instructions(instructions::Arguments),
    /// Measures the gap of a restart, as an upgrade has it.
    Restart(restart::Arguments),
    /// Serves the echo.
    #[command(hide = true)]
    Echo(echo::Arguments),
    /// Generates load.
    #[command(hide = true)]
    Drive(driver::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match &arguments.part {
        // One thread, so that the load generator takes at most one core.
        Some(Part::Drive(_)) => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        Some(Part::Echo(_) | Part::Instructions(_) | Part::Restart(_)) | None => tokio::runtime::Runtime::new(),
    };
    let outcome = runtime.map_err(|error| format!("can't start the runtime: {error}")).and_then(|runtime| {
        runtime.block_on(async {
            match &arguments.part {
                Some(Part::Instructions(arguments)) => instructions::run(arguments).await,
                Some(Part::Restart(arguments)) => restart::run(arguments).await,
                Some(Part::Echo(arguments)) => echo::run(arguments).await,
                Some(Part::Drive(arguments)) => driver::run(arguments).await,
                None => run::run(&arguments.measurement).await,
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
