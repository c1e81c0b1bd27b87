#!/bin/sh
# Cargo's RUSTC_WORKSPACE_WRAPPER for the fuzzers: compiles the crates of this workspace so that libFuzzer sees which branches an input
# takes and what it is compared with. Dependencies aren't instrumented, so they are shared with every other build.
set -eu
case " $* " in
*" --crate-name build_script_"*) exec "$@" ;;
esac
exec "$@" --cfg fuzzing --deny warnings \
    -C passes=sancov-module \
    -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
    -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares
