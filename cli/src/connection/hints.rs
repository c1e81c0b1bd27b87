//! Suggested commands, ready to paste: a suggestion has `-o` unless the organization is the default of the next command.

/// The organization of this run, and the default organization of the next run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hints {
    organization: String,
    default: String,
}

impl Default for Hints {
    /// For commands that need no server.
    fn default() -> Self {
        Self { organization: DEFAULT.to_owned(), default: DEFAULT.to_owned() }
    }
}

impl Hints {
    /// `default` is the organization of a command without `-o`: from the environment, the profile or the built-in default.
    pub(crate) fn new(organization: &str, default: &str) -> Self {
        Self { organization: id(organization).to_owned(), default: id(default).to_owned() }
    }

    /// `sealward key show -o contoso`: the command for the organization of this run.
    pub(crate) fn command(&self, arguments: &str) -> String {
        self.command_in(arguments, &self.organization)
    }

    /// The command for another organization, by id or full name.
    pub(crate) fn command_in(&self, arguments: &str, organization: &str) -> String {
        match id(organization) {
            id if id == self.default || !is_id(id) => format!("sealward {arguments}"),
            id => format!("sealward {arguments} -o {id}"),
        }
    }
}

fn id(organization: &str) -> &str {
    organization.strip_prefix("organizations/").unwrap_or(organization)
}

/// Whether the text is safe to paste into a shell.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '-')
}

/// The built-in default organization.
pub(crate) const DEFAULT: &str = "default";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_names_the_organization_unless_it_is_the_default() {
        let hints = Hints::new("organizations/contoso", "default");
        assert_eq!(hints.command("key show"), "sealward key show -o contoso");
        assert_eq!(hints.command_in("key show", "fabrikam"), "sealward key show -o fabrikam");
        assert_eq!(hints.command_in("key show", "organizations/default"), "sealward key show");
        let hints = Hints::new("contoso", "contoso");
        assert_eq!(hints.command("key show"), "sealward key show");
        assert_eq!(hints.command_in("key show", "default"), "sealward key show -o default");
    }

    #[test]
    fn hint_contains_no_text_that_a_shell_would_run() {
        assert_eq!(Hints::default().command_in("key show", "a; rm -rf x"), "sealward key show");
    }
}
