//! A client for Sealward: every method of the service as a Rust method, with secrets as secret types and errors that say what to do.
//!
//! ```no_run
//! # async fn example() -> Result<(), sealward_client::Error> {
//! use sealward_client::{Client, mail_v1::Mailbox};
//!
//! let client = Client::builder("https://127.0.0.1:7443")
//!     .ca_file("sealward-dev/tls/ca.pem")
//!     .identity_files("sealward-dev/tls/writer.pem", "sealward-dev/tls/writer.key")
//!     .connect()
//!     .await?;
//!
//! let sales = Mailbox { display_name: Some("Sales".into()), password: Some("hunter2".into()), ..Mailbox::default() };
//! let stored = client.mailboxes().create("organizations/default", sales, None).await?;
//! assert_eq!((stored.password, stored.is_password_set), (None, Some(true)));
//! # Ok(())
//! # }
//! ```
//!
//! * **Secrets.** Key texts and revealed values are [`SecretString`] and [`SecretSlice`], wiped when they are dropped. A request that
//!   carries one is encoded once and wiped. What can't be wiped from here are the buffers of HTTP/2 and TLS.
//! * **Errors.** [`Error::action`] says what to do: correct the call, wait, look whether it took effect, or give up.
//! * **Retries.** What reads, and what writes records, is repeated after failures that pass, and never for longer than the call's timeout:
//!   see [`RetryPolicy`]. A write carries an id by which the server tells a repetition, so that it is made once: see [`WriteOptions`],
//!   which also only check a write.
//!
//! * **Lists.** [`ListOptions`] filters, orders and masks; `pages` walks over all pages:
//!
//! ```no_run
//! # async fn example(client: sealward_client::Client) -> Result<(), sealward_client::Error> {
//! use sealward_client::ListOptions;
//!
//! let without_password = ListOptions::default().filter("is_password_set = false").order_by("display_name");
//! let mut pages = client.mailboxes().pages("organizations/default", without_password);
//! while let Some(page) = pages.next().await? {
//!     page.records.iter().for_each(|mailbox| println!("{}", mailbox.display_name()));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The contract says what a method does, who may call it and which errors it answers with: `proto/sealward`. Nothing here knows how the
//! server does it.
#![warn(missing_docs)]

mod access;
mod audit;
mod bearer;
mod builder;
mod client;
mod codec;
mod data_encryption;
mod dynamic;
mod entities;
mod error;
mod key_text;
mod mail;
mod metadata;
mod method;
mod organization;
mod random;
mod records;
mod retry;
mod schema;
mod secret_access;
mod stream;
mod write;

pub use builder::ClientBuilder;
pub use client::Client;
pub use data_encryption::{KeyOperation, ReencryptionStream, RetrievedKey};
pub use dynamic::DynamicRecords;
pub use error::{Action, CallError, Error, FieldViolation, Origin, SetupError, code_name, reason_name};
pub use key_text::{GENERATED_KEY_BITS, generate_key_text};
pub use mail::{MailConnection, ResolvedMailbox};
pub use records::{ListOptions, Page, Pages, Records};
pub use retry::RetryPolicy;
pub use schema::{AttributeType, EntityType, SchemaError, built_in_pool};
pub use sealward::{mail::v1 as mail_v1, schema::v1 as schema_v1, v1};
pub use secrecy::{ExposeSecret, SecretSlice, SecretString};
pub use secret_access::SecretValue;
pub use stream::MessageStream;
pub use tonic::Code;
pub use v1::ErrorReason;
pub use write::{WriteOptions, new_request_id};
