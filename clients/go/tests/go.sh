# Makes `go` available: sourced by the scripts of clients/go.
#
# An installed Go is used if it is new enough. Otherwise, Debian's package is installed, which downloads a newer version if a module needs it.

# The oldest Go that can select newer versions of itself.
go_minimum=1.21

for folder in /usr/local/go/bin /usr/lib/go/bin; do
  if ! command -v go >/dev/null && [[ -x $folder/go ]]; then
    PATH="$folder:$PATH"
  fi
done
if ! command -v go >/dev/null; then
  if ! command -v apt-get >/dev/null; then
    echo "Go is not installed, and there is no apt-get to install it with" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends golang-go ca-certificates
fi
go_version=$(go env GOVERSION)
go_version=${go_version#go}
if [[ $(printf '%s\n%s\n' "$go_minimum" "$go_version" | sort -V | head -n 1) != "$go_minimum" ]]; then
  echo "Go $go_version is too old: install Go $go_minimum or newer" >&2
  exit 1
fi
export PATH GOFLAGS=-buildvcs=false GOWORK=off
