use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{CertificateError, pki_types::CertificateDer};
use sealward_core::{id::Timestamp, identity::Identity};
use tempfile::TempDir;

use super::{revocation::ListProblem, *};
use crate::{
    certificates::Certificates,
    config::{Bundle, CertificateSource, Tls},
    files::pem::{self, PemError},
    finding::{Finding, Severity},
    transport::test_deployment::TestDeployment,
};

fn settings() -> (TempDir, Tls) {
    let TestDeployment { folder, config, .. } = TestDeployment::new();
    (folder, config.tls)
}

fn ada() -> Identity {
    Identity::CommonName("ada".to_owned())
}

/// A CA that can issue certificates and lists.
struct Ca {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn list_params(serials: &[u64]) -> CertificateRevocationListParams {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2031, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    }
}

fn at(address: &str) -> CrlDistributionPoint {
    CrlDistributionPoint { uris: vec![address.to_owned()] }
}

impl Ca {
    fn new(name: &str) -> Self {
        Self::with(ca_params(name))
    }

    fn with(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// A CA below this one.
    fn intermediate(&self, name: &str, serial: u64) -> Self {
        let mut params = ca_params(name);
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn certificate(&self, serial: u64) -> CertificateDer<'static> {
        self.certificate_with(serial, |_| {})
    }

    fn certificate_with(&self, serial: u64, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()
    }

    /// A list due in 2031 that revokes these.
    fn list(&self, serials: &[u64]) -> String {
        self.list_with(list_params(serials))
    }

    fn list_with(&self, params: CertificateRevocationListParams) -> String {
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn trust(cas: &[&Ca], lists: &[String]) -> Result<Trust, TlsError> {
    let (folder, mut tls) = settings();
    std::fs::write(tls.client_ca.as_ref().unwrap(), cas.iter().map(|ca| ca.pem.as_str()).collect::<String>()).unwrap();
    if !lists.is_empty() {
        let file = folder.path().join("crl.pem");
        std::fs::write(&file, lists.concat()).unwrap();
        tls.client_crl = Some(file);
    }
    Trust::load(&tls, None)
}

/// The result of the verification of a chain in 2030.
fn verified(trust: &Trust, chain: &[CertificateDer<'static>]) -> Result<(), CertificateError> {
    verified_at(trust, chain, IN_2030)
}

fn verified_at(trust: &Trust, chain: &[CertificateDer<'static>], now: Timestamp) -> Result<(), CertificateError> {
    trust.verify(chain, &ada(), now).map_err(|error| {
        let rustls::Error::InvalidCertificate(error) = error else { panic!("{error}") };
        error
    })
}

/// The problems of the trust.
fn problems(trust: &Trust, now: Timestamp) -> Vec<String> {
    trust.findings(now).into_iter().map(|finding| finding.problem).collect()
}

/// The problems of the validity of the CAs.
fn validity(trust: &Trust, now: Timestamp) -> Vec<Finding> {
    Certificates { client_cas: trust.client_cas().cloned().collect(), ..Certificates::default() }.findings(now)
}

const SECOND: i64 = 1_000_000;
/// 2020-01-01
const IN_2020: Timestamp = Timestamp::from_unix_micros(1_577_836_800 * SECOND);
const IN_2030: Timestamp = Timestamp::from_unix_micros(1_900_000_000 * SECOND);
const IN_2033: Timestamp = Timestamp::from_unix_micros(2_000_000_000 * SECOND);

#[test]
fn http_2_is_preferred_to_http_1_and_early_data_is_off() {
    let tls_context = TestDeployment::new().tls_context();
    assert_eq!(tls_context.server_config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
    assert_eq!(tls_context.server_config.max_early_data_size, 0);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (folder, mut tls) = settings();
    let CertificateSource::Files { key, .. } = &mut tls.certificate else { panic!("{tls:?}") };
    *key = folder.path().join("tls/admin.key");
    assert!(matches!(TlsContext::load(&tls, None), Err(TlsError::Certificate(_))));
}

#[test]
fn only_the_revoked_certificate_of_a_ca_is_refused() {
    let ca = Ca::new("one");
    let trust = trust(&[&ca], &[ca.list(&[7])]).unwrap();
    assert_eq!(verified(&trust, &[ca.certificate(7)]), Err(CertificateError::Revoked));
    assert_eq!(verified(&trust, &[ca.certificate(8)]), Ok(()));
}

#[test]
fn a_certificate_that_one_of_two_lists_names_is_refused_in_any_order() {
    let ca = Ca::new("one");
    let (old, new) = (ca.list(&[]), ca.list(&[7]));
    for lists in [[old.clone(), new.clone()], [new, old]] {
        let trust = trust(&[&ca], &lists).unwrap();
        assert_eq!(verified(&trust, &[ca.certificate(7)]), Err(CertificateError::Revoked));
        assert_eq!(verified(&trust, &[ca.certificate(8)]), Ok(()));
    }
}

#[test]
fn ca_renewed_with_a_new_key_has_a_separate_list() {
    let (before, after) = (Ca::new("one"), Ca::new("one"));
    let (list_before, list_after) = (before.list(&[7]), after.list(&[8]));
    for lists in [[list_before.clone(), list_after.clone()], [list_after, list_before]] {
        let trust = trust(&[&before, &after], &lists).unwrap();
        assert_eq!(problems(&trust, IN_2030), [""; 0]);
        for (ca, revoked, good) in [(&before, 7, 8), (&after, 8, 7)] {
            assert_eq!(verified(&trust, &[ca.certificate(revoked)]), Err(CertificateError::Revoked));
            assert_eq!(verified(&trust, &[ca.certificate(good)]), Ok(()));
        }
    }
}

#[test]
fn list_with_a_foreign_signature_applies_to_no_ca() {
    let (ca, impostor) = (Ca::new("one"), Ca::new("one"));
    let (foreign, own) = (impostor.list(&[8]), ca.list(&[7]));
    let only_foreign = trust(&[&ca], std::slice::from_ref(&foreign)).unwrap();
    assert_eq!(verified(&only_foreign, &[ca.certificate(8)]), Err(CertificateError::UnknownRevocationStatus));
    let found = problems(&only_foreign, IN_2030);
    assert!(found.iter().any(|problem| problem.contains("no client CA with this name signed it")), "{found:?}");
    for lists in [[foreign.clone(), own.clone()], [own, foreign]] {
        let trust = trust(&[&ca], &lists).unwrap();
        assert_eq!(verified(&trust, &[ca.certificate(8)]), Ok(()));
        assert_eq!(verified(&trust, &[ca.certificate(7)]), Err(CertificateError::Revoked));
        assert_eq!(problems(&trust, IN_2030).len(), 1);
    }
}

#[test]
fn each_part_of_a_divided_list_applies_to_its_certificates() {
    let ca = Ca::new("one");
    let part = |address: &str, serials: &[u64]| {
        let point =
            CrlIssuingDistributionPoint { distribution_point: at(address), scope: Some(CrlScope::UserCertsOnly) };
        ca.list_with(CertificateRevocationListParams {
            issuing_distribution_point: Some(point),
            ..list_params(serials)
        })
    };
    let of = |serial, address: &str| {
        ca.certificate_with(serial, |params| params.crl_distribution_points = vec![at(address)])
    };
    let parts = [part("http://ca/1", &[7]), part("http://ca/2", &[8])];
    let both = trust(&[&ca], &parts).unwrap();
    for (certificate, expected) in [
        (of(7, "http://ca/1"), Err(CertificateError::Revoked)),
        (of(8, "http://ca/2"), Err(CertificateError::Revoked)),
        (of(9, "http://ca/1"), Ok(())),
        (of(9, "http://ca/2"), Ok(())),
        (of(9, "http://ca/3"), Err(CertificateError::UnknownRevocationStatus)),
        // It may be in a part that is missing.
        (ca.certificate(9), Err(CertificateError::UnknownRevocationStatus)),
        (ca.certificate(8), Err(CertificateError::Revoked)),
    ] {
        assert_eq!(verified(&both, &[certificate]), expected);
    }
    let first = trust(&[&ca], &parts[..1]).unwrap();
    assert_eq!(verified(&first, &[of(9, "http://ca/2")]), Err(CertificateError::UnknownRevocationStatus));
    let facts: Vec<_> = first.revocation_lists().map(ToString::to_string).collect();
    assert!(facts[0].ends_with("revokes 1, for certificates of http://ca/1 only"), "{facts:?}");
}

#[test]
fn list_for_cas_only_does_not_cover_clients() {
    let ca = Ca::new("one");
    let point = CrlIssuingDistributionPoint { distribution_point: at("http://ca"), scope: Some(CrlScope::CaCertsOnly) };
    let list = CertificateRevocationListParams { issuing_distribution_point: Some(point), ..list_params(&[]) };
    let trust = trust(&[&ca], &[ca.list_with(list)]).unwrap();
    let certificate = ca.certificate_with(8, |params| params.crl_distribution_points = vec![at("http://ca")]);
    assert_eq!(verified(&trust, &[certificate]), Err(CertificateError::UnknownRevocationStatus));
}

#[test]
fn list_from_the_future_revokes_but_does_not_cover_certificates() {
    let ca = Ca::new("one");
    let trust = trust(&[&ca], &[ca.list(&[7])]).unwrap();
    let before = |seconds| Timestamp::from_unix_micros(IN_2020.unix_micros() - seconds * SECOND);
    // Clocks may differ by five minutes.
    assert_eq!(verified_at(&trust, &[ca.certificate(8)], before(300)), Ok(()));
    assert_eq!(problems(&trust, before(300)), [""; 0]);
    let unknown = Err(CertificateError::UnknownRevocationStatus);
    assert_eq!(verified_at(&trust, &[ca.certificate(8)], before(301)), unknown);
    assert_eq!(verified_at(&trust, &[ca.certificate(7)], before(301)), Err(CertificateError::Revoked));
    let found = problems(&trust, before(301));
    assert!(found.iter().any(|problem| problem.contains("it is dated in the future")), "{found:?}");
}

#[test]
fn a_list_that_is_not_complete_is_refused_with_its_number() {
    let ca = Ca::new("one");
    let patched = |from: &[u8], to: &[u8]| {
        let point =
            CrlIssuingDistributionPoint { distribution_point: at("http://ca"), scope: Some(CrlScope::UserCertsOnly) };
        let params = CertificateRevocationListParams { issuing_distribution_point: Some(point), ..list_params(&[]) };
        let mut der = params.signed_by(&ca.issuer).unwrap().der().to_vec();
        let place = der.windows(from.len()).position(|window| window == from).unwrap();
        der[place..place + from.len()].copy_from_slice(to);
        format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", data_encoding::BASE64.encode(&der))
    };
    // indirectCRL in place of onlyContainsUserCerts; deltaCRLIndicator in place of cRLNumber.
    let indirect = patched(&[0x81, 0x01, 0xFF], &[0x84, 0x01, 0xFF]);
    let delta = patched(&[0x55, 0x1D, 0x14], &[0x55, 0x1D, 0x1B]);
    let problem = |list: String| match trust(&[&ca], &[ca.list(&[]), list]) {
        Err(TlsError::RevocationList { number: 2, problem }) => problem,
        other => panic!("{other:?}"),
    };
    assert!(matches!(problem(indirect), ListProblem::Indirect));
    assert!(matches!(problem(delta), ListProblem::Delta));
}

#[test]
fn intermediate_cas_need_lists_and_can_be_revoked() {
    let root = Ca::new("root");
    let (good, bad) = (root.intermediate("good", 1), root.intermediate("bad", 2));
    let chain = |ca: &Ca, serial| [ca.certificate(serial), ca.der.clone()];
    let lists = [good.list(&[7]), root.list(&[2]), bad.list(&[])];
    let all = trust(&[&root], &lists).unwrap();
    assert_eq!(verified(&all, &chain(&good, 8)), Ok(()));
    assert_eq!(verified(&all, &chain(&good, 7)), Err(CertificateError::Revoked));
    assert_eq!(verified(&all, &chain(&bad, 8)), Err(CertificateError::Revoked));
    assert_eq!(problems(&all, IN_2030), [""; 0]);
    let without_good = trust(&[&root], &lists[1..]).unwrap();
    assert_eq!(verified(&without_good, &chain(&good, 8)), Err(CertificateError::UnknownRevocationStatus));
    // An intermediate CA of the same name that another key certified.
    let namesake = root.intermediate("good", 3);
    assert_eq!(verified(&all, &chain(&namesake, 8)), Err(CertificateError::UnknownRevocationStatus));
}

#[test]
fn key_that_signs_a_list_needs_crl_sign() {
    let mut params = ca_params("one");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = Ca::with(params);
    // rcgen wouldn't sign a list with it.
    let mut signing = ca_params("one");
    signing.key_usages = vec![KeyUsagePurpose::CrlSign];
    let key = KeyPair::from_pem(&ca.issuer.key().serialize_pem()).unwrap();
    let list = list_params(&[7]).signed_by(&Issuer::new(signing, key)).unwrap().pem().unwrap();
    let trust = trust(&[&ca], &[list]).unwrap();
    assert_eq!(verified(&trust, &[ca.certificate(8)]), Err(CertificateError::UnknownRevocationStatus));
    let found = problems(&trust, IN_2030);
    assert!(found.iter().any(|problem| problem.contains("lacks cRLSign")), "{found:?}");
}

#[test]
fn ca_without_a_list_is_named_and_its_clients_are_refused() {
    let (listed, unlisted) = (Ca::new("listed"), Ca::new("unlisted"));
    let both = trust(&[&listed, &unlisted], &[listed.list(&[7])]).unwrap();
    let found = problems(&both, IN_2030);
    assert!(found.len() == 1 && found[0].contains("CN=unlisted"), "{found:?}");
    assert_eq!(verified(&both, &[unlisted.certificate(8)]), Err(CertificateError::UnknownRevocationStatus));

    let without_lists = trust(&[&listed, &unlisted], &[]).unwrap();
    assert_eq!(problems(&without_lists, IN_2030), [""; 0]);
    assert_eq!(verified(&without_lists, &[unlisted.certificate(8)]), Ok(()));
}

#[test]
fn a_late_list_is_named_and_still_used() {
    let ca = Ca::new("one");
    let trust = trust(&[&ca], &[ca.list(&[7])]).unwrap();
    assert_eq!(problems(&trust, IN_2030), [""; 0]);
    let found = problems(&trust, IN_2033);
    assert!(found.len() == 1 && found[0].starts_with("list 1 of ") && found[0].contains("it has expired"), "{found:?}");
    assert_eq!(verified_at(&trust, &[ca.certificate(7)], IN_2033), Err(CertificateError::Revoked));
    assert_eq!(verified_at(&trust, &[ca.certificate(8)], IN_2033), Ok(()));
}

#[test]
fn a_broken_list_is_refused() {
    let ca = Ca::new("one");
    let not_a_list = "-----BEGIN X509 CRL-----\nMAMCAQE=\n-----END X509 CRL-----\n".to_owned();
    assert!(matches!(trust(&[&ca], &[not_a_list]), Err(TlsError::RevocationList { number: 1, .. })));
    assert!(matches!(trust(&[&ca], &["text\n".to_owned()]), Err(TlsError::Pem(PemError::Unusable { .. }))));
}

#[test]
fn certificate_of_a_ca_with_the_name_of_a_client_ca_is_refused() {
    let (ca, namesake) = (Ca::new("one"), Ca::new("one"));
    let trust = trust(&[&ca], &[]).unwrap();
    assert_eq!(verified(&trust, &[namesake.certificate(1)]), Err(CertificateError::UnknownIssuer));
}

#[test]
fn expired_client_ca_is_not_trusted() {
    let mut params = ca_params("one");
    params.not_after = date_time_ymd(2030, 1, 1);
    let ca = Ca::with(params);
    let trust = trust(&[&ca], &[]).unwrap();
    let last = Timestamp::from_unix_micros(1_893_456_000 * SECOND);
    let after = Timestamp::from_unix_micros(1_893_456_001 * SECOND);
    assert_eq!(verified_at(&trust, &[ca.certificate(1)], last), Ok(()));
    let expired = verified_at(&trust, &[ca.certificate(1)], after).unwrap_err();
    assert!(matches!(expired, CertificateError::ExpiredContext { .. }), "{expired:?}");
    let found = validity(&trust, last);
    assert!(found[0].problem.contains("expires on 2030-01-01, in 0 days"), "{found:?}");
    let found = validity(&trust, after);
    assert!(found[0].severity == Severity::Error && found[0].problem.contains("expired on 2030-01-01"), "{found:?}");
    // Another certificate of the same CA and key that is valid now.
    let renewed = Ca::with_key(ca_params("one"), KeyPair::from_pem(&ca.issuer.key().serialize_pem()).unwrap());
    for cas in [[&ca, &renewed], [&renewed, &ca]] {
        assert_eq!(verified_at(&self::trust(&cas, &[]).unwrap(), &[ca.certificate(1)], after), Ok(()));
    }
}

impl Ca {
    fn with_key(params: CertificateParams, key: KeyPair) -> Self {
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }
}

#[test]
fn the_path_length_of_a_client_ca_is_enforced() {
    let with_length = |length| {
        let mut params = ca_params("root");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
        let root = Ca::with(params);
        let first = root.intermediate("first", 1);
        let second = first.intermediate("second", 2);
        let trust = trust(&[&root], &[]).unwrap();
        let chains = [
            vec![root.certificate(3)],
            vec![first.certificate(3), first.der.clone()],
            vec![second.certificate(3), second.der.clone(), first.der.clone()],
        ];
        chains.map(|chain| verified(&trust, &chain).is_ok())
    };
    assert_eq!(with_length(0), [true, false, false]);
    assert_eq!(with_length(1), [true, true, false]);
    assert_eq!(with_length(2), [true, true, true]);
}

#[test]
fn client_ca_that_is_not_a_ca_is_refused() {
    for change in [
        (|params| params.is_ca = IsCa::NoCa) as fn(&mut CertificateParams),
        |params| params.is_ca = IsCa::ExplicitNoCa,
        |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
    ] {
        let mut params = ca_params("one");
        change(&mut params);
        let (good, bad) = (Ca::new("good"), Ca::with(params));
        match trust(&[&good, &bad], &[]) {
            Err(TlsError::ClientCa { setting, number: 2, .. }) => assert_eq!(setting, "tls.client_ca"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn sessions_survive_a_new_server_certificate_but_not_new_trust() {
    let (_folder, tls) = settings();
    let (certificate, trust) =
        (ServerCertificate::load(&tls, None).unwrap(), Arc::new(Trust::load(&tls, None).unwrap()));
    let made = |trust| TlsContext::new(tls.minimum_version, &certificate, trust).unwrap().server_config;
    let first = made(&trust);
    assert!(Arc::ptr_eq(&first.session_storage, &made(&trust).session_storage));
    let again = Arc::new(Trust::load(&tls, None).unwrap());
    assert!(!Arc::ptr_eq(&first.session_storage, &made(&again).session_storage));
}

#[test]
fn spiffe_id_is_accepted_only_from_cas_of_its_trust_domain() {
    let (folder, mut tls) = settings();
    let [domain_ca, other_ca, names_ca] = ["domain", "other", "names"].map(|name| {
        let ca = Ca::new(name);
        std::fs::write(folder.path().join(name), &ca.pem).unwrap();
        ca
    });
    tls.client_ca = Some(folder.path().join("names"));
    let bundle = |name| (format!("{name}.example"), Bundle::File(folder.path().join(name)));
    tls.trust_domains = ["domain", "other"].map(bundle).into();
    let trust = Trust::load(&tls, None).unwrap();
    assert_eq!(trust.client_cas().len(), 3);
    let workload: Identity = "spiffe:domain.example/a".parse().unwrap();
    let unknown: Identity = "spiffe:unknown.example/a".parse().unwrap();
    for (ca, identity, is_believed) in [
        (&domain_ca, &workload, true),
        (&other_ca, &workload, false),
        (&names_ca, &workload, false),
        (&domain_ca, &unknown, false),
        (&names_ca, &unknown, false),
        (&domain_ca, &ada(), false),
        (&names_ca, &ada(), true),
    ] {
        let chain = [ca.certificate(1)];
        assert_eq!(trust.verify(&chain, identity, IN_2030).is_ok(), is_believed, "{identity}");
        assert_eq!(trust.verify_name(&chain, identity, IN_2030).is_ok(), is_believed, "{identity}");
    }

    // Every list also applies to the CAs of trust domains, in any order.
    let crl = folder.path().join("crl.pem");
    let names = names_ca.list(&[]);
    for lists in [[domain_ca.list(&[]), domain_ca.list(&[7])], [domain_ca.list(&[7]), domain_ca.list(&[])]] {
        std::fs::write(&crl, lists.concat() + &names).unwrap();
        tls.client_crl = Some(crl.clone());
        let trust = Trust::load(&tls, None).unwrap();
        assert!(trust.verify(&[domain_ca.certificate(7)], &workload, IN_2030).is_err());
        assert!(trust.verify(&[domain_ca.certificate(8)], &workload, IN_2030).is_ok());
    }
}

/// A server certificate in a new folder, and its settings.
fn server(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (TempDir, Tls) {
    let (folder, mut tls) = settings();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = (date_time_ymd(2029, 1, 1), date_time_ymd(2031, 1, 1));
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let [certificate, key_file] = ["pem", "key"].map(|end| folder.path().join(format!("server.{end}")));
    std::fs::write(&certificate, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    tls.certificate = CertificateSource::Files { certificate, key: key_file };
    (folder, tls)
}

#[test]
fn an_unusable_server_certificate_does_not_replace_a_good_one() {
    let (_folder, good) = server("Sealward.example", |_| {});
    let current = ServerCertificate::load(&good, None).unwrap();
    assert_eq!(current.faults(IN_2030), []);
    let replace = |tls: &Tls| ServerCertificate::load_in_place_of(&current, tls, None, IN_2030);
    type Change = fn(&mut CertificateParams);
    let cases: [(&str, Change, &str); 6] = [
        ("sealward.example", |params| params.not_after = date_time_ymd(2029, 2, 1), "it expired on 2029-02-01"),
        ("sealward.example", |params| params.not_before = date_time_ymd(2030, 12, 1), "isn't valid before 2030-12-01"),
        (
            "sealward.example",
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            "lacks serverAuth",
        ),
        ("sealward.example", |params| params.subject_alt_names.clear(), "no subject alternative names"),
        (
            "sealward.example",
            |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            "the certificate of a CA",
        ),
        ("other.example", |_| {}, "it is for other.example, but the current certificate is for"),
    ];
    for (name, change, words) in cases {
        let (_folder, tls) = server(name, change);
        let error = replace(&tls).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("server.pem"), "{error}");
        // A start uses it, and reports the problem.
        let at_start = ServerCertificate::load(&tls, None).unwrap();
        assert_eq!(at_start.findings(IN_2030).is_empty(), name == "other.example");
    }
    let (_folder, renewed) = server("sealward.example", |_| {});
    assert!(replace(&renewed).is_ok());
    let (_folder, one_more) = server("new.example", |params| {
        params.subject_alt_names.push(rcgen::SanType::DnsName("SEALWARD.example".try_into().unwrap()));
    });
    assert!(replace(&one_more).is_ok());
}

#[test]
fn certificate_in_use_is_kept_at_any_time() {
    let (_folder, tls) = server("sealward.example", |_| {});
    let current = ServerCertificate::load(&tls, None).unwrap();
    assert!(ServerCertificate::load_in_place_of(&current, &tls, None, IN_2033).is_ok());
    assert!(current.findings(IN_2033)[0].problem.contains("it expired on 2031-01-01"));
    let soon = Timestamp::from_unix_micros((1_924_992_000 - 86_400) * SECOND);
    let certificates = Certificates { server: current.certificates(), ..Certificates::default() };
    assert!(certificates.findings(soon)[0].problem.contains("in 1 day"), "{certificates:?}");
    assert!(current.findings(soon).is_empty());
}

#[test]
fn no_format_of_file_loses_certificates() {
    let (folder, mut tls) = settings();
    let (first, second) = (Ca::new("first"), Ca::new("second"));
    let path = folder.path().join("cas.pem");
    std::fs::write(&path, format!("{}{}", first.pem.trim_end(), second.pem)).unwrap();
    tls.client_ca = Some(path.clone());
    let error = pem::certificates(&path).unwrap_err().to_string();
    assert!(error.contains("a BEGIN or END marker shares the line"), "{error}");
    assert!(matches!(Trust::load(&tls, None), Err(TlsError::Pem(PemError::Unusable { .. }))));
}
