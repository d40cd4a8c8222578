#!/bin/sh
# Removes files that the portal never loads, two fifths of the image's packages, from the given
# folder. Fails if a new version lacks one of them, so that the list stays up to date.
set -eu
cd "$1"

drop() {
    for path in "$@"; do
        [ -e "$path" ] || { echo "$0: there is no $path" >&2; exit 1; }
    done
    rm -r "$@"
}

# Arrow's sources and headers, its RPC framework and its S3 client; the portal uses obstore.
drop pyarrow/include pyarrow/includes pyarrow/src pyarrow/tests pyarrow/*.pyx pyarrow/*.pxi
drop pyarrow/*_flight* pyarrow/libarrow_s3.* pyarrow/_s3fs.*
# Wheels cannot contain links, so each of these libraries is there three times.
for library in pyarrow/libarrow_python*.so.*.*.*; do
    for name in "${library%%.so.*}.so" "${library%.*.*}"; do
        ln -sf "$(basename "$library")" "$name"
    done
done
# Descriptions of Amazon's services; the portal only uses S3.
find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -r {} +
# Ninja's documentation pages, which the portal does not offer, and terminal syntax highlighting.
drop ninja/static pygments
# Translations; the portal is in English (USE_I18N).
find django allauth -path '*/locale/*' -prune -type d ! -name en -exec rm -r {} +
find numpy -depth -name tests -type d -exec rm -r {} +
# The image installs nothing further.
drop pip pip-*.dist-info
