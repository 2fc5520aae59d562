#!/usr/bin/env bash
# Installs every published update of a Debian or Ubuntu image and leaves nothing behind that the
# next build would repeat. Any failure fails the build.
set -euo pipefail

# Image Builder runs a script as an ordinary user who may sudo.
if [ "$(id -u)" -ne 0 ]; then
  exec sudo bash "$0" "$@"
fi

export DEBIAN_FRONTEND=noninteractive
export NEEDRESTART_MODE=a

# The first boot has its own ideas about apt; they have to be over before ours begin. cloud-init
# ends with 2 when it merely warned.
if command -v cloud-init >/dev/null; then
  cloud-init status --wait >/dev/null || [ $? -eq 2 ]
fi
systemctl stop apt-daily.timer apt-daily-upgrade.timer || true
systemctl stop apt-daily.service apt-daily-upgrade.service unattended-upgrades.service || true

apt() {
  apt-get -y \
    -o DPkg::Lock::Timeout=600 \
    -o Acquire::Retries=5 \
    -o Dpkg::Options::=--force-confdef \
    -o Dpkg::Options::=--force-confold \
    "$@"
}

# DPkg::Lock::Timeout waits for dpkg, not for the lock on the package lists.
for attempt in 1 2 3 4 5; do
  if apt update; then
    break
  fi
  if [ "$attempt" -eq 5 ]; then
    echo "the package lists could not be read in 5 attempts" >&2
    exit 1
  fi
  sleep $((attempt * 15))
done

apt full-upgrade
apt --purge autoremove
apt clean
rm -rf /var/lib/apt/lists/*

systemctl start apt-daily.timer apt-daily-upgrade.timer || true

# A half-configured package must not become everybody's.
broken=$(dpkg --audit)
if [ -n "$broken" ]; then
  echo "packages are not completely installed: $broken" >&2
  exit 1
fi
