//! A configuration file with every setting and a comment on each, for people to edit.
//!
//! What is given is written as a setting, what is left at its default as a comment that shows it. Knows nothing of files.

use std::fmt::Write;

use toml::Value;

use super::{
    file::sections,
    setting::{Kind, Otherwise, Section, Setting},
};

/// What a new configuration says. Paths are relative to its folder.
#[derive(Clone, Debug)]
pub struct Template<'a> {
    /// The first line: what this file is.
    pub title: &'a str,
    /// Settings with their values, `tls.key` for example. Those that are required are among them.
    pub given: &'a [(&'a str, Value)],
    /// Identities and their roles, in all organizations.
    pub bindings: &'a [(String, &'a str)],
}

impl Template<'_> {
    /// The text of the file.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!(
            "# {}\n#\n\
             # Every setting is here; one that is commented out shows its default. Relative paths start at this file's folder.\n\
             # A change of [tls], with what is in its files, of log.level and of the bindings takes effect while the server runs: at\n\
             # SIGHUP, or by itself some seconds later. All else waits for the next start.\n\n",
            self.title
        );
        for section in sections() {
            if !section.is_repeated() {
                self.write_section(&mut text, &section)
            } else {
                self.write_repeated(&mut text, &section)
            }
        }
        text
    }

    fn write_section(&self, text: &mut String, section: &Section) {
        if !section.name.is_empty() {
            comment(text, section.about);
            push(text, &format!("[{}]", section.name));
        }
        for setting in &section.settings {
            self.write_setting(text, section.name, setting);
        }
    }

    fn write_setting(&self, text: &mut String, section: &str, setting: &Setting) {
        comment(text, setting.doc);
        let otherwise = match &setting.otherwise {
            Otherwise::Is(value) => Some(value.as_ref()),
            Otherwise::Nothing(value) => Some(*value),
            Otherwise::Required => None,
        };
        match (&setting.otherwise, setting.kind) {
            (Otherwise::Nothing(_), _) => push(text, "# Default: none."),
            (Otherwise::Is(value), Kind::Integer) => {
                push(text, &format!("# {} {}, {value} by default.", setting.range, setting.unit));
            }
            (Otherwise::Is(_) | Otherwise::Required, _) => {}
        }
        let full = if section.is_empty() { setting.name.to_owned() } else { format!("{section}.{}", setting.name) };
        match self.given.iter().find(|(given, _)| *given == full) {
            Some((_, value)) => push(text, &format!("{} = {value}", setting.name)),
            None => push(text, &format!("# {} = {}", setting.name, otherwise.unwrap_or("…"))),
        }
        text.push('\n');
    }

    fn write_repeated(&self, text: &mut String, section: &Section) {
        comment(text, section.about);
        for setting in &section.settings {
            push(text, &format!("#   {}: {}", setting.name, setting.range));
            for line in setting.doc {
                push(text, &format!("#    {line}"));
            }
        }
        let bindings: &[_] = if section.name == BINDINGS { self.bindings } else { &[] };
        if bindings.is_empty() {
            text.push_str(&commented(&format!("\n[[{}]]\n{}\n", section.name, section.example)));
        }
        for (identity, role) in bindings {
            let identity = Value::from(identity.as_str());
            let _infallible =
                writeln!(text, "\n[[{BINDINGS}]]\nidentity = {identity}\nrole = \"{role}\"\norganizations = [\"*\"]");
        }
        text.push('\n');
    }
}

const BINDINGS: &str = "bindings";

fn commented(text: &str) -> String {
    text.lines().fold(String::new(), |mut commented, line| {
        push(&mut commented, &if line.is_empty() { String::new() } else { format!("# {line}") });
        commented
    })
}

/// Lines of documentation, each of which begins with a space.
fn comment(text: &mut String, lines: &[&str]) {
    for line in lines {
        push(text, &format!("#{line}"));
    }
}

fn push(text: &mut String, line: &str) {
    let _infallible = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, limits::Limits};

    fn rendered(bindings: &[(String, &str)]) -> String {
        let given = [
            ("data_dir", ".".into()),
            ("tls.certificate", "server.pem".into()),
            ("tls.key", "it's \"quoted\".key".into()),
            ("tls.client_ca", "ca.pem".into()),
            ("root_key.files", vec!["root.key"].into()),
        ];
        Template { title: "Test.", given: &given, bindings }.render()
    }

    fn with_admin() -> String {
        rendered(&[("cn:admin".to_owned(), "system-administrator")])
    }

    #[test]
    fn the_template_is_a_configuration() {
        let config = Config::parse(&with_admin(), Path::new("/srv/sealward.toml")).unwrap();
        assert_eq!(config.data_dir, Path::new("/srv"));
        assert_eq!(config.tls.key, Path::new("/srv/it's \"quoted\".key"));
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.bindings.len(), 1);
        let nobody = Config::parse(&rendered(&[]), Path::new("/srv/sealward.toml")).unwrap();
        assert!(nobody.bindings.is_empty());
    }

    #[test]
    fn every_setting_is_in_the_template() {
        let text = with_admin();
        for section in sections() {
            for setting in &section.settings {
                let line = if !section.is_repeated() { "{} = " } else { "#   {}: " }.replace("{}", setting.name);
                assert!(text.contains(&line), "{}.{}", section.name, setting.name);
            }
        }
        assert!(!text.contains("= …"));
    }

    #[test]
    fn every_default_shown_in_a_comment_is_the_default() {
        let without_default = ["# plaintext_address", "# metrics_address", "# origins", "# client_crl", "# file "];
        let text = rendered(&[]);
        let (settings, _examples) = text.split_once("\n# [[").unwrap();
        let uncommented: String = settings
            .lines()
            .filter(|line| !without_default.iter().any(|setting| line.starts_with(setting)))
            .map(|line| match line.strip_prefix("# ") {
                Some(setting) if setting.split_once(" = ").is_some_and(|(name, _)| !name.contains(' ')) => {
                    format!("{setting}\n")
                }
                Some(_) | None => format!("{line}\n"),
            })
            .collect();
        assert!(uncommented.contains("\nkey_changes_per_hour = 5\n"));
        assert!(uncommented.contains("\nlevel = \"info\"\n"));
        let written_out = Config::parse(&uncommented, Path::new("sealward.toml")).unwrap();
        let by_default = Config::parse(&text, Path::new("sealward.toml")).unwrap();
        assert_eq!(format!("{written_out:?}"), format!("{by_default:?}"));
    }

    #[test]
    fn every_repeated_section_shown_in_a_comment_is_one() {
        let text = rendered(&[]);
        for section in sections().into_iter().filter(|section| section.is_repeated()) {
            let (_, shown) = text.split_once(&format!("\n# [[{}]]\n", section.name)).unwrap();
            let shown: Vec<_> = shown.lines().map_while(|line| line.strip_prefix("# ")).collect();
            let more = format!("{text}\n[[{}]]\n{}", section.name, shown.join("\n"));
            assert_eq!(shown.len(), section.example.lines().count());
            drop(Config::parse(&more, Path::new("sealward.toml")).unwrap());
        }
    }
}
