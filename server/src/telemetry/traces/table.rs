//! All spans and attributes: each declared once, with its meaning. No span has other attributes, and docs/traces.md is made from this table.
//!
//! Values come from lists that callers can't extend, or are ids of the server. None is an identity, an address, a purpose, a filter, or a name
//! of a record.

/// A kind of span.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Its name; that of a call's span is its method.
    pub(crate) name: &'static str,
    /// Whether it is the server's part of a remote call.
    pub(super) is_server: bool,
    /// The attributes that it may have.
    pub(super) attributes: &'static [&'static Attribute],
    /// Its description, in one line.
    pub(super) help: &'static str,
}

/// An attribute.
#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    /// Its values.
    pub(super) values: &'static str,
}

macro_rules! attributes {
    ($($(#[doc = $values:literal])+ $id:ident = $name:literal;)+) => {
        $($(#[doc = $values])+ pub(crate) static $id: Attribute = Attribute { name: $name, values: concat!($($values),+) };)+

        /// All attributes.
        pub(super) static ATTRIBUTES: &[&Attribute] = &[$(&$id),+];
    };
}

macro_rules! spans {
    ($($(#[doc = $help:literal])+ $id:ident: $server:literal $name:literal [$($attribute:ident),*];)+) => {
        $(
            $(#[doc = $help])+
            pub(crate) static $id: Kind = Kind {
                name: $name,
                is_server: $server,
                attributes: &[$(&$attribute),*],
                help: concat!($($help),+),
            };
        )+

        /// All kinds of spans.
        pub(super) static KINDS: &[&Kind] = &[$(&$id),+];
    };
}

attributes! {
    /// `grpc`, also for gRPC-Web; `connectrpc` for Connect.
    RPC_SYSTEM = "rpc.system.name";
    /// A served method, such as `sealward.v1.AccessService/WhoAmI`; `_OTHER` for all other methods.
    RPC_METHOD = "rpc.method";
    /// One of the 17 codes of gRPC, such as `OK`. Lower-case for Connect, such as `not_found`.
    RPC_STATUS = "rpc.response.status_code";
    /// Of a call: its code, if the conventions for RPC count it as a failure of a server: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL,
    /// UNAVAILABLE, DATA_LOSS. Of other spans: `refused` for a commit whose conditions weren't met, `unavailable`, `unknown_outcome`,
    /// `too_long`, or `failed`.
    ERROR_TYPE = "error.type";
    /// The id of the call, as in the log, in errors and in the audit trail.
    CALL_ID = "sealward.call_id";
    /// The reason of an error, as in the contract.
    REASON = "sealward.reason";
    /// The name of the organization, if the caller has a permission in it and it exists.
    ORGANIZATION = "sealward.organization";
    /// `configuration` or `organization`.
    STORE = "sealward.store";
}

spans! {
    /// A call of a caller with an identity, from its headers to the end of its answer. Kind `SERVER`, all others are `INTERNAL`. A call of an
    /// unknown method is named `grpc` or `connectrpc`.
    CALL: true "RPC METHOD" [RPC_SYSTEM, RPC_METHOD, RPC_STATUS, ERROR_TYPE, CALL_ID, REASON, ORGANIZATION];
    /// A read of records by their ids, or of a small table.
    STORE_READ: false "store.read" [STORE, ERROR_TYPE];
    /// A search or a count of records by the filter of a list.
    STORE_SCAN: false "store.scan" [STORE, ERROR_TYPE];
    /// A commit, from its place in the queue until it is on disk.
    STORE_COMMIT: false "store.commit" [STORE, ERROR_TYPE];
    /// Removal of overwritten data from the files of a database.
    STORE_SCRUB: false "store.scrub" [STORE, ERROR_TYPE];
    /// Values of records are checked and sealed.
    CELLS_SEAL: false "cells.seal" [];
    /// Cells of a record are opened.
    CELLS_OPEN: false "cells.open" [];
    /// The key-encryption key is derived from the text of an encryption key.
    KEY_DERIVE: false "key.derive" [];
    /// A change, a restore, or an abandonment of encrypted data, until the new key is in use.
    KEY_SET: false "key.set" [ERROR_TYPE];
    /// A step of the re-encryption that follows in the same trace: a batch of cells, a scan, or the end.
    KEY_REENCRYPT: false "key.reencrypt" [ERROR_TYPE];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_each_attribute_is_used() {
        let names: BTreeSet<_> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
        for attribute in ATTRIBUTES {
            assert!(KINDS.iter().any(|kind| kind.attributes.iter().any(|other| std::ptr::eq(*other, *attribute))));
            let about_callers =
                ["identity", "caller", "peer", "client", "purpose", "record", "user", "enduser", "address", "filter"];
            let mut words = attribute.name.split(['.', '_']);
            assert!(words.all(|word| !about_callers.contains(&word)), "{}", attribute.name);
        }
    }

    #[test]
    fn descriptions_are_sentences() {
        let texts = KINDS.iter().map(|kind| kind.help).chain(ATTRIBUTES.iter().map(|attribute| attribute.values));
        for text in texts {
            assert!(text.starts_with(' ') && text.ends_with('.'), "{text}");
        }
    }
}
