#!/bin/sh
# Removes from the image's packages, in the folder given, what the portal never loads: two fifths of
# them. What is not there any more in a new version is an error, so that the list stays true.
set -eu
cd "$1"

drop() {
    for path in "$@"; do
        [ -e "$path" ] || { echo "$0: there is no $path" >&2; exit 1; }
    done
    rm -r "$@"
}

# Arrow's sources and headers; its remote calls, and its client of S3, where obstore is ours.
drop pyarrow/include pyarrow/includes pyarrow/src pyarrow/tests pyarrow/*.pyx pyarrow/*.pxi
drop pyarrow/*_flight* pyarrow/libarrow_s3.* pyarrow/_s3fs.*
# A wheel has no links: there are three copies of these.
for library in pyarrow/libarrow_python*.so.*.*.*; do
    for name in "${library%%.so.*}.so" "${library%.*.*}"; do
        ln -sf "$(basename "$library")" "$name"
    done
done
# Descriptions of Amazon's services: S3 alone is asked.
find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -r {} +
# Pages of Ninja's that the portal does not have, and what colours source code on a terminal.
drop ninja/static pygments
# Translations: the portal speaks English (USE_I18N).
find django allauth -path '*/locale/*' -prune -type d ! -name en -exec rm -r {} +
find numpy -depth -name tests -type d -exec rm -r {} +
# Nothing is installed any more.
drop pip pip-*.dist-info
