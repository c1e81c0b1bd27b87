//! A row of the table that `cargo xtask attack` prints: the results of an attack, even if its test failed.

use std::{fs::OpenOptions, io::Write as _};

/// The file that rows are appended to. Without one, a row is printed.
const FILE_VARIABLE: &str = "SEALWARD_ATTACK_TABLE";

/// The results of an attack so far. Written on drop, so that an attack that panics has its row, too.
pub(crate) struct Row {
    attack: &'static str,
    cells: Vec<(&'static str, String)>,
    is_passed: bool,
}

impl Row {
    /// The row of an attack that has not passed yet.
    pub(crate) fn new(attack: &'static str) -> Self {
        Row { attack, cells: Vec::new(), is_passed: false }
    }

    /// Adds what is in this column.
    pub(crate) fn set(&mut self, column: &'static str, value: impl ToString) {
        self.cells.push((column, value.to_string()));
    }

    pub(crate) fn pass(&mut self) {
        self.is_passed = true;
    }

    /// `column=value` for each column, with tabs between them.
    fn line(&self) -> String {
        let result = if self.is_passed { "ok" } else { "FAILED" };
        let cells = self.cells.iter().map(|(column, value)| format!("\t{column}={value}"));
        format!("result={result}\tattack={}{}\n", self.attack, cells.collect::<String>())
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let Some(file) = std::env::var_os(FILE_VARIABLE) else {
            print!("{}", self.line());
            return;
        };
        // One write, so that rows of tests that run side by side stay whole.
        let written = OpenOptions::new().create(true).append(true).open(&file);
        let written = written.and_then(|mut file| file.write_all(self.line().as_bytes()));
        if let Err(error) = written {
            eprintln!("{}: {error}: {}", file.display(), self.line());
        }
    }
}
