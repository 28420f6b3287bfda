#!/bin/sh
# The C programs, the Python suite and the fuzzers against a library built for the address sanitizer, its C for the undefined
# behaviour sanitizer too (make check-asan). Any report is a failure, whatever the test that made it says.
#
# usage: check_asan.sh [--short] STAGE LIBRARY WORK-FOLDER [PYTHON-TEST ...]
#   STAGE     an installed tree (make install); a copy of it gets the instrumented library and tool
#   LIBRARY   the instrumented libhadpo.so
#   PYTHON-TEST   these of Tests/Hosts/python and nothing else
#   --short   the C programs and those Python tests that reach most files and calls, for a run beside others
#   CC        the clang of the Swift that built LIBRARY: there must be one runtime.  FUZZ_SECONDS: for each fuzzer, 20
#
# Leaks are looked for in the C programs, whose every block is ours. Python keeps blocks until it ends and is not asked.
set -eu
short=
[ "$1" = --short ] && { short=1; shift; }
here=$(CDPATH= cd "$(dirname "$0")" && pwd)
root=$(CDPATH= cd "$here/../.." && pwd)
mkdir -p "$3"
work=$(CDPATH= cd "$3" && pwd)
runtime=$("$CC" -print-file-name=libclang_rt.asan-x86_64.so)
[ -e "$runtime" ] || runtime=$(find "$(dirname "$CC")/../lib/clang" -name "libclang_rt.asan-$(uname -m).so" | head -1)
runtime=$(readlink -f "$runtime")
python=${PYTHON:-python3}
flags="-g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -shared-libasan -Wl,-rpath,$(dirname "$runtime")"

nm -D "$2" | grep -q ' __asan_init$' || { echo "check_asan: $2 is not instrumented" >&2; exit 1; }
rm -rf "$work/stage" "$work/reports"
mkdir -p "$work/reports"
cp -a "$1" "$work/stage"
stage=$work/stage
cp "$2" "$stage/lib/$(basename "$(readlink -f "$stage/lib/libhadpo.so")")"
# shellcheck disable=SC2046,SC2086
"$CC" -std=c99 $flags -I"$root/include" $(pkg-config --cflags json-c libcurl) "$root"/bindings/c/cli/*.c -o "$stage/bin/hadpo" \
    -L"$stage/lib" -lhadpo $(pkg-config --libs json-c libcurl) -lm -Wl,-rpath,"$stage/lib"

# allocator_may_return_null: a block that cannot be had is NULL, as everywhere else. handle_abort: an abort is told with its stack.
common=allocator_may_return_null=1:handle_abort=1:detect_stack_use_after_return=1:log_path=$work/reports/report
# SWIFT_BACKTRACE: a trap ends the program instead of waiting for a backtracer.
export SWIFT_BACKTRACE=enable=no UBSAN_OPTIONS=print_stacktrace=1 ASAN_SYMBOLIZER_PATH="$(dirname "$CC")/llvm-symbolizer"
failed=0

# Everything in the folder of reports, once: the programs' names stand in the files' first lines.
reports() {
    found=$(cat "$work"/reports/* 2>/dev/null | grep -cE '^(SUMMARY|.*runtime error:)' || true)
    echo "$1: $2, $found reports"
    [ "$found" = 0 ] && return
    failed=1
    mkdir -p "$work/kept"
    for file in "$work"/reports/*; do
        head -60 "$file"
        mv "$file" "$work/kept/$(basename "$file").$(date +%s%N)"
    done
}

c_tests() {
    "$python" "$here/make_calls.py" "$work/null_calls.h"
    for source in "$here"/c/test_*.c; do
        name=$(basename "$source" .c)
        rm -rf "${work:?}/$name"
        mkdir "$work/$name"
        # shellcheck disable=SC2086
        "$CC" -std=c99 -Wall -Wextra -Werror $flags -I"$work" -I"$stage/include" "$source" -o "$work/$name/program" -L"$stage/lib" -lhadpo \
            -lpthread -lm -Wl,-rpath,"$stage/lib"
        status=0
        (cd "$work/$name" && ASAN_OPTIONS=$common:detect_leaks=1 ./program "$root/Tests/Fixtures" > output 2> errors) || status=$?
        bad=$(grep -c '^not ok' "$work/$name/output" || true)
        if [ "$status" != 0 ] || [ "$bad" != 0 ]; then
            failed=1
            grep '^not ok' "$work/$name/output" || true
            tail -5 "$work/$name/errors"
        fi
        reports "$name" "$(grep -c '^ok' "$work/$name/output" || true) ok, $bad not ok, exit status $status"
    done
}

# A shell starts its background jobs with Ctrl-C ignored, which their children inherit: the tests of Ctrl-C would wait for ever.
unittest='import signal, sys, unittest
signal.signal(signal.SIGINT, signal.default_int_handler)
unittest.main(module=None, argv=["unittest", *sys.argv[1:]])'

python_tests() {
    cd "$root"
    status=0
    # verify_asan_link_order: programs that a test starts without the preloaded runtime find it as a library.
    env LD_PRELOAD="$runtime" ASAN_OPTIONS="$common:detect_leaks=0:verify_asan_link_order=0" PYTHONMALLOC=malloc HADPO_SANITIZED=1 \
        HADPO_LIBRARY="$stage/lib/libhadpo.so" HADPO_TOOL="$stage/bin/hadpo" PYTHONPATH="$root/bindings/python:$root/Tests/Hosts/python" \
        "$python" -c "$unittest" "$@" > "$work/python.txt" 2>&1 || status=$?
    [ "$status" = 0 ] || { failed=1; grep -E '^(FAIL|ERROR):' "$work/python.txt" || tail -5 "$work/python.txt"; }
    reports "Python: $*" "$(grep -E '^Ran ' "$work/python.txt" | head -1), exit status $status"
}

fuzzers() {
    cd "$root"
    mkdir -p "$work/fuzz" build/fuzz
    for source in Tests/Fuzz/fuzz_*.c; do
        name=$(basename "$source" .c)
        # shellcheck disable=SC2086
        "$CC" -std=c99 $flags -I"$stage/include" "$source" Tests/Fuzz/mutate.c -o "$work/fuzz/$name" -L"$stage/lib" -lhadpo \
            -Wl,-rpath,"$stage/lib"
        status=0
        said=$(ASAN_OPTIONS=$common:detect_leaks=1 "$work/fuzz/$name" "${FUZZ_SECONDS:-20}" 2>&1) || { status=$?; failed=1; }
        reports "$name" "$said, exit status $status"
    done
}

shift 3
if [ $# -gt 0 ]; then
    for name in "$@"; do python_tests "$name"; done
elif [ -n "$short" ]; then
    c_tests
    python_tests test_bad_input test_library test_evaluation
else
    c_tests
    for file in "$root"/Tests/Hosts/python/test_*.py; do python_tests "$(basename "$file" .py)"; done
    fuzzers
fi
exit $failed
