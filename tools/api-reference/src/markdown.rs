//! Markdown as code hosts read it: headings with their anchors, tables, and prose in which the names of the contract are links.

use std::collections::BTreeMap;

/// The anchor that code hosts give to a heading.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.flat_map(char::to_lowercase).map(|character| if character == ' ' { '-' } else { character }).collect()
}

/// A link to a heading of this document.
pub(crate) fn link(heading: &str) -> String {
    format!("[{heading}](#{})", anchor(heading))
}

/// A table; the cells are Markdown already.
pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&head.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    text.push_str(&line(&vec!["---".to_owned(); head.len()]));
    rows.into_iter().for_each(|row| text.push_str(&line(&row)));
    text
}

/// Turns words of the contract into prose with links.
#[derive(Default)]
pub(crate) struct Prose {
    headings: BTreeMap<String, String>,
}

impl Prose {
    /// From now on `name` is a link to its heading wherever it stands as a word. A name that could be an ordinary word never is.
    pub(crate) fn knows(&mut self, name: &str) {
        if name.chars().filter(char::is_ascii_uppercase).count() > 1 {
            self.headings.insert(name.to_owned(), anchor(name));
        }
    }

    /// A paragraph, or an item of a list. What stands between backticks stays as it is.
    pub(crate) fn paragraph(&self, text: &str) -> String {
        if let Some(item) = text.strip_prefix(ITEM) {
            return format!("{ITEM}{}", self.paragraph(item));
        }
        let parts = text.split('`').enumerate();
        let shown = parts.map(|(index, part)| if index % 2 == 0 { self.words(part) } else { part.replace('|', r"\|") });
        shown.collect::<Vec<_>>().join("`")
    }

    /// Paragraphs within one cell of a table.
    pub(crate) fn cell(&self, paragraphs: &[String]) -> String {
        let shown = paragraphs.iter().map(|text| match text.strip_prefix(ITEM) {
            Some(item) => format!("• {}", self.paragraph(item)),
            None => self.paragraph(text),
        });
        shown.collect::<Vec<_>>().join("<br><br>")
    }

    fn words(&self, text: &str) -> String {
        let mut shown = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
            let (word, after) = rest.split_at(rest.find(|character| !is_word(character)).unwrap_or(rest.len()));
            match self.headings.get(word) {
                Some(anchor) => shown.push_str(&format!("[{word}](#{anchor})")),
                None => shown.push_str(word),
            }
            let (between, next) = after.split_at(after.find(is_word).unwrap_or(after.len()));
            shown.push_str(&between.replace('<', "&lt;").replace('|', r"\|").replace('*', r"\*"));
            rest = next;
        }
        shown
    }
}

/// How an item of a list begins.
const ITEM: &str = "* ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_what_code_hosts_make_of_a_heading() {
        assert_eq!(anchor("Mailbox.StateCode"), "mailboxstatecode");
        assert_eq!(anchor("KEY_MISMATCH"), "key_mismatch");
        assert_eq!(anchor("How to read this"), "how-to-read-this");
    }

    #[test]
    fn known_names_are_links_and_code_stays_code() {
        let mut prose = Prose::default();
        prose.knows("KEY_MISMATCH");
        prose.knows("Queue");
        assert_eq!(
            prose.paragraph("Queue: KEY_MISMATCH, `KEY_MISMATCH|x`, a|b, <id>."),
            r"Queue: [KEY_MISMATCH](#key_mismatch), `KEY_MISMATCH\|x`, a\|b, &lt;id>."
        );
    }

    #[test]
    fn an_item_of_a_list_stays_one_in_prose_and_gets_a_bullet_in_a_table() {
        let prose = Prose::default();
        assert_eq!(prose.paragraph("* A*B: c."), r"* A\*B: c.");
        assert_eq!(prose.cell(&["One.".to_owned(), "* Two.".to_owned()]), "One.<br><br>• Two.");
    }
}
