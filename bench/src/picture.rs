//! Charts as SVG: bars, and lines on logarithmic axes.

use std::fmt::Write as _;

/// A bar of a chart.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    /// A mark on the bar.
    pub(crate) goal: Option<f64>,
}

const LABEL_WIDTH: f64 = 400.0;
const BAR_WIDTH: f64 = 420.0;
const VALUE_WIDTH: f64 = 60.0;
const ROW_HEIGHT: f64 = 24.0;
const TOP: f64 = 56.0;

/// A chart with a line at 1, which is the echo.
pub(crate) fn bars(title: &str, bars: &[Bar]) -> String {
    let most = bars.iter().flat_map(|bar| [Some(bar.value), bar.goal]).flatten().fold(1.0, f64::max);
    let x = |value: f64| LABEL_WIDTH + BAR_WIDTH * value / most;
    let (width, height) = (LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH, TOP + ROW_HEIGHT * bars.len() as f64 + 12.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n\
         <text x=\"12\" y=\"42\" fill=\"#555555\">Line: the echo. Mark: the goal.</text>\n",
        escaped(title)
    );
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + ROW_HEIGHT * index as f64;
        let (text_y, end) = (y + 15.0, x(bar.value));
        let _infallible = writeln!(
            svg,
            "<text x=\"{}\" y=\"{text_y}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LABEL_WIDTH}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"#3b6ea5\"/>\n\
             <text x=\"{:.1}\" y=\"{text_y}\">{:.2}</text>",
            LABEL_WIDTH - 8.0,
            escaped(&bar.label),
            y + 3.0,
            end - LABEL_WIDTH,
            ROW_HEIGHT - 8.0,
            end + 6.0,
            bar.value,
        );
        if let Some(goal) = bar.goal {
            let _infallible = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{}\" width=\"3\" height=\"{}\" fill=\"#c0392b\"/>",
                x(goal) - 1.5,
                y + 1.0,
                ROW_HEIGHT - 4.0
            );
        }
    }
    let _infallible = writeln!(
        svg,
        "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#555555\" stroke-dasharray=\"4 3\"/>\n</svg>",
        x(1.0),
        TOP - 4.0,
        height - 8.0
    );
    svg
}

/// A line of a chart.
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) points: Vec<(f64, f64)>,
}

const PLOT: (f64, f64) = (400.0, 220.0);
const PLOT_AT: (f64, f64) = (56.0, 48.0);
const LEGEND_WIDTH: f64 = 320.0;
const LEGEND_HEIGHT: f64 = 20.0;
const COLORS: [&str; 7] = ["#3b6ea5", "#c0392b", "#2e8b57", "#8e44ad", "#d08700", "#555555", "#17889b"];

/// A chart with logarithmic axes. The vertical axis has multiples.
pub(crate) fn lines(title: &str, x_title: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points).filter(|(x, y)| *x > 0.0 && *y > 0.0);
    let range = |values: &mut dyn Iterator<Item = f64>, least: (f64, f64)| {
        values.fold(least, |(low, high), value| (low.min(value), high.max(value)))
    };
    let (x_low, x_high) = range(&mut all().map(|(x, _)| *x), (f64::MAX, f64::MIN_POSITIVE));
    // A line that is flat looks flat: the axis has at least a factor of eight.
    let (y_low, y_high) = range(&mut all().map(|(_, y)| *y), (0.5, 4.0));
    let scale = |value: f64, low: f64, high: f64| (value / low).ln() / (high / low).ln().max(f64::MIN_POSITIVE);
    let x = |value: f64| PLOT_AT.0 + PLOT.0 * scale(value, x_low, x_high);
    let y = |value: f64| PLOT_AT.1 + PLOT.1 * (1.0 - scale(value, y_low, y_high));

    let width = PLOT_AT.0 + PLOT.0 + 24.0 + LEGEND_WIDTH;
    let height = PLOT_AT.1 + PLOT.1 + 48.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n\
         <text x=\"12\" y=\"40\" fill=\"#555555\">Cost as a multiple of the first point</text>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555555\">{}</text>\n",
        escaped(title),
        PLOT_AT.0 + PLOT.0 / 2.0,
        height - 10.0,
        escaped(x_title)
    );
    let (left, right, bottom) = (PLOT_AT.0, PLOT_AT.0 + PLOT.0, PLOT_AT.1 + PLOT.1);
    for tick in ticks(y_low, y_high) {
        let at = y(tick);
        let _infallible = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
            left - 6.0,
            at + 4.0
        );
    }
    let mut places: Vec<f64> = all().map(|(x, _)| *x).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    // Labels need some distance.
    let mut free = f64::MIN;
    for place in places.into_iter().filter(|place| {
        let is_shown = x(*place) >= free;
        free = if is_shown { x(*place) + 44.0 } else { free };
        is_shown
    }) {
        let at = x(place);
        let _infallible = writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{bottom}\" stroke=\"#eeeeee\"/>\n\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            PLOT_AT.1,
            bottom + 16.0,
            short(place)
        );
    }
    for (index, (line, color)) in lines.iter().zip(COLORS.iter().cycle()).enumerate() {
        let points: Vec<String> =
            line.points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        let legend = PLOT_AT.1 + 10.0 + LEGEND_HEIGHT * index as f64;
        let _infallible = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>\n\
             <line x1=\"{}\" x2=\"{}\" y1=\"{legend}\" y2=\"{legend}\" stroke=\"{color}\" stroke-width=\"3\"/>\n\
             <text x=\"{}\" y=\"{}\">{}</text>",
            points.join(" "),
            right + 20.0,
            right + 40.0,
            right + 46.0,
            legend + 4.0,
            escaped(&line.label)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Round numbers of a logarithmic axis: powers of two, or of ten if there are many.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let base: f64 = if high / low > 64.0 { 10.0 } else { 2.0 };
    let exponents = (low.log(base).ceil() as i32)..=(high.log(base).floor() as i32);
    exponents.map(|exponent| base.powi(exponent)).collect()
}

/// A number with a prefix, such as `64 Ki`.
fn short(value: f64) -> String {
    let whole = value as u64;
    for (unit, prefix) in [(1 << 20, "Mi"), (1_000_000, "M"), (1 << 10, "Ki"), (1_000, "k")] {
        if whole >= unit && whole.is_multiple_of(unit) {
            return format!("{} {prefix}", whole / unit);
        }
    }
    whole.to_string()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_bar_reaches_the_end() {
        let bar = |value| Bar { label: "a < b".to_owned(), value, goal: Some(0.5) };
        let svg = bars("rates", &[bar(2.0), bar(1.0)]);
        assert!(svg.contains("width=\"420.0\"") && svg.contains("width=\"210.0\""), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.trim_end().ends_with("</svg>"), "{svg}");
    }

    #[test]
    fn flat_line_is_horizontal() {
        let line = Line { label: "Get".to_owned(), points: vec![(1.0, 1.0), (1_000.0, 1.0)] };
        let svg = lines("records", "records", &[line]);
        let (_, points) = svg.split_once("points=\"").unwrap();
        let (points, _) = points.split_once('"').unwrap();
        let heights: Vec<_> = points.split(' ').map(|point| point.split_once(',').unwrap().1).collect();
        assert_eq!(heights[0], heights[1], "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
    }

    #[test]
    fn places_have_prefixes() {
        assert_eq!([16.0, 1_000.0, 65_536.0, 1e6].map(short), ["16", "1 k", "64 Ki", "1 M"]);
    }
}
