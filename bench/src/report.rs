//! The tables of the results.

use crate::{
    figures::{Round, Rounds},
    many::{Figure, Goal},
    rates::{Pace, Row},
    table::{Table, number},
    workload::Sent,
};

/// How the rates were measured, in a few lines.
pub(crate) fn how(Pace { rounds, seconds }: Pace) -> String {
    format!(
        "The median of {rounds} alternating rounds of {seconds} s, after a warm-up. `of the echo` is the median of the ratios in each round.\n\
         CPU is user and system time of the server process. Load by h2load (same request, bearer token) or by the driver (client certificate)."
    )
}

/// The table of the rates: a row for the echo, and one for each server.
pub(crate) fn rates(rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "call",
        "side",
        "load by",
        "calls/s",
        "of the echo",
        "goal",
        "CPU µs",
        "× echo",
        "p50 ms",
        "× echo",
        "p99 ms",
        "× echo",
        "refused",
    ]);
    for Row { workload, sides } in rows {
        let Some((_, echo)) = sides.first() else { continue };
        let driver = if workload.sent == Sent::Same { "h2load" } else { "driver" };
        for (index, (side, rounds)) in sides.iter().enumerate() {
            let is_echo = index == 0;
            let unless_echo = |text: String| if is_echo { String::new() } else { text };
            let ratio = |figure: fn(&Round) -> f64| unless_echo(number(rounds.ratio(echo, figure)));
            let goal = workload.goal.map(Goal::AtLeast);
            let goal = goal.map_or(String::new(), |goal| verdict(goal, rounds.ratio(echo, rate)));
            table.row(vec![
                workload.title.to_owned(),
                side.clone(),
                driver.to_owned(),
                number(rounds.median(rate)),
                ratio(rate),
                unless_echo(goal),
                number(rounds.median(cpu)),
                ratio(cpu),
                number(rounds.median(p50) / 1e3),
                ratio(p50),
                number(rounds.median(p99) / 1e3),
                ratio(p99),
                refused(rounds),
            ]);
        }
    }
    table.render()
}

/// The table of the figures with many records: a column for each server.
pub(crate) fn many(sides: &[(String, Vec<Figure>)]) -> String {
    let mut heading = vec!["figure", "unit", "goal"];
    heading.extend(sides.iter().map(|(name, _)| name.as_str()));
    heading.push("how");
    let mut table = Table::new(&heading);
    let Some((_, first)) = sides.first() else { return String::new() };
    for (index, figure) in first.iter().enumerate() {
        let goal = figure.goal.map_or(String::new(), |goal| verdict(goal, figure.value));
        let values = sides.iter().filter_map(|(_, figures)| figures.get(index)).map(|figure| number(figure.value));
        let cells = [figure.name.to_owned(), figure.unit.to_owned(), goal].into_iter().chain(values);
        table.row(cells.chain([figure.how.clone()]).collect());
    }
    table.render()
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
