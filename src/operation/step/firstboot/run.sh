#!/bin/sh
### BEGIN INIT INFO
# Provides:          sysprep-rs-firstboot
# Required-Start:    $remote_fs
# Should-Start:      $all
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:
# Short-Description: Scripts that run once at the first boot
### END INIT INFO

# Runs the scripts of this folder in the order of their names, each once.

case "$1" in
    start | "") ;;
    *) exit 0 ;;
esac

folder=/usr/lib/sysprep-rs/firstboot
log=/root/sysprep-rs-firstboot.log
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
export PATH HOME

umask 077
: >>"$log"
mkdir -p "$folder/begun"
# What a boot did not finish is not begun again.
rm -f "$folder/begun/"*
umask 022

for script in "$folder/scripts/"*; do
    [ -f "$script" ] || continue
    name=${script##*/}
    # Before it runs: one that ends the boot runs once, too.
    mv -f "$script" "$folder/begun/$name" || continue
    echo "=== $(date): $name" >>"$log"
    "$folder/begun/$name" >>"$log" 2>&1 </dev/null
    echo "=== $name: exit code $?" >>"$log"
    rm -f "$folder/begun/$name"
done
exit 0
