"""``python -m kwaainet doctor``: whether this machine can run a node, and what to do where it cannot."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from . import __version__
from .doctor import examine


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 1 when a check failed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m kwaainet", description="kwaainet, a node inside your own program")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser("doctor", help="whether this machine can run a node, and what to do where it cannot")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    options = parser.parse_args(arguments)

    findings = []
    for finding in examine():
        findings.append(finding)
        if not options.json:
            print(f"{finding.state:<5}{finding.check + ':':<17}{finding.said}")
            if finding.remedy and finding.state != "ok":
                print(f"{'':<5}{'':<17}→ {finding.remedy}", flush=True)
    sound = all(finding.state != "fail" for finding in findings)
    if options.json:
        print(json.dumps({"sound": sound, "findings": [asdict(finding) for finding in findings]}, indent=2))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
