#!/bin/sh
# Gives the state directory to the user `perdure` and goes on as that user.
#
# Volumes are made by root, and those of LocalStack's containers belong to root; the server
# needs no root.  A container that is started as somebody else (`--user`) stays that user and
# must own its volume.
set -eu

# Not set in the image, where it would win over LOCALSTACK_GATEWAY_LISTEN.
if [ -z "${GATEWAY_LISTEN:-}${LOCALSTACK_GATEWAY_LISTEN:-}" ]; then
    # Of old compose files; EDGE_PORT counts beside it.
    export EDGE_BIND_HOST="${EDGE_BIND_HOST:-${LOCALSTACK_EDGE_BIND_HOST:-0.0.0.0}}"
fi

own() {
    # The folder itself, so that files can be made in it; what is below only if it is
    # Perdure's: whatever else somebody mounts there keeps its owner.
    mkdir -p -- "$1" && chown perdure:perdure -- "$1" || return 1
    if [ -e "$1/perdure.json" ]; then
        find "$1" -xdev ! -user perdure -exec chown --no-dereference perdure:perdure -- {} +
    fi
}

if [ "$(id -u)" != 0 ]; then
    exec "$@"
fi

volume=/var/lib/localstack
for folder in "$volume" "$volume/state" "${DATA_DIR:-${LOCALSTACK_DATA_DIR:-}}"; do
    case "$folder" in
        "" | /) ;;
        "$volume"/*)
            # Its maker is the unprivileged user: through a link root would give away what
            # that user may not have.
            if [ -L "$folder" ]; then
                echo "perdure: $folder is a link; it keeps its owner" >&2
            else
                own "$folder" || echo "perdure: $folder cannot be given to the user perdure" >&2
            fi
            ;;
        *) own "$folder" || echo "perdure: $folder cannot be given to the user perdure" >&2 ;;
    esac
done

# Lambda runs in containers of its own, if the engine's socket was mounted for that.
groups=1000
if [ -S /var/run/docker.sock ]; then
    groups="$groups,$(stat --format %g /var/run/docker.sock)"
fi
export HOME="$volume"
exec setpriv --reuid perdure --regid perdure --groups "$groups" --inh-caps=-all -- "$@"
