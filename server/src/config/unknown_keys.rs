//! Unknown keys and values of the wrong type. Each is reported with its line, and all are reported together.
//!
//! They are removed, so that the rest of the file can be read and checked too. `check` validates the values.

use toml::de::{DeTable, DeValue};

use super::{
    faults::Faults,
    file::sections,
    setting::{Kind, Section, Setting},
};

/// The minimum similarity, from 0 to 1, of two names of which one may be a misspelling of the other.
const SIMILARITY_MIN: f64 = 0.85;

/// The similarity of two names that differ by one typing error: an added, missing, wrong or swapped letter.
const ONE_TYPO: f64 = 0.95;

/// Removes every entry from `file` that isn't a setting of the right type, and adds a fault for each. `text` is the text of the file.
pub(super) fn remove(text: &str, file: &mut DeTable<'_>, faults: &mut Faults) {
    let sections = sections();
    let entries: Vec<_> = sections.iter().flat_map(top_level_entries).collect();
    KeyCheck { text, sections: &sections, faults }.table(file, "", &entries);
}

/// A valid entry of a table.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Section(&'a Section),
    Setting(&'a Setting),
    /// A table that contains nothing but sections, by its name.
    Parent(&'static str),
}

impl Entry<'_> {
    fn name(&self) -> &'static str {
        match self {
            Entry::Section(section) => section.parent_and_name().1,
            Entry::Setting(setting) => setting.name,
            Entry::Parent(name) => name,
        }
    }
}

/// The entries of a section at the top level of the file.
fn top_level_entries(section: &Section) -> Vec<Entry<'_>> {
    match section.parent_and_name() {
        (Some(parent), _) => vec![Entry::Parent(parent)],
        (None, "") => section.settings.iter().map(Entry::Setting).collect(),
        (None, _) => vec![Entry::Section(section)],
    }
}

/// Walks through the tables of a file, removes wrong keys, and adds a fault for each.
struct KeyCheck<'a> {
    text: &'a str,
    sections: &'a [Section],
    faults: &'a mut Faults,
}

impl KeyCheck<'_> {
    fn table(&mut self, table: &mut DeTable<'_>, prefix: &str, entries: &[Entry<'_>]) {
        let mut unusable = Vec::new();
        for (key, value) in table.iter_mut() {
            let name: &str = key.get_ref();
            let full = format!("{prefix}{name}");
            let line = self.line(key.span().start);
            let keep = match entries.iter().find(|entry| entry.name() == name) {
                None => {
                    let problem = format!("line {line}: unknown setting: {}", self.suggestion(name, entries));
                    self.faults.add(full, problem);
                    false
                }
                Some(Entry::Setting(setting)) => self.setting(setting.kind, value.get_ref(), full, line),
                Some(Entry::Section(section)) => self.section(section, value.get_mut(), line),
                Some(Entry::Parent(parent)) => self.parent(parent, value.get_mut(), line),
            };
            if !keep {
                unusable.push(name.to_owned());
            }
        }
        for name in unusable {
            table.remove(name.as_str());
        }
    }

    fn parent(&mut self, name: &str, value: &mut DeValue<'_>, line: usize) -> bool {
        let within: Vec<_> = self.sections.iter().filter(|section| section.parent_and_name().0 == Some(name)).collect();
        let DeValue::Table(table) = value else {
            let headers: Vec<_> = within.iter().map(|section| section.header()).collect();
            return self.not_a_section(name, value, &headers.join(", "), line);
        };
        let entries: Vec<_> = within.into_iter().map(Entry::Section).collect();
        self.table(table, &format!("{name}."), &entries);
        true
    }

    fn section(&mut self, section: &Section, value: &mut DeValue<'_>, line: usize) -> bool {
        let entries: Vec<_> = section.settings.iter().map(Entry::Setting).collect();
        match value {
            DeValue::Table(table) if !section.is_repeated() => {
                self.table(table, &format!("{}.", section.name), &entries);
                true
            }
            DeValue::Array(items)
                if section.is_repeated() && items.iter().all(|item| matches!(item.get_ref(), DeValue::Table(_))) =>
            {
                for (index, item) in items.iter_mut().enumerate() {
                    if let DeValue::Table(table) = item.get_mut() {
                        self.table(table, &format!("{}[{index}].", section.name), &entries);
                    }
                }
                true
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => self.not_a_section(section.name, value, &section.header(), line),
        }
    }

    fn not_a_section(&mut self, name: &str, value: &DeValue<'_>, header: &str, line: usize) -> bool {
        self.faults.add(name, format!("line {line}: is {}: write it as a section, {header}", with_article(value)));
        false
    }

    fn setting(&mut self, kind: Kind, value: &DeValue<'_>, full: String, line: usize) -> bool {
        let fits = match (kind, value) {
            (Kind::Path | Kind::Text, DeValue::String(_))
            | (Kind::Integer, DeValue::Integer(_))
            | (Kind::Boolean, DeValue::Boolean(_)) => true,
            (Kind::Texts, DeValue::Array(items)) => {
                items.iter().all(|item| matches!(item.get_ref(), DeValue::String(_)))
            }
            (Kind::Path | Kind::Text | Kind::Texts | Kind::Integer | Kind::Boolean, _) => false,
        };
        if !fits {
            let form = match kind {
                Kind::Path | Kind::Text => "text in quotes",
                Kind::Texts => "a list of texts, [\"…\", \"…\"]",
                Kind::Integer => "a whole number, without quotes",
                Kind::Boolean => "true or false, without quotes",
            };
            self.faults.add(full, format!("line {line}: is {}: write {form}", with_article(value)));
        }
        fits
    }

    /// A hint for an unknown setting: a similar name, or the section that has this setting.
    fn suggestion(&self, name: &str, entries: &[Entry<'_>]) -> String {
        if let Some(closest) = closest(name, entries.iter().map(Entry::name)) {
            return format!("did you mean {closest}?");
        }
        let elsewhere =
            self.sections.iter().find(|section| section.settings.iter().any(|setting| setting.name == name));
        match elsewhere {
            Some(section) if section.name.is_empty() => "move it above the first section".to_owned(),
            Some(section) => format!("move it to {}", section.header()),
            None => "see docs/reference/configuration.md for all settings".to_owned(),
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
    }
}

/// The known name that may have been meant by an unknown one.
pub(super) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let similar = known.map(|known| (similarity(name, known), known));
    let closest =
        similar.filter(|(similarity, _)| *similarity >= SIMILARITY_MIN).max_by(|(a, _), (b, _)| a.total_cmp(b));
    closest.map(|(_, known)| known)
}

fn similarity(name: &str, other: &str) -> f64 {
    let by_beginning = strsim::jaro_winkler(name, other);
    if strsim::damerau_levenshtein(name, other) == 1 { by_beginning.max(ONE_TYPO) } else { by_beginning }
}

fn with_article(value: &DeValue<'_>) -> String {
    let kind = value.type_str();
    if kind.starts_with(['a', 'i']) { format!("an {kind}") } else { format!("a {kind}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(text: &str) -> (Vec<String>, Vec<String>) {
        let mut faults = Faults::default();
        let mut file = DeTable::parse(text).unwrap().into_inner();
        remove(text, &mut file, &mut faults);
        let kept = file.keys().map(|key| key.get_ref().to_string()).collect();
        (faults.0.into_iter().map(|fault| format!("{}: {}", fault.setting, fault.problem)).collect(), kept)
    }

    #[track_caller]
    fn fault(text: &str) -> String {
        let (mut faults, _) = removed(text);
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.remove(0)
    }

    #[test]
    fn misspelled_setting_gets_a_suggestion() {
        assert_eq!(
            fault("[limits]\n\nconections_max = 3"),
            "limits.conections_max: line 3: unknown setting: did you mean connections_max?"
        );
        assert_eq!(fault("[tsl]"), "tsl: line 1: unknown setting: did you mean tls?");
        assert_eq!(
            fault("[[bindings]]\nroles = \"auditor\""),
            "bindings[0].roles: line 2: unknown setting: did you mean role?"
        );
    }

    #[test]
    fn setting_in_the_wrong_section_gets_the_right_one() {
        assert_eq!(fault("page_size_max = 3"), "page_size_max: line 1: unknown setting: move it to [limits]");
        assert_eq!(
            fault("[tls]\ndata_dir = \"x\""),
            "tls.data_dir: line 2: unknown setting: move it above the first section"
        );
        assert!(fault("weather = 3").ends_with("see docs/reference/configuration.md for all settings"));
    }

    #[test]
    fn value_of_the_wrong_type_gets_the_right_type() {
        assert_eq!(fault("data_dir = 3"), "data_dir: line 1: is an integer: write text in quotes");
        assert_eq!(
            fault("[limits]\npage_size_max = \"3\""),
            "limits.page_size_max: line 2: is a string: write a whole number, without quotes"
        );
        assert_eq!(
            fault("[listen]\norigins = \"https://a\""),
            "listen.origins: line 2: is a string: write a list of texts, [\"…\", \"…\"]"
        );
        assert_eq!(
            fault("[schema]\nmail = \"no\""),
            "schema.mail: line 2: is a string: write true or false, without quotes"
        );
        assert_eq!(fault("listen = \"x\""), "listen: line 1: is a string: write it as a section, [listen]");
        assert_eq!(fault("[bindings]"), "bindings: line 1: is a table: write it as a section, [[bindings]]");
    }

    #[test]
    fn names_in_a_nested_section_are_checked_too() {
        assert_eq!(
            fault("[[root_key.sources]]\ntype = \"file\"\n[[root_key.sources]]\npaht = \"root.key\""),
            "root_key.sources[1].paht: line 4: unknown setting: did you mean path?"
        );
        assert_eq!(
            fault("[root_key]\nsource = \"file\""),
            "root_key.source: line 2: unknown setting: did you mean sources?"
        );
        for root_key in ["root_key = \"root.key\"", "[[root_key]]"] {
            let fault = fault(root_key);
            assert!(fault.starts_with("root_key: line 1: is "), "{fault}");
            assert!(fault.ends_with(": write it as a section, [[root_key.sources]]"), "{fault}");
        }
        assert_eq!(
            fault("[root_key.sources]\npath = \"root.key\""),
            "root_key.sources: line 1: is a table: write it as a section, [[root_key.sources]]"
        );
    }

    #[test]
    fn wrong_settings_are_removed_and_the_rest_is_kept() {
        let (faults, kept) = removed("data_dir = \"x\"\nspeed = 1\nlog = 2\n[listen]\nadress = \"a\"\n");
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert_eq!(kept, ["data_dir", "listen"]);
    }
}
