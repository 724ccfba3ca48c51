"""What cloud-init's own code says of files, as a JSON list with an object for each.

usage: reference.py SCHEMAS cloud-config|network-config|parts FILE..
       reference.py SCHEMAS datasource TREE..

The code is run with the schema files in SCHEMAS, so that a difference is one of the code and not of
a release.
"""
import base64
import json
import logging
import os
import sys

schemas, what = sys.argv[1:3]
logging.disable(logging.CRITICAL)

import yaml
from cloudinit import handlers, helpers, settings, stages, user_data, util
from cloudinit.config import schema

settings.CLOUD_CONFIG = os.devnull


def load(name):
    with open(os.path.join(schemas, name)) as file:
        return json.load(file)


def against_schema(text):
    """The errors and the deprecations of a document."""
    config = yaml.safe_load(text)
    if not isinstance(config, dict):
        raise RuntimeError("not a map")
    name = "schema-cloud-config-v1.json"
    if what == "network-config":
        inner = config.get("network", config)
        version = inner.get("version") if isinstance(inner, dict) else None
        name = "schema-network-config-v%d.json" % (1 if version == 1 else 2)
    try:
        schema.validate_cloudconfig_schema(config, schema=load(name), strict=True)
    except schema.SchemaValidationError as error:
        problems = [str(it) for it in error.schema_errors or []]
        return problems, [str(it) for it in error.schema_deprecations or []]
    return [], []


def kinds(content, folder):
    """The content types that the parts of user-data come to, and those that nobody handles."""
    paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder})
    message = user_data.UserDataProcessor(paths).process(content)
    init = stages.Init([])
    init._paths = paths
    known = {"text/part-handler"}
    for handler in init._default_handlers():
        known.update(handler.list_types())
    found, lost = [], []

    def note(data, filename, payload, headers):
        kind = headers["Content-Type"]
        found.append(kind)
        if payload and kind not in known and "text/part-handler" not in found:
            lost.append(kind)

    handlers.walk(message, note, {})
    return found, lost


def datasource(tree):
    """What NoCloud finds in a guest's tree, and which datasources the guest's settings name."""
    from cloudinit.sources import DataSourceNoCloud as source

    run = os.path.join(tree, "run-of-the-test")
    os.makedirs(run, exist_ok=True)
    # Nothing of this machine.
    util.get_cmdline = lambda: ""
    disk = os.path.join(tree, "cidata-of-the-test")
    disks = ["/dev/cidata"] if os.path.isdir(disk) else []
    util.find_devs_with = lambda *args, **kwargs: disks
    util.mount_cb = lambda device, callback, data: callback(disk, data)
    for module in (sys.modules.get("cloudinit.dmi"), util):
        if hasattr(module, "read_dmi_data"):
            module.read_dmi_data = lambda key: None
    paths = helpers.Paths(
        {"cloud_dir": os.path.join(tree, "var/lib/cloud"), "run_dir": run}
    )
    found = source.DataSourceNoCloud({}, None, paths)
    taken = found._get_data()
    settings_of = util.read_conf_with_confd(os.path.join(tree, "etc/cloud/cloud.cfg"))
    coded = lambda it: base64.b64encode(util.encode_text(it or b"")).decode()
    return {
        "taken": taken,
        "seed": found.seed,
        "instance": found.get_instance_id() if taken else None,
        "meta": found.metadata,
        "user-data": coded(found.userdata_raw),
        "vendor-data": coded(found.vendordata_raw),
        "network": found.network_config,
        "list": settings_of.get("datasource_list"),
    }


answers = []
for name in sys.argv[3:]:
    try:
        if what == "datasource":
            answer = datasource(name)
        elif what == "parts":
            with open(name, "rb") as file:
                found, lost = kinds(file.read(), os.path.dirname(name))
            answer = {"kinds": found, "lost": lost}
        else:
            with open(name, newline="") as file:
                problems, notes = against_schema(file.read())
            answer = {"problems": problems, "notes": notes}
    except Exception as error:
        answer = {"problems": ["%s: %s" % (type(error).__name__, error)], "notes": []}
    answers.append(answer)
print(json.dumps(answers, default=str))
