"""What cloud-init's own code makes of the settings in guests' trees, as a JSON list with an object
for each tree.

usage: cloud_init.py TREE..
"""
import json
import logging
import os
import sys

logging.disable(logging.CRITICAL)

from cloudinit import net, util
from cloudinit.config.modules import form_module_name
from cloudinit.distros import ug_util


def settings(tree):
    config = util.mergemanydict(
        [
            util.get_builtin_cfg(),
            util.read_conf_with_confd(os.path.join(tree, "etc/cloud/cloud.cfg")),
        ],
        reverse=True,
    )
    seed = os.path.join(tree, "var/lib/cloud/seed/nocloud/user-data")
    if os.path.isfile(seed):
        config = util.mergemanydict([util.load_yaml(util.load_file(seed)), config])
    return config


class Distro:
    def __init__(self, config):
        self.config = config

    def get_default_user(self):
        return self.config["system_info"].get("default_user")


def module(item):
    if isinstance(item, dict):
        item = item.get("name")
    elif isinstance(item, list):
        item = item[0]
    return form_module_name(item)[len("cc_"):]


def keys(found):
    if isinstance(found, str):
        found = [found]
    return len(found or [])


def answer(tree):
    config = settings(tree)
    modules = [
        module(item)
        for stage in ("cloud_init_modules", "cloud_config_modules", "cloud_final_modules")
        for item in config.get(stage) or []
    ]
    given = config.get("network") or {}
    auth = config.get("ssh_pwauth")
    users, _ = ug_util.normalize_users_groups(config, Distro(config))
    return {
        "list": config["datasource_list"],
        "ssh": "ssh" in modules,
        "types": util.get_cfg_option_list(config, "ssh_genkeytypes", None),
        "deletes": util.get_cfg_option_bool(config, "ssh_deletekeys", True),
        "disabled": bool(net.is_disabled_cfg(given.get("network", given))),
        "root": util.get_cfg_option_bool(config, "disable_root", True),
        "auth": True if util.is_true(auth) else False if util.is_false(auth) else None,
        "users": {
            name: {
                "default": bool(user.get("default")),
                "lock": bool(user.get("lock_passwd", True)),
                "sudo": bool(user.get("sudo")),
                "keys": keys(user.get("ssh_authorized_keys")),
                "password": any(
                    user.get(key) for key in ("plain_text_passwd", "hashed_passwd", "passwd")
                ),
            }
            for name, user in users.items()
        },
    }


print(json.dumps([answer(tree) for tree in sys.argv[1:]]))
