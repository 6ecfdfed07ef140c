#!/usr/bin/env bash
# Builds what is handed out, from the locked dependencies, and says what it is: version and commit,
# size, libraries that it needs, and a list of all crates in it with their licences.
#
#   scripts/release.sh [FOLDER]     default: release-files, where cargo builds
#
# The same sources, toolchain and path give the same binary. Needs the network only for crates that are
# not there yet; what cargo has built already is used.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

readonly NAME=harfanglab-incidents
target=$(target_folder)
folder=${1:-$target/release-files}

cargo build --release --locked --quiet --bin "$NAME"
cargo deny --version >/dev/null 2>&1 ||
    cargo install cargo-deny --quiet --locked --version "$CARGO_DENY_VERSION"

mkdir -p "$folder"
install -m 0755 "$target/release/$NAME" "$folder/$NAME"
install -m 0644 LICENSE CHANGELOG.md "$folder/"
cargo deny --locked --config .cargo/deny.toml list --format human --layout crate \
    >"$folder/LICENCES.txt"

binary=$folder/$NAME
newest_glibc=$(objdump -T "$binary" 2>/dev/null | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -n 1 || true)
{
    "$binary" --version
    rustc --version
    printf 'size: %s bytes\n' "$(stat -c %s "$binary")"
    printf 'newest glibc symbol: %s\n' "${newest_glibc:-unknown (objdump is not installed)}"
    printf 'crates: %s\n' "$(grep -c . "$folder/LICENCES.txt")"
    ldd "$binary" | sed 's/ (0x[0-9a-f]*)//'
    (cd "$folder" && sha256sum "$NAME")
} | tee "$folder/ABOUT.txt"
