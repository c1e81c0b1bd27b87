//! The metadata of attributes: what an organization has customized of the schema, and the recorded changes of attribute values.

pub mod changes;
pub mod setting;
pub mod update;

pub use setting::OrganizationSchema;
