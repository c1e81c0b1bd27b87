//! The formats of metrics, and the choice of one by a scraper's `Accept` header (RFC 9110, section 12.5.1).

use http::{HeaderMap, header::ACCEPT};

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics, the default.
    OpenMetrics,
    /// The older text format of Prometheus.
    Plain,
}

/// The formats, the preferred one first.
const FORMATS: [Format; 2] = [Format::OpenMetrics, Format::Plain];

impl Format {
    /// The format that the headers prefer. `None` if they accept neither.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges: Vec<Range<'_>> = texts.flat_map(|text| text.split(',')).filter_map(Range::parse).collect();
        if ranges.is_empty() {
            return Some(Self::OpenMetrics);
        }
        let mut best = None;
        for format in FORMATS {
            let quality = format.quality(&ranges);
            if quality > best.map_or(0, |(_, quality)| quality) {
                best = Some((format, quality));
            }
        }
        best.map(|(format, _)| format)
    }

    /// The weight of this format in thousandths, from the most specific range that covers it.
    fn quality(self, ranges: &[Range<'_>]) -> u16 {
        let covering = ranges.iter().filter_map(|range| Some((range.specificity(self)?, range.quality)));
        covering.max().map_or(0, |(_, quality)| quality)
    }

    /// The value of `Content-Type`.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::OpenMetrics => ("application", "openmetrics-text"),
            Self::Plain => ("text", "plain"),
        }
    }

    fn has_version(self, version: &str) -> bool {
        match self {
            Self::OpenMetrics => version == "1.0.0" || version == "0.0.1",
            Self::Plain => version == "0.0.4",
        }
    }
}

/// A media range of `Accept`.
#[derive(Debug)]
struct Range<'a> {
    media_type: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    quality: u16,
}

impl<'a> Range<'a> {
    /// `None` if the text isn't a media range.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (media_type, subtype) = parts.next()?.split_once('/')?;
        let mut range = Self { media_type, subtype, version: None, quality: 1_000 };
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            let value = value.trim_matches('"');
            match name.to_ascii_lowercase().as_str() {
                "q" => range.quality = thousandths(value)?,
                "version" => range.version = Some(value),
                _ => {}
            }
        }
        Some(range)
    }

    /// How specifically it names the format. `None` if it doesn't cover it.
    fn specificity(&self, format: Format) -> Option<u8> {
        let (media_type, subtype) = format.media_type();
        let is_type = self.media_type.eq_ignore_ascii_case(media_type);
        if is_type && self.subtype.eq_ignore_ascii_case(subtype) {
            return match self.version {
                Some(version) => format.has_version(version).then_some(3),
                None => Some(2),
            };
        }
        match (self.media_type, self.subtype) {
            (_, "*") if is_type => Some(1),
            ("*", "*") => Some(0),
            _ => None,
        }
    }
}

/// A weight: 0 to 1, with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    match whole {
        "0" => format!("{decimals:0<3}").parse().ok(),
        "1" => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(values: &[&str]) -> Option<Format> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, value.parse().unwrap());
        }
        Format::accepted(&headers)
    }

    #[test]
    fn scraper_gets_the_format_that_it_prefers() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (values, format) in [
            (&[][..], Some(Format::OpenMetrics)),
            (&["*/*"], Some(Format::OpenMetrics)),
            (&[prometheus], Some(Format::OpenMetrics)),
            (&["text/plain"], Some(Format::Plain)),
            (&["text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.4"], Some(Format::Plain)),
            (&["Text/*"], Some(Format::Plain)),
            (&["application/openmetrics-text;q=0", "*/*"], Some(Format::Plain)),
            (&["application/openmetrics-text; version=2.0.0, text/plain; q=0.1"], Some(Format::Plain)),
            (&["text/html, */*;q=0.1"], Some(Format::OpenMetrics)),
            (&["application/json"], None),
            (&["*/*;q=0"], None),
            (&["text/plain;q=0.000"], None),
        ] {
            assert_eq!(accepted(values), format, "{values:?}");
        }
    }
}
