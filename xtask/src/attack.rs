//! `cargo xtask attack`: a campaign of attacks on local servers, and a table of the results.

use std::{
    fs,
    path::{Path, PathBuf, absolute},
    process::ExitCode,
};

use crate::campaign;

pub(crate) const SUMMARY: &str = "attacks servers on 127.0.0.1, and reports their memory, latency and refusals";

const HELP: &str = "\
Usage: cargo xtask attack [ROUNDS] [--server PROGRAM]

Runs each attack of tests/attacks.rs against a server process, one after the other. An attack has up to ROUNDS rounds (default 10), and starts no
round after a minute. `cargo xtask test` runs one round of each attack. The server is that of this build, or PROGRAM, such as an older
sealward-server.

Prints a table at the end. Memory is in MiB: before the attack, the maximum, the maximum that the limits allow, and after the attack.
Latencies are medians and maxima in milliseconds, without the attack (quiet) and during the attack: `get` is GetMailbox over one connection,
`admin` is the state of the key, with a new connection for each call. `refused by` counts refusals by limit, and refused handshakes by cause.
An attack fails if a regular call isn't answered, if the server uses more memory than its limits allow, or if a limit that the attack exceeds
refuses nothing. Latency doesn't affect the result.";

const ROUNDS: u32 = 10;

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help")) {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some(Campaign { rounds, server }) = Campaign::read(arguments) else {
        eprintln!("{HELP}");
        return ExitCode::FAILURE;
    };
    let table = std::env::temp_dir().join(format!("sealward-attack-{}", std::process::id()));
    let mut cargo = campaign::black_box();
    cargo
        .args(["--test-threads", "1", "attacks::"])
        .env("SEALWARD_ATTACK_ROUNDS", rounds.to_string())
        .env("SEALWARD_ATTACK_TABLE", &table);
    if let Some(server) = server {
        match absolute(&server) {
            Ok(server) if server.is_file() => cargo.env("SEALWARD_ATTACK_SERVER", server),
            Ok(_) | Err(_) => {
                eprintln!("{} isn't a file: pass the path of a sealward-server to --server", server.display());
                return ExitCode::FAILURE;
            }
        };
    }
    let outcome = campaign::run(cargo);
    println!("{}", take_table(&table));
    outcome
}

/// The arguments of the task.
#[derive(Debug, PartialEq, Eq)]
struct Campaign {
    rounds: u32,
    server: Option<PathBuf>,
}

impl Campaign {
    /// Parses the arguments; `None` if they are invalid.
    fn read(arguments: &[String]) -> Option<Self> {
        let mut campaign = Self { rounds: ROUNDS, server: None };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--server" => campaign.server = Some(rest.next()?.into()),
                rounds => campaign.rounds = rounds.parse().ok().filter(|rounds| *rounds > 0)?,
            }
        }
        Some(campaign)
    }
}

/// Reads and removes the file with the table.
fn take_table(file: &Path) -> String {
    let Ok(rows) = fs::read_to_string(file) else { return "No attack ran.".to_owned() };
    if let Err(error) = fs::remove_file(file) {
        eprintln!("{}: {error}", file.display());
    }
    aligned(&rows)
}

/// Aligns tab-separated rows of `column=value`. A cell is empty if its row doesn't have the column.
fn aligned(rows: &str) -> String {
    let rows: Vec<Vec<(&str, &str)>> =
        rows.lines().map(|row| row.split('\t').filter_map(|cell| cell.split_once('=')).collect()).collect();
    let mut columns: Vec<&str> = Vec::new();
    // Rows with the most columns first: an attack that failed early has only some columns.
    let mut longest_first: Vec<_> = rows.iter().collect();
    longest_first.sort_by_key(|row| std::cmp::Reverse(row.len()));
    for (column, _) in longest_first.into_iter().flatten() {
        if !columns.contains(column) {
            columns.push(column);
        }
    }
    let value = |row: &[(&str, &str)], column: &str| {
        row.iter().find(|(name, _)| *name == column).map_or(String::new(), |(_, value)| (*value).to_owned())
    };
    let mut lines = vec![columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|column| value(row, column)).collect()));
    let widths: Vec<usize> = (0..columns.len())
        .map(|index| {
            lines.iter().filter_map(|line| line.get(index)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let lines = lines.iter().map(|line| {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Option<Campaign> {
        Campaign::read(&arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn rounds_and_server_are_accepted_in_any_order() {
        assert_eq!(read(&[]), Some(Campaign { rounds: ROUNDS, server: None }));
        let both = Some(Campaign { rounds: 3, server: Some("old".into()) });
        assert_eq!(read(&["3", "--server", "old"]), both);
        assert_eq!(read(&["--server", "old", "3"]), both);
        for wrong in [&["0"][..], &["many"], &["--server"]] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn rows_without_all_columns_are_aligned() {
        let table = aligned("result=FAILED\tattack=lists\nresult=ok\tattack=long names\tMiB=31\trefused by=a 1, b 2\n");
        let wanted = "result  attack      MiB  refused by\nFAILED  lists\nok      long names  31   a 1, b 2";
        assert_eq!(table, wanted);
    }
}
