//! Bar charts as SVG.

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
}
