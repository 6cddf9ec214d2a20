#!/bin/sh
# Installs Debian's packages into a root that has nothing but Debian's base, and uses them there.
# Needs root, and the network where Debian's packages are not at hand.
#   check_debs.sh DEBS_DIR SOURCE_DIR ROOT_DIR
# ROOT_DIR: made by debootstrap --variant=minbase bookworm ROOT_DIR; it is changed.
set -eu
debs=$1 source=$2 root=$3

in_root() {
  unshare --mount --pid --fork --kill-child sh -c '
    mount --make-rprivate /
    mount -t proc proc "$0/proc"
    mount --bind /dev "$0/dev"
    exec env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
      chroot "$0" sh -ec "$1"' "$root" "$1"
}

rm -rf "$root/larder"
mkdir -p "$root/larder/apps" "$root/larder/tests"
cp "$debs"/*.deb "$root/larder"
for used in apps/examples apps/models apps/python tests/installed_package; do
  cp -r "$source/$used" "$root/larder/$used"
done
cp /etc/resolv.conf "$root/etc/resolv.conf"

# The library alone first: it says itself what it needs.
in_root 'apt-get update -qq
  apt-get install -qq -y --no-install-recommends /larder/larder_*.deb /larder/liblarder1_*.deb
  ldd /usr/lib/*/liblarder.so.1 | grep "not found" && exit 1
  larder chat -p "Hello!" | grep -q .
  dpkg --verify larder liblarder1'
in_root 'apt-get install -qq -y --no-install-recommends /larder/liblarder-dev_*.deb \
    gcc g++ clang cmake ninja-build pkg-config python3-venv python3-numpy groff
  sh /larder/tests/installed_package/use.sh /usr /larder cmake Ninja'
# What is installed goes again, and leaves nothing but what belongs to the user.
in_root 'apt-get purge -qq -y larder liblarder1 liblarder-dev
  left=$(find / -xdev -name "*larder*" -not -path "/larder*" -not -path "/proc/*" \
    -not -path "/var/*" -not -path "/root/*")
  [ -z "$left" ] || { echo "FAILED: left behind: $left"; exit 1; }
  rm -rf /larder'
