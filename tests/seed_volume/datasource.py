"""Has cloud-init's own code look for a datasource on a volume, and prints what it found as JSON.

What takes root is stood in for: the list of block devices by what blkid says of the one volume, the
mount by its files, unpacked.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile

from cloudinit import helpers, net, util
from cloudinit.net import eni, network_state, networkd
from cloudinit.sources import DataSourceConfigDrive, DataSourceNoCloud

name, volume, files = sys.argv[1:]
asked = []


def find_devs_with(criteria=None, **_):
    if criteria is None:
        return []
    tag, value = criteria.split("=", 1)
    said = subprocess.run(
        ["blkid", "-p", "-s", tag, "-o", "value", volume],
        stdout=subprocess.PIPE,
        text=True,
    )
    asked.append(criteria)
    return [volume] if said.stdout.strip() == value else []


def mount_cb(device, callback, data=None, **_):
    assert device == volume, device
    return callback(files) if data is None else callback(files, data)


MACS = {"52:54:00:12:34:56": "nic0", "52:54:00:12:34:57": "nic1"}
net.get_interfaces_by_mac = network_state.get_interfaces_by_mac = lambda: MACS
net.get_ib_hwaddrs_by_interface = lambda: {}
util.find_devs_with = find_devs_with
util.mount_cb = mount_cb
util.is_partition = lambda device: False
util.get_cmdline = lambda: "root=LABEL=root ro"
DataSourceNoCloud.dmi.read_dmi_data = lambda key: None

work = tempfile.mkdtemp()
paths = helpers.Paths({"cloud_dir": work, "run_dir": work})
module = {"NoCloud": DataSourceNoCloud, "ConfigDrive": DataSourceConfigDrive}[name]
source = getattr(module, "DataSource" + name)({}, None, paths)
source.known_macs = MACS
found = source._get_data()


def plain(value):
    if isinstance(value, str):
        value = value.encode()
    return None if value is None else base64.b64encode(value).decode()


def rendered(config):
    """The settings as files of ifupdown and of systemd-networkd."""
    if not config:
        return None
    state = network_state.parse_net_config_data(config)
    return {
        "eni": eni.Renderer()._render_interfaces(state),
        "networkd": networkd.Renderer()._render_content(state),
    }


os.rmdir(work) if not os.listdir(work) else None
json.dump(
    {
        "found": found,
        "asked": asked,
        "from": getattr(source, "seed", None) or getattr(source, "source", None),
        "mode": source.dsmode,
        "metadata": source.metadata,
        "keys": source.get_public_ssh_keys(),
        "user-data": plain(source.userdata_raw),
        "vendor-data": plain(source.vendordata_raw),
        "network": source.network_config if found else None,
        "rendered": rendered(source.network_config) if found else None,
    },
    sys.stdout,
)
