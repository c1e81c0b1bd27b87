#!/bin/sh
# The life of the Debian packages where systemd doesn't run, such as a chroot or the build of an image. Arguments: the folder of the packages, and
# their version. Prints each command. It is run by src/check/life.rs.
set -eux
cd "$1"
version=$2

fail() {
    echo "FAILED: $*"
    exit 1
}

# A folder in the way, with a file of the administrator.
mkdir -p /etc/sealward
echo mine >/etc/sealward/notes
dpkg --install "sealward_${version}_"*.deb "sealward-server_${version}_"*.deb
dpkg --verify sealward sealward-server
sealward --version
sealward-server init /etc/sealward --systemd --admin cn:admin
dpkg --install "sealward_${version}+next_"*.deb "sealward-server_${version}+next_"*.deb
dpkg --remove sealward-server
dpkg --install "sealward-server_${version}_"*.deb
dpkg --purge sealward sealward-server
[ ! -e /usr/bin/sealward-server ] && [ ! -e /usr/share/doc/sealward-server ] || fail "a purge leaves files"
[ -e /etc/sealward/root.key ] && [ "$(cat /etc/sealward/notes)" = mine ] || fail "a purge deletes keys, or files of the administrator"

# A file in the way of the folder: the installation fails, and leaves the file.
mv /etc/sealward /root/kept
echo mine >/etc/sealward
! dpkg --install "sealward-server_${version}_"*.deb || fail "it was installed over a file"
[ "$(cat /etc/sealward)" = mine ] || fail "the file was replaced"
rm /etc/sealward
dpkg --install "sealward-server_${version}_"*.deb
dpkg --purge sealward-server
[ ! -e /etc/sealward ] || fail "an empty folder stays after a purge"
echo "PASSED"
