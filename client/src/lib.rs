//! The Rust client library of Sealward, a service for records with encrypted attributes.
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
//! * **Methods.** [`Client`] has a method for each rpc. The contract, `proto/sealward`, describes the effects, the required privileges and the
//!   error reasons of each rpc.
//! * **Secrets.** Key texts and revealed values are [`SecretString`] and [`SecretSlice`], and are wiped on drop. A request with a secret is
//!   encoded once and wiped. The buffers of HTTP/2 and TLS can't be wiped.
//! * **Errors.** [`Error::action`] says what to do: fix the call, wait, check the outcome, or give up.
//! * **Retries.** Reads and writes of records are retried after transient failures, within the call's timeout: see [`RetryPolicy`]. A write has
//!   an idempotency key, so that it takes effect once: see [`WriteOptions`], which also has dry runs.
//! * **Batches and imports.** `batch_get`, `batch_create`, `batch_update` and `batch_delete` do up to 1,000 records in one call, all or none.
//!   `import` creates any number of records from a stream, and [`ImportResults`] has the result of each.
//! * **Lists.** [`ListOptions`] has filter, order and read mask. `pages` iterates over all pages:
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
mod import;
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
mod server;
mod stream;
mod write;

pub use builder::ClientBuilder;
pub use client::Client;
pub use data_encryption::{KeyOperation, ReencryptionStream, RetrievedKey};
pub use dynamic::{DynamicRecords, NewRecord};
pub use error::{Action, CallError, Error, FieldViolation, Origin, SetupError, code_name, reason_name};
pub use import::{ImportResult, ImportResults};
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
