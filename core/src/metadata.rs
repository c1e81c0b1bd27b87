//! The metadata of attributes: the customizations of an organization, and the recorded changes of attribute values.

pub mod changes;
pub mod setting;
pub mod update;

pub use setting::OrganizationSchema;
