use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};

use super::*;

fn certificate(name: &str) -> String {
    CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn two() -> String {
    certificate("a") + &certificate("b")
}

#[track_caller]
fn refused(text: impl AsRef<[u8]>, line: usize, problem: LineProblem) {
    assert_eq!(certificates(text.as_ref()).unwrap_err(), PemError::Line { line, problem });
}

/// Returns the number of lines of a certificate in these tests.
fn length_of(pem: &str) -> usize {
    pem.lines().count()
}

#[test]
fn certificates_and_a_key_may_share_a_file() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    let text = format!("subject=CN = a\n{0}{key}# the same\n\n{0}", made.cert.pem());
    assert_eq!(certificates(text.as_bytes()).unwrap(), [made.cert.der().clone(), made.cert.der().clone()]);
    assert_eq!(private_key(text.as_bytes()).unwrap().secret_der(), made.signing_key.serialized_der());
}

#[test]
fn every_end_of_line_is_accepted() {
    let text = two();
    for end in ["\n", "\r\n", "\r", " \n", " \r\n"] {
        let changed = text.replace("\r\n", "\n").replace('\n', end);
        assert_eq!(certificates(changed.as_bytes()).unwrap().len(), 2, "{end:?}");
    }
    assert_eq!(certificates(text.trim_end().as_bytes()).unwrap().len(), 2);
}

#[test]
fn end_and_begin_on_one_line_are_refused_with_the_line() {
    let (first, second) = (certificate("a"), certificate("b"));
    let text = format!("{}{second}", first.trim_end());
    refused(&text, length_of(&first), LineProblem::SharedLine);
    refused(format!("x{second}"), 1, LineProblem::SharedLine);
}

#[test]
fn a_byte_order_mark_is_refused() {
    refused(format!("\u{feff}{}", two()), 1, LineProblem::ByteOrderMark);
    // In the middle, as when files are concatenated.
    let first = certificate("a");
    let text = format!("{first}\u{feff}{}", certificate("b"));
    refused(text, length_of(&first) + 1, LineProblem::SharedLine);
    let utf16: Vec<u8> = two().encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(certificates(&utf16), Err(PemError::Utf16));
}

#[test]
fn an_indented_block_is_refused() {
    let first = certificate("a");
    let indented: String = certificate("b").lines().map(|line| format!("    {line}\n")).collect();
    refused(format!("{first}{indented}"), length_of(&first) + 1, LineProblem::Indented);
    let body_only = first.replacen("\nMII", "\n MII", 1);
    refused(body_only, 2, LineProblem::Indented);
}

#[test]
fn unknown_labels_are_refused() {
    let relabelled = |label: &str| format!("{}{}", certificate("a"), certificate("b").replace("CERTIFICATE", label));
    let line = length_of(&certificate("a")) + 1;
    for (label, problem) in [
        ("TRUSTED CERTIFICATE", LineProblem::TrustedCertificate),
        ("X509 CERTIFICATE", LineProblem::OldLabel),
        ("CERTIFICATE REQUEST", LineProblem::Request),
        ("PKCS7", LineProblem::Pkcs7),
        ("X509 CRL", LineProblem::RevocationList),
        ("CERTIFICAT", LineProblem::UnknownLabel),
    ] {
        refused(relabelled(label), line, problem);
    }
}

#[test]
fn line_that_resembles_a_marker_is_a_marker_or_refused() {
    let text = certificate("a");
    for (from, to) in [
        ("-----BEGIN", "----BEGIN"),
        ("-----BEGIN", "------BEGIN"),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE----"),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE----- x"),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\t"),
        ("-----BEGIN CERTIFICATE-----", "-----begin certificate-----"),
        ("-----BEGIN CERTIFICATE-----", "----- BEGIN CERTIFICATE -----"),
        ("-----BEGIN CERTIFICATE-----", "-----BEGINCERTIFICATE-----"),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN\tCERTIFICATE-----"),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN\u{a0}CERTIFICATE-----"),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN"),
        ("-----BEGIN CERTIFICATE-----", "\u{2014}\u{2014}BEGIN CERTIFICATE\u{2014}\u{2014}"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert!(matches!(certificates(changed.as_bytes()), Err(PemError::Line { line: 1, .. })), "{to}");
    }
}

#[test]
fn a_damaged_block_is_refused_with_its_line() {
    let text = certificate("a");
    let last = length_of(&text);
    let without_end = text.replace("-----END CERTIFICATE-----", "");
    refused(&without_end, 1, LineProblem::Unfinished);
    refused(format!("{without_end}{text}"), 1, LineProblem::Unfinished);
    refused(text.replace("END CERTIFICATE", "END X509 CRL"), last, LineProblem::End);
    refused(format!("-----END CERTIFICATE-----\n{text}"), 1, LineProblem::End);
    refused(text.replacen("MII", "M!I", 1), 2, LineProblem::Base64);
    refused("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", 1, LineProblem::Content);
    refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 1, LineProblem::Content);
    // A line is missing.
    let shorter: String =
        text.lines().enumerate().filter(|(at, _)| *at != 3).map(|(_, line)| format!("{line}\n")).collect();
    refused(shorter, 1, LineProblem::Content);
    let header = text.replacen("-----\n", "-----\nComment: x\n\n", 1);
    if header != text {
        refused(header, 2, LineProblem::Header);
    }
}

#[test]
fn encrypted_private_key_is_reported_as_encrypted() {
    let key = KeyPair::generate().unwrap().serialize_pem();
    let pkcs8 = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let body = key.lines().nth(1).unwrap();
    let traditional = format!(
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n{body}\n-----END EC PRIVATE KEY-----\n"
    );
    for text in [pkcs8, traditional] {
        let error = private_key(text.as_bytes()).unwrap_err();
        assert_eq!(error, PemError::Line { line: 1, problem: LineProblem::EncryptedKey });
        assert!(error.to_string().contains("openssl pkey"), "{error}");
        assert!(!error.to_string().contains(body));
    }
}

#[test]
fn a_second_private_key_is_refused() {
    let [first, second] = [(); 2].map(|()| KeyPair::generate().unwrap().serialize_pem());
    let error = private_key((first.clone() + &second).as_bytes()).unwrap_err();
    assert_eq!(error, PemError::Line { line: length_of(&first) + 1, problem: LineProblem::SecondKey });
}

#[test]
fn der_is_answered_with_the_command_that_converts_it() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let error = certificates(made.cert.der()).unwrap_err().to_string();
    assert!(error.contains("openssl x509 -inform der"), "{error}");
    let error = private_key(made.signing_key.serialized_der()).unwrap_err().to_string();
    assert!(error.contains("openssl pkey -inform der"), "{error}");
    assert!(
        matches!(revocation_lists(made.cert.der()), Err(PemError::Der { command }) if command.contains("openssl crl"))
    );
    let pkcs12 = [&[0x30, 0x82, 0x01, 0x03, 0x02, 0x01, 0x03][..], &[0; 256]].concat();
    assert!(matches!(certificates(&pkcs12), Err(PemError::Pkcs12 { .. })));
}

#[test]
fn missing_block_is_named() {
    for (text, expected) in
        [("", "the file is empty"), (" \n", "the file is empty"), ("just text\n", "the file has no certificate in PEM")]
    {
        assert_eq!(certificates(text.as_bytes()).unwrap_err().to_string(), expected);
    }
    let key = KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(certificates(key.as_bytes()), Err(PemError::Missing { expected: "certificate" }));
    let certificate = certificate("a");
    assert_eq!(
        private_key(certificate.as_bytes()).unwrap_err(),
        PemError::Missing { expected: "unencrypted private key" }
    );
    assert_eq!(
        revocation_lists(certificate.as_bytes()),
        Err(PemError::Missing { expected: "certificate revocation list" })
    );
}

/// Returns a block labelled CERTIFICATE without generating a key. Any DER sequence is enough here.
fn any_block() -> String {
    let body = "MAMCAQE=";
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

proptest! {
    #[test]
    fn all_announced_certificates_are_read_or_none(
        count in 1_usize..4,
        at in any::<prop::sample::Index>(),
        inserted in prop::sample::select(vec![" ", "\n", "\r", "\t", "-", "\u{feff}", "x", ":", "=", "\u{2014}", ""]),
        removed in 0_usize..3,
    ) {
        let mut text: Vec<u8> = any_block().repeat(count).into_bytes();
        let at = at.index(text.len());
        let end = (at + removed).min(text.len());
        text.splice(at..end, inserted.bytes());
        if let Ok(found) = certificates(&text) {
            prop_assert_eq!(found.len(), count, "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn any_bytes_give_certificates_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _either = certificates(&bytes);
        let _either = private_key(&bytes);
        let _either = revocation_lists(&bytes);
    }
}
