#!/sbin/openrc-run
description="Scripts that run once at the first boot (sysprep-rs)"

depend() {
    need localmount
    use net
    after *
}

start() {
    ebegin "Running the scripts of the first boot"
    /usr/lib/sysprep-rs/firstboot/run start
    eend 0
}
