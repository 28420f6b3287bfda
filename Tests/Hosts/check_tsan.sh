#!/bin/sh
# Every program of Tests/Hosts/c against a library built for the thread sanitizer (make check-tsan): no report is allowed.
#
# usage: check_tsan.sh FOLDER-OF-libhadpo.so WORK-FOLDER       CC: the clang of the Swift that built it, so that there is one runtime
#
# The dynamic Swift runtime is used, which is not instrumented. Nothing of it had to be suppressed; a report in it would go to a
# file of suppressions, with its reason. Failed checks of the programs themselves count too.
set -eu
here=$(CDPATH= cd "$(dirname "$0")" && pwd)
root=$here/../..
library=$(CDPATH= cd "$1" && pwd)
mkdir -p "$2"
work=$(CDPATH= cd "$2" && pwd)
runtime=$(CDPATH= cd "$(dirname "$CC")/../lib/swift/linux" && pwd)

nm -D "$library/libhadpo.so" | grep -q ' __tsan_func_entry$' || { echo "check_tsan: $library/libhadpo.so is not instrumented" >&2; exit 1; }
"${PYTHON:-python3}" "$here/make_calls.py" "$work/null_calls.h"
failed=0
for source in "$here"/c/test_*.c; do
    name=$(basename "$source" .c)
    rm -rf "${work:?}/$name"
    mkdir "$work/$name"
    cd "$work/$name"
    # Swift's sanitizer runtime intercepts libdispatch, so it needs it; nothing here uses it.
    "$CC" -std=c99 -g -O1 -Wall -Wextra -Werror -fsanitize=thread -I.. -I"$root/include" "$source" -o program -L"$library" -lhadpo \
        -lpthread -lm -L"$runtime" -ldispatch -lBlocksRuntime -Wl,-rpath,"$library" -Wl,-rpath,"$runtime"
    # die_after_fork: test_events opens an engine in the child of a fork, which the sanitizer would refuse.
    status=0
    TSAN_OPTIONS="die_after_fork=0 log_path=$work/$name/report" ./program "$root/Tests/Fixtures" > output || status=$?
    reports=$(cat report* 2>/dev/null | grep -c '^SUMMARY' || true)
    bad=$(grep -c '^not ok' output || true)
    echo "$name: $(grep -c '^ok' output || true) ok, $bad not ok, $reports reports, exit status $status"
    grep '^skipped' output || true
    [ "$status" = 0 ] && [ "$reports" = 0 ] && [ "$bad" = 0 ] && continue
    failed=1
    grep '^not ok' output || true
    cat report* 2>/dev/null | head -100
done
exit $failed
