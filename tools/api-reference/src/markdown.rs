//! Markdown for code hosts: headings with anchors, tables, and prose in which names of the contract are links.

use std::collections::BTreeMap;

/// Returns the anchor of a heading on code hosts.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.flat_map(char::to_lowercase).map(|character| if character == ' ' { '-' } else { character }).collect()
}

/// Returns a link to a heading of this document.
pub(crate) fn link(heading: &str) -> String {
    format!("[{heading}](#{})", anchor(heading))
}

/// Returns a table. The cells must be Markdown.
pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&head.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    text.push_str(&line(&vec!["---".to_owned(); head.len()]));
    rows.into_iter().for_each(|row| text.push_str(&line(&row)));
    text
}

/// Returns paragraphs as Markdown, with a blank line after each one except between the items of a list.
pub(crate) fn blocks(paragraphs: &[String]) -> String {
    let is_item = |paragraph: &String| paragraph.starts_with(ITEM);
    let mut text = String::new();
    for (index, paragraph) in paragraphs.iter().enumerate() {
        let is_within_list = is_item(paragraph) && paragraphs.get(index + 1).is_some_and(is_item);
        text.push_str(paragraph);
        text.push_str(if is_within_list { "\n" } else { "\n\n" });
    }
    text
}

/// Turns comments of the contract into prose with links.
#[derive(Default)]
pub(crate) struct Prose {
    headings: BTreeMap<String, String>,
}

impl Prose {
    /// Makes each later occurrence of the word `name` a link to its heading. A name that could be an ordinary word is ignored.
    pub(crate) fn knows(&mut self, name: &str) {
        if name.chars().filter(char::is_ascii_uppercase).count() > 1 {
            self.headings.insert(name.to_owned(), anchor(name));
        }
    }

    /// Returns a paragraph, or an item of a list. Text between backticks stays unchanged.
    pub(crate) fn paragraph(&self, text: &str) -> String {
        if let Some(item) = text.strip_prefix(ITEM) {
            return format!("{ITEM}{}", self.paragraph(item));
        }
        let parts = text.split('`').enumerate();
        let shown = parts.map(|(index, part)| if index % 2 == 0 { self.words(part) } else { part.replace('|', r"\|") });
        shown.collect::<Vec<_>>().join("`")
    }

    /// Returns paragraphs in a cell of a table.
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

/// The beginning of an item of a list.
const ITEM: &str = "* ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchor_is_the_one_of_code_hosts() {
        assert_eq!(anchor("Mailbox.StateCode"), "mailboxstatecode");
        assert_eq!(anchor("KEY_MISMATCH"), "key_mismatch");
        assert_eq!(anchor("How to read this"), "how-to-read-this");
    }

    #[test]
    fn known_names_become_links_and_code_stays_unchanged() {
        let mut prose = Prose::default();
        prose.knows("KEY_MISMATCH");
        prose.knows("Queue");
        assert_eq!(
            prose.paragraph("Queue: KEY_MISMATCH, `KEY_MISMATCH|x`, a|b, <id>."),
            r"Queue: [KEY_MISMATCH](#key_mismatch), `KEY_MISMATCH\|x`, a\|b, &lt;id>."
        );
    }

    #[test]
    fn list_items_stay_items_in_prose_and_get_bullets_in_tables() {
        let prose = Prose::default();
        assert_eq!(prose.paragraph("* A*B: c."), r"* A\*B: c.");
        assert_eq!(prose.cell(&["One.".to_owned(), "* Two.".to_owned()]), "One.<br><br>• Two.");
    }

    #[test]
    fn items_of_one_list_have_no_blank_line_between_them() {
        let paragraphs = ["One:", "* two", "* three", "Four."].map(str::to_owned);
        assert_eq!(blocks(&paragraphs), "One:\n\n* two\n* three\n\nFour.\n\n");
    }
}
