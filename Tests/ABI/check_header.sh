#!/usr/bin/env bash
# include/hadpo.h alone must compile in every C since C89 and every C++ since C++11, without a warning, with every compiler
# there is: $CC, and gcc and clang where they are found. Its macros are expanded too: a cast that C writes warns in C++.
set -euo pipefail
cd "$(dirname "$0")/../.."
strict=(-Wall -Wextra -Werror -pedantic -Wshadow -Wconversion -Wundef -fsyntax-only -Iinclude)
use='#include "hadpo.h"
hadpo_status hadpo_use(size_t size);
hadpo_status hadpo_use(size_t size) { return size == HADPO_NUL ? HADPO_E_ARGUMENT : HADPO_OK; }'
wrong='#include "hadpo.h"
int hadpo_wrong(hadpo_model *model);
int hadpo_wrong(hadpo_model *model) { return hadpo_trainer_run(model, 0, 0, 0); }'

# Newest first: a compiler that lacks the name of the standard has it under its draft's.
newest() {
    for name in "${@:3}"; do
        if echo | "$1" -x "$2" -std="$name" -fsyntax-only - 2>/dev/null; then echo "$name"; return; fi
    done
    echo "check_header: $1 has none of: ${*:3}" >&2; return 1
}

check() { # compiler
    local c=(c89 c99 c11 c17) cpp=(c++11 c++14 c++17 c++20) every=() standard
    c+=("$(newest "$1" c c23 c2x)")
    cpp+=("$(newest "$1" c++ c++23 c++2b)")
    # clang's every warning, but for those that ask for what an older standard has not.
    if "$1" --version | grep -q clang; then every=(-Weverything -Wno-c++98-compat-pedantic -Wno-pre-c2x-compat); fi
    for standard in "${c[@]}"; do
        # C89 has no `long long`, which <stdint.h> uses; // comments, which it has not either, it must reject in our header.
        local extra=(-Wstrict-prototypes)
        if [ "$standard" = c89 ]; then extra+=(-Wno-long-long); fi
        echo "$use" | "$1" -x c -std="$standard" "${strict[@]}" "${every[@]}" "${extra[@]}" -
        if echo "$wrong" | "$1" -x c -std="$standard" "${strict[@]}" - 2>/dev/null; then
            echo "check_header: $1 -std=$standard takes a model for a trainer" >&2; return 1
        fi
    done
    for standard in "${cpp[@]}"; do
        echo "$use" | "$1" -x c++ -std="$standard" "${strict[@]}" "${every[@]}" -Wold-style-cast -
    done
    echo "check_header: $(basename "$1"): ${c[*]} ${cpp[*]}"
}

checked=' '
for compiler in "${CC:-clang}" gcc clang; do
    path=$(command -v "$compiler") || continue
    path=$(readlink -f "$path")
    case $checked in *" $path "*) continue ;; esac
    check "$path"
    checked+="$path "
done
[ "$checked" != ' ' ] || { echo "check_header: no compiler" >&2; exit 1; }
