"""Copies schemas of Kubernetes from the package kubernetes-validate, in the form that kubeconform reads.

In the package, `$id` and references point to a server. Without `$id`, and with relative references, they point to the files.

Usage: kubernetes_schemas.py TARGET VERSION…
"""

import json
import pathlib
import shutil
import sys
import sysconfig

target, *versions = sys.argv[1:]
package = pathlib.Path(sysconfig.get_paths()["purelib"], "kubernetes_validate/kubernetes-json-schema")
new = pathlib.Path(target + ".new")
shutil.rmtree(new, ignore_errors=True)
for version in versions:
    folder = new / f"v{version}-strict"
    folder.mkdir(parents=True)
    for file in (package / f"v{version}-local-strict").glob("*.json"):
        schema = json.loads(file.read_text())
        schema.pop("$id", None)
        (folder / file.name).write_text(json.dumps(schema).replace('"/api/_definitions.json', '"_definitions.json'))
new.rename(target)
