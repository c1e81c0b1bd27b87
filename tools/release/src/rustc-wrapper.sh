#!/bin/sh
# Cargo runs this instead of rustc, with rustc as the first argument. Paths of this machine get names that are the same on every machine.
# It isn't done in RUSTFLAGS, because Cargo hashes those into the names of the folders of build scripts, which are paths too.
exec "$@" \
    --remap-path-prefix="$SEALWARD_RELEASE_ROOT=/sealward" \
    ${CARGO_MANIFEST_DIR:+"--remap-path-prefix=$CARGO_MANIFEST_DIR=/source/$CARGO_PKG_NAME-$CARGO_PKG_VERSION"} \
    ${OUT_DIR:+"--remap-path-prefix=$OUT_DIR=/generated/$CARGO_PKG_NAME"}
