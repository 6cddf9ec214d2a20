#!/bin/sh
# Uses what is installed, as programs of others do: from C with gcc and clang, C++, by pkg-config, by
# CMake, statically, and from Python.
#   use.sh PREFIX SOURCE_DIR CMAKE GENERATOR
set -eu
prefix=$1 source=$2 cmake=$3 generator=$4
here=$source/tests/installed_package
model=$source/apps/models/storyteller-q4.gguf
work=$(mktemp -d "${TMPDIR:-/tmp}/larder-use-XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

talks() {
  said=$(printf 'Hello!\n' | "$@" "$model")
  case $said in
    '> '[A-Za-z]*) ;;
    *) echo "FAILED: $* said: $said"; exit 1 ;;
  esac
}
succeeds() {
  [ "$("$@" "$model")" = ok ] || { echo "FAILED: $*"; exit 1; }
}

if command -v pkg-config >/dev/null; then
  [ "$(pkg-config --modversion larder)" = "$("$prefix/bin/larder" --version | cut -d' ' -f2)" ]
  flags=$(pkg-config --cflags --libs larder)
  warned='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror'
  for cc in gcc clang; do
    command -v $cc >/dev/null || { echo "skipped: no $cc here"; continue; }
    for standard in c99 c11; do
      $cc -std=$standard $warned "$source/apps/examples/console_chat.c" -o "$work/chat-$cc" $flags
    done
    talks "$work/chat-$cc"
  done
  for cxx in g++ clang++; do
    command -v $cxx >/dev/null || { echo "skipped: no $cxx here"; continue; }
    $cxx -std=c++17 -Wall -Wextra -Werror -x c++ "$source/apps/examples/console_chat.c" \
      -x none -o "$work/chat-$cxx" $flags
    talks "$work/chat-$cxx"
    # Some warnings of g++ depend on what it optimises.
    for level in 0 1 2; do
      $cxx -std=c++17 -O$level $warned "$here/use_cpp.cpp" -o "$work/cpp-$cxx" $flags
    done
    succeeds "$work/cpp-$cxx"
    $cxx -std=c++20 -fno-exceptions -O1 $warned "$here/use_cpp.cpp" -o "$work/plain-$cxx" $flags
    succeeds "$work/plain-$cxx"
  done
else
  echo 'skipped: no pkg-config here'
fi

"$cmake" -S "$here" -B "$work/cmake" -G "$generator" -DCMAKE_PREFIX_PATH="$prefix" \
  -DCONSOLE_CHAT="$source/apps/examples/console_chat.c" >"$work/configure.log"
"$cmake" --build "$work/cmake" >"$work/build.log" || { cat "$work/build.log"; exit 1; }
talks "$work/cmake/from_c"
succeeds "$work/cmake/from_cpp"
succeeds "$work/cmake/from_archive"

if python3 -c 'import venv, ensurepip' 2>/dev/null; then
  # A copy: building leaves files beside the sources.
  cp -r "$source/apps/python" "$work/python"
  python3 -m venv --system-site-packages "$work/venv"
  "$work/venv/bin/pip" install --quiet --no-index --disable-pip-version-check "$work/python"
  said=$(cd "$work" && "$work/venv/bin/python" "$here/use_python.py" "$model")
  case $said in
    *ok) echo "python: $said" ;;
    *) echo "FAILED: python said: $said"; exit 1 ;;
  esac
else
  echo 'skipped: no python3-venv here'
fi

for page in "$prefix"/share/man/man1/larder.1* "$prefix"/share/man/man3/larder.3*; do
  case $page in *.gz) zcat "$page" >"$work/page" ;; *) cp "$page" "$work/page" ;; esac
  if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning "$work/page"
  elif command -v groff >/dev/null; then
    [ -z "$(groff -man -ww -z -Tutf8 "$work/page" 2>&1)" ] || { echo "FAILED: groff: $page"; exit 1; }
  else
    echo 'skipped: no mandoc or groff here'
  fi
done
# The manual's program is one.
if command -v pkg-config >/dev/null && command -v gcc >/dev/null; then
  sed -n '/^#include <larder.h>/,/^\.fi/p' "$work/page" | sed '/^\./d; s/\\e/\\/g' >"$work/page.c"
  gcc -std=c99 $warned "$work/page.c" -o "$work/from_page" $flags
  [ -n "$("$work/from_page" "$model")" ] || { echo "FAILED: the program of larder(3)"; exit 1; }
fi
echo 'the package works'
