//! Names and types: what of a file is no setting, or has a value of the wrong type. All of it at once, each with its line.
//!
//! What is wrong is taken out, so that the rest can be read and checked too. What values mean is `check`'s matter.

use toml::de::{DeTable, DeValue};

use super::{
    Faults,
    file::sections,
    setting::{Kind, Section, Setting},
};

/// How alike two names are, from 0 to 1, if one may be a slip for the other.
const ALIKE: f64 = 0.85;

/// How alike two names count that are one slip apart: a letter too many, too few, another, or two exchanged.
const ONE_SLIP: f64 = 0.95;

/// Takes everything out of `file` that can't stand there, and notes it. `text` is what the file was read from.
pub(super) fn sift(text: &str, file: &mut DeTable<'_>, faults: &mut Faults) {
    let sections = sections();
    let (before, named): (Vec<_>, Vec<_>) = sections.iter().partition(|section| section.name.is_empty());
    let mut entries: Vec<_> = named.into_iter().map(Entry::Section).collect();
    entries.extend(before.into_iter().flat_map(|section| &section.settings).map(Entry::Setting));
    let mut sift = Sift { text, sections: &sections, faults };
    sift.table(file, "", &entries);
}

/// What may stand in a table.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Section(&'a Section),
    Setting(&'a Setting),
}

impl Entry<'_> {
    fn name(&self) -> &'static str {
        match self {
            Entry::Section(section) => section.name,
            Entry::Setting(setting) => setting.name,
        }
    }
}

struct Sift<'a> {
    text: &'a str,
    sections: &'a [Section],
    faults: &'a mut Faults,
}

impl Sift<'_> {
    fn table(&mut self, table: &mut DeTable<'_>, prefix: &str, entries: &[Entry<'_>]) {
        let mut refused = Vec::new();
        for (key, value) in table.iter_mut() {
            let name: &str = key.get_ref();
            let full = format!("{prefix}{name}");
            let line = self.line(key.span().start);
            let keep = match entries.iter().find(|entry| entry.name() == name) {
                None => {
                    let problem = format!("line {line}: there is no such setting{}", self.instead(name, entries));
                    self.faults.add(full, problem);
                    false
                }
                Some(Entry::Setting(setting)) => self.setting(setting.kind, value.get_ref(), full, line),
                Some(Entry::Section(section)) => self.section(section, value.get_mut(), line),
            };
            if !keep {
                refused.push(name.to_owned());
            }
        }
        for name in refused {
            table.remove(name.as_str());
        }
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
            | DeValue::Table(_) => {
                let form =
                    if section.is_repeated() { format!("[[{}]]", section.name) } else { format!("[{}]", section.name) };
                let problem = format!("line {line}: is {}; write it as a section, {form}", article(value));
                self.faults.add(section.name, problem);
                false
            }
        }
    }

    fn setting(&mut self, kind: Kind, value: &DeValue<'_>, full: String, line: usize) -> bool {
        let fits = match (kind, value) {
            (Kind::Path | Kind::Text, DeValue::String(_))
            | (Kind::Integer, DeValue::Integer(_))
            | (Kind::Boolean, DeValue::Boolean(_)) => true,
            (Kind::Paths | Kind::Texts, DeValue::Array(items)) => {
                items.iter().all(|item| matches!(item.get_ref(), DeValue::String(_)))
            }
            (Kind::Path | Kind::Paths | Kind::Text | Kind::Texts | Kind::Integer | Kind::Boolean, _) => false,
        };
        if !fits {
            let form = match kind {
                Kind::Path | Kind::Text => "text in quotes",
                Kind::Paths | Kind::Texts => "a list of texts, [\"…\", \"…\"]",
                Kind::Integer => "a whole number, without quotes",
                Kind::Boolean => "true or false, without quotes",
            };
            self.faults.add(full, format!("line {line}: is {}; write {form}", article(value)));
        }
        fits
    }

    /// What may have been meant: a name that looks alike, or the same name in another section.
    fn instead(&self, name: &str, entries: &[Entry<'_>]) -> String {
        let alike = entries.iter().map(|entry| (alike(name, entry.name()), entry.name()));
        let closest = alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b));
        if let Some((_, closest)) = closest {
            return format!("; did you mean {closest}?");
        }
        let elsewhere =
            self.sections.iter().find(|section| section.settings.iter().any(|setting| setting.name == name));
        match elsewhere.map(|section| section.name) {
            Some("") => "; it stands before all sections".to_owned(),
            Some(section) => format!("; it stands in [{section}]"),
            None => "; docs/configuration.md has all of them".to_owned(),
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
    }
}

fn alike(name: &str, other: &str) -> f64 {
    let by_beginning = strsim::jaro_winkler(name, other);
    if strsim::damerau_levenshtein(name, other) == 1 { by_beginning.max(ONE_SLIP) } else { by_beginning }
}

fn article(value: &DeValue<'_>) -> String {
    let kind = value.type_str();
    if kind.starts_with(['a', 'i']) { format!("an {kind}") } else { format!("a {kind}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sifted(text: &str) -> (Vec<String>, Vec<String>) {
        let mut faults = Faults::default();
        let mut file = DeTable::parse(text).unwrap().into_inner();
        sift(text, &mut file, &mut faults);
        let kept = file.keys().map(|key| key.get_ref().to_string()).collect();
        (faults.0.into_iter().map(|fault| format!("{}: {}", fault.setting, fault.problem)).collect(), kept)
    }

    #[track_caller]
    fn fault(text: &str) -> String {
        let (mut faults, _) = sifted(text);
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.remove(0)
    }

    #[test]
    fn a_slip_is_answered_with_what_was_meant() {
        assert_eq!(
            fault("[limits]\n\nconections_max = 3"),
            "limits.conections_max: line 3: there is no such setting; did you mean connections_max?"
        );
        assert_eq!(fault("[tsl]"), "tsl: line 1: there is no such setting; did you mean tls?");
        assert_eq!(
            fault("[[bindings]]\nroles = \"auditor\""),
            "bindings[0].roles: line 2: there is no such setting; did you mean role?"
        );
    }

    #[test]
    fn a_setting_in_the_wrong_place_is_told_its_own() {
        assert_eq!(
            fault("page_size_max = 3"),
            "page_size_max: line 1: there is no such setting; it stands in [limits]"
        );
        assert_eq!(
            fault("[tls]\ndata_dir = \"x\""),
            "tls.data_dir: line 2: there is no such setting; it stands before all sections"
        );
        assert!(fault("weather = 3").ends_with("docs/configuration.md has all of them"));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_told_the_right_one() {
        assert_eq!(fault("data_dir = 3"), "data_dir: line 1: is an integer; write text in quotes");
        assert_eq!(
            fault("[limits]\npage_size_max = \"3\""),
            "limits.page_size_max: line 2: is a string; write a whole number, without quotes"
        );
        assert_eq!(
            fault("[root_key]\nfiles = \"root.key\""),
            "root_key.files: line 2: is a string; write a list of texts, [\"…\", \"…\"]"
        );
        assert_eq!(
            fault("[schema]\nmail = \"no\""),
            "schema.mail: line 2: is a string; write true or false, without quotes"
        );
        assert_eq!(fault("listen = \"x\""), "listen: line 1: is a string; write it as a section, [listen]");
        assert_eq!(fault("[bindings]"), "bindings: line 1: is a table; write it as a section, [[bindings]]");
    }

    #[test]
    fn what_is_wrong_is_taken_out_and_the_rest_stays() {
        let (faults, kept) = sifted("data_dir = \"x\"\nspeed = 1\nlog = 2\n[listen]\nadress = \"a\"\n");
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert_eq!(kept, ["data_dir", "listen"]);
    }
}
