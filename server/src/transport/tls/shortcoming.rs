//! Problems, now or soon, of usable certificates, keys and lists.

/// A problem that blocks clients now or soon, although the configuration can be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortcoming {
    /// The setting.
    pub(crate) setting: String,
    /// The problem.
    pub(crate) problem: String,
    /// The fix.
    pub(crate) remedy: &'static str,
    /// Whether it already has an effect.
    pub(crate) is_error: bool,
}
