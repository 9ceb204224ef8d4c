#!/bin/sh
# The first process of the virtual Pi: makes this computer's files writable (in memory), makes the GPIO chip, and hands
# over to the command, or to systemd. `run.sh` calls it; never run it yourself.
set -eu

if [ -z "${VIRTUAL_PI_ROOT_MADE:-}" ]; then
    # Everything can be read as it is on this computer; what is written goes to memory.
    mount -t tmpfs -o mode=0755 memory /mnt
    mkdir /mnt/upper /mnt/work /mnt/root
    mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work root /mnt/root
    cd /mnt/root
    mount -t devtmpfs dev dev
    mount -t proc proc proc
    mount -t sysfs sys sys
    mount -t tmpfs -o mode=0755 run run
    mount -t tmpfs -o mode=1777 tmp mnt
    mkdir -p dev/shm dev/pts run/talk
    mount -t tmpfs -o mode=1777 shm dev/shm
    mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts dev/pts
    mount -t hostfs -o "$VIRTUAL_PI_TALK" talk run/talk
    mkdir -p run/old
    pivot_root . run/old
    export VIRTUAL_PI_ROOT_MADE=1
    exec "$0"
fi

[ -s /etc/machine-id ] || echo 0123456789abcdef0123456789abcdef >/etc/machine-id

umount -l /run/old
rmdir /run/old
mount -t configfs config /sys/kernel/config
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing

# As many lines as the chip of a Raspberry Pi 4 has.
chip=/sys/kernel/config/gpio-sim/pi
mkdir $chip $chip/bank0
echo 54 >$chip/bank0/num_lines
echo pinctrl-bcm2711 >$chip/bank0/label
echo 1 >$chip/live

cat >/run/command <<'END'
#!/bin/sh
exec >>/run/talk/output 2>&1
export HOME=/mnt TMPDIR=/mnt PYTHONDONTWRITEBYTECODE=1 LG_WD=/mnt
sh -c '. /run/talk/command' && code=0 || code=$?
echo $code >/run/talk/code
sync
END
chmod +x /run/command

if [ "$VIRTUAL_PI_FIRST" = plain ]; then
    ip link set lo up 2>/dev/null || python3 -c '
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14x", b"lo", 0x49))'
    setsid -w /run/command || true
    exit # and with its first process the kernel ends
fi

# Of what a computer starts, only the log: nothing of the rest is wanted, or can run here.
rm -rf /usr/lib/systemd/system/*.target.wants /etc/systemd/system/*.target.wants
# A container's mark would keep systemd from sharing its mounts, and so credentials from its services.
rm -f /.dockerenv
: >/etc/fstab
mkdir -p /run/systemd/system
cat >/run/systemd/system/virtual-pi.service <<'END'
[Unit]
Description=The command that was given
Wants=systemd-journald.service
After=systemd-journald.service
DefaultDependencies=no

[Service]
Type=oneshot
ExecStart=/run/command
ExecStopPost=systemctl --force --force poweroff
END
exec /lib/systemd/systemd --unit=virtual-pi.service
