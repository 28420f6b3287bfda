#!/usr/bin/env bash
# Installs the packages in a Debian that holds nothing of ours, and runs them there: the tool, its demo, a C and a C++ example
# built with gcc and pkg-config. usage: check.sh FOLDER-OF-THE-DEBS [SUITE]      root, and the network for debootstrap and apt
set -euo pipefail
debs=$(cd "$1" && pwd)
suite=${2:-bookworm}
base=$debs/../debian-base-$suite
root=$debs/check-root
mirror=http://deb.debian.org/debian

[ -e "$base/etc/debian_version" ] || debootstrap --variant=minbase "$suite" "$base" "$mirror" > /dev/null
rm -rf "$root"
cp -a "$base" "$root"
cp /etc/resolv.conf "$root/etc/"
mkdir "$root/check"
cp "$debs"/*.deb "$root/check/"

# In a mount namespace of its own: /proc is there for the command alone, and nothing stays mounted.
inside() {
    printf '$ %s\n' "$1"
    unshare --mount sh -c 'mount -t proc proc "$1/proc" && exec chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/check DEBIAN_FRONTEND=noninteractive sh -ec "cd /check && $2"' sh "$root" "$1"
}

lintian --fail-on error,warning "$debs"/*.deb
inside 'apt-get update -qq && apt-get install -y -qq --no-install-recommends ./*.deb > apt.log 2>&1 || { cat apt.log; exit 1; }'
inside 'dpkg-query -W -f "\${Package} \${Version}: \${Depends}\n" libhadpo0 libhadpo-dev hadpo'
linked=$(inside 'ldd /usr/lib/*/libhadpo.so.0 /usr/bin/hadpo')
echo "$linked"
! grep -qi 'swift\|not found\|blas' <<< "$linked" || { echo 'deb-check: not what a clean Debian has' >&2; exit 1; }
[ -z "$(find "$root/usr/lib" "$root/usr/bin" -iname '*swift*' -print -quit)" ] || { echo 'deb-check: a file of Swift' >&2; exit 1; }

inside 'hadpo demo --help > /dev/null && hadpo version'
inside 'hadpo demo --images 40 --training-images 60 -o demo --quiet | head -n 12'
inside 'apt-get install -y -qq --no-install-recommends gcc g++ libc6-dev pkg-config libjson-c-dev > apt.log 2>&1 || { cat apt.log; exit 1; }'
inside 'cp /usr/share/doc/libhadpo-dev/examples/* . && hadpo world make -o world --evaluation-images 4 --training-images 4 --quiet > /dev/null
gcc -std=c99 -Wall -Wextra -Werror -pedantic describe.c $(pkg-config --cflags --libs hadpo json-c) -o describe
g++ -std=c++17 -Wall -Wextra -Werror describe.cpp $(pkg-config --cflags --libs hadpo json-c) -o describe-cpp
gcc -std=c99 pope.c $(pkg-config --cflags --libs hadpo json-c) -o pope
picture=$(ls world/coco2014/val2014/*.png | head -n 1)
./describe world/model $picture
./describe-cpp world/model $picture | head -n 1
./pope world/model world/POPE/output/coco/coco_pope_random.json world/coco2014/val2014 answers.jsonl'
inside 'apt-get purge -y -qq hadpo libhadpo-dev libhadpo0 > /dev/null 2>&1; ! ls /usr/bin/hadpo /usr/include/hadpo.h /usr/lib/*/libhadpo* 2> /dev/null'
echo "deb-check: $(cd "$debs" && echo *.deb) work in a clean $suite"
