#!/bin/sh
# Sets up the cloud as a service on a host of your own (Debian 12 or later, Ubuntu 24.04 or later), or brings it up to
# date. Run it as root from the repository; doing it again does no harm, and settings and database stay as they are.
#
#   ./install.sh [--dry-run] [--python PYTHON] [--root FOLDER]
#   ./install.sh --uninstall [--dry-run]
#
#   --dry-run         only say what would be done
#   --python PYTHON   another interpreter than python3 (3.11 or later)
#   --root FOLDER     put the files below FOLDER, and leave users and services alone
#   --uninstall       take away program and service; settings, database and backups stay
#
# What goes where:  /opt/arcade-cloud (program), /etc/arcade-cloud/settings.env (settings), /var/lib/arcade-cloud
#                   (database), /var/backups/arcade-cloud (a copy of it each night, for 14 days),
#                   /usr/local/bin/arcade-cloud (the command, as the service's user: sudo arcade-cloud …)
set -eu

user=arcade-cloud
units="arcade-cloud.service arcade-cloud-backup.service arcade-cloud-backup.timer"
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
python=python3 root= dry= uninstall=

say() { echo "install: $*"; }
fail() { echo "install: $*" >&2; exit 1; }
act() { # do it, or only say it
    if [ -n "$dry" ]; then echo "would: $*"; else "$@"; fi
}

while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry=yes ;;
        --uninstall) uninstall=yes ;;
        --python) python=${2:?--python needs an interpreter}; shift ;;
        --root) root=${2:?--root needs a folder}; shift ;;
        -h | --help) sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0"; exit ;;
        *) fail "unknown: $1 (--help lists what there is)" ;;
    esac
    shift
done
case $root in
    '' | /*) ;;
    *) root=$PWD/$root ;;
esac

opt=$root/opt/arcade-cloud
etc=$root/etc/arcade-cloud
state=$root/var/lib/arcade-cloud
copies=$root/var/backups/arcade-cloud
system=$root/etc/systemd/system
command=$root/usr/local/bin/arcade-cloud

[ -n "$root$dry" ] || [ "$(id -u)" = 0 ] || fail "this needs root: sudo $0"
services= users=
if [ -z "$root" ]; then
    users=yes
    [ ! -d /run/systemd/system ] || services=yes
fi

if [ -n "$uninstall" ]; then
    [ -z "$services" ] || act systemctl disable --now arcade-cloud.service arcade-cloud-backup.timer || true
    for unit in $units; do act rm -f "$system/$unit"; done
    act rm -f "$command"
    act rm -rf "$opt"
    [ -z "$services" ] || act systemctl daemon-reload
    say "the cloud is gone. Settings, database and backups are still there: $etc, $state, $copies"
    exit
fi

# --- what must be there ---------------------------------------------------------------------------------------

python=$(command -v "$python") || fail "there is no such Python: apt-get install python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$("$python" -V) is too old, 3.11 is needed"
"$python" -c 'import venv, ensurepip' 2>/dev/null || fail "Python has no venv: apt-get install python3-venv"
[ -z "$root" ] || mkdir -p "$root"
free=$(df -Pk "${root:-/}" | awk 'NR == 2 { print int($4 / 1024) }')
[ "$free" -ge 400 ] || fail "only $free MB are free on the disk, 400 MB are needed; nothing was changed"
[ -z "$users" ] || getent passwd $user >/dev/null ||
    act useradd --system --user-group --home-dir /var/lib/arcade-cloud --no-create-home --shell /usr/sbin/nologin $user

# --- the program ------------------------------------------------------------------------------------------------

# Each content has a folder of its own, and `current` leads to one: whatever ends this script leaves the old one in use.
release=$(cd "$source" && find shared/arcade_shared cloud/arcade_cloud requirements shared/pyproject.toml \
    cloud/pyproject.toml -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum |
    cut -c1-12)-$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
place=$opt/releases/$release

make_release() {
    rm -rf "$place"
    mkdir -p "$opt/releases"
    trap 'rm -rf "$place"; fail "the release was not finished, and is taken away again; the one before stays in use"' EXIT
    "$python" -m venv "$place"
    pip="$place/bin/python -m pip --quiet --no-input --disable-pip-version-check install"
    # shellcheck disable=SC2086
    $pip --require-hashes -r "$source/requirements/cloud.txt" -r "$source/requirements/build.txt"
    built=$place/build
    mkdir "$built"
    cp -R "$source/shared" "$source/cloud" "$built"
    # shellcheck disable=SC2086
    $pip --no-deps --no-build-isolation "$built/shared" "$built/cloud"
    rm -rf "$built"
    "$place/bin/arcade-cloud" --help >/dev/null
    : >"$place/complete"
    sync
    trap - EXIT
}

if [ -e "$place/complete" ]; then
    say "the program is there already: $place"
elif [ -n "$dry" ]; then
    echo "would: make the virtual environment $place"
else
    say "making $place (a minute)"
    make_release
fi
before=$(readlink "$opt/current" 2>/dev/null || true)
if [ "$before" != "releases/$release" ]; then
    act ln -sfn "releases/$release" "$opt/current.new"
    act mv -T "$opt/current.new" "$opt/current"
fi
if [ -z "$dry" ]; then
    mkdir -p "${command%/*}"
    cat >"$command" <<END
#!/bin/sh
# The cloud's commands with the service's settings and as its user, who owns the database.
[ "\$(id -u)" = 0 ] || { echo "arcade-cloud: run it with sudo" >&2; exit 1; }
exec runuser -u $user -- /opt/arcade-cloud/current/bin/arcade-cloud --env-file /etc/arcade-cloud/settings.env "\$@"
END
    chmod 755 "$command"
fi

# --- settings, database, backups --------------------------------------------------------------------------------

owned() { [ -z "$users" ] || act chown "$user:$user" "$@"; }
first=
[ -e "$etc/settings.env" ] || first=yes
act mkdir -p "$etc" "$state" "$copies"
if [ -n "$first" ] && [ -z "$dry" ]; then
    (
        umask 077
        sed "s|^# DATABASE_URL=.*|DATABASE_URL=sqlite:////var/lib/arcade-cloud/arcade.sqlite|" \
            "$source/.env.example" >"$etc/settings.env"
    )
fi
act chmod 600 "$etc/settings.env"
act chmod 700 "$state" "$copies"
owned "$etc/settings.env" "$state" "$copies"

# --- the service ------------------------------------------------------------------------------------------------

changed=
for unit in $units; do
    cmp -s "$here/$unit" "$system/$unit" && continue
    changed=yes
    act mkdir -p "$system"
    act cp "$here/$unit" "$system/$unit"
    act chmod 644 "$system/$unit"
done
if [ -n "$services" ]; then
    act systemctl daemon-reload
    act systemctl --quiet enable --now arcade-cloud-backup.timer
    act systemctl --quiet enable arcade-cloud
    if [ -z "$first" ] && { [ -n "$changed" ] || [ "$before" != "releases/$release" ]; } &&
        systemctl --quiet is-active arcade-cloud; then
        say "restarting the cloud"
        act systemctl restart arcade-cloud
    fi
fi

# The one before stays, to go back to by hand; older ones go.
if [ "$before" != "releases/$release" ]; then
    for old in "$opt"/releases/*; do
        [ "$old" = "$place" ] || [ "$old" = "$opt/$before" ] || [ ! -d "$old" ] || act rm -rf "$old"
    done
fi

say "done: $release"
[ -z "$first" ] || say "fill in $etc/settings.env, then: sudo arcade-cloud check; sudo systemctl start arcade-cloud"
