#!/bin/sh
# Cargo's RUSTC_WORKSPACE_WRAPPER for the fuzzers: compiles the crates of this workspace with coverage and comparison tracing for libFuzzer.
# Dependencies aren't instrumented, so other builds share them.
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
