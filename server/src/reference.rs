//! What documentation is made of the code: each function gives the text of a file under `docs/`, and a test holds the file to it.

use std::fmt::Write;

use crate::config::{
    sections,
    setting::{Otherwise, Section, Setting, TakenUp},
};

/// `docs/configuration.md`: every setting with its type, unit, range, default and meaning.
#[must_use]
pub fn configuration() -> String {
    let mut text = String::from(CONFIGURATION);
    for section in sections() {
        write_section(&mut text, &section);
    }
    text
}

fn write_section(text: &mut String, section: &Section) {
    let heading = match (section.name, section.repeated) {
        ("", _) => "Before all sections".to_owned(),
        (name, false) => format!("`[{name}]`"),
        (name, true) => format!("`[[{name}]]`"),
    };
    let _infallible = writeln!(text, "\n## {heading}\n");
    if !section.about.is_empty() {
        let _infallible = writeln!(text, "{}\n", prose(section.about));
    }
    text.push_str(
        "| setting | type | unit | range | default | takes effect | meaning |\n|---|---|---|---|---|---|---|\n",
    );
    for setting in &section.settings {
        text.push_str(&row(setting));
    }
}

fn row(setting: &Setting) -> String {
    let default = match &setting.otherwise {
        Otherwise::Required => "required".to_owned(),
        Otherwise::Nothing(example) => format!("none; for example `{example}`"),
        Otherwise::Is(value) => format!("`{value}`"),
    };
    let taken_up = match setting.taken_up {
        TakenUp::AtStart => "at a start",
        TakenUp::AtReload => "at a reload",
    };
    let cells = [
        format!("`{}`", setting.name),
        setting.kind.name().to_owned(),
        setting.unit.to_owned(),
        setting.range.to_string(),
        default,
        taken_up.to_owned(),
        prose(setting.doc),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// Lines of documentation, each of which begins with a space, as one paragraph.
fn prose(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

const CONFIGURATION: &str = r#"# Configuration

<!-- Made from the code by `cargo run -p fieldseal-server -- reference configuration`. Edit the declarations in server/src/config. -->

One TOML file. `fieldseal-server init DIR` writes one in which every setting is explained; `fieldseal-server check-config --config FILE`
tells all that is wrong with it and with the files that it names, each with what to do; `fieldseal-server serve --config FILE` serves.

* Relative paths start at the file's folder.
* A path `"credential:NAME"` is `$CREDENTIALS_DIRECTORY/NAME`: a file that systemd loaded, with `LoadCredential=NAME:/path/to/file` in the
  unit. A root key that comes this way may have mode 0400, 0440 or 0600 and be root's; one from elsewhere is for its owner alone.
* A setting that there isn't is an error, and so is a value of the wrong type or out of its range.
* *At a reload*: a running server takes the change up at SIGHUP, or by itself some seconds later. All else waits for the next start.
"#;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_reference_of_the_configuration_is_what_the_code_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(written == configuration(), "docs/configuration.md is stale: cargo xtask generate makes it anew");
    }

    #[test]
    fn every_setting_is_a_row() {
        let text = configuration();
        for section in sections() {
            assert!(section.name.is_empty() || text.contains(&format!("[{}]", section.name)), "{}", section.name);
            for setting in section.settings {
                assert!(text.contains(&format!("\n| `{}` | ", setting.name)), "{}", setting.name);
            }
        }
        assert!(
            text.contains("| `page_size_max` | integer | records | 1 to 1000 | `1000` | at a start | The most records")
        );
    }
}
