//! The store over PostgreSQL 15 or later, and engines that speak as it does.
//!
//! All databases of a deployment are in one PostgreSQL. Their rows share tables, whose first column is the id of the
//! database: the organization's, or zeros for the configuration. Two barriers keep databases apart. Every statement is
//! built with the id of its database, in one place. And row-level security hides other rows from every transaction,
//! whose setting it compares: the server's role owns no table, so it can't lift that.
//!
//! A commit is one transaction that takes one round trip, see `connection`. It passes the lane of its database, see
//! `lane`, so any number of servers can work in the same databases. This module doesn't know the purpose of the tables.

mod connection;
mod databases;
mod definitions;
mod error;
mod jitter;
mod lane;
mod lease;
mod options;
mod plan;
mod pool;
mod position;
mod reads;
mod schema;
mod statement;
mod store;
#[cfg(test)]
mod tests;
mod tls;

pub use self::{
    databases::{Checked, Postgres, PostgresDatabases, check},
    options::{PostgresAddress, PostgresAddressError, PostgresLimits, PostgresLogin},
};
