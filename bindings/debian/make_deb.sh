#!/usr/bin/env bash
# Splits an installed tree into libhadpo0, libhadpo-dev and hadpo. usage: make_deb.sh FOLDER VERSION (FOLDER/root: the tree)
# Dependencies come from dpkg-shlibdeps, the symbols file from the library itself.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
cd "$1"
version=$2
multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
# One date for one source: the last commit's, today's outside of git.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$source" log -1 --format=%ct 2>/dev/null || date +%s)}

mkdir -p debian
cp "$here/control" "$here/copyright" debian/
sed "s/@VERSION@/$version/; s/@DATE@/$(date -u -R -d "@$SOURCE_DATE_EPOCH")/" "$here/changelog" > debian/changelog

take() { # PACKAGE PATH...: moves files of the tree into a package
    local package=$1 path
    shift
    for path; do
        mkdir -p "debian/$package/$(dirname "$path")"
        mv "root/$path" "debian/$package/$path"
    done
}
lib=usr/lib/$multiarch
take libhadpo-dev "$lib/libhadpo.so" "$lib/pkgconfig/hadpo.pc" usr/include/hadpo.h
take libhadpo0 $(cd root && echo "$lib"/libhadpo.so.*)
mv root/usr/share/zsh/site-functions root/usr/share/zsh/vendor-completions # Debian's own place
take hadpo usr/bin/hadpo usr/share/man/man1/hadpo.1 usr/share/bash-completion/completions/hadpo \
    usr/share/zsh/vendor-completions/_hadpo usr/share/fish/vendor_completions.d/hadpo.fish
left=$(find root -type f -o -type l)
[ -z "$left" ] || { echo "make_deb: in no package: $left" >&2; exit 1; }
mkdir -p debian/libhadpo-dev/usr/share/doc/libhadpo-dev/examples
cp "$source"/bindings/c/examples/*.c* debian/libhadpo-dev/usr/share/doc/libhadpo-dev/examples/
strip --strip-unneeded debian/hadpo/usr/bin/hadpo
gzip -9n debian/hadpo/usr/share/man/man1/hadpo.1

for package in libhadpo0 libhadpo-dev hadpo; do
    documents=debian/$package/usr/share/doc/$package
    mkdir -p "debian/$package/DEBIAN" "$documents"
    cp debian/copyright "$documents/"
    gzip -9nc debian/changelog > "$documents/changelog.gz"
    gzip -9nc "$source/CHANGELOG.md" > "$documents/NEWS.gz"
done
echo "activate-noawait ldconfig" > debian/libhadpo0/DEBIAN/triggers
echo "libhadpo 0 libhadpo0 (>= $version)" > debian/libhadpo0/DEBIAN/shlibs
dpkg-gensymbols -plibhadpo0 -v"$version" -Pdebian/libhadpo0 -Odebian/libhadpo0/DEBIAN/symbols >/dev/null

for package in libhadpo0 libhadpo-dev hadpo; do
    find "debian/$package" -type d -exec chmod 755 {} + -o -type f -exec chmod u=rwX,go=rX {} +
    substitutions=debian/$package.substvars
    : > "$substitutions"
    objects=$(find "debian/$package" -type f \( -name 'lib*.so.*' -o -path '*/bin/*' \))
    [ -z "$objects" ] || dpkg-shlibdeps -T"$substitutions" -Sdebian/libhadpo0 $objects
    (cd "debian/$package" && find . -type f -not -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum > DEBIAN/md5sums)
    dpkg-gencontrol -p"$package" -P"debian/$package" -T"$substitutions"
    dpkg-deb --root-owner-group --build "debian/$package" . >/dev/null
done
ls -- *.deb
