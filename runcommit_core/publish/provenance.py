"""Provenance: an in-toto Statement v1 with a SLSA provenance v1 predicate, unsigned.

Sources: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and
https://slsa.dev/spec/v1.0/provenance.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runcommit_core.oci.config import rfc3339
from runcommit_core.publish.report import metadata
from runcommit_core.version import FORM

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.interface.values import Result

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:runcommit:run:1"
"""What ``externalParameters`` mean: the options of ``runcommit run``, docs/reference/outputs.md."""

BUILDER = "urn:runcommit:builder"
"""Whoever runs the command vouches for it; a signature says who that is."""


def write_provenance(path: Path, result: Result) -> None:
    """Write the statement as JSON."""
    path.write_text(json.dumps(statement(result), indent=2, ensure_ascii=False) + "\n")


def statement(result: Result) -> dict[str, Any]:
    """What was made (images and layers by digest), from what, by what and when."""
    report = metadata(result)
    return {
        "_type": STATEMENT_TYPE,
        "subject": _subjects(report),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "base": report["base"]["reference"],
                    **report["request"],
                    "source_date_epoch": report["source_date_epoch"],
                },
                "internalParameters": {"form": FORM, "transport": report["transport"]},
                "resolvedDependencies": _dependencies(report),
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER,
                    "version": {
                        "runcommit": report["runcommit"]["version"],
                        report["engine"]["name"]: report["engine"]["version"],
                    },
                },
                "metadata": {
                    "invocationId": result.id,
                    "startedOn": rfc3339(result.started),
                    "finishedOn": rfc3339(result.finished),
                },
            },
        },
    }


def _subjects(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Images by the digest of their manifest, where they have the result's; layers by theirs."""
    images = [(image["path"], image) for image in report["images"]]
    if report["loaded"]:
        images.append((report["loaded"]["name"], report["loaded"]))
    images += [(image["name"], image) for image in report["pushed"]]
    subjects = [
        {"name": name, "digest": _digest(image["manifest_digest"] or image["config_digest"])}
        for name, image in images
    ]
    return subjects + [
        {
            "name": f"layer {number}",
            "digest": _digest(layer["digest"]),
            "mediaType": layer["media_type"],
            "annotations": {"diff_id": layer["diff_id"]},
        }
        for number, layer in enumerate(report["layers"], start=1)
    ]


def _dependencies(report: dict[str, Any]) -> list[dict[str, Any]]:
    base = report["base"]
    dependencies = [
        {
            "name": base["reference"],
            "digest": _digest(base["manifest_digest"] or base["config_digest"]),
            "annotations": {"config_digest": base["config_digest"]},
        }
    ]
    mounts = report["request"]["run"]["mounts"]
    return dependencies + [
        {"name": mount["target"], "digest": mount["digest"]}
        for mount in mounts
        if "digest" in mount
    ]


def _digest(digest: str) -> dict[str, str]:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}
