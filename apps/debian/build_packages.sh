#!/bin/sh
# Builds Debian's packages of what is committed, and looks them over with lintian.
#   build_packages.sh SOURCE_DIR OUT_DIR
# Needs Debian's build-essential, debhelper, lintian, and what ../debian/control asks for.
set -eu
source=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
upstream=$(dpkg-parsechangelog -l "$source/apps/debian/changelog" -S Version | sed 's/-.*//')

# debian/ is where dpkg wants it only here.
rm -rf "$out/larder-$upstream" "$out"/larder*_* "$out"/liblarder*_*
git -C "$source" archive --format=tar --prefix="larder-$upstream/" HEAD >"$out/larder.tar"
tar -C "$out" -xf "$out/larder.tar"
xz -0 "$out/larder.tar"
mv "$out/larder.tar.xz" "$out/larder_$upstream.orig.tar.xz"
cp -r "$out/larder-$upstream/apps/debian" "$out/larder-$upstream/debian"
rm "$out/larder-$upstream/debian/build_packages.sh"

cd "$out/larder-$upstream"
dpkg-buildpackage --no-sign
cd "$out"
rm -rf "larder-$upstream"
lintian --fail-on error,warning --info ./*.changes
