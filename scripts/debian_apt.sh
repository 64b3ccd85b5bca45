# SPDX-License-Identifier: GPL-2.0-only
# A private apt, sourced by scripts/setup, scripts/kernel-sources and scripts/kernel-programs: its own sources, lists
# and cache under build/apt, with newer Debian suites added to the machine's own. It only downloads; the machine's apt
# and its packages are not touched. Callers have `set -euo pipefail` on and have defined ROOT, the top of the tree.
# shellcheck shell=bash

APT_DIR="$ROOT/build/apt"
APT_NEWER_SUITES="forky sid"
APT_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "$(basename "$0"): $*"; }
fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# Prints "URI suite" lines of the Debian archives that this machine already uses. The indices on disk know the exact
# origin; a machine whose lists were never fetched has only its configuration, which is read as a fallback.
debian_archives() {
  local found
  found=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' \
    2>/dev/null | sort -u || true)
  if [ -z "$found" ]; then
    local codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    found=$({
      # One-line entries: deb [options] URI SUITE COMPONENT...
      cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -nE 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+)[[:space:]]+([^[:space:]]+).*/\2 \3/p'
      # Stanzas with URIs: and Suites: fields.
      cat /dev/null /etc/apt/sources.list.d/*.sources 2>/dev/null |
        awk '/^URIs:/ {uris = $0} /^Suites:/ {n = split(uris, u); m = split($0, s);
             for (i = 2; i <= n; i++) for (j = 2; j <= m; j++) print u[i], s[j]}'
    } | awk -v c="$codename" 'c != "" && index($2, c) == 1' | sort -u)
  fi
  printf '%s\n' "$found" | sed '/^$/d'
}

# The archive that carries whole suites (not updates or security): where the newer suites are too.
debian_mirror() {
  if [ -n "${USCX_DEBIAN_MIRROR:-}" ]; then
    echo "$USCX_DEBIAN_MIRROR"
    return
  fi
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  debian_archives | awk -v c="$codename" '$2 == c {print $1; exit}'
}

apt_private() {
  local tool=$1
  shift
  "$tool" -q -o Dir::Etc::sourcelist="$APT_DIR/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::lists="$APT_DIR/lists" \
    -o Dir::Cache="$APT_DIR/cache" -o Acquire::Languages=none -o APT::Sandbox::User="$(id -un)" \
    -o APT::Default-Release= "$@"
}

# Brings the private lists into being, once; later calls do nothing unless the caller asks for fresh ones.
apt_private_lists() {
  if [ "${1:-}" != --fresh ] && [ -e "$APT_DIR/lists.stamp" ]; then return; fi
  command -v apt-get >/dev/null || fail "apt-get is not here: this step needs Debian"
  [ -r "$APT_KEYRING" ] || fail "$APT_KEYRING is missing: install the package debian-archive-keyring"
  local mirror
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || fail "this machine's apt configuration names no Debian archive to take newer source packages" \
    "from; set USCX_DEBIAN_MIRROR to the URI of one (what precedes the suite in a deb line)"
  mkdir -p "$APT_DIR/lists/partial" "$APT_DIR/cache/archives/partial" "$APT_DIR/dl"
  {
    local uri suite
    debian_archives | while read -r uri suite; do echo "deb [signed-by=$APT_KEYRING] $uri $suite main"; done
    for suite in $APT_NEWER_SUITES; do
      echo "deb [signed-by=$APT_KEYRING] $mirror $suite main"
      echo "deb-src [signed-by=$APT_KEYRING] $mirror $suite main"
    done
  } >"$APT_DIR/sources.list"
  say "fetching Debian's package lists of $APT_NEWER_SUITES into build/apt (the machine's own apt is not touched)"
  apt_private apt-get update >"$APT_DIR/update.log" 2>&1 </dev/null ||
    { tail -5 "$APT_DIR/update.log" >&2; fail "apt-get update of the private lists failed, see build/apt/update.log"; }
  if grep -q -E '^(W|E): Failed to fetch' "$APT_DIR/update.log"; then
    grep -E '^(W|E):' "$APT_DIR/update.log" >&2
    fail "some of Debian's lists could not be fetched, see build/apt/update.log"
  fi
  touch "$APT_DIR/lists.stamp"
}

# Prints the path of a package's newest .deb file of a version that starts with the prefix, fetched if need be.
package_file() {
  local package=$1 prefix=$2 file
  file=$(find_deb "$package" "$prefix")
  if [ -z "$file" ]; then
    say "fetching $package" >&2
    apt_private_lists >&2
    # Lists that are older than the archive name files that are gone, so a failure gets fresh ones once.
    if ! fetch "$package" "$prefix"; then
      apt_private_lists --fresh >&2
      fetch "$package" "$prefix" || fail "neither this machine's Debian suites nor $APT_NEWER_SUITES have $package of" \
        "Linux ${prefix%.} any more (build/apt/download.log); put its .deb file into a directory and name that in" \
        "USCX_KERNEL_DEBS"
    fi
    file=$(find_deb "$package" "$prefix")
  fi
  echo "$file"
}

find_deb() {
  local dir
  for dir in ${USCX_KERNEL_DEBS:+"$USCX_KERNEL_DEBS"} "$APT_DIR/dl"; do
    if [ -d "$dir" ]; then find "$dir" -maxdepth 1 -name "$1_$2*.deb"; fi
  done | sort -V | tail -1
}

fetch() {
  local package=$1 prefix=$2 version
  version=$(apt_private apt-cache show "$package" 2>/dev/null |
    awk -v p="$prefix" '/^Version: / && index($2, p) == 1 {print $2}' | sort -V | tail -1)
  if [ -z "$version" ]; then return 1; fi
  mkdir -p "$APT_DIR/dl/partial"
  (cd "$APT_DIR/dl/partial" && apt_private apt-get download "$package=$version" && mv ./*.deb ..) \
    >"$APT_DIR/download.log" 2>&1 </dev/null
}
