#!/usr/bin/env bash
# Builds the image of the shop with docker or podman, and runs its tests. `make image` starts it.
#
# TAG, BUILD_IMAGE, RUNTIME_IMAGE and ENGINE override the defaults. Where no registry can be reached, both base images are
# made of Debian's packages (needs root and mmdebstrap); PACKAGES=debian does that in any case.
set -euo pipefail
cd "$(dirname "$0")/.."

usable() { command -v "$1" >/dev/null && "$1" info >/dev/null 2>&1; }
for each in docker podman; do [ -n "${ENGINE:-}" ] || ! usable "$each" || ENGINE=$each; done
if [ -z "${ENGINE:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing podman and mmdebstrap ..."
  apt-get -qq update && apt-get -qq install --yes --no-install-recommends podman crun mmdebstrap >/dev/null
  ENGINE=podman
fi
[ -n "${ENGINE:-}" ] || { echo "make image needs docker or podman" >&2; exit 2; }
tag=${TAG:-$(sed -n 's/^version = "\(.*\)"/\1/p' shop/pyproject.toml)}
export ENGINE IMAGE=shop:$tag

# Without cgroups of version 2, podman starts containers without limits, on the network of the host.
if [ "$ENGINE" = podman ] && [ "$(id -u)" = 0 ] && [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
  if mountpoint --quiet /sys/fs/cgroup/unified; then
    exec unshare --mount sh -c 'umount /sys/fs/cgroup/unified && exec "$0" "$@"' "$0" "$@"
  fi
  mkdir -p build/image
  export CONTAINERS_CONF=$PWD/build/image/containers.conf BUILDAH_ISOLATION=chroot
  printf '[containers]\ncgroups = "disabled"\nnetns = "host"\ndefault_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]\n' >"$CONTAINERS_CONF"
fi

debian() { # the base images: one with pip and strip, one as distroless
  [ -n "${PACKAGES:-}" ] || echo "no registry of images was reached: both base images are made of Debian's packages"
  export BUILD_IMAGE=localhost/debian-build:13 RUNTIME_IMAGE=localhost/debian-runtime:13
  "$ENGINE" image inspect "$BUILD_IMAGE" "$RUNTIME_IMAGE" >/dev/null 2>&1 && return
  local folder; folder=$(mktemp --directory)
  mmdebstrap --quiet --variant=minbase --include=binutils,ca-certificates,python3-pip trixie "$folder/build.tar"
  # shellcheck disable=SC2016  # mmdebstrap sets $1, the root of the image
  mmdebstrap --quiet --variant=extract --include=base-files,ca-certificates,libpython3.13-stdlib,libstdc++6,netbase,python3.13-minimal,tzdata \
    --extract-hook='ln -s python3.13 "$1/usr/bin/python3"' \
    --extract-hook='cat "$1"/usr/share/ca-certificates/mozilla/*.crt > "$1/etc/ssl/certs/ca-certificates.crt"' \
    --extract-hook='mkdir "$1/var/lib/dpkg/status.d" && for file in "$1"/var/cache/apt/archives/*.deb; do
                      dpkg-deb --field "$file" > "$1/var/lib/dpkg/status.d/$(basename "$file" .deb)"; done' \
    --extract-hook='rm -rf "$1"/usr/share/doc "$1"/usr/share/locale "$1"/usr/share/man' trixie "$folder/runtime.tar"
  "$ENGINE" import "$folder/build.tar" "$BUILD_IMAGE" >/dev/null
  "$ENGINE" import "$folder/runtime.tar" "$RUNTIME_IMAGE" >/dev/null
  rm -r "$folder"
}
given=${BUILD_IMAGE:-}${RUNTIME_IMAGE:-}
export BUILD_IMAGE=${BUILD_IMAGE:-docker.io/library/python:3.13-trixie}
export RUNTIME_IMAGE=${RUNTIME_IMAGE:-gcr.io/distroless/python3-debian13:nonroot}
get() { "$ENGINE" pull --quiet "$1" || "$ENGINE" image inspect "$1"; }
if [ "${PACKAGES:-}" = debian ]; then debian
elif ! { get "$BUILD_IMAGE" && get "$RUNTIME_IMAGE"; } >/dev/null 2>&1; then
  [ -z "$given" ] || { echo "make image cannot get $BUILD_IMAGE or $RUNTIME_IMAGE" >&2; exit 1; } # nothing else is what was asked for
  debian
fi

rm -rf build/image/wheels
pip() { .venv/bin/python -m pip --quiet --quiet --disable-pip-version-check --no-input "$@"; }
pip wheel --no-deps --no-build-isolation --wheel-dir build/image/wheels . ./shop
machine=$(uname -m | sed s/arm64/aarch64/)
pip download --no-deps --require-hashes --only-binary=:all: --implementation=cp --python-version=3.13 \
  --platform="manylinux_2_28_$machine" --platform="manylinux_2_17_$machine" --platform="manylinux2014_$machine" \
  --dest build/image/wheels --requirement requirements/image.txt

# podman keeps HEALTHCHECK only in docker's format.
format=(); [ "$ENGINE" != podman ] || format=(--format=docker)
"$ENGINE" build "${format[@]}" --file deploy/Dockerfile --tag "$IMAGE" --build-arg BUILD_IMAGE --build-arg RUNTIME_IMAGE \
  --build-arg VERSION="$tag" --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" . >build/image/build.log 2>&1 \
  || { cat build/image/build.log >&2; exit 1; }
"$ENGINE" run --rm --entrypoint=python "$IMAGE" -c 'print(open("/app/sbom.cdx.json").read())' > build/image/sbom.cdx.json
echo "$IMAGE is built: $("$ENGINE" image inspect --format '{{.Size}}' "$IMAGE" | awk '{print int($1 / 1e6)}') MB"

cd shop && exec ../.venv/bin/pytest --quiet --no-header tests/image "$@"
