//! Ids, identities and SPIFFE ids: accepted text is printed unchanged, so that everything has only one name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealward_core::{
    id::RecordId,
    identity::{Identity, spiffe::SpiffeId},
};

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<RecordId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(id) = text.parse::<SpiffeId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(identity) = text.parse::<Identity>() {
        assert_eq!(identity.to_string().parse::<Identity>().as_ref(), Ok(&identity));
    }
    sealward_server::fuzzing::resource_name(text);
});
