//! The sample records: a company with its mail servers, its people and their queues.
//!
//! Everything except the passwords is derived from a seed. Each record satisfies the contract's rules across fields: a password has a user
//! name, basic authentication has TLS, a server without discovery has a location, only Exchange uses impersonation.

use sealward_client::{
    ExposeSecret as _, generate_key_text,
    mail_v1::{
        EmailServerProfile, Mailbox, Queue, UserSettings,
        email_server_profile::{AuthenticationProtocol, CredentialRetrieval, ServerType},
        mailbox, queue, user_settings,
    },
};

/// A record with its id.
pub(super) enum DemoRecord {
    EmailServerProfile(String, Box<EmailServerProfile>),
    Mailbox(String, Box<Mailbox>),
    Queue(String, Box<Queue>),
    UserSettings(String, Box<UserSettings>),
}

/// Records in the order in which to store them: a record refers only to records of earlier stages.
pub(super) struct Plan {
    pub(super) stages: [Vec<DemoRecord>; 3],
}

impl Plan {
    /// Plans `records` records: 5 % are profiles (at most 8), 10 % queues, 10 % the queues' mailboxes; the rest are mailboxes and settings of
    /// people.
    pub(super) fn new(organization: &str, seed: u64, records: u32) -> Self {
        let profiles = (records / 20).clamp(1, 8);
        let queues = records / 10;
        let people_records = records - profiles - 2 * queues;
        let company = Company { organization, seed, profiles };

        let mailboxes_of_queues = (0..queues).map(|number| company.queue_mailbox(number));
        let mailboxes_of_people = (0..people_records.div_ceil(2)).map(|number| company.person_mailbox(number));
        Plan {
            stages: [
                (0..profiles).map(|number| company.profile(number)).collect(),
                mailboxes_of_people.chain(mailboxes_of_queues).collect(),
                (0..queues)
                    .map(|number| company.queue(number))
                    .chain((0..people_records / 2).map(|number| company.settings(number)))
                    .collect(),
            ],
        }
    }

    /// The id of the first mailbox, if the plan has one.
    pub(super) fn first_mailbox(&self) -> Option<String> {
        self.stages.iter().flatten().find_map(|record| match record {
            DemoRecord::Mailbox(id, _) => Some(id.clone()),
            DemoRecord::EmailServerProfile(..) | DemoRecord::Queue(..) | DemoRecord::UserSettings(..) => None,
        })
    }
}

/// The parameters of all records.
struct Company<'a> {
    organization: &'a str,
    seed: u64,
    profiles: u32,
}

/// Separates the pseudorandom numbers of different kinds of records.
#[derive(Clone, Copy)]
enum Kind {
    BusinessUnit,
    Profile,
    PersonMailbox,
    QueueMailbox,
    Queue,
    Person,
}

impl Company<'_> {
    fn profile(&self, number: u32) -> DemoRecord {
        let site = pick(SITES, number as usize);
        let domain = self.domain();
        let account = format!("mail-service-{}@{domain}", slug(site));
        let mut profile = match number % 4 {
            0 => exchange_online(account),
            1 => exchange_server(domain, account),
            2 => imap(domain, account),
            _ => pop3(domain),
        };
        let kind = profile.display_name.take().unwrap_or_default();
        profile.display_name = Some(format!("{kind}, {site}"));
        profile.description = Some(format!("Mail of {} at {site}.", self.name()));
        DemoRecord::EmailServerProfile(self.id(Kind::Profile, number), Box::new(profile))
    }

    fn person_mailbox(&self, number: u32) -> DemoRecord {
        let person = self.person(number);
        let profile = self.draw(Kind::PersonMailbox, number) % u64::from(self.profiles);
        let mailbox = Mailbox {
            display_name: Some(person.name),
            regarding_object_id: Some(self.id(Kind::Person, number)),
            ..self.mailbox(&person.address, profile)
        };
        DemoRecord::Mailbox(self.id(Kind::PersonMailbox, number), Box::new(mailbox))
    }

    fn queue_mailbox(&self, number: u32) -> DemoRecord {
        let (name, address) = self.queue_name(number);
        let profile = self.draw(Kind::QueueMailbox, number) % u64::from(self.profiles);
        let mailbox = Mailbox {
            display_name: Some(name),
            regarding_object_id: Some(self.id(Kind::Queue, number)),
            ..self.mailbox(&address, profile)
        };
        DemoRecord::Mailbox(self.id(Kind::QueueMailbox, number), Box::new(mailbox))
    }

    fn mailbox(&self, address: &str, profile: u64) -> Mailbox {
        let profile = u32::try_from(profile).unwrap_or_default();
        let mut mailbox = Mailbox {
            email_address: Some(address.to_owned()),
            username: Some(address.to_owned()),
            password: Some(password()),
            allow_email_connector_to_use_credentials: Some(true),
            email_server_profile: Some(self.name_of("emailServerProfiles", &self.id(Kind::Profile, profile))),
            ..Mailbox::default()
        };
        mailbox.set_incoming_email_delivery_method(mailbox::IncomingEmailDeliveryMethod::ServerSideSync);
        mailbox.set_outgoing_email_delivery_method(mailbox::OutgoingEmailDeliveryMethod::ServerSideSync);
        mailbox.set_email_router_access_approval(mailbox::EmailRouterAccessApproval::Approved);
        // Two of the four kinds of profiles are Exchange; only they synchronize appointments.
        mailbox.set_act_delivery_method(match profile % 4 {
            0 | 1 => mailbox::ActDeliveryMethod::ServerSideSync,
            _ => mailbox::ActDeliveryMethod::None,
        });
        mailbox
    }

    fn queue(&self, number: u32) -> DemoRecord {
        let (name, address) = self.queue_name(number);
        let mut queue = Queue {
            description: Some(format!("Mail to {address}.")),
            display_name: Some(name),
            email_address: Some(address.clone()),
            default_mailbox: Some(self.name_of("mailboxes", &self.id(Kind::QueueMailbox, number))),
            ..Queue::default()
        };
        queue.set_incoming_email_delivery_method(queue::IncomingEmailDeliveryMethod::ServerSideSync);
        queue.set_outgoing_email_delivery_method(queue::OutgoingEmailDeliveryMethod::ServerSideSync);
        // Some have credentials of their own, as before mailboxes had them.
        if self.draw(Kind::Queue, number).is_multiple_of(4) {
            queue.email_username = Some(address);
            queue.email_password = Some(password());
            queue.allow_email_credentials = Some(true);
        }
        DemoRecord::Queue(self.id(Kind::Queue, number), Box::new(queue))
    }

    fn settings(&self, number: u32) -> DemoRecord {
        let drawn = self.draw(Kind::Person, number);
        let &(time_zone_code, locale_id, date_format) = pick(LOCALES, drawn as usize % LOCALES.len());
        let mut settings = UserSettings {
            business_unit_id: Some(self.id(Kind::BusinessUnit, 0)),
            time_zone_code: Some(time_zone_code),
            locale_id: Some(locale_id),
            ui_language_id: Some(ENGLISH),
            help_language_id: Some(ENGLISH),
            paging_limit: Some(50),
            date_format_string: Some(date_format.to_owned()),
            time_format_string: Some("HH:mm".to_owned()),
            homepage_area: Some("Workplace".to_owned()),
            workday_start_time: Some("08:30".to_owned()),
            workday_stop_time: Some("17:00".to_owned()),
            ..UserSettings::default()
        };
        settings.set_default_search_experience(user_settings::DefaultSearchExperience::Relevance);
        if drawn.is_multiple_of(5) {
            settings.email_username = Some(self.person(number).address);
            settings.email_password = Some(password());
            settings.allow_email_credentials = Some(true);
        }
        DemoRecord::UserSettings(self.id(Kind::Person, number), Box::new(settings))
    }

    /// A person with a unique name. Names repeat after 1,024 people, and then have a number.
    fn person(&self, number: u32) -> Person {
        let pairs = FIRST_NAMES.len() * LAST_NAMES.len();
        // The step is coprime to the number of pairs, so every pair comes up once.
        let pair = (number as usize * 401 + self.seed as usize % pairs) % pairs;
        let (first, last) = (pick(FIRST_NAMES, pair % FIRST_NAMES.len()), pick(LAST_NAMES, pair / FIRST_NAMES.len()));
        let (name, local) = match number as usize / pairs {
            0 => (format!("{first} {last}"), format!("{}.{}", slug(first), slug(last))),
            again => (format!("{first} {last} {}", again + 1), format!("{}.{}{}", slug(first), slug(last), again + 1)),
        };
        Person { name, address: format!("{local}@{}", self.domain()) }
    }

    /// The name and the address of a queue.
    fn queue_name(&self, number: u32) -> (String, String) {
        let (number, topics) = (number as usize, QUEUES.len());
        let (topic, site) = (pick(QUEUES, number % topics), pick(SITES, number / topics % SITES.len()));
        let again = match number / (topics * SITES.len()) {
            0 => String::new(),
            again => format!(" {}", again + 1),
        };
        let name = format!("{topic} {site}{again}");
        let address = format!("{}@{}", slug(&name), self.domain());
        (name, address)
    }

    fn name(&self) -> &'static str {
        pick(COMPANIES, self.seed as usize % COMPANIES.len()).0
    }

    fn domain(&self) -> &'static str {
        pick(COMPANIES, self.seed as usize % COMPANIES.len()).1
    }

    fn name_of(&self, collection: &str, id: &str) -> String {
        format!("{}/{collection}/{id}", self.organization)
    }

    /// A UUID of version 8 (RFC 9562, custom), the same for the same seed.
    fn id(&self, kind: Kind, number: u32) -> String {
        let (high, low) = (self.draw(kind, number), self.draw(kind, !number));
        let (high, low) = (high & !0xf000 | 0x8000, low & !(0b11 << 62) | (0b10 << 62));
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }

    /// A pseudorandom number for a seed, a kind and a number (SplitMix64; not for secrets).
    fn draw(&self, kind: Kind, number: u32) -> u64 {
        let mixed = |value: u64| {
            let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            value ^ (value >> 31)
        };
        mixed(mixed(self.seed) ^ (kind as u64) << 32 ^ u64::from(number))
    }
}

struct Person {
    name: String,
    address: String,
}

/// Exchange Online: with discovery and TLS; the profile's account impersonates each mailbox.
fn exchange_online(account: String) -> EmailServerProfile {
    let mut profile = EmailServerProfile {
        display_name: Some("Exchange Online".to_owned()),
        use_auto_discover: Some(true),
        incoming_use_ssl: Some(true),
        outgoing_use_ssl: Some(true),
        incoming_use_impersonation: Some(true),
        incoming_username: Some(account),
        incoming_password: Some(password()),
        max_concurrent_connections: Some(10),
        ..EmailServerProfile::default()
    };
    profile.set_server_type(ServerType::ExchangeOnlineHybrid);
    profile.set_incoming_authentication_protocol(AuthenticationProtocol::AutoDetect);
    profile.set_incoming_credential_retrieval(CredentialRetrieval::EmailServerProfile);
    profile
}

fn exchange_server(domain: &str, account: String) -> EmailServerProfile {
    let mut profile = EmailServerProfile {
        display_name: Some("Exchange Server".to_owned()),
        use_auto_discover: Some(false),
        incoming_server_location: Some(format!("https://exchange.{domain}/EWS/Exchange.asmx")),
        outgoing_server_location: Some(format!("https://exchange.{domain}/EWS/Exchange.asmx")),
        incoming_use_ssl: Some(true),
        outgoing_use_ssl: Some(true),
        incoming_use_impersonation: Some(true),
        incoming_username: Some(account),
        incoming_password: Some(password()),
        timeout_mailbox_connection_after_amount: Some(60_000),
        ..EmailServerProfile::default()
    };
    profile.set_server_type(ServerType::ExchangeServer);
    profile.set_incoming_authentication_protocol(AuthenticationProtocol::Basic);
    profile.set_incoming_credential_retrieval(CredentialRetrieval::EmailServerProfile);
    profile
}

/// IMAP and SMTP: separate settings and credentials for each direction.
fn imap(domain: &str, account: String) -> EmailServerProfile {
    let mut profile = EmailServerProfile {
        display_name: Some("IMAP and SMTP".to_owned()),
        incoming_server_location: Some(format!("imap.{domain}")),
        incoming_port_number: Some(993),
        incoming_username: Some(account.clone()),
        incoming_password: Some(password()),
        outgoing_username: Some(account),
        outgoing_password: Some(password()),
        ..smtp(domain)
    };
    profile.set_server_type(ServerType::ImapSmtp);
    set_both_directions(&mut profile, CredentialRetrieval::EmailServerProfile);
    profile
}

/// POP3 and SMTP: each mailbox has its own credentials.
fn pop3(domain: &str) -> EmailServerProfile {
    let mut profile = EmailServerProfile {
        display_name: Some("POP3 and SMTP".to_owned()),
        incoming_server_location: Some(format!("pop.{domain}")),
        incoming_port_number: Some(995),
        min_polling_interval_in_minutes: Some(5),
        ..smtp(domain)
    };
    profile.set_server_type(ServerType::Other);
    set_both_directions(&mut profile, CredentialRetrieval::UserOrQueue);
    profile
}

fn smtp(domain: &str) -> EmailServerProfile {
    EmailServerProfile {
        use_auto_discover: Some(false),
        use_same_settings_for_outgoing_connections: Some(false),
        incoming_use_ssl: Some(true),
        outgoing_server_location: Some(format!("smtp.{domain}")),
        outgoing_port_number: Some(465),
        outgoing_use_ssl: Some(true),
        ..EmailServerProfile::default()
    }
}

fn set_both_directions(profile: &mut EmailServerProfile, credentials: CredentialRetrieval) {
    profile.set_incoming_authentication_protocol(AuthenticationProtocol::Basic);
    profile.set_outgoing_authentication_protocol(AuthenticationProtocol::Basic);
    profile.set_incoming_credential_retrieval(credentials);
    profile.set_outgoing_credential_retrieval(credentials);
}

/// Four groups of a generated key: 100 random bits, shorter than every limit.
fn password() -> String {
    generate_key_text().expose_secret().chars().take(23).collect()
}

/// `Ms. O'Hara North` as `ms-ohara-north`.
fn slug(words: &str) -> String {
    let kept = words.chars().filter(|character| character.is_ascii_alphanumeric() || *character == ' ');
    kept.map(|character| if character == ' ' { '-' } else { character.to_ascii_lowercase() }).collect()
}

fn pick<T>(list: &'static [T], index: usize) -> &'static T {
    list.get(index % list.len()).expect("a remainder is within the list")
}

/// English (United States), by its Windows language code.
const ENGLISH: i32 = 1033;

/// The time zone code of Dynamics 365, the Windows locale id, and the date format.
const LOCALES: &[(i32, i32, &str)] =
    &[(85, 2057, "dd/MM/yyyy"), (35, 1033, "M/d/yyyy"), (110, 1031, "dd.MM.yyyy"), (105, 1036, "dd/MM/yyyy")];

const COMPANIES: &[(&str, &str)] = &[
    ("Brightwater Instruments", "brightwater.test"),
    ("Alderstone Logistics", "alderstone.test"),
    ("Fairhaven Foods", "fairhaven.test"),
    ("Millbrook Engineering", "millbrook.test"),
];

const SITES: &[&str] = &["Leeds", "Bristol", "Hamburg", "Lyon", "Boston", "Cork", "Ghent", "Turin"];

const QUEUES: &[&str] = &["Support", "Sales", "Billing", "Orders", "Returns", "Careers", "Press", "Facilities"];

const FIRST_NAMES: &[&str] = &[
    "Ada", "Amir", "Anna", "Ben", "Carla", "Chidi", "Clara", "Daniel", "Dina", "Elena", "Emil", "Farah", "Felix",
    "Grace", "Hana", "Hugo", "Ines", "Ivan", "Jonas", "Julia", "Kofi", "Lara", "Leo", "Maya", "Nadia", "Noah", "Olga",
    "Paul", "Rosa", "Samir", "Tara", "Victor",
];

const LAST_NAMES: &[&str] = &[
    "Abbott", "Baker", "Bauer", "Bianchi", "Carter", "Costa", "Dubois", "Evans", "Fischer", "Garcia", "Haddad",
    "Hansen", "Ito", "Jansen", "Keller", "Kowalski", "Lambert", "Lopez", "Martin", "Meyer", "Novak", "Okafor",
    "O'Hara", "Patel", "Quinn", "Rossi", "Schmidt", "Silva", "Tanaka", "Vogel", "Walker", "Young",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The id of a record, and some of its attributes without passwords.
    fn summary(record: &DemoRecord) -> (String, String) {
        match record {
            DemoRecord::EmailServerProfile(id, record) => {
                let shown = (&record.display_name, record.server_type, &record.incoming_server_location);
                (id.clone(), format!("{shown:?}"))
            }
            DemoRecord::Mailbox(id, record) => {
                let shown = (&record.display_name, &record.email_address, &record.email_server_profile);
                (id.clone(), format!("{shown:?}"))
            }
            DemoRecord::Queue(id, record) => {
                (id.clone(), format!("{:?}", (&record.display_name, &record.default_mailbox)))
            }
            DemoRecord::UserSettings(id, record) => {
                (id.clone(), format!("{:?}", (record.locale_id, &record.business_unit_id)))
            }
        }
    }

    fn plan(seed: u64, records: u32) -> Vec<(String, String)> {
        Plan::new("organizations/o", seed, records).stages.iter().flatten().map(summary).collect()
    }

    #[test]
    fn plan_has_the_requested_number_of_records_with_distinct_ids() {
        for records in [1, 2, 3, 9, 10, 19, 100, 101, 5_000] {
            let plan = plan(1, records);
            let ids: BTreeSet<&String> = plan.iter().map(|(id, _)| id).collect();
            // A person's mailbox and settings have different ids.
            assert_eq!((plan.len(), ids.len()), (records as usize, records as usize));
        }
    }

    #[test]
    fn seed_determines_the_records() {
        assert_eq!(plan(7, 100), plan(7, 100));
        assert_ne!(plan(7, 100), plan(8, 100));
    }

    #[test]
    fn addresses_are_distinct() {
        let plan = Plan::new("organizations/o", 3, 10_000);
        let mailboxes = plan.stages.iter().flatten().filter_map(|record| match record {
            DemoRecord::Mailbox(_, mailbox) => mailbox.email_address.as_deref(),
            DemoRecord::EmailServerProfile(..) | DemoRecord::Queue(..) | DemoRecord::UserSettings(..) => None,
        });
        let addresses: Vec<&str> = mailboxes.collect();
        assert!(addresses.len() > 2_000 && addresses.iter().all(|address| address.ends_with(".test")));
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len());
    }

    #[test]
    fn each_run_draws_new_passwords() {
        assert_ne!(password(), password());
        assert_eq!(password().len(), 23);
    }
}
