#!/bin/bash
# The health check of web and api: ask the server of this container, at the port given or 8000,
# whether it lives. Bash does it alone: a Python for it would take 60 MB, every few seconds.
set -eu
exec 3<>"/dev/tcp/127.0.0.1/${1:-8000}"
printf 'GET /healthz HTTP/1.0\r\n\r\n' >&3
read -r -t 8 _ status _ <&3
[ "$status" = 200 ]
