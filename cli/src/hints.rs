//! Commands to run next, as a person can paste them: each names its organization unless the next command would take that one anyway.

/// Which organization this command is about, and which one the next takes if nothing is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hints {
    organization: String,
    usual: String,
}

impl Default for Hints {
    /// For commands that need no server.
    fn default() -> Self {
        Self { organization: DEFAULT.to_owned(), usual: DEFAULT.to_owned() }
    }
}

impl Hints {
    /// `organization`: that of this command. `usual`: that of the next, by the environment, the profile or the default.
    pub(crate) fn new(organization: &str, usual: &str) -> Self {
        Self { organization: id(organization).to_owned(), usual: id(usual).to_owned() }
    }

    /// `sealward key show -o contoso`: the command for the organization of this run.
    pub(crate) fn command(&self, words: &str) -> String {
        self.command_in(words, &self.organization)
    }

    /// The same for another organization, given as such or by its id.
    pub(crate) fn command_in(&self, words: &str, organization: &str) -> String {
        match id(organization) {
            id if id == self.usual || !is_id(id) => format!("sealward {words}"),
            id => format!("sealward {words} -o {id}"),
        }
    }
}

fn id(organization: &str) -> &str {
    organization.strip_prefix("organizations/").unwrap_or(organization)
}

/// What can be pasted into any shell.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '-')
}

/// The organization where nothing says which.
pub(crate) const DEFAULT: &str = "default";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_organization_unless_the_next_command_takes_it_anyway() {
        let hints = Hints::new("organizations/contoso", "default");
        assert_eq!(hints.command("key show"), "sealward key show -o contoso");
        assert_eq!(hints.command_in("key show", "fabrikam"), "sealward key show -o fabrikam");
        assert_eq!(hints.command_in("key show", "organizations/default"), "sealward key show");
        let hints = Hints::new("contoso", "contoso");
        assert_eq!(hints.command("key show"), "sealward key show");
        assert_eq!(hints.command_in("key show", "default"), "sealward key show -o default");
    }

    #[test]
    fn a_hint_has_nothing_that_a_shell_would_run() {
        assert_eq!(Hints::default().command_in("key show", "a; rm -rf x"), "sealward key show");
    }
}
