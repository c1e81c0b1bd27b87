//! Entry points for the fuzzers in `fuzz/`: one for each parser of external text or bytes. Built for fuzzing only.
//!
//! Each function panics if the parser breaks one of its guarantees.

use std::sync::{Arc, LazyLock};

use rustls::pki_types::CertificateRevocationListDer;
use sealward_core::{id::Timestamp, name::RecordName};

use crate::{
    gates::message::Frames,
    hop::xfcc,
    identity::{jwks::KeySet, token::Issuers},
    rpc::{codec::compare::Compared, export_format::Reader, name},
    schema::{self, ServedSchema},
    transport::{tls::revocation::RevocationLists, unchanged_by_splitting},
};

static SERVED: LazyLock<ServedSchema> =
    LazyLock::new(|| schema::read(sealward::FILE_DESCRIPTOR_SET).expect("the shipped schema is valid"));

/// Parses a resource name. Every parser must find the same organization in it as the dispatcher.
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

/// The plans of the entities' methods, with their reference.
static COMPARED: LazyLock<Vec<Compared>> =
    LazyLock::new(|| SERVED.methods.iter().cloned().map(Compared::new).collect());

/// Decodes a request of every method of an entity. The plan and prost-reflect must return the same request, or both refuse it.
pub fn request(bytes: &[u8]) {
    for compared in &*COMPARED {
        compared.request(bytes);
    }
}

/// Like [`request`], with messages that are mostly valid. An answer must be encoded to the same bytes by the plan and prost-reflect.
pub fn codec(choices: &[u8]) {
    for compared in &*COMPARED {
        compared.chosen_request(choices);
        compared.chosen_reply(choices);
    }
}

/// Reads the frames of a request's body in pieces. The result must not depend on the sizes of the pieces.
pub fn frames(takes_stream: bool, pieces: &[&[u8]]) {
    let outcome = |pieces: &[&[u8]]| {
        let mut frames = Frames::new(takes_stream);
        pieces.iter().try_for_each(|piece| frames.take(piece, |_| Ok(()))).and_then(|()| frames.end())
    };
    assert_eq!(outcome(pieces), outcome(&[&pieces.concat()]));
}

/// Reads requests of HTTP/1.1 in pieces. What passes, and the fault, must not depend on the sizes of the pieces.
pub fn http1(pieces: &[&[u8]]) {
    unchanged_by_splitting(pieces);
}

/// Reads the file of an exported organization in pieces.
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
    let _complete_or_not = reader.end();
}

/// Reads a PEM file as each kind of content. Every announced block must be returned or be of a kind that is skipped, or the file refused.
pub fn pem(bytes: &[u8]) {
    const KEYS_AND_PARAMETERS: [&str; 6] =
        ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PARAMETERS", "DH PARAMETERS"];
    let count = |part: &str| bytes.windows(part.len()).filter(|window| *window == part.as_bytes()).count();
    let announced =
        |labels: &[&str]| labels.iter().map(|label| count(&format!("-----BEGIN {label}-----"))).sum::<usize>();
    let certificates = sealward_pem::certificates(bytes).map(|certificates| certificates.len());
    let lists = sealward_pem::revocation_lists(bytes).map(|lists| lists.len());
    for (found, skipped) in [(certificates, &KEYS_AND_PARAMETERS[..]), (lists, &["CERTIFICATE"])] {
        if let Ok(found) = found {
            assert_eq!(found + announced(skipped), count("-----BEGIN"));
        }
    }
    let _refused_or_not = sealward_pem::private_key(bytes);
}

/// Reads a revocation list.
pub fn revocation_list(der: &[u8]) {
    let _refused_or_not = RevocationLists::parse(&[CertificateRevocationListDer::from(der.to_vec())]);
}

/// Reads a header in which proxies name a client certificate. If it is well formed, it can't change the element that another proxy adds.
pub fn xfcc(header: &[u8]) {
    const ADDED: &[u8] = b"By=spiffe://example.org/proxy;URI=spiffe://example.org/caller";
    if xfcc::last_element(header).is_ok() && header.len() + 1 + ADDED.len() <= xfcc::SIZE_MAX_BYTES {
        assert_eq!(xfcc::last_element(&[header, ADDED].join(&b',')), xfcc::last_element(ADDED));
    }
}

/// Verifies a token. No text may pass, because the issuer's key has never signed anything.
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
