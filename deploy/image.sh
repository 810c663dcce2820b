#!/usr/bin/env bash
# Builds the image from our Dockerfile with buildah, without a daemon, and runs what is in it:
# doctor, a clip, SIGTERM; as its own user, as another number, on a read-only root.
#
#   deploy/image.sh [bot|full ...]        as root, on Linux; needs buildah, and debootstrap where no
#                                         registry can be reached; default: both targets
#
#   MIRROR=http://deb.debian.org/debian   where debootstrap gets the base from
#   BUILD_ARGS="--volume /etc/pip.conf:/etc/pip.conf:ro"     more options for `buildah bud`
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu         which build of torch; the CPU's by default
set -euo pipefail
cd "$(dirname "$0")/.."

BASE=docker.io/library/python:3.11-slim
MIRROR=${MIRROR:-http://deb.debian.org/debian}
TORCH_INDEX=${TORCH_INDEX-https://download.pytorch.org/whl/cpu}
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
work=$(mktemp -d)
cleanup() {
    # What was started here only; mounts go with their namespaces.
    [ -z "${container:-}" ] || buildah rm "$container" > /dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

say() { printf '\n== %s\n' "$*"; }

base() {
    if buildah inspect --type image "$BASE" > /dev/null 2>&1; then
        return
    fi
    if buildah pull --quiet "$BASE" 2> "$work/pull.log"; then
        return
    fi
    say "No registry: $BASE is made from Debian's packages ($(tail -1 "$work/pull.log" | cut -c1-80))"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
        bookworm "$work/base" "$MIRROR" > "$work/debootstrap.log"
    rm -rf "$work"/base/var/cache/apt/* "$work"/base/var/lib/apt/lists/*
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/base" / > /dev/null
    buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet "$container" "$BASE" > /dev/null
    buildah rm "$container" > /dev/null
    container=
    rm -rf "$work/base"
}

# inside USER COMMAND...: runs a command in the image's file system: root read-only, /tmp and /data
# apart, no network, as a user of the image or under any number.
inside() {
    local user=$1
    shift
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --pid --net --fork --kill-child bash -euc '
        root=$1 data=$2 user=$3
        shift 3
        mount --bind "$root" "$root"
        mount -o remount,ro,bind "$root"
        mount -t proc proc "$root/proc"
        mount -t tmpfs tmpfs "$root/dev"
        for device in null zero full random urandom; do
            touch "$root/dev/$device"
            mount --bind "/dev/$device" "$root/dev/$device"
        done
        mkdir "$root/dev/shm"
        mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
        mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
        mount --bind "$data" "$root/data"
        exec chroot --userspec="$user" "$root" /usr/bin/env -i \
            PATH=/opt/rushes/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 \
            RUSHES_BOT__DATA_DIR=/data RUSHES_LOG__FORMAT=json RUSHES_BOT__PLATFORMS=terminal \
            "RUSHES_MODELS__INSTALLED=$MODEL" OMP_NUM_THREADS=2 \
            sh -c "cd /data && exec \"\$@\"" sh "$@"
    ' inside "$mounted" "$data" "$user" "$@"
}

# Starts `rushes run`, waits until the health check passes, and ends it with SIGTERM.
served() {
    local user=$1
    # The first process of a container has the number 1, so it is told by this shell.
    # shellcheck disable=SC2016 # expanded by the inner shell
    inside "$user" sh -ec '
        rushes run --config /etc/rushes/config.toml 2> run.log &
        until rushes health; do
            kill -0 $! || { cat run.log; exit 1; }
            sleep 1
        done 2> /dev/null
        job=$(rushes submit "a red ball in the snow" --frames 49)
        until rushes show "$job" | grep -q "▶"; do sleep 1; done
        echo "a clip was delivered: $(ls threads/local/*/*.mp4)"
        begun=$(date +%s)
        kill -TERM $!
        wait $!
        echo "SIGTERM: exit code $? after $(($(date +%s) - begun)) s"
    '
}

data_for() {
    rm -rf "$work/data"
    mkdir -m 0770 "$work/data"
    chown "$1" "$work/data"
    data=$work/data
}

checked() {
    local target=$1
    container=$(buildah from --pull-never "localhost/rushes:$target")
    mounted=$(buildah mount "$container")
    MODEL=testcard
    [ "$target" = bot ] || MODEL=nano
    export MODEL
    say "$target: its size, its user, and what it starts"
    du -sh "$mounted" | cut -f1
    buildah inspect --type image --format \
        '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}} {{.OCIv1.Config.StopSignal}}' \
        "localhost/rushes:$target"
    say "$target: rushes doctor, on a read-only root, without a network"
    data_for 10001:0
    inside 10001:0 rushes doctor --offline
    if [ "$target" = full ]; then
        say "$target: a clip from nano"
        inside 10001:0 rushes render "a red fox in the snow" --frames 49 -o /data/fox.mp4
    else
        say "$target: torch is not in it"
        ! inside 10001:0 /opt/rushes/bin/python -c "import torch" 2> /dev/null
    fi
    say "$target: served as its own user, health check, clip, SIGTERM"
    served 10001:0
    say "$target: served under another number, of which nobody has heard"
    data_for 12345:0
    served 12345:0
    buildah rm "$container" > /dev/null
    container=
}

base
for target in "${@:-bot full}"; do
    for one in $target; do
        say "Building $one"
        # shellcheck disable=SC2086 # several options
        buildah bud --quiet --pull-never --format docker --target "$one" \
            --build-arg "TORCH_INDEX=$TORCH_INDEX" ${BUILD_ARGS:-} --tag "rushes:$one" . > "$work/id"
        checked "$one"
    done
done
say "Everything works."
