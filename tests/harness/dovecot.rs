//! A real IMAP server: Dovecot as a child of the test, on its own port and in its own folder, with one user and two messages.
//!
//! The configuration is that of Dovecot 2.3, which Debian 12 has; 2.4 has another language. It runs as the user of the test: as root,
//! with the users of Debian's package. Its log is a pipe, so that tests can wait for events.

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener},
    os::{
        fd::OwnedFd,
        unix::fs::{PermissionsExt as _, chown},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use super::PATIENCE;

/// The host that the server's certificate is for.
pub(crate) const HOST: &str = "localhost";

/// The only user.
pub(crate) const USER: &str = "sales@example.org";

/// The user's password: IMAP can send it only as a literal.
pub(crate) const PASSWORD: &str = "correct \"horse\" bättery";

/// Subjects of the messages in INBOX, the oldest first. The oldest is malicious.
const SUBJECTS: [&str; 2] = ["Hello \u{1b}[2Jthere", "Your order 4711"];

/// What the server offers on its one port.
#[derive(Clone, Copy)]
pub(crate) enum Offer {
    /// TLS from the first byte.
    Tls,
    /// No TLS at all.
    Cleartext,
}

/// A Dovecot process. Ended with the test.
pub(crate) struct Dovecot {
    child: Child,
    folder: TempDir,
    port: u16,
    lines: Receiver<String>,
    log: String,
}

impl Dovecot {
    /// Starts one, and waits until it is ready.
    pub(crate) fn start(offer: Offer) -> Self {
        let program = program();
        let folder = TempDir::new().unwrap();
        // The port is opened here and passed on, as systemd does it, so that no other process can take it.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        prepare(folder.path(), offer, port);
        let take_over = r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" -F -c "$1""#;
        let mut child = Command::new("sh")
            .args(["-c", take_over])
            .arg(program)
            .arg(folder.path().join("dovecot.conf"))
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        // Read to the end, so that the server never waits for it.
        std::thread::spawn(move || {
            for line in stderr.split(b'\n') {
                let _nobody_looks = sender.send(String::from_utf8_lossy(&line.unwrap()).into_owned());
            }
        });
        let mut dovecot = Dovecot { child, folder, port, lines, log: String::new() };
        dovecot.wait_for("starting up for imap");
        dovecot
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The CA of its certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Waits until it logs these words, and returns the log so far.
    pub(crate) fn wait_for(&mut self, words: &str) -> &str {
        while !self.log.contains(words) {
            let line = self.lines.recv_timeout(PATIENCE);
            self.log += &line.unwrap_or_else(|error| panic!("Dovecot doesn't log {words:?}: {error}\n{}", self.log));
            self.log.push('\n');
        }
        &self.log
    }

    /// Ends it, and returns its whole log.
    pub(crate) fn end(mut self) -> String {
        self.terminate();
        std::mem::take(&mut self.log)
    }

    /// Sends SIGTERM, on which it ends its children, and reads to the end of their log.
    fn terminate(&mut self) {
        let _told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.log += &line;
            self.log.push('\n');
        }
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
        }
    }
}

/// Dovecot, of the version whose configuration is known here.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders.map(|folder| folder.join("dovecot")).find(|file| file.is_file());
    let found = found.expect("Dovecot is missing: run the tests with `cargo xtask test`, which installs it");
    let version = Command::new(&found).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    assert!(version.starts_with("2.3."), "the tests need Dovecot 2.3, which Debian 12 has: this is {version}");
    found
}

/// The output of `id` for the user of the test.
fn id(option: &str) -> String {
    let said = Command::new("id").arg(option).output().unwrap().stdout;
    String::from_utf8(said).unwrap().trim().to_owned()
}

/// Writes everything that the server reads.
fn prepare(folder: &Path, offer: Offer, port: u16) {
    let is_root = id("-u") == "0";
    // Its processes have other users, which need access.
    fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
    certify(folder);
    fs::write(folder.join("users"), format!("{USER}:{{PLAIN}}{PASSWORD}\n")).unwrap();
    fs::set_permissions(folder.join("users"), Permissions::from_mode(0o644)).unwrap();

    // Debian's user `mail`; without root, the user of the test.
    let (uid, gid) = if is_root { ("8".to_owned(), "8".to_owned()) } else { (id("-u"), id("-g")) };
    let maildir = folder.join("home/Maildir");
    let inbox = ["new", "cur", "tmp"].map(|part| maildir.join(part));
    inbox.iter().for_each(|part| fs::create_dir_all(part).unwrap());
    for (number, subject) in SUBJECTS.iter().enumerate() {
        let message = format!("From: customer@example.com\r\nSubject: {subject}\r\n\r\nThe message.\r\n");
        fs::write(maildir.join(format!("new/{number}.message")), message).unwrap();
    }
    let owned = [folder.join("home"), maildir].into_iter().chain(inbox);
    owned.for_each(|part| chown(part, uid.parse().ok(), gid.parse().ok()).unwrap());

    let (listener, not_used, ssl) = match offer {
        Offer::Tls => ("imaps", "imap", "required"),
        Offer::Cleartext => ("imap", "imaps", "no"),
    };
    let here = folder.display();
    let mut config = format!(
        "protocols = imap
listen = 127.0.0.1
base_dir = {here}/run
state_dir = {here}/state
log_path = /dev/stderr
auth_verbose = yes
auth_debug = yes
auth_failure_delay = 0
ssl = {ssl}
ssl_cert = <{here}/server.pem
ssl_key = <{here}/server.key
mail_location = maildir:~/Maildir
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = {here}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={here}/home
}}
service imap-login {{
  inet_listener {listener} {{
    port = {port}
  }}
  inet_listener {not_used} {{
    port = 0
  }}
}}
"
    );
    if !is_root {
        let (user, group) = (id("-un"), id("-gn"));
        config += &format!(
            "default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
}}
"
        );
    }
    fs::write(folder.join("dovecot.conf"), config).unwrap();
}

/// A CA, and a certificate of it for the host.
fn certify(folder: &Path) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "A mail server's CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let ca = Issuer::new(params, key);

    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![HOST.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}
