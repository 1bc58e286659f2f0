#!/usr/bin/env bash
# Feeds the TIFF decoder changed files for a while, under the address and undefined-behaviour sanitizers. What breaks it
# is kept as a file, and tried first the next time.
# usage: tiff.sh PYTHON FOLDER SECONDS      exit status: 0 nothing broke it, 1 something did, 2 it could not be run
set -euo pipefail

python=$1
out=$2
seconds=$3
case $seconds in
  '' | *[!0-9]* | 0) echo "FUZZ_SECONDS=$seconds is not a whole number of seconds, at least 1" >&2 && exit 2 ;;
esac
fuzzer=$out/tiff_fuzz
mkdir -p "$out/corpus" "$out/crashes"

"$python" -m tests.support.tiff_files "$out/seeds" || exit 2
clang++ -std=c++17 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. \
  ops/decode/tiff.cc ops/decode/any_bytes.cc ops/decode/tiff_fuzz.cc -l:libtiff.so.6 -o "$fuzzer" || exit 2

broken() {
  grep -v '^#' "$out/log" | head -n 40
  echo "fuzz: BROKEN. $1"
  exit 1
}

# A sound file may name an LZMA dictionary of 4 GB, which is never touched: what counts is the memory in use.
limits=(-max_len=8192 -timeout=25 -rss_limit_mb=2048 -malloc_limit_mb=8192 -artifact_prefix="$out/crashes/")
export ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
for kept in "$out"/crashes/*; do
  [ -e "$kept" ] || continue
  "$fuzzer" "${limits[@]}" "$kept" >"$out/log" 2>&1 || broken "$kept, kept from before, still breaks it: $fuzzer $kept"
done
"$fuzzer" "${limits[@]}" -max_total_time="$seconds" -print_final_stats=1 "$out/corpus" "$out/seeds" >"$out/log" 2>&1 ||
  broken "the file is in $out/crashes: $fuzzer FILE repeats it"
echo "fuzz: passed. $(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) second.*/\1 files in \2 s/p' "$out/log"), none broke the TIFF decoder"
