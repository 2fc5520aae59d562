#!/bin/sh
set -eu
sudo zypper --non-interactive install postgresql16-server
