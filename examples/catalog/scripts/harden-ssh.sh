#!/usr/bin/env bash
# Makes SSH accept keys only, for nobody called root, on Debian, Ubuntu and Red Hat images. The
# settings count from the next boot: the build itself is still connected by SSH.
set -euo pipefail

# Image Builder runs a script as an ordinary user who may sudo.
if [ "$(id -u)" -ne 0 ]; then
  exec sudo bash "$0" "$@"
fi

settings=/etc/ssh/sshd_config.d/10-contoso.conf

# sshd takes the first value that it reads: 10 comes before cloud-init's 50.
install -d -m 0755 /etc/ssh/sshd_config.d
cat >"$settings" <<'SETTINGS'
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitEmptyPasswords no
X11Forwarding no
AllowAgentForwarding no
MaxAuthTries 4
LoginGraceTime 30
ClientAliveInterval 300
ClientAliveCountMax 2
SETTINGS
chmod 0600 "$settings"

if ! grep -Eq '^[[:space:]]*Include[[:space:]]+/etc/ssh/sshd_config.d/' /etc/ssh/sshd_config; then
  sed -i '1i Include /etc/ssh/sshd_config.d/*.conf' /etc/ssh/sshd_config
fi

# What counts is what sshd makes of it.
mkdir -p /run/sshd
sshd=$(command -v sshd || echo /usr/sbin/sshd)
effective=$("$sshd" -T)
for wanted in 'permitrootlogin no' 'passwordauthentication no' 'x11forwarding no'; do
  if ! grep -qx "$wanted" <<<"$effective"; then
    echo "sshd does not follow $settings: \`$wanted\` is not in force" >&2
    exit 1
  fi
done
