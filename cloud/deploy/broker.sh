#!/bin/sh
# Sets up Mosquitto as the broker of an arcade: TLS with a certificate authority of its own, users, and what each user
# may do. Running it again changes only what is missing.
#
#   broker.sh [--dir FOLDER] init HOST [HOST…]          the broker, reached by these names or addresses
#   broker.sh [--dir FOLDER] machine ID [EDGE.TOML]     a user for a machine; fills its password into that config, and
#                                                       puts the authority's certificate (ca.pem) beside it
#   broker.sh [--dir FOLDER] listener NAME              a user for software that only listens
#   broker.sh [--dir FOLDER] certificate                a new certificate for the same names (they last 825 days)
#   broker.sh [--dir FOLDER] remove USER                takes a user away
#
#   --dir FOLDER   everything below FOLDER, for a broker that you start yourself: mosquitto -c FOLDER/mosquitto.conf
#                  Without it: the system's Mosquitto, in /etc/mosquitto, as root.
#
# `init` prints the lines for the cloud's settings. A password that is lost is made anew: `remove`, then `machine`.
set -eu
umask 077

fail() { echo "broker.sh: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || fail "there is no $1: $2"; }

dir=
if [ "${1:-}" = --dir ]; then
    mkdir -p "${2:?--dir needs a folder}"
    dir=$(cd "$2" && pwd)
    shift 2
fi
case ${1:-} in
    init | machine | listener | certificate | remove) command=$1; shift ;;
    *) sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0"; [ "${1:-}" = --help ] || [ "${1:-}" = -h ] || exit 2; exit ;;
esac
have mosquitto "apt-get install mosquitto"
have mosquitto_passwd "apt-get install mosquitto"
have openssl "apt-get install openssl"
if [ -n "$dir" ]; then
    etc=$dir conf=$dir/mosquitto.conf
else
    [ "$(id -u)" = 0 ] || fail "this needs root: sudo $0 $command (or --dir FOLDER)"
    etc=/etc/mosquitto/arcade conf=/etc/mosquitto/conf.d/arcade.conf
fi
port=${ARCADE_BROKER_PORT:-8883}
[ "$command" = init ] || [ -e "$etc/passwords" ] || fail "there is no broker in $etc yet: $0 init HOST"

secret() { openssl rand -hex 20; }
known() { grep -q "^$1:" "$etc/passwords"; }
reload() { # so that Mosquitto, which runs as its own user, reads what has changed
    if [ -n "$dir" ]; then
        [ "$command" = init ] || echo "broker.sh: a broker that runs already hears of it by kill -HUP" >&2
        return
    fi
    chown -R mosquitto: "$etc"
    chown root: "$etc/ca.key" # Mosquitto has no use for it
    if [ -d /run/systemd/system ]; then systemctl reload-or-restart mosquitto; else echo "now restart mosquitto" >&2; fi
}
add_user() { # NAME PASSWORD, which no list of processes shows
    echo "$1:$2" >"$etc/password.new"
    mosquitto_passwd -U "$etc/password.new"
    ! grep -qxF "$1:$2" "$etc/password.new" || fail "mosquitto_passwd did not hash the password of $1"
    cat "$etc/password.new" >>"$etc/passwords"
    rm "$etc/password.new"
}

certificate() { # for the names in $etc/names
    names=
    while read -r name; do
        case $name in
            *[!0-9.]*) case $name in *:*) names=$names,IP:$name ;; *) names=$names,DNS:$name ;; esac ;;
            *) names=$names,IP:$name ;;
        esac
    done <"$etc/names"
    cat >"$etc/server.ext" <<END
subjectAltName = ${names#,}
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
END
    openssl req -new -newkey rsa:2048 -nodes -keyout "$etc/server.key.new" -out "$etc/server.csr" \
        -subj "/CN=Arcade broker" 2>/dev/null
    openssl x509 -req -in "$etc/server.csr" -CA "$etc/ca.pem" -CAkey "$etc/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
        -days 825 -sha256 -extfile "$etc/server.ext" -out "$etc/server.pem.new" 2>/dev/null
    mv "$etc/server.key.new" "$etc/server.key"
    mv "$etc/server.pem.new" "$etc/server.pem"
    rm -f "$etc/server.csr" "$etc/server.ext"
}

init() {
    [ $# -ge 1 ] || fail "say by which name cloud and machines reach the broker: $0 init broker.example.com"
    for name in "$@"; do
        case $name in *[!A-Za-z0-9.:-]* | -* | .*) fail "$name is neither a host name nor an address" ;; esac
    done
    mkdir -p "$etc"
    printf '%s\n' "$@" >"$etc/names.new"
    if [ ! -e "$etc/ca.pem" ]; then
        openssl req -x509 -newkey rsa:3072 -nodes -keyout "$etc/ca.key" -out "$etc/ca.pem.new" -days 7300 -sha256 \
            -subj "/CN=Arcade broker's own authority" -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
            -addext "keyUsage=critical,keyCertSign,cRLSign" -addext "subjectKeyIdentifier=hash" 2>/dev/null
        mv "$etc/ca.pem.new" "$etc/ca.pem"
    fi
    if ! cmp -s "$etc/names.new" "$etc/names" || [ ! -e "$etc/server.pem" ]; then
        mv "$etc/names.new" "$etc/names"
        certificate
    fi
    rm -f "$etc/names.new"
    if [ ! -e "$etc/acl" ]; then
        cat >"$etc/acl" <<'END'
# What each user may do. The signatures protect the money; this keeps neighbours from reading and disturbing each other.
# Every user: the topics of the machine that has the user's name.
pattern write arcade/machine/%u/ack
pattern write arcade/machine/%u/status
pattern write arcade/machine/%u/gameover
pattern read arcade/machine/%u/coinpulse
pattern read arcade/machine/%u/revoke
pattern read arcade/machine/%u/clock

user cloud
topic write arcade/machine/+/coinpulse
topic write arcade/machine/+/revoke
topic write arcade/machine/+/clock
topic write arcade/machine/+/gameover
topic read arcade/machine/+/ack
topic read arcade/machine/+/status
topic read arcade/machine/+/gameover
topic readwrite arcade/cloud/echo
END
    fi
    [ -e "$etc/passwords" ] || : >"$etc/passwords"
    password=
    if ! known cloud; then
        password=$(secret)
        add_user cloud "$password"
    fi
    {
        echo "# Made by broker.sh: the arcade's broker."
        if [ -n "$dir" ]; then
            mkdir -p "$dir/data"
            echo "persistence true"
            echo "persistence_location $dir/data/"
            [ "$(id -u)" != 0 ] || echo "user root"
        fi
        cat <<END
listener $port
certfile $etc/server.pem
keyfile $etc/server.key
allow_anonymous false
password_file $etc/passwords
acl_file $etc/acl
# A message must leave at once, or a coin waits 40 ms for it.
set_tcp_nodelay true
# Sessions of machines that are gone for good.
persistent_client_expiration 14d
END
    } >"$conf"
    [ -n "$dir" ] || { chmod 644 "$conf"; chmod 755 "$etc"; chmod 644 "$etc/ca.pem"; }
    reload
    host=$(head -n 1 "$etc/names")
    echo "EMQX_BROKER_URL=$host"
    [ "$port" = 8883 ] || echo "EMQX_PORT=$port"
    echo "MQTT_CA_FILE=$etc/ca.pem"
    echo "MQTT_USERNAME=cloud"
    if [ -n "$password" ]; then
        echo "MQTT_PASSWORD=$password"
    else
        echo "broker.sh: the user cloud keeps its password, which is not shown again" >&2
    fi
}

machine() {
    [ $# -ge 1 ] && [ $# -le 2 ] || fail "give the machine's id, and the config to fill in: $0 machine cab-01 edge.toml"
    echo "$1" | grep -Eqx '[A-Za-z0-9][A-Za-z0-9_-]{0,63}' || fail "$1 is no machine id"
    [ "$1" != cloud ] || fail "the cloud's own user is called that"
    ! known "$1" || fail "there is a user $1 already; for a new password: $0 remove $1, then this again"
    config=${2:-}
    if [ -n "$config" ]; then
        grep -Eq "^username = \"$1\"\$" "$config" && grep -q '^password = ""' "$config" ||
            fail "$config is not the config of $1 as arcade-cloud printed it, with its password left open"
    fi
    password=$(secret)
    add_user "$1" "$password"
    reload
    if [ -n "$config" ]; then
        filled=$(sed "s/^password = \"\".*/password = \"$password\"/" "$config")
        echo "$filled" >"$config" # in place, so that under sudo the file keeps its owner
        chmod 600 "$config"
        ca=$(dirname "$config")/ca.pem
        [ "$etc/ca.pem" -ef "$ca" ] || cp "$etc/ca.pem" "$ca"
        chmod 644 "$ca"
        echo "$config has the password of the new user $1; $ca goes with it to the machine's Pi"
    else
        echo "$password"
    fi
}

listener() {
    [ $# = 1 ] && echo "$1" | grep -Eqx '[A-Za-z0-9][A-Za-z0-9_-]{0,63}' || fail "give the listener's name: $0 listener kiosk"
    ! known "$1" || fail "there is a user $1 already"
    password=$(secret)
    printf '\nuser %s\ntopic read arcade/machine/+/coinpulse\ntopic read arcade/machine/+/gameover\n' "$1" >>"$etc/acl"
    add_user "$1" "$password"
    reload
    echo "$password"
}

remove() {
    [ $# = 1 ] || fail "give the user's name"
    known "$1" || fail "there is no user $1"
    mosquitto_passwd -D "$etc/passwords" "$1"
    awk -v user="$1" '$1 == "user" { mine = ($2 == user) } !mine' "$etc/acl" >"$etc/acl.new"
    mv "$etc/acl.new" "$etc/acl"
    reload
    echo "$1 is gone; a connection that it has open stays until it is closed or Mosquitto restarts" >&2
}

case $command in
    init) init "$@" ;;
    machine) machine "$@" ;;
    listener) listener "$@" ;;
    remove) remove "$@" ;;
    certificate)
        certificate
        reload
        echo "$etc/server.pem is new; restart Mosquitto to use it"
        ;;
esac
