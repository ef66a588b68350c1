# What `run` and `test` share: installing what is missing, saying so, quiet when nothing is.

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else echo "This needs root: $*" >&2; return 1
  fi
}

apt_install() {
  echo "Installing: $*" >&2
  export DEBIAN_FRONTEND=noninteractive
  as_root apt-get update -qq >&2
  as_root apt-get install -y -qq --no-install-recommends "$@" >&2
}

need_compiler() {
  if ! command -v cargo >/dev/null; then
    [ -x "$HOME/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
  fi
  command -v cargo >/dev/null || {
    echo "A Rust toolchain is missing (1.89 or newer). Install it with rustup, then run this again." >&2
    exit 1
  }
  local missing=()
  command -v cc >/dev/null || missing+=(build-essential)
  [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

has_postgresql() {
  local folder
  for folder in "${PG_BIN_DIR:-}" $(echo "$PATH" | tr ':' ' ') /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
    [ -n "$folder" ] && [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && return 0
  done
  return 1
}

need_postgresql() {
  has_postgresql && return 0
  # Debian would make and start a cluster of its own; ours is private.
  as_root mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] ||
    echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
  apt_install postgresql
}

# Debian's Chromium and its driver, for the tests that walk the product as a person does.
need_chromium() {
  local missing=()
  command -v chromium >/dev/null || missing+=(chromium)
  command -v chromedriver >/dev/null || missing+=(chromium-driver)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}
