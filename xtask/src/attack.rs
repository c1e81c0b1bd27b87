//! `cargo xtask attack`: a campaign of attacks on servers of this machine, and a table of what they came to.

use std::{
    fs,
    path::{Path, PathBuf, absolute},
    process::ExitCode,
};

use crate::campaign;

pub(crate) const SUMMARY: &str = "attacks servers on 127.0.0.1, and reports their memory, latency and refusals";

const HELP: &str = "\
Usage: cargo xtask attack [ROUNDS] [--server PROGRAM]

Attacks a server process in each of the ways that tests/attacks.rs has, one after the other, in up to ROUNDS rounds (default 10), of
which none begins after a minute. `cargo xtask test` makes one round of each. The server is the one of this build, or PROGRAM, which may be
an older sealward-server.

It ends with a table. Memory is in MiB: before the attack, the greatest, what the limits allow, and after it. Latencies are medians and
maxima in milliseconds, without the attack (quiet) and during it: `get` is GetMailbox over one connection, `admin` is the state of the
key over a new connection for each call. `refused by` counts refusals by the bound in [limits], and refused handshakes by cause.
An attack fails if an honest call isn't answered, if the server has more memory than its limits allow, or if nothing was refused by a
bound that the attack exceeds. Latency never fails it.";

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
                eprintln!("{}: not a file; --server takes the path of a sealward-server", server.display());
                return ExitCode::FAILURE;
            }
        };
    }
    let outcome = campaign::run(cargo);
    println!("{}", taken(&table));
    outcome
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
struct Campaign {
    rounds: u32,
    server: Option<PathBuf>,
}

impl Campaign {
    /// `None` if that isn't how the command is used.
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

/// The table in this file, which is removed.
fn taken(file: &Path) -> String {
    let Ok(rows) = fs::read_to_string(file) else { return "No attack was made.".to_owned() };
    if let Err(error) = fs::remove_file(file) {
        eprintln!("{}: {error}", file.display());
    }
    aligned(&rows)
}

/// Rows of `column=value` with tabs between them, as a table. A column that a row lacks is empty there.
fn aligned(rows: &str) -> String {
    let rows: Vec<Vec<(&str, &str)>> =
        rows.lines().map(|row| row.split('\t').filter_map(|cell| cell.split_once('=')).collect()).collect();
    let mut columns: Vec<&str> = Vec::new();
    // The row with the most columns first: one that failed early has only some of them.
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
    fn rounds_and_server_come_in_any_order() {
        assert_eq!(read(&[]), Some(Campaign { rounds: ROUNDS, server: None }));
        let both = Some(Campaign { rounds: 3, server: Some("old".into()) });
        assert_eq!(read(&["3", "--server", "old"]), both);
        assert_eq!(read(&["--server", "old", "3"]), both);
        for wrong in [&["0"][..], &["many"], &["--server"]] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn rows_that_lack_columns_are_aligned_with_the_others() {
        let table = aligned("result=FAILED\tattack=lists\nresult=ok\tattack=long names\tMiB=31\trefused by=a 1, b 2\n");
        let wanted = "result  attack      MiB  refused by\nFAILED  lists\nok      long names  31   a 1, b 2";
        assert_eq!(table, wanted);
    }
}
