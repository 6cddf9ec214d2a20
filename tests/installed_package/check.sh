#!/bin/sh
# Installs a build into a folder of its own and uses it from outside of the tree.
#   check.sh BUILD_DIR SOURCE_DIR CMAKE GENERATOR
set -eu
build=$1 source=$2 cmake=$3 generator=$4
work=$(mktemp -d "${TMPDIR:-/tmp}/larder-package-XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

"$cmake" --install "$build" --prefix "$work/first" >"$work/install.log"
mv "$work/first" "$work/moved"  # the package finds itself
pc=$(find "$work/moved" -name larder.pc)
PKG_CONFIG_PATH=$(dirname "$pc") LD_LIBRARY_PATH=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH LD_LIBRARY_PATH
sh "$source/tests/installed_package/use.sh" "$work/moved" "$source" "$cmake" "$generator"
