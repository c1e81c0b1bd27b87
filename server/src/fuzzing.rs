//! What the fuzzers in `fuzz/` call: each reader of text or bytes from outside, by itself. Built for fuzzing only.
//!
//! Each function panics where a promise of the reader doesn't hold.

use std::sync::{Arc, LazyLock};

use rustls::pki_types::CertificateRevocationListDer;
use sealward_core::{id::Timestamp, name::RecordName};

use crate::{
    gates::message::Frames,
    identity::{jwks::KeySet, token::Issuers},
    rpc::{codec, export_format::Reader, name},
    schema::{self, ServedSchema},
    transport::tls::revocation::RevocationLists,
};

/// As many paths as a mask may have by default.
const MASK_PATHS_MAX: usize = 256;

static SERVED: LazyLock<ServedSchema> =
    LazyLock::new(|| schema::read(sealward::FILE_DESCRIPTOR_SET).expect("the shipped schema is valid"));

/// A name belongs to the organization that the dispatcher takes from it, whoever reads it.
pub fn resource_name(text: &str) {
    let whole = name::organization("name", text);
    if let Ok(organization) = &whole.resource {
        assert_eq!(whole.organization.as_ref(), Ok(organization));
    }
    for entity in SERVED.schema.entities() {
        let record = name::record("name", text, entity);
        if let Ok(id) = record.resource {
            let organization = record.organization.expect("the name of a record begins with an organization");
            assert_eq!(text, RecordName { organization, collection: &entity.collection, id }.to_string());
        }
    }
}

/// Decodes a request of every method of an entity.
pub fn request(bytes: &[u8]) {
    for method in &SERVED.methods {
        let _refused_or_not = codec::decode(method, MASK_PATHS_MAX, bytes);
    }
}

/// Reads the frames of a request's body that comes in pieces. How it was cut decides nothing.
pub fn frames(takes_stream: bool, pieces: &[&[u8]]) {
    let outcome = |pieces: &[&[u8]]| {
        let mut frames = Frames::new(takes_stream);
        pieces.iter().try_for_each(|piece| frames.take(piece)).and_then(|()| frames.end())
    };
    assert_eq!(outcome(pieces), outcome(&[&pieces.concat()]));
}

/// Reads a file of an exported organization that comes in pieces.
pub fn export(pieces: &[&[u8]]) {
    let mut reader = Reader::default();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    let _whole_or_cut_off = reader.end();
}

/// Reads a PEM file as each of the things that it may hold. What is announced is given, or the file is refused.
pub fn pem(bytes: &[u8]) {
    let announced = bytes.windows(10).filter(|window| *window == b"-----BEGIN").count();
    for found in [
        sealward_pem::certificates(bytes).map(|certificates| certificates.len()).ok(),
        sealward_pem::revocation_lists(bytes).map(|lists| lists.len()).ok(),
    ]
    .into_iter()
    .flatten()
    {
        assert_eq!(found, announced);
    }
    let _refused_or_not = sealward_pem::private_key(bytes);
}

/// Reads a revocation list.
pub fn revocation_list(der: &[u8]) {
    let _refused_or_not = RevocationLists::parse(&[CertificateRevocationListDer::from(der.to_vec())]);
}

/// No text is a token of an issuer whose keys have signed nothing.
pub fn token(text: &str) {
    static ISSUERS: LazyLock<Issuers> = LazyLock::new(|| {
        let keys = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        Issuers::of_one(
            "https://idp.example.org",
            Arc::new(KeySet::parse(keys.to_owned()).expect("the key set is valid")),
        )
    });
    assert!(ISSUERS.verify(text, Timestamp::from_unix_micros(1_900_000_000_000_000)).is_err());
}
