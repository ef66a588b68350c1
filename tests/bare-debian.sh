#!/usr/bin/env bash
# From nothing to the running product: makes a bare Debian (debootstrap) in a folder, puts a clean copy of
# HEAD and a Rust toolchain into it, and there installs, builds, starts, sets up, asks and tests, as a
# person with a new machine would. Prints how long each step took. Run by hand, as root; nothing of it
# stays but what --cache names.
#
#   tests/bare-debian.sh [--until base|packages|build|start|test] [--toolchain FOLDER | --rustup-init FILE]
#                        [--cache FILE.tar] [--folder FOLDER] [--suite NAME]
#
#   --until        the last step (default: test)
#   --toolchain    a toolchain to copy (default: the one `rustc` belongs to here)
#   --rustup-init  a downloaded rustup-init to run inside instead
#   --cache        keeps the bare system for the next time
#   --folder       where to work (default: the folder for temporary files); needs some 15 GB
#
# The mirror is BARE_MIRROR, else the one of this host's apt sources. Proxies and certificate
# authorities of this host are handed in.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

until=test toolchain="" rustup_init="" cache="" folder=${TMPDIR:-/tmp} suite=bookworm
while [ $# -gt 0 ]; do
  case $1 in
    --until) until=$2 ;;
    --toolchain) toolchain=$2 ;;
    --rustup-init) rustup_init=$2 ;;
    --cache) cache=$2 ;;
    --folder) folder=$2 ;;
    --suite) suite=$2 ;;
    *) sed -n '2,/^set/p' "$0" | sed -e '/^set/d' -e 's/^# \{0,1\}//'; exit 2 ;;
  esac
  [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 2; }
  shift 2
done
steps=(base packages build start test)
[[ " ${steps[*]} " = *" $until "* ]] || { echo "--until knows: ${steps[*]}" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "This needs root: it makes a system and changes into it." >&2; exit 1; }

# Mounts and processes of this run are its own and end with it.
if [ -z "${BARE_INSIDE:-}" ]; then
  root=$(mktemp -d "$folder/bare-debian.XXXXXX")
  chmod 755 "$root"
  trap 'rm -rf --one-file-system "$root"' EXIT
  again=(--until "$until" --folder "$folder" --suite "$suite")
  [ -z "$toolchain" ] || again+=(--toolchain "$toolchain")
  [ -z "$rustup_init" ] || again+=(--rustup-init "$rustup_init")
  [ -z "$cache" ] || again+=(--cache "$(realpath -m "$cache")")
  BARE_INSIDE=$root unshare --mount --pid --fork --kill-child "$0" "${again[@]}"
  exit
fi
root=$BARE_INSIDE
unset BARE_INSIDE

table=()
step() { # NAME, what it does, command ...
  local name=$1 words=$2 begin end
  shift 2
  echo "== $name: $words"
  begin=$(date +%s.%N)
  "$@"
  end=$(date +%s.%N)
  table+=("$(printf '%-10s %8.1f s  %s' "$name" "$(echo "$end $begin" | awk '{print $1 - $2}')" "$words")")
  if [ "$name" = "$until" ]; then finish; fi
}
finish() {
  echo "== how long it took, on $(nproc) cores"
  printf '%s\n' "${table[@]}"
  du -sh --one-file-system "$root" | awk '{print "the system at the end: " $1}'
  exit 0
}

mirror() {
  local found=${BARE_MIRROR:-}
  [ -n "$found" ] || found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    grep -v '^#' | grep -oE '(https?|file)://[^ ]+/debian/?( |$)' | head -1)
  [ -n "$found" ] || { echo "Which mirror? Set BARE_MIRROR." >&2; exit 1; }
  echo "${found% }"
}

make_base() {
  if [ -n "$cache" ] && [ -f "$cache" ]; then
    tar -xf "$cache" -C "$root"
    return
  fi
  command -v debootstrap >/dev/null || {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap
  }
  debootstrap --variant=minbase "$suite" "$root" "$(mirror)" >"$root.log" 2>&1 || { tail -20 "$root.log" >&2; exit 1; }
  rm -f "$root.log"
  if [ -n "$cache" ]; then tar -cf "$cache" --one-file-system -C "$root" .; fi
}

hand_in() {
  mkdir -p "$root/srv/wablast"
  git -C "$here" archive HEAD | tar -x -C "$root/srv/wablast"
  cp -L /etc/resolv.conf "$root/etc/resolv.conf"
  cp -L /etc/hosts "$root/etc/hosts"
  local proxy
  for proxy in /etc/apt/apt.conf.d/*proxy*; do
    if [ -f "$proxy" ]; then cp "$proxy" "$root/etc/apt/apt.conf.d/"; fi
  done
  # Certificate authorities of this host's network; they count once ca-certificates is installed.
  mkdir -p "$root/usr/local/share/ca-certificates"
  cp -rL /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
  if [ -f "${CARGO_HOME:-$HOME/.cargo}/config.toml" ]; then
    mkdir -p "$root/root/.cargo"
    cp "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$root/root/.cargo/config.toml"
  fi
  if [ -n "$rustup_init" ]; then
    cp "$rustup_init" "$root/root/rustup-init"
    chmod +x "$root/root/rustup-init"
  else
    [ -n "$toolchain" ] || toolchain=$(rustc --print sysroot)
    mkdir -p "$root/root/.cargo/bin" "$root/opt/rust"
    cp -a "$toolchain/." "$root/opt/rust/"
    local program
    for program in "$root"/opt/rust/bin/*; do ln -s "/opt/rust/bin/${program##*/}" "$root/root/.cargo/bin/"; done
  fi
}

# The new root is a root, not a changed one: only so PostgreSQL's user namespace is possible inside.
enter() {
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mkdir -p "$root/.host"
  cd "$root"
  pivot_root . .host
  umount -l /.host
  root=/
  cd /srv/wablast
}

# As a new login would have it, plus the way out. With replace=exec the caller becomes the command, so that a
# signal to it reaches the command.
inside() {
  local set=() name
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    if [ -n "${!name:-}" ]; then set+=("$name=${!name}"); fi
  done
  ${replace:-} env -i HOME=/root TERM=dumb LANG=C.UTF-8 PATH=/root/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    CARGO_TERM_COLOR=never "${set[@]}" "$@"
}

packages() {
  if [ -x /root/rustup-init ]; then
    inside sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends ca-certificates >/dev/null && /root/rustup-init -y -q --profile default'
  fi
  # What ./run and ./test install by themselves, without the build that follows.
  inside bash -c '. ./.ci/install.sh; need_compiler; need_postgresql' >/dev/null
}

ask() { # PATH: the answer, by bash alone; a bare system has no curl
  exec 3<>/dev/tcp/127.0.0.1/8080
  printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$1" >&3
  cat <&3
  exec 3>&-
}

start_and_ask() {
  local begin=$SECONDS serving
  replace=exec inside ./run >/tmp/serve.log 2>&1 &
  serving=$!
  until ask /healthz 2>/dev/null | grep -q '"ok":true'; do
    kill -0 $serving 2>/dev/null || { cat /tmp/serve.log >&2; exit 1; }
    [ $((SECONDS - begin)) -lt 120 ] || { echo "It does not answer." >&2; exit 1; }
    sleep 0.1
  done
  grep -q '/setup?token=' /tmp/serve.log || { echo "No link to set it up was printed." >&2; exit 1; }
  # While it runs: the command line joins its database.
  echo "a long password" | inside ./run setup --company Batik --country ID --time-zone Asia/Jakarta \
    --admin-name Dewi --admin-email dewi@example.com --admin-password-stdin
  inside ./run token create --email dewi@example.com --name bare | tail -1 | grep -q '^wab_' || { echo "No token." >&2; exit 1; }
  ask /login | grep -q 'name="password"' || { echo "No log-in page." >&2; exit 1; }
  ask /readyz | grep -q '200 OK' || { echo "Not ready." >&2; exit 1; }
  kill -TERM $serving
  wait $serving
}

step base "a bare Debian $suite" make_base
step copy "a clean copy of $(git -C "$here" rev-parse --short HEAD), a toolchain" hand_in
enter
step packages "compiler and PostgreSQL, as ./run installs them" packages
step build "./run --build" inside ./run --build
step start "start, set up, token, health, log-in page, stop" start_and_ask
step test "./test" inside ./test
