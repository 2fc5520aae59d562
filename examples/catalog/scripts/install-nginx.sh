#!/usr/bin/env bash
# Installs nginx with our site, which the step before has put into /tmp.
set -euo pipefail

# Image Builder runs a script as an ordinary user who may sudo.
if [ "$(id -u)" -ne 0 ]; then
  exec sudo bash "$0" "$@"
fi

export DEBIAN_FRONTEND=noninteractive
site=/tmp/nginx-site.conf

if [ ! -f "$site" ]; then
  echo "$site is missing; the step copy-nginx-site puts it there" >&2
  exit 1
fi

if command -v cloud-init >/dev/null; then
  cloud-init status --wait >/dev/null || [ $? -eq 2 ]
fi
systemctl stop apt-daily.timer apt-daily-upgrade.timer || true
systemctl stop apt-daily.service apt-daily-upgrade.service unattended-upgrades.service || true

for attempt in 1 2 3 4 5; do
  if apt-get -y -o Acquire::Retries=5 update; then
    break
  fi
  if [ "$attempt" -eq 5 ]; then
    echo "the package lists could not be read in 5 attempts" >&2
    exit 1
  fi
  sleep $((attempt * 15))
done

apt-get -y -o DPkg::Lock::Timeout=600 --no-install-recommends install nginx

install -m 0644 -o root -g root "$site" /etc/nginx/sites-available/contoso
ln -sf /etc/nginx/sites-available/contoso /etc/nginx/sites-enabled/contoso
rm -f /etc/nginx/sites-enabled/default "$site"
nginx -t

systemctl enable nginx

apt-get clean
rm -rf /var/lib/apt/lists/*
systemctl start apt-daily.timer apt-daily-upgrade.timer || true
