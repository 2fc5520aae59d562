# Runs in Image Builder's validation, on a second machine that was started from the image: that it
# runs at all shows that the image boots. It scans the disk and uploads the report with the
# machine's own identity.
set -eu
REPORT_URL='{{report_url}}'
CLIENT_RESOURCE='{{identity}}'

if ! command -v trivy >/dev/null 2>&1; then
  TRIVY_DIR="$(mktemp -d)"
  case "$(uname -m)" in
    aarch64|arm64) TRIVY_FILE='trivy_0.70.0_Linux-ARM64.tar.gz' ;;
    *) TRIVY_FILE='trivy_0.70.0_Linux-64bit.tar.gz' ;;
  esac
  TRIVY_FROM='https://github.com/aquasecurity/trivy/releases/download/v0.70.0'
  (
    cd "$TRIVY_DIR"
    curl --fail --silent --show-error --location --retry 5 --remote-name "$TRIVY_FROM/$TRIVY_FILE"
    curl --fail --silent --show-error --location --retry 5 "$TRIVY_FROM/trivy_0.70.0_checksums.txt" \
      | grep " $TRIVY_FILE\$" | sha256sum --check --strict -
    tar -xzf "$TRIVY_FILE" trivy
  )
  export PATH="$TRIVY_DIR:$PATH"
fi

trivy rootfs --quiet --scanners vuln --pkg-types os --format json \
  --skip-dirs /proc --skip-dirs /sys --skip-dirs /dev --output /tmp/goldsmith-report.json /

TOKEN="$(curl --fail --silent --show-error --retry 5 --header 'Metadata: true' --get \
  --data-urlencode 'api-version=2018-02-01' \
  --data-urlencode 'resource=https://storage.azure.com/' \
  --data-urlencode "msi_res_id=$CLIENT_RESOURCE" \
  'http://169.254.169.254/metadata/identity/oauth2/token' \
  | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')"

curl --fail --silent --show-error --retry 5 --request PUT --upload-file /tmp/goldsmith-report.json \
  --header "Authorization: Bearer $TOKEN" --header 'x-ms-version: 2023-11-03' \
  --header 'x-ms-blob-type: BlockBlob' --header 'Content-Type: application/json' "$REPORT_URL"
rm -f /tmp/goldsmith-report.json
