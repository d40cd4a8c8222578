#!/bin/sh
# Makes the secrets that docker-compose.yml mounts, one file each, in .secrets or the given folder.
# Existing files are kept: run it again after an update that needs a new secret.
set -eu
folder=${1:-.secrets}
# Only the owner can enter the folder; the container's user can read the mounted files.
umask 022
mkdir -p "$folder"
chmod 700 "$folder"

hex() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }
keep() {
    [ -s "$folder/$1" ] && return
    printf '%s' "$2" >"$folder/$1"
    chmod 644 "$folder/$1"
    echo "made $folder/$1"
}

keep secret_key "$(hex 32)"
keep installation_key "$(hex 32)"
# Encrypts the backups. Add a new key in front, followed by a comma: see rotate_keys.
keep snapshot_master_keys "$(date -u +%Y-%m):$(hex 32)"
# The storage for copies of the backups, a URL with its keys; a line break means no copies.
keep snapshot_copy_storage "
"
keep postgres_password "$(hex 24)"
keep database_password "$(hex 24)"
keep redis_password "$(hex 24)"
keep database_url "postgresql://backups_portal:$(cat "$folder/database_password")@postgres:5432/backups_portal"
keep redis_url "redis://:$(cat "$folder/redis_password")@redis:6379/0"
# The token with which Prometheus reads /metrics.
keep metrics_token "$(hex 24)"

# Optional secrets: empty files, as compose must mount something. Write the value in, and restart.
may_stay_empty() {
    [ -e "$folder/$1" ] && return
    : >"$folder/$1"
    chmod 644 "$folder/$1"
    echo "made $folder/$1, empty: $2"
}
may_stay_empty email_url "the mail server, smtp+tls://user:password@mail.example.com:587 or smtps://…:465"
may_stay_empty oidc_client_secret "what the provider of single sign-on knows the portal by"
may_stay_empty aws_secret_access_key "the secret key of a bucket"
may_stay_empty project_database_url "the server of new project databases, if it is another one"
