#!/usr/bin/env bash
# include/hadpo.h alone must compile in every C since C89 and every C++ since C++11, without a warning.
set -euo pipefail
cd "$(dirname "$0")/../.."
cc=${CC:-clang}
strict=(-Wall -Wextra -Werror -pedantic -fsyntax-only -Iinclude)
for standard in c89 c99 c11 c17; do
    extra=()
    # C89 has neither `long long`, which <stdint.h> uses, nor // comments, which it must reject in our header.
    if [ $standard = c89 ]; then extra=(-Wno-long-long); fi
    echo '#include "hadpo.h"
typedef int translation_unit_is_not_empty;' | "$cc" -x c -std=$standard "${strict[@]}" "${extra[@]}" -
done
for standard in c++11 c++14 c++17 c++20; do
    echo '#include "hadpo.h"' | "$cc" -x c++ -std=$standard "${strict[@]}" -Wold-style-cast -
done
echo "check_header: C89 C99 C11 C17 C++11 C++14 C++17 C++20"
