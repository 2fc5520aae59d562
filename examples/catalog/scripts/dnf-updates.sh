#!/usr/bin/env bash
# Installs every published update of a Red Hat image and leaves nothing behind that the next build
# would repeat. Any failure fails the build.
set -euo pipefail

# Image Builder runs a script as an ordinary user who may sudo.
if [ "$(id -u)" -ne 0 ]; then
  exec sudo bash "$0" "$@"
fi

if command -v cloud-init >/dev/null; then
  cloud-init status --wait >/dev/null || [ $? -eq 2 ]
fi
systemctl stop dnf-automatic.timer dnf-makecache.timer 2>/dev/null || true

dnf() {
  command dnf -y --setopt=retries=5 --setopt=timeout=60 --setopt=exit_on_lock=0 "$@"
}

# The certificate of Azure's update servers expires; its package comes from a repository that does
# not ask for one.
dnf --disablerepo='*' --enablerepo='*microsoft*' upgrade || true

dnf --refresh upgrade
dnf autoremove

# One kernel that boots and the one before it.
old_kernels=$(command dnf repoquery --installonly --latest-limit=-2 -q)
if [ -n "$old_kernels" ]; then
  # Each name is one argument.
  # shellcheck disable=SC2086
  dnf remove $old_kernels
fi

dnf clean all
rm -rf /var/cache/dnf

command dnf check
