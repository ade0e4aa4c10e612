"""The command of every job: fetches the program from S3, unpacks it and becomes it. Runs on the image's Python."""

import os
import sys
import tempfile
import zipfile

import boto3
from botocore.exceptions import BotoCoreError, ClientError

FAILED, AGAIN = 1, 75
PERMANENT = (403, 404)
"""What S3 answers when it will answer so again: not allowed, not there."""


def main(program: str, packages: str, module: str, spec: str) -> None:
    """Becomes `python -m module spec`, with the wheels in `packages` (comma-separated folders of the program) before
    the image's own packages. A fetch that fails exits 75, so that the job is tried again; one that S3
    refuses for good exits 1."""
    bucket, _, key = program.removeprefix("s3://").partition("/")
    home = tempfile.mkdtemp(prefix="genai-stack-")
    archive = os.path.join(home, "program.zip")
    try:
        boto3.client("s3").download_file(bucket, key, archive)
    except (BotoCoreError, ClientError) as error:
        print(f"can't fetch the program from {program}: {error}", file=sys.stderr)
        reply = getattr(error, "response", {}).get("ResponseMetadata", {})
        sys.exit(FAILED if reply.get("HTTPStatusCode") in PERMANENT else AGAIN)
    unpack(archive, home)
    paths = [home]
    for name in packages.split(","):
        paths.append(os.path.join(home, "packages", name))
        for wheel in os.listdir(paths[-1]):
            unpack(os.path.join(paths[-1], wheel), paths[-1])
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.execv(sys.executable, [sys.executable, "-m", module, spec])


def unpack(archive: str, into: str) -> None:
    with zipfile.ZipFile(archive) as content:
        content.extractall(into)
    os.remove(archive)


if __name__ == "__main__":
    main(*sys.argv[1:])
