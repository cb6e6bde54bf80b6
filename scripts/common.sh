# shellcheck shell=bash
# What `scripts/demo` and `scripts/test` share: the system's libraries that windows need,
# a screen, and uv, which sets up the rest. Sourced with `set -eu` in the repository's
# root; works in bash 3.2, which macOS has.

say() { printf '== %s\n' "$*" >&2; }

give_up() {
  say "$@"
  exit 1
}

is_linux() { [ "$(uname -s)" = Linux ]; }

# Elsewhere than on Linux a window can always be opened.
has_display() { ! is_linux || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; }

# What Qt and its X11 plugin need and Python's packages do not bring, with Debian's and
# Ubuntu's package of each; what these need in turn comes with them. A missing one shows
# up only as "No Qt bindings could be found".
LIBRARIES="libEGL.so.1=libegl1 libGL.so.1=libgl1 libglib-2.0.so.0=libglib2.0-0
libdbus-1.so.3=libdbus-1-3 libfontconfig.so.1=libfontconfig1
libxkbcommon-x11.so.0=libxkbcommon-x11-0 libxcb-cursor.so.0=libxcb-cursor0
libxcb-icccm.so.4=libxcb-icccm4 libxcb-keysyms.so.1=libxcb-keysyms1
libxcb-shape.so.0=libxcb-shape0"

# need_windows [virtual]: see to what windows need and, if asked, to a virtual display;
# fails, having said what is missing, if it cannot be had.
need_windows() {
  is_linux || return 0
  local known pair wanted=()
  # The linker knows a library under whatever name its package has.
  known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null || true)
  for pair in $LIBRARIES; do
    case "$known" in
    "" | *"	${pair%=*} ("*) ;;
    *) wanted+=("${pair#*=}") ;;
    esac
  done
  if [ "${1:-}" = virtual ]; then
    command -v xvfb-run >/dev/null || wanted+=(xvfb)
    command -v xauth >/dev/null || wanted+=(xauth)
  fi
  [ ${#wanted[@]} = 0 ] || install_packages "${wanted[@]}"
}

# install_packages PACKAGE...: from Debian or Ubuntu; elsewhere, say what is wanted.
install_packages() {
  local install="apt-get install -y --no-install-recommends $*" root=()
  if ! command -v apt-get >/dev/null; then
    say "Please install what your system calls these packages of Debian: $*"
    return 1
  fi
  if [ "$(id -u)" != 0 ]; then
    root=(sudo)
    # Asking for a password needs someone there to type it.
    [ -t 0 ] || root=(sudo -n)
  fi
  say "Installing from this system's packages: $*"
  mkdir -p .uv
  # A list of another repository that is out of date must not stop this.
  if ! ${root[@]+"${root[@]}"} env DEBIAN_FRONTEND=noninteractive \
    sh -c "apt-get -qq update; $install" >.uv/apt.log 2>&1; then
    tail -n 5 .uv/apt.log >&2
    say "That did not work. Please run this once, as root:  $install"
    return 1
  fi
}

# on_virtual_display COMMAND...: windows open where nobody sees them. X11 is named,
# because Qt would find its way to a running Wayland desktop all the same.
on_virtual_display() {
  env -u WAYLAND_DISPLAY QT_QPA_PLATFORM=xcb XDG_SESSION_TYPE=x11 \
    xvfb-run -a -s "-screen 0 1600x1000x24" "$@"
}

# Sets UVX to the start of a command that runs a Python program: uv, the user's own or
# one in .uv/, and a Python for it. That is PYTHON, or the first that is here, or else
# one that uv fetches.
find_uv() {
  local uv
  # uv's cache and its Pythons want a folder to lie in.
  if [ ! -w "${HOME:-/nowhere}" ]; then
    export HOME="$PWD/.uv/home"
    mkdir -p "$HOME"
  fi
  uv=$(command -v uv || echo "$PWD/.uv/bin/uv")
  if ! is_good_uv "$uv"; then
    uv="$PWD/.uv/bin/uv"
    is_good_uv "$uv" || bring_uv ||
      give_up "uv is wanted, and could not be installed: https://docs.astral.sh/uv says how"
  fi
  PATH="$(dirname "$uv"):$PATH"
  export PATH
  UVX=("$uv" tool run --python "${PYTHON:->=3.11,<3.14}")
}

# An old uv lacks the options used here.
is_good_uv() { "$1" tool run --help 2>/dev/null | grep -q -e --with-editable; }

# Any Python that has venv will do to fetch uv; Debian's own comes without.
bring_uv() {
  say "uv, which sets up Python programs, is not here: putting it into .uv/"
  pip_uv "${PYTHON:-python3}" || pip_uv python3 || {
    install_packages python3 python3-venv && pip_uv /usr/bin/python3
  }
}

pip_uv() {
  mkdir -p .uv
  { "$1" -m venv --clear .uv/python && .uv/python/bin/pip install uv; } >.uv/uv.log 2>&1 &&
    mkdir -p .uv/bin && ln -sf ../python/bin/uv .uv/bin/uv && is_good_uv .uv/bin/uv
}
