#!/usr/bin/env bash
# Installs what the shop needs to run: Java, its account, its folder and its service. The shop
# itself arrives when a machine is made.
set -euo pipefail

# Image Builder runs a script as an ordinary user who may sudo.
if [ "$(id -u)" -ne 0 ]; then
  exec sudo bash "$0" "$@"
fi

export DEBIAN_FRONTEND=noninteractive

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

apt-get -y -o DPkg::Lock::Timeout=600 --no-install-recommends install openjdk-17-jre-headless

if ! id shop >/dev/null 2>&1; then
  useradd --system --home-dir /opt/shop --shell /usr/sbin/nologin shop
fi
install -d -m 0755 -o shop -g shop /opt/shop

cat >/etc/systemd/system/shop.service <<'UNIT'
[Unit]
Description=Contoso shop
After=network-online.target
Wants=network-online.target
ConditionPathExists=/opt/shop/shop.jar

[Service]
User=shop
WorkingDirectory=/opt/shop
ExecStart=/usr/bin/java -jar /opt/shop/shop.jar
Restart=on-failure
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ReadWritePaths=/opt/shop

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable shop.service

java -version

apt-get clean
rm -rf /var/lib/apt/lists/*
systemctl start apt-daily.timer apt-daily-upgrade.timer || true
