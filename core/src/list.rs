//! Lists: the pages of any list and their tokens, and lists of recorded events.

pub mod log;
pub mod page;
pub mod page_token;
