# shellcheck shell=bash
# What `scripts/demo` and `scripts/test` share: a Python, uv, the system libraries
# of Qt, and a screen. Sourced with `set -eu`; works in bash 3.2, which macOS has.

# The size of a window that shows everything; Xvfb's own is too small, and too shallow.
SCREEN="-screen 0 1600x1000x24"

say() { printf '== %s\n' "$*"; }
warn() { printf '== %s\n' "$*" >&2; }

give_up() {
  warn "$@"
  exit 1
}

is_linux() { [ "$(uname -s)" = Linux ]; }

# Elsewhere than on Linux a window can always be opened.
has_display() {
  ! is_linux || [ -n "${DISPLAY:-}" ] || [ -n "${WAYLAND_DISPLAY:-}" ]
}

# An empty HOME is not the same as none: caches would land in the current folder.
settle_home() {
  if [ -z "${HOME:-}" ]; then
    unset HOME
    HOME=$(printf '%s' ~)
  fi
  if [ ! -d "$HOME" ] || [ ! -w "$HOME" ]; then
    HOME="$PWD/.uv/home"
    mkdir -p "$HOME"
    say "There is no home folder to write to: using .uv/home"
  fi
  export HOME
}

# ---------------------------------------------------------------- system packages

APT_UPDATED=

has_apt() { is_linux && command -v apt-get >/dev/null && command -v dpkg >/dev/null; }

# Sets ROOT to what makes a command run as root; fails if nothing does.
find_root() {
  ROOT=()
  [ "$(id -u)" = 0 ] && return 0
  command -v sudo >/dev/null || return 1
  ROOT=(sudo)
  # Asking for a password needs someone there to type it.
  sudo -n true 2>/dev/null || { [ -t 0 ] && [ -t 1 ]; }
}

run_apt() {
  ${ROOT[@]+"${ROOT[@]}"} env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# install_packages PACKAGE...: fails, with the line to type, if they can't be installed.
install_packages() {
  local line="apt-get install -y --no-install-recommends $*" log status=0
  if ! find_root; then
    warn "Please run this once, as root:  $line"
    return 1
  fi
  say "Installing from this system's packages: $*"
  log=$(mktemp)
  if [ -z "$APT_UPDATED" ]; then
    # A stale list of another repository must not stop us: the installation tells.
    run_apt update >"$log" 2>&1 || true
    APT_UPDATED=1
  fi
  run_apt install -y --no-install-recommends "$@" >>"$log" 2>&1 || status=$?
  if [ "$status" != 0 ]; then
    tail -n 15 "$log" >&2
    warn "That did not work. Please run this once, as root:  $line"
  fi
  rm -f "$log"
  return "$status"
}

# Every library that Qt's own libraries and its X11 platform plugin are linked to and
# that wheels do not bring, with Debian's package of each. All of them are looked for,
# because a missing one shows up only as "No Qt bindings could be found". Ubuntu calls
# some packages otherwise (libglib2.0-0t64), but apt-get knows them by these names too.
QT_LIBRARIES="
libEGL.so.1 libegl1
libGL.so.1 libgl1
libX11.so.6 libx11-6
libX11-xcb.so.1 libx11-xcb1
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libfreetype.so.6 libfreetype6
libglib-2.0.so.0 libglib2.0-0
libgthread-2.0.so.0 libglib2.0-0
libxcb.so.1 libxcb1
libxcb-cursor.so.0 libxcb-cursor0
libxcb-glx.so.0 libxcb-glx0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-image.so.0 libxcb-image0
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-randr.so.0 libxcb-randr0
libxcb-render.so.0 libxcb-render0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0 libxcb-shape0
libxcb-shm.so.0 libxcb-shm0
libxcb-sync.so.1 libxcb-sync1
libxcb-util.so.1 libxcb-util1
libxcb-xfixes.so.0 libxcb-xfixes0
libxcb-xkb.so.1 libxcb-xkb1
libxkbcommon.so.0 libxkbcommon0
libxkbcommon-x11.so.0 libxkbcommon-x11-0
"

# lacks THING PACKAGE: notes both in need_windows's lists, a package only once.
lacks() {
  missing+=("$1")
  case " ${packages[*]-} " in
  *" $2 "*) ;;
  *) packages+=("$2") ;;
  esac
}

# need_windows [virtual]: see to the libraries of Qt and, if asked, to a virtual
# display; fails after saying what is missing.
need_windows() {
  is_linux || return 0
  local known soname package missing=() packages=()
  # Asking the linker, not dpkg: it knows what is there under any package's name.
  if known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null); then
    while read -r soname package; do
      case "$known" in
      *"	$soname ("*) ;;
      *) [ -z "$soname" ] || lacks "$soname" "$package" ;;
      esac
    done <<<"$QT_LIBRARIES"
  fi
  if [ "${1:-}" = virtual ]; then
    command -v Xvfb >/dev/null || lacks Xvfb xvfb
    command -v xvfb-run >/dev/null || lacks xvfb-run xvfb
    # xvfb-run needs it, but Debian's package only recommends it.
    command -v xauth >/dev/null || lacks xauth xauth
  fi
  [ ${#missing[@]} -gt 0 ] || return 0
  if has_apt; then
    install_packages "${packages[@]}"
    return
  fi
  warn "Windows need these, which this system's packages have: ${missing[*]}"
  return 1
}

# on_virtual_display COMMAND...: windows open where nobody sees them. X11 is named,
# because Qt would find its way to a running Wayland desktop all the same.
on_virtual_display() {
  env -u WAYLAND_DISPLAY QT_QPA_PLATFORM=xcb XDG_SESSION_TYPE=x11 \
    xvfb-run -a -s "$SCREEN" "$@"
}

# ---------------------------------------------------------------- Python and uv

# Sets RUN_PYTHON to what uv is to run: a Python that this project supports, or else a
# version for uv to fetch. The user's choice comes first: PYTHON, then what `python3`
# means here (a virtual environment, conda, pyenv).
find_python() {
  local name
  for name in ${PYTHON:+"$PYTHON"} python3 python python3.13 python3.12 python3.11; do
    # The imports leave out the pieces of a Python that some systems ship. What
    # `sys.executable` says is the interpreter itself, not a shim in front of it.
    if RUN_PYTHON=$("$name" -c '
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13): sys.exit(1)
import ctypes, json, sqlite3, ssl, sysconfig
print(sys.executable)' 2>/dev/null) && [ -n "$RUN_PYTHON" ]; then
      say "Python: $RUN_PYTHON"
      return 0
    fi
    [ "$name" != "${PYTHON:-}" ] || give_up "PYTHON=$name is not a Python 3.11, 3.12 or 3.13."
  done
  RUN_PYTHON=3.12
}

# An old uv lacks the options used here.
is_good_uv() { "$1" tool run --help 2>/dev/null | grep -q -e --with-editable; }

# Sets UV to a uv that works: the user's own, or one in this folder's .uv/.
find_uv() {
  local candidate
  for candidate in "$(command -v uv || true)" "$PWD/.uv/bin/uv" "$PWD/.uv/Scripts/uv.exe"; do
    if [ -n "$candidate" ] && is_good_uv "$candidate"; then
      UV=$candidate
      break
    fi
  done
  if [ -z "${UV:-}" ]; then
    say "uv, which sets up Python programs, is not here: putting it into .uv/"
    bring_uv || give_up "uv could not be installed. How to install it: https://docs.astral.sh/uv"
  fi
  PATH="$(dirname "$UV"):$PATH"
  case "$RUN_PYTHON" in
  # tox asks uv for a version, and uv looks for it on PATH.
  */*) PATH="$(dirname "$RUN_PYTHON"):$PATH" ;;
  *) say "No Python 3.11, 3.12 or 3.13 here: uv will fetch one" ;;
  esac
  export PATH
}

bring_uv() {
  local name
  for name in "$RUN_PYTHON" python3 python; do
    bring_uv_with "$name" && return 0
  done
  # Debian's and Ubuntu's own Python comes without venv and pip.
  has_apt || return 1
  install_packages python3 python3-venv python3-pip || return 1
  # A Python found by now may have been the wrong one for Debian's venv.
  bring_uv_with /usr/bin/python3 || return 1
  find_python
}

# bring_uv_with PYTHON: any Python that has venv or pip will do to fetch uv.
bring_uv_with() {
  local log folder
  command -v "$1" >/dev/null || return 1
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null || return 1
  mkdir -p .uv
  log="$PWD/.uv/install.log"
  rm -rf .uv/bin .uv/Scripts
  if "$1" -m venv .uv >"$log" 2>&1; then
    for folder in bin Scripts; do
      if [ -d ".uv/$folder" ]; then
        ".uv/$folder/python" -m pip install -q uv >>"$log" 2>&1 || true
      fi
    done
  elif "$1" -m pip --version >>"$log" 2>&1; then
    "$1" -m pip install -q --upgrade --target .uv uv >>"$log" 2>&1 || true
  fi
  for UV in "$PWD/.uv/bin/uv" "$PWD/.uv/Scripts/uv.exe"; do
    is_good_uv "$UV" && return 0
  done
  UV=
  # Without venv and pip it could not have worked, and the next attempt may: silence.
  if grep -qi "error" "$log" && ! grep -qiE "ensurepip|No module named pip" "$log"; then
    tail -n 5 "$log" >&2
  fi
  return 1
}
