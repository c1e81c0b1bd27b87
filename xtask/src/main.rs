//! Development tasks, run as `cargo xtask TASK`. Each task is a module and a line in [`TASKS`].

use std::process::ExitCode;

mod attack;
mod bench;
mod campaign;
mod chart;
mod clients;
mod fuzz;
mod generate;
mod kill;
mod layers;
mod long_checks;
mod messages;
mod release;
mod source;
mod test;
mod texts;
mod tools;

/// A task: its name, its summary, and its function, which gets the arguments after the name.
type Task = (&'static str, &'static str, fn(&[String]) -> ExitCode);

const TASKS: &[Task] = &[
    ("test", test::SUMMARY, test::run),
    ("tools", test::TOOLS_SUMMARY, test::install_tools),
    ("layers", layers::SUMMARY, layers::run),
    ("chart", chart::SUMMARY, chart::run),
    ("generate", generate::SUMMARY, generate::run),
    ("bench", bench::SUMMARY, bench::run),
    ("fuzz", fuzz::SUMMARY, fuzz::run),
    ("kill", kill::SUMMARY, kill::run),
    ("attack", attack::SUMMARY, attack::run),
    ("release", release::SUMMARY, release::run),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();

    match TASKS.iter().find(|(task, ..)| *task == name) {
        Some((_, _, run)) => run(&rest),
        None if matches!(name.as_str(), "" | "help" | "-h" | "--help") => {
            println!("{}", help());
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("unknown task `{name}`\n\n{}", help());
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let tasks: Vec<String> = TASKS.iter().map(|(name, summary, _)| format!("  {name:<10}{summary}")).collect();
    format!(
        "Usage: cargo xtask TASK [ARGUMENTS]\n\n{}\n\nFor the help of a task: cargo xtask TASK --help",
        tasks.join("\n")
    )
}
