"""Runs every test in every language and prints one closing line: `N passed, N failed, N skipped`.

A skip counts only with its reason in `tests/skips.toml`; any other skip is a failure. A part that does not run at all
is a failure too. Called by `make test` with the project's own Python, after everything was built.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Where the set-up puts a Node.js of the checkout's own, when the machine has none that is new enough.
os.environ["PATH"] = f"{ROOT / '.venv' / 'node-bin'}{os.pathsep}{os.environ['PATH']}"


SILENCE = int(os.environ.get("KWAAINET_TEST_SILENCE", "1200"))


@dataclass
class Outcome:
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, other: Outcome) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped |= other.skipped


def stream(command: list[str], show: re.Pattern[str], **environment: str) -> tuple[int, str]:
    """Runs a command, shows the lines that matter as they come, and returns everything it printed.

    One that prints nothing for `SILENCE` seconds hangs: it is ended with all that it started, and the other parts still run.
    """
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    heard = time.monotonic()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(5):
            if time.monotonic() - heard > SILENCE:
                lines.append(f"\nnothing was heard for {SILENCE} s, so it was ended\n")
                os.killpg(process.pid, signal.SIGKILL)
                return

    threading.Thread(target=watch, daemon=True).start()
    with process:
        try:
            for line in process.stdout:
                heard = time.monotonic()
                lines.append(line)
                if show.search(line):
                    print("  " + line.rstrip(), flush=True)
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            ended.set()
    return process.returncode, "".join(lines)


TEST_LINE = re.compile(r"^test (?P<name>.+?)(?: - should panic)? \.\.\. (?P<result>ok|FAILED|ignored)", re.MULTILINE)
OUTPUT = re.compile(r"^---- (?P<name>.+?) stdout ----\n(?P<text>.*?)(?=^---- |^successes:|^failures:|\Z)", re.MULTILINE | re.DOTALL)


def rust() -> Outcome:
    """`cargo test` over the workspace: unit tests, integration tests, documentation examples, the C programs."""
    outcome = Outcome()
    show = re.compile(r"^(\s+(Compiling kwaai|Running|Doc-tests)|test .*(FAILED|has been running)|error|warning: unused|test result: FAILED)")
    status, text = stream(["cargo", "test", "--workspace", "--locked", "--no-fail-fast", "--", "--show-output"], show)
    # One part for each test program, since names are unique only within one.
    for part in re.split(r"^\s+(?=Running |Doc-tests )", text, flags=re.MULTILINE)[1:]:
        program = re.sub(r"-[0-9a-f]{16}\)?$", "", part.splitlines()[0].split("/")[-1].strip())
        results = {m["name"]: m["result"] for m in TEST_LINE.finditer(part)}
        said = {m["name"]: m["text"] for m in OUTPUT.finditer(part)}
        for name, result in results.items():
            label = f"rust: {program}: {name}"
            reason = re.search(r"^skipped: (.+)$", said.get(name, ""), re.MULTILINE)
            if result == "ok" and reason:
                outcome.skipped[label] = reason[1]
            elif result == "ok":
                outcome.passed.append(label)
            elif result == "ignored":
                outcome.skipped[label] = "ignored"
            else:
                outcome.failed.append(label)
                print(f"---- {label}\n{said.get(name, '').strip()[-4000:]}", flush=True)
    if status < 0 or (status != 0 and not outcome.failed):
        print(text[-6000:])
        outcome.failed.append("rust: cargo test did not finish")
    return outcome


def junit(language: str, reports: list[Path], status: int, text: str) -> Outcome:
    """What a test tool reported in JUnit's form, and a failure when it said too little."""
    outcome = Outcome()
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            where = Path(case.get("file") or case.get("classname") or "").name
            label = f"{language}: {where}: {case.get('name')}"
            skip = case.find("skipped")
            failure = case.find("failure") if case.find("failure") is not None else case.find("error")
            if failure is not None:
                outcome.failed.append(label)
                print(f"---- {label}\n{(failure.text or '').strip()[-4000:]}", flush=True)
            elif skip is not None:
                # Some tools write the reason as an attribute, some as the first line of the text.
                outcome.skipped[label] = (skip.get("message") or skip.text or "").strip().partition("\n")[0]
            else:
                outcome.passed.append(label)
    if status < 0 or (status != 0 and not outcome.failed):
        print(text[-6000:])
        outcome.failed.append(f"{language}: the tests ended with {status}")
    return outcome


def fresh(report: Path) -> Path:
    """The place of a report, without what an earlier run left there."""
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    return report


def python() -> Outcome:
    """pytest over the package, the documents, the examples and what is packaged."""
    report = fresh(ROOT / "target" / "pytest.xml")
    show = re.compile(r"(FAILED|ERROR|^E  |passed|failed|^scenarios: )")
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--durations=8", "-p", "no:cacheprovider", f"--junitxml={report}"]
    folders = ["bindings/python/tests", "tests/docs", "tests/examples", "tests/packaging", "bindings/swift/tests", "--ignore=tests/packaging/consumers"]
    status, text = stream([*command, *folders], show)
    return junit("python", [report] if report.exists() else [], status, text)


def adapters() -> Outcome:
    """pytest over what plugs the Python package into other frameworks, in an environment that has these and their own tests."""
    folder = ROOT / "tests" / "judges" / "adapters"
    report = fresh(ROOT / "target" / "adapters.xml")
    show = re.compile(r"(FAILED|ERROR|^E  |passed|failed)")
    command = [str(folder / ".venv" / "bin" / "python"), "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", f"--junitxml={report}"]
    status, text = stream([*command, str(folder)], show)
    return junit("adapters", [report] if report.exists() else [], status, text)


def node() -> Outcome:
    """`node --test` over the package, its types, the scenarios and the guide."""
    report = fresh(ROOT / "target" / "node.xml")
    show = re.compile(r"(^✖|^not ok|error TS)")
    reporters = ["--test-reporter=spec", "--test-reporter-destination=stdout"]
    reporters += ["--test-reporter=junit", f"--test-reporter-destination={report}"]
    status, text = stream(["bindings/node/run-tests", *reporters], show)
    return junit("node", [report] if report.exists() else [], status, text)


def kotlin() -> Outcome:
    """JUnit over the Kotlin package, its scenarios and its guide."""
    reports = ROOT / "bindings" / "kotlin" / "target" / "surefire-reports"
    for old in reports.glob("*.xml"):
        old.unlink()
    show = re.compile(r"(^\[ERROR\]|Tests run:|objects: |calls: |shutdowns: )")
    status, text = stream(["mvn", "-B", "-ntp", "-f", "bindings/kotlin/pom.xml", "test"], show)
    return junit("kotlin", sorted(reports.glob("*.xml")), status, text)


def unlisted(skipped: dict[str, str]) -> list[str]:
    """The skips that `tests/skips.toml` does not allow."""
    rules = tomllib.loads((ROOT / "tests" / "skips.toml").read_text()).get("skip", [])
    return [
        label
        for label, reason in skipped.items()
        if not any(fnmatchcase(label, rule["test"]) and rule["reason"] in reason for rule in rules)
    ]


def main() -> int:
    total = Outcome()
    for name, part in (("rust and c", rust), ("python", python), ("adapters", adapters), ("node", node), ("kotlin", kotlin)):
        print(f"== {name}", flush=True)
        began = time.monotonic()
        outcome = part()
        if not outcome.passed:
            outcome.failed.append(f"{name}: no test ran")
        seconds = time.monotonic() - began
        counts = f"{len(outcome.passed)} passed, {len(outcome.failed)} failed, {len(outcome.skipped)} skipped"
        print(f"== {name}: {counts} in {seconds:.0f} s", flush=True)
        total.add(outcome)
    for label, reason in total.skipped.items():
        print(f"skipped: {label}: {reason}")
    for label in unlisted(total.skipped):
        total.failed.append(f"{label} (its skip is not listed in tests/skips.toml)")
        total.skipped.pop(label)
    for label in total.failed:
        print(f"FAILED: {label}")
    print(f"{len(total.passed)} passed, {len(total.failed)} failed, {len(total.skipped)} skipped")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
