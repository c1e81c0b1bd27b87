use std::{fs, path::PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

use super::*;
use crate::{telemetry::shed::Shed, transport::test_deployment::TestDeployment};

/// A list that is valid PEM, and not a list.
const NOT_A_LIST: &str = "-----BEGIN X509 CRL-----\nMAMCAQE=\n-----END X509 CRL-----\n";
const PARTNER: &str = "partner.example";

struct Ca {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn list(&self, revoked: &[u64]) -> String {
        self.numbered_list(1, revoked)
    }

    fn numbered_list(&self, number: u64, revoked: &[u64]) -> String {
        let revoked_certs = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let revoked_certs = revoked_certs.collect();
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2031, 1, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// The certificates of these CAs.
fn ders(cas: &[&Ca]) -> Vec<CertificateDer<'static>> {
    cas.iter().map(|ca| ca.der.clone()).collect()
}

/// The files of a server, and the parts that follow them.
struct Fixture {
    folder: TempDir,
    tls: Tls,
    parts: TrustParts,
}

impl Fixture {
    /// With these files. Without text, the setting isn't set.
    fn new(client_cas: &str, lists: Option<&str>, partner: Option<&str>) -> Self {
        let TestDeployment { folder, config, .. } = TestDeployment::new();
        let mut tls = config.tls;
        tls.trust_domains.clear();
        fs::write(tls.client_ca.as_ref().unwrap(), client_cas).unwrap();
        let path = |name: &str| folder.path().join(name);
        if let Some(lists) = lists {
            fs::write(path("crl.pem"), lists).unwrap();
            tls.client_crl = Some(path("crl.pem"));
        }
        if let Some(partner) = partner {
            fs::write(path("partner.pem"), partner).unwrap();
            tls.trust_domains.insert(PARTNER.to_owned(), Bundle::File(path("partner.pem")));
        }
        let trust = Arc::new(Trust::load(&tls, None).unwrap());
        let parts = TrustParts::new(&tls, trust, &Samples::new(100, Shed::default()));
        Self { folder, tls, parts }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn set_cas(&self, text: &str) {
        fs::write(self.tls.client_ca.as_ref().unwrap(), text).unwrap();
    }

    fn look(&mut self, ask: Ask) -> bool {
        let reading = self.parts.reader(&self.tls, None)();
        self.parts.look(reading, ask);
        self.parts.apply()
    }

    fn content(&self) -> &TrustContent {
        self.parts.in_force().content()
    }

    fn cas(&self) -> &[CertificateDer<'static>] {
        &self.content().client_cas
    }

    /// The numbers of revoked certificates in the lists in use.
    fn revoked(&self) -> Vec<usize> {
        self.parts.in_force().revocation_lists().map(|list| list.revoked).collect()
    }

    fn subjects(&self) -> Vec<String> {
        self.parts.refused().into_iter().map(|finding| finding.subject).collect()
    }
}

#[test]
fn each_source_takes_effect_while_others_are_unusable() {
    let (one, two) = (Ca::new("one"), Ca::new("two"));
    let both = one.pem.clone() + &two.pem;
    let lists = |revoked: &[u64]| one.list(revoked) + &two.list(&[]);
    let mut fixture = Fixture::new(&both, Some(&lists(&[])), Some(&both));

    // Each pair: a source that can't be used, and a removal or a revocation in another one.
    fs::write(fixture.path("partner.pem"), "garbage").unwrap();
    fixture.set_cas(&one.pem);
    assert!(fixture.look(Ask::Now));
    assert_eq!(fixture.cas(), ders(&[&one]));
    assert_eq!(fixture.content().trust_domains[PARTNER].cas.len(), 2);
    assert_eq!(fixture.subjects(), [format!("CAs of the trust domain {PARTNER}")]);

    fs::write(fixture.path("crl.pem"), lists(&[7])).unwrap();
    assert!(fixture.look(Ask::Now));
    assert_eq!(fixture.revoked(), [1, 0]);

    fs::remove_file(fixture.tls.client_ca.as_ref().unwrap()).unwrap();
    fs::write(fixture.path("partner.pem"), &two.pem).unwrap();
    assert!(fixture.look(Ask::Now));
    assert_eq!(fixture.content().trust_domains[PARTNER].cas, ders(&[&two]));
    assert_eq!(fixture.cas(), ders(&[&one]));
    assert_eq!(fixture.subjects(), ["client CAs"]);

    fs::write(fixture.path("crl.pem"), NOT_A_LIST).unwrap();
    fixture.set_cas(&two.pem);
    assert!(fixture.look(Ask::Now));
    assert!(fixture.cas().is_empty());
    assert_eq!(fixture.revoked(), [1, 0]);
}

#[test]
fn ca_is_not_added_while_the_revocation_lists_are_unusable() {
    let (one, two) = (Ca::new("one"), Ca::new("two"));
    let mut fixture = Fixture::new(&one.pem, None, Some(&one.pem));
    let both = one.pem.clone() + &two.pem;
    // The list of the new CA is configured with it, and can't be read.
    fixture.tls.client_crl = Some(fixture.path("crl.pem"));
    fixture.set_cas(&both);
    fs::write(fixture.path("partner.pem"), &two.pem).unwrap();
    assert!(fixture.look(Ask::Now));
    assert_eq!(fixture.cas(), ders(&[&one]));
    assert!(fixture.content().trust_domains[PARTNER].cas.is_empty());
    assert_eq!(fixture.subjects(), ["revocation lists", "tls.client_crl"]);

    fs::write(fixture.path("crl.pem"), one.list(&[]) + &two.list(&[7])).unwrap();
    assert!(fixture.look(Ask::Now));
    assert_eq!(fixture.cas(), ders(&[&one, &two]));
    assert_eq!(fixture.content().trust_domains[PARTNER].cas, ders(&[&two]));
    assert_eq!(fixture.revoked(), [0, 1]);
    assert_eq!(fixture.subjects(), Vec::<String>::new());
}

#[test]
fn ca_is_not_added_while_new_lists_wait_for_a_second_check() {
    let (one, two) = (Ca::new("one"), Ca::new("two"));
    let mut fixture = Fixture::new(&one.pem, Some(&one.list(&[])), None);
    fixture.set_cas(&(one.pem.clone() + &two.pem));
    assert!(!fixture.look(Ask::Settled));
    // The second check of the CAs is the first one of their lists.
    fs::write(fixture.path("crl.pem"), one.list(&[]) + &two.list(&[7])).unwrap();
    assert!(!fixture.look(Ask::Settled));
    assert_eq!(fixture.cas(), ders(&[&one]));
    assert!(fixture.look(Ask::Settled));
    assert_eq!((fixture.cas().len(), fixture.revoked()), (2, vec![0, 1]));
}

#[test]
fn lists_stay_in_use_while_the_removal_of_their_ca_cannot_be_read() {
    let one = Ca::new("one");
    let mut fixture = Fixture::new(&one.pem, Some(&one.list(&[7])), None);
    fixture.tls.client_crl = None;
    fixture.set_cas("garbage");
    assert!(!fixture.look(Ask::Now));
    assert_eq!((fixture.cas().len(), fixture.revoked()), (1, vec![1]));
    fixture.set_cas(&Ca::new("two").pem);
    assert!(fixture.look(Ask::Now));
    assert_eq!(fixture.revoked(), Vec::<usize>::new());
}

#[test]
fn usable_list_applies_beside_an_unusable_one() {
    let one = Ca::new("one");
    let mut fixture = Fixture::new(&one.pem, Some(&one.list(&[7])), None);
    for revoked in [&[7, 8][..], &[7, 8, 9]] {
        fs::write(fixture.path("crl.pem"), NOT_A_LIST.to_owned() + &one.list(revoked)).unwrap();
        assert!(fixture.look(Ask::Now));
        // The former list stays, because the unusable one may be meant to replace it.
        assert_eq!(fixture.revoked(), [1, revoked.len()]);
        assert!(fixture.parts.failures().unwrap().starts_with("list 1 of tls.client_crl can't be used"));
    }
    fs::write(fixture.path("crl.pem"), "garbage").unwrap();
    assert!(!fixture.look(Ask::Now));
    assert_eq!(fixture.revoked(), [1, 3]);
    fs::write(fixture.path("crl.pem"), one.list(&[9])).unwrap();
    assert!(fixture.look(Ask::Now));
    assert_eq!((fixture.revoked(), fixture.parts.failures()), (vec![1], None));
}

/// A revocation that applies is never taken back, in whichever order lists become unusable and usable again.
#[test]
fn revocation_stays_while_its_list_becomes_unusable() {
    let (one, two) = (Ca::new("one"), Ca::new("two"));
    let lists = |of_two: &str| one.list(&[]) + of_two;
    let mut fixture = Fixture::new(&(one.pem.clone() + &two.pem), Some(&lists(&two.list(&[]))), None);
    let write = |fixture: &Fixture, text: &str| fs::write(fixture.path("crl.pem"), text).unwrap();
    write(&fixture, &(NOT_A_LIST.to_owned() + &two.numbered_list(2, &[7, 8])));
    assert!(fixture.look(Ask::Now));
    assert_eq!(fixture.revoked(), [0, 0, 2]);
    // The list with the revocations becomes unusable, too, and then an older one appears in its place.
    write(&fixture, &NOT_A_LIST.repeat(2));
    assert!(!fixture.look(Ask::Now));
    write(&fixture, &(NOT_A_LIST.to_owned() + &two.numbered_list(1, &[7])));
    fixture.look(Ask::Now);
    assert_eq!(fixture.revoked(), [0, 0, 1, 2]);
    write(&fixture, &(NOT_A_LIST.to_owned() + &two.numbered_list(3, &[7, 8, 9])));
    assert!(fixture.look(Ask::Now));
    assert_eq!(fixture.revoked(), [0, 0, 3]);

    // Whole files that don't apply yet take nothing back, either.
    for number in 4..8 {
        write(&fixture, &lists(&two.numbered_list(number, &[7, 8, 9, number])));
        assert!(!fixture.look(Ask::Settled));
        assert_eq!(fixture.revoked(), [0, 0, 3]);
        fs::remove_file(fixture.path("crl.pem")).unwrap();
        assert!(!fixture.look(Ask::Settled));
        assert_eq!(fixture.revoked(), [0, 0, 3]);
    }
    write(&fixture, &lists(&two.numbered_list(9, &[7, 8, 9])));
    assert!(!fixture.look(Ask::Settled));
    assert!(fixture.look(Ask::Settled));
    assert_eq!((fixture.revoked(), fixture.parts.failures()), (vec![0, 3], None));
}

#[test]
fn ca_may_not_issue_for_further_names_while_a_source_is_unusable() {
    let (one, two) = (Ca::new("one"), Ca::new("two"));
    let mut fixture = Fixture::new(&one.pem, None, Some(&two.pem));
    fixture.tls.trust_domains.clear();
    fixture.set_cas("garbage");
    assert!(fixture.look(Ask::Now));
    assert!(fixture.content().trust_domains.is_empty() && fixture.content().is_by_name);
    fixture.set_cas(&one.pem);
    assert!(fixture.look(Ask::Now));
    assert!(!fixture.content().is_by_name);

    // A new trust domain has no CA until its bundle is usable, and the others don't issue for it.
    fixture.tls.trust_domains.insert(PARTNER.to_owned(), Bundle::File(fixture.path("missing.pem")));
    assert!(fixture.look(Ask::Now));
    assert!(fixture.content().is_by_name);
    assert!(fixture.content().trust_domains[PARTNER].cas.is_empty());
    fs::write(fixture.path("missing.pem"), &two.pem).unwrap();
    assert!(fixture.look(Ask::Now));
    assert_eq!(fixture.content().trust_domains[PARTNER].cas, ders(&[&two]));
}
