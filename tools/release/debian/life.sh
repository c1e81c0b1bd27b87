#!/bin/sh
# The life of the Debian packages, in a Debian that is booted with systemd. Arguments: the folder of the packages, and their version.
# Prints each command. It is run as a unit, see src/check/life.rs.
set -eux
cd "$1"
version=$2
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH DEBIAN_FRONTEND=noninteractive HOME=/root SEALWARD_OUTPUT=json

fail() {
    echo "FAILED: $*"
    systemctl status --no-pager --lines=50 sealward.service || true
    exit 1
}
absent() { [ ! -e "$1" ] || fail "$1 is still there"; }
installed() { [ "$(dpkg-query --show --showformat '${Status}' sealward-server)" = 'install ok installed' ] || fail "it isn't installed"; }
process() { systemctl show --property MainPID --value sealward.service; }

# Installation: nothing is started.
dpkg --install "sealward_${version}_"*.deb "sealward-server_${version}_"*.deb
dpkg --verify sealward sealward-server
! systemctl is-active --quiet sealward.service || fail "it was started without a configuration"
! systemctl is-enabled --quiet sealward.service || fail "it was enabled"

# Certificates of a development server, whose first line of output is that it runs.
mkfifo /root/greeting
sealward-server dev --data-dir /root/dev --listen 127.0.0.1:0 >/root/greeting &
read -r greeting </root/greeting
echo "$greeting"
kill $! && wait $!

# Configuration, with the root key encrypted for this machine.
sealward-server init /etc/sealward --systemd --admin cn:admin --listen 127.0.0.1:7443
cp /root/dev/tls/server.pem /root/dev/tls/server.key /etc/sealward/
cp /root/dev/tls/ca.pem /etc/sealward/client-ca.pem
printf '\n[[bindings]]\nidentity = "cn:connector"\nrole = "secret-reader"\norganizations = ["*"]\n' >>/etc/sealward/sealward.toml
systemd-creds encrypt --with-key=host --name=root.key /etc/sealward/root.key /etc/sealward/root.key.cred
shred -u /etc/sealward/root.key
install -D -m 644 /usr/share/doc/sealward-server/examples/encrypted-root-key.conf \
    /etc/systemd/system/sealward.service.d/encrypted-root-key.conf
systemctl daemon-reload

# Type=notify: the command ends when the server serves.
systemctl enable --now sealward.service sealward-backup.timer || fail "it doesn't start"
# systemd takes the numbers of dynamic users from this range.
user=$(stat --format=%u "/proc/$(process)")
[ "$user" -ge 61184 ] && [ "$user" -le 65519 ] || fail "it runs as the user $user"
admin="--dev /root/dev --endpoint https://127.0.0.1:7443 --as admin"
connector="--dev /root/dev --endpoint https://127.0.0.1:7443 --as connector"
sealward $admin org create default
mailbox=$(printf 'tr0ub4dor&3' | sealward $admin mailbox create --set display_name=Sales --secret password=- --output name)
reveals() {
    sealward $admin mailbox get "$mailbox" | grep -q '"password": null' || fail "a read doesn't return null"
    sealward $connector mailbox reveal "$mailbox" --attribute password --purpose test | grep -q 'tr0ub4dor&3' || fail "no reveal"
}
reveals

# A backup while it runs.
systemctl start sealward-backup.service || fail "no backup"
[ -e "$(echo /var/lib/sealward-backups/*)/configuration.db" ] || fail "the backup has no configuration.db"

# A reload, and an upgrade: another process of the new version, with the same data.
systemctl reload sealward.service
reveals
before=$(process)
dpkg --install "sealward-server_${version}+next_"*.deb
[ "$(process)" != "$before" ] || fail "an upgrade doesn't restart it"
systemctl is-active --quiet sealward.service || fail "it doesn't run after an upgrade"
reveals

# An upgrade to a version that refuses the configuration: the package is installed, and the service starts when the configuration is corrected.
# The former version is installed over the newer one.
echo 'no configuration' >>/etc/sealward/sealward.toml
dpkg --install "sealward-server_${version}_"*.deb
installed
! systemctl is-active --quiet sealward.service || fail "it runs without a valid configuration"
sed -i '$d' /etc/sealward/sealward.toml
systemctl restart sealward.service || fail "it doesn't start after a correction"
reveals

# A service that is stopped or masked stays so.
systemctl stop sealward.service
dpkg --install "sealward-server_${version}+next_"*.deb
! systemctl is-active --quiet sealward.service || fail "an upgrade starts a stopped service"
systemctl mask sealward.service
dpkg --install "sealward-server_${version}+next_"*.deb
installed
systemctl unmask sealward.service
systemctl start sealward.service

# A removal: the keys and the data stay.
dpkg --remove sealward-server
! systemctl is-active --quiet sealward.service || fail "it runs after its removal"
absent /usr/bin/sealward-server
[ -e /etc/sealward/root.key.cred ] && [ -e /var/lib/sealward/configuration.db ] || fail "a removal deletes keys or data"

# Installed again, it continues with them.
dpkg --install "sealward-server_${version}_"*.deb
systemctl start sealward.service || fail "it doesn't start after a new installation"
reveals

# The administrator creates a user of this name: the service runs as this user, with the same data.
systemctl stop sealward.service
useradd --system --uid 400 --no-create-home --shell /usr/sbin/nologin sealward
dpkg --install "sealward-server_${version}+next_"*.deb
systemctl start sealward.service || fail "it doesn't start if there is a user of its name"
[ "$(stat --format=%u "/proc/$(process)")" = 400 ] || fail "it doesn't run as the user of its name"
reveals
systemctl stop sealward.service
userdel sealward

# A folder in the way: the data was copied to /var/lib/sealward by root, for example from another machine.
cp -a "$(readlink -f /var/lib/sealward)" /root/data
rm -r /var/lib/sealward /var/lib/private/sealward
cp -a /root/data /var/lib/sealward
chown -R 0:0 /var/lib/sealward
dpkg --purge sealward-server
dpkg --install "sealward-server_${version}_"*.deb
systemctl enable --now sealward.service || fail "it doesn't start with a copied data folder"
reveals
systemctl enable sealward-backup.timer

# A purge removes what was installed and enabled, and still neither keys nor data.
dpkg --purge sealward-server sealward
absent /usr/bin/sealward
absent /usr/lib/systemd/system/sealward.service
absent /etc/systemd/system/multi-user.target.wants/sealward.service
absent /etc/systemd/system/timers.target.wants/sealward-backup.timer
[ -e /etc/sealward/root.key.cred ] && [ -e /var/lib/sealward/configuration.db ] || fail "a purge deletes keys or data"
echo "PASSED"
