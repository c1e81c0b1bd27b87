//! The results as Markdown and pictures.

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    figures::{Round, Rounds},
    growth::{Curve, Line},
    many::{Figure, Goal, RECORDS, WALK},
    outcome::Outcome,
    picture::{self, Bar},
    rates::{Pace, Row, Side},
    shape::{SHAPE, Shape},
    table::{Table, number},
    workload::Workload,
};

/// Everything that was measured in a run.
pub(crate) struct Results {
    /// The machine, the revision of the source, and the command.
    pub(crate) place: String,
    pub(crate) pace: Pace,
    pub(crate) rates: Vec<(Shape, Vec<Row>)>,
    /// Numbers of records, and the figures of each server.
    pub(crate) many: Vec<(u64, Vec<Measured>)>,
    /// The rows per second that pgcrypto encrypts again.
    pub(crate) pgcrypto: Option<f64>,
    pub(crate) growth: Vec<Curve>,
}

/// A server's name, and its figures.
pub(crate) type Measured = (String, Vec<Figure>);

/// The file, and the folder of its pictures beside it.
const FILE: &str = "benchmarks.md";
const PICTURES: &str = "benchmarks";
/// The document of this build, for a folder without one.
const TEMPLATE: &str = include_str!("../../docs/benchmarks.md");

/// A part of the document that a run replaces. The text between these parts is written by people.
struct Section {
    name: String,
    text: String,
}

impl Results {
    /// The tables, for the terminal.
    pub(crate) fn render(&self) -> String {
        self.sections().into_iter().map(|Section { name, text }| format!("## {name}\n\n{text}\n")).collect()
    }

    fn sections(&self) -> Vec<Section> {
        let place = &self.place;
        let mut sections = Vec::new();
        let mut add = |name: &str, text: String| {
            sections.push(Section { name: name.to_owned(), text: format!("{place}\n\n{text}") });
        };
        if let Some((shape, rows)) = self.rates.iter().find(|(shape, _)| *shape == SHAPE) {
            add(
                "rates",
                format!(
                    "![Rates as parts of the echo's]({PICTURES}/rates.svg)\n\n\
                     ![CPU time as multiples of the echo's]({PICTURES}/cpu.svg)\n\n\
                     {} calls in flight on {} connections:\n\n{}{}\n{}",
                    shape.in_flight,
                    shape.connections,
                    rates(rows),
                    beside(rows),
                    how(self.pace)
                ),
            );
        }
        if self.rates.len() > 1 {
            add("shapes", shapes(&self.rates));
        }
        for (records, sides) in &self.many {
            let mut text = many(sides);
            if let (Some(pgcrypto), Some(walk)) = (self.pgcrypto, walk(sides)) {
                let _infallible = write!(
                    text,
                    "\npgcrypto decrypts and encrypts {} rows/s in one UPDATE of a table with one encrypted column (AES-128 in CBC mode, without\n\
                     authentication). The walk of the re-encryption is {} × that ({}).\n",
                    number(pgcrypto),
                    number(walk / pgcrypto),
                    verdict(Goal::AtLeast(3.0), walk / pgcrypto)
                );
            }
            add(
                if *records > RECORDS { "many-full" } else { "many" },
                format!("{} records:\n\n{text}", number(*records as f64)),
            );
        }
        for curve in &self.growth {
            let (section, title) = (curve.section(), curve.title);
            add(&section, format!("![{title}]({PICTURES}/{section}.svg)\n\n{}", curve.table()));
        }
        sections
    }

    /// Replaces the sections of the document in a folder, and the pictures, that this run measured.
    pub(crate) fn write(&self, folder: &Path) -> Outcome<()> {
        let (file, pictures) = (folder.join(FILE), folder.join(PICTURES));
        let write =
            |file: &Path, text: String| fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()));
        fs::create_dir_all(&pictures).map_err(|error| format!("{}: {error}", pictures.display()))?;
        if let Some((_, rows)) = self.rates.iter().find(|(shape, _)| *shape == SHAPE) {
            let rates = chart(rows, rate, |workload| workload.goal);
            write(&pictures.join("rates.svg"), picture::bars("Calls per second, as part of the echo's", &rates))?;
            let cpus = chart(rows, cpu, |workload| workload.cpu_goal);
            let title = "Server CPU time per call, as multiple of the echo's";
            write(&pictures.join("cpu.svg"), picture::bars(title, &cpus))?;
        }
        for curve in &self.growth {
            write(&pictures.join(format!("{}.svg", curve.section())), curve.picture())?;
        }
        let mut text = fs::read_to_string(&file).unwrap_or_else(|_| TEMPLATE.to_owned());
        for section in self.sections() {
            text = replace(&text, &section).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        write(&file, text)
    }
}

/// Replaces the text between the two marks of a section.
fn replace(document: &str, Section { name, text }: &Section) -> Outcome<String> {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let lacks = || format!("the marks of the section {name} are missing");
    let (before, rest) = document.split_once(&begin).ok_or_else(lacks)?;
    let (_, after) = rest.split_once(&end).ok_or_else(lacks)?;
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", text.trim_end()))
}

impl Curve {
    fn section(&self) -> String {
        format!("growth-{}", self.name)
    }

    fn picture(&self) -> String {
        let lines: Vec<picture::Line> = self.lines.iter().map(Line::multiples).collect();
        picture::lines(self.title, self.grows, &lines)
    }

    /// A row for each line, a column for each place.
    fn table(&self) -> String {
        let mut places: Vec<f64> = self.lines.iter().flat_map(|line| &line.points).map(|point| point.at).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let shown: Vec<String> = places.iter().map(|place| number(*place)).collect();
        let mut table =
            Table::new(&[self.grows].into_iter().chain(shown.iter().map(String::as_str)).collect::<Vec<_>>());
        for line in &self.lines {
            let cell = |place: &f64| {
                let point = line.points.iter().find(|point| point.at == *place);
                point.map_or(String::new(), |point| match point.rate {
                    Some(rate) => format!("{} µs, {}/s", number(point.cost), number(rate)),
                    None => format!("{}{}", number(point.cost), line.unit),
                })
            };
            table.row([line.label.clone()].into_iter().chain(places.iter().map(cell)).collect());
        }
        table.render()
    }
}

impl Line {
    /// The line as multiples of its first point.
    fn multiples(&self) -> picture::Line {
        let first = self.points.first().map_or(f64::NAN, |point| point.cost);
        let points = self.points.iter().map(|point| (point.at, point.cost / first)).collect();
        picture::Line { label: self.label.clone(), points }
    }
}

/// The table of several shapes: a row for each call, a column for each shape.
fn shapes(all: &[(Shape, Vec<Row>)]) -> String {
    let headings: Vec<String> =
        all.iter().map(|(shape, _)| format!("{} on {}", shape.in_flight, shape.connections)).collect();
    let mut table = Table::new(&["call"].into_iter().chain(headings.iter().map(String::as_str)).collect::<Vec<_>>());
    let calls = all.first().map(|(_, rows)| rows.as_slice()).unwrap_or_default();
    for (index, call) in calls.iter().enumerate() {
        let cells = all.iter().map(|(_, rows)| {
            let sides = rows.get(index).map(|row| row.sides.as_slice()).unwrap_or_default();
            let [echo, server, ..] = sides else { return String::new() };
            format!(
                "{} ({}/s), {} µs, {} ms",
                number(server.rounds.ratio(&echo.rounds, rate)),
                number(server.rounds.median(rate)),
                number(server.rounds.median(cpu)),
                number(server.rounds.median(p99) / 1e3),
            )
        });
        table.row([call.workload.title.to_owned()].into_iter().chain(cells).collect());
    }
    format!(
        "Calls in flight on connections: part of the echo's rate (calls/s), CPU time per call, p99. Lists and batches have at most 64 in\n\
         flight, imports 4.\n\n{}",
        table.render()
    )
}

/// How the rates were measured.
fn how(Pace { rounds, seconds }: Pace) -> String {
    format!(
        "* Each figure is the median of {rounds} rounds of {seconds} s after a warm-up; rounds of all sides of a row alternate. `of the echo` and `× echo` are\n  \
           medians of the ratios in each round.\n\
         * CPU is user and system time per call, from `/proc/PID/stat`; of PostgreSQL, with its child processes.\n\
         * h2load sends the same request with a bearer token. The driver, a program of the bench, sends requests that differ, with a client certificate,\n  \
           and needs more CPU time itself: compare its rows only with the echo beside them. pgbench has a connection for each call in flight.\n\
         * The server runs with the configuration of `sealward-server dev`: TLS, audit on, log at its default level (read at once), SQLite on disk with\n  \
           `synchronous=FULL`. Only the limits of reveals per minute and of key changes per hour are off.\n\
         * Get reads a record that is in memory. A record has four attributes and one encrypted value. Deleted records are created before each round.\n\
         * `refused` counts calls that weren't answered with success.\n"
    )
}

/// The table of the rates: a row for each side.
fn rates(rows: &[Row]) -> String {
    let against = |sides: &[Side]| sides.iter().position(|side| side.name == AGAINST);
    let is_compared = rows.iter().any(|row| against(&row.sides).is_some());
    let mut heading = vec!["call", "side", "load by", "calls/s", "of the echo", "goal", "CPU µs", "× echo"];
    heading.extend(["p50 ms", "× echo", "p99 ms", "× echo", "refused"]);
    heading.extend(is_compared.then_some("of against"));
    let mut table = Table::new(&heading);
    for Row { workload, sides } in rows {
        let Some(echo) = sides.first() else { continue };
        for (index, Side { name, load_by, rounds }) in sides.iter().enumerate() {
            let unless_echo = |text: String| if index == 0 { String::new() } else { text };
            let ratio = |figure: fn(&Round) -> f64| unless_echo(number(rounds.ratio(&echo.rounds, figure)));
            let goal = workload.goal.map(Goal::AtLeast).filter(|_| index == 1);
            let goal = goal.map_or(String::new(), |goal| verdict(goal, rounds.ratio(&echo.rounds, rate)));
            let mut cells = vec![
                workload.title.to_owned(),
                name.clone(),
                (*load_by).to_owned(),
                number(rounds.median(rate)),
                ratio(rate),
                goal,
                number(rounds.median(cpu)),
                ratio(cpu),
                number(rounds.median(p50) / 1e3),
                ratio(p50),
                number(rounds.median(p99) / 1e3),
                ratio(p99),
                refused(rounds),
            ];
            if is_compared {
                let other = against(sides).filter(|_| index == 1).and_then(|other| sides.get(other));
                cells.push(other.map_or(String::new(), |other| number(rounds.ratio(&other.rounds, rate))));
            }
            table.row(cells);
        }
    }
    table.render()
}

/// The name of the second server.
pub(crate) const AGAINST: &str = "against";

/// A line for each rate of records, and for each peer: the ratio of the server's rate to its rate.
fn beside(rows: &[Row]) -> String {
    let mut text = String::new();
    for Row { workload, sides } in rows {
        let Some(server) = sides.get(1) else { continue };
        if workload.records > 1 {
            let records = server.rounds.median(rate) * workload.records as f64;
            let goal = workload
                .records_goal
                .map_or(String::new(), |goal| format!(" ({})", verdict(Goal::AtLeast(goal), records)));
            let cpu = server.rounds.median(cpu) / workload.records as f64;
            let _infallible = writeln!(
                text,
                "* {}: {} records/s{goal}, {} µs of CPU time each",
                workload.title,
                number(records),
                number(cpu)
            );
        }
        for peer in sides.iter().skip(2).filter(|side| side.name != AGAINST) {
            let ratio = server.rounds.ratio(&peer.rounds, rate);
            let goal = workload.goal_of_peer.filter(|(name, _)| *name == peer.name);
            let goal = goal.map_or(String::new(), |(_, goal)| format!(" ({})", verdict(Goal::AtLeast(goal), ratio)));
            let _infallible =
                writeln!(text, "* {}: {} × the rate of {}{goal}", workload.title, number(ratio), peer.name);
        }
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// The bars of a figure's ratio to the echo: the server, then the peers.
fn chart(rows: &[Row], figure: fn(&Round) -> f64, goal: fn(&Workload) -> Option<f64>) -> Vec<Bar> {
    let mut bars = Vec::new();
    for Row { workload, sides } in rows {
        let Some(echo) = sides.first() else { continue };
        for (index, side) in sides.iter().enumerate().skip(1) {
            let label = if index == 1 { workload.title.to_owned() } else { side.name.clone() };
            bars.push(Bar {
                label,
                value: side.rounds.ratio(&echo.rounds, figure),
                goal: goal(workload).filter(|_| index == 1),
            });
        }
    }
    bars
}

/// The table of the figures with many records: a column for each server.
fn many(sides: &[(String, Vec<Figure>)]) -> String {
    let mut heading = vec!["figure", "unit"];
    heading.extend(sides.iter().map(|(name, _)| name.as_str()));
    heading.extend(["goal", "how"]);
    let mut table = Table::new(&heading);
    let Some((_, first)) = sides.first() else { return String::new() };
    for (index, figure) in first.iter().enumerate() {
        let goal = figure.goal.map_or(String::new(), |goal| verdict(goal, figure.value));
        let values = sides.iter().filter_map(|(_, figures)| figures.get(index)).map(|figure| number(figure.value));
        let cells = [figure.name.to_owned(), figure.unit.to_owned()].into_iter().chain(values);
        table.row(cells.chain([goal, figure.how.clone()]).collect());
    }
    table.render()
}

fn walk(sides: &[(String, Vec<Figure>)]) -> Option<f64> {
    let (_, figures) = sides.first()?;
    figures.iter().find(|figure| figure.name == WALK).map(|figure| figure.value)
}

/// A goal, and whether it is met.
fn verdict(goal: Goal, value: f64) -> String {
    let (sign, limit) = match goal {
        Goal::AtLeast(limit) => ('≥', limit),
        Goal::AtMost(limit) => ('≤', limit),
    };
    format!("{sign} {}: {}", number(limit), if goal.is_met(value) { "met" } else { "missed" })
}

fn refused(rounds: &Rounds) -> String {
    match rounds.refused() {
        share if share > 0.0 => format!("{:.2} %", share * 100.0),
        _ => "0".to_owned(),
    }
}

fn rate(round: &Round) -> f64 {
    round.rate
}

fn cpu(round: &Round) -> f64 {
    round.cpu_us
}

fn p50(round: &Round) -> f64 {
    round.percentile_us(0.5)
}

fn p99(round: &Round) -> f64 {
    round.percentile_us(0.99)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(name: &str) -> Section {
        Section { name: name.to_owned(), text: "new\n".to_owned() }
    }

    #[test]
    fn section_is_replaced_between_its_marks() {
        let document = "before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n";
        let replaced = replace(document, &section("a")).unwrap();
        assert_eq!(replaced, "before\n<!-- begin a -->\n\nnew\n\n<!-- end a -->\nafter\n");
        assert!(replace(document, &section("b")).is_err());
    }

    #[test]
    fn document_has_every_section() {
        let growth =
            ["records", "values", "attributes", "organizations", "connections"].map(|name| format!("growth-{name}"));
        for name in ["rates", "shapes", "many", "many-full"].map(str::to_owned).into_iter().chain(growth) {
            assert!(replace(TEMPLATE, &section(&name)).is_ok(), "{name}");
        }
    }
}
