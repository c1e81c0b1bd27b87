//! What is wrong, or soon will be, with certificates, keys and lists that can be used.

/// What keeps clients out, or soon will, though the configuration can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortcoming {
    /// The setting it is about.
    pub(crate) setting: String,
    /// What is wrong.
    pub(crate) problem: String,
    /// What to do.
    pub(crate) remedy: &'static str,
    /// Whether something doesn't work because of it now.
    pub(crate) is_error: bool,
}
