"""The examples, run as a user runs them: in a process of their own, with a home of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from kwaainet import sync

ROOT = Path(__file__).resolve().parents[2]


def run(program: str, home: Path, *arguments: str) -> str:
    """What an example prints, when it succeeds."""
    command = [sys.executable, str(ROOT / "examples" / "python" / program), *arguments]
    environment = os.environ | {"KWAAINET_HOME": str(home), "COLUMNS": "110"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_example_of_the_readme_answers_with_a_citation(tmp_path: Path) -> None:
    said = run("readme.py", tmp_path)
    answer = said.splitlines()[-1]
    assert "0.70" in answer
    assert "Citation(number=1" in answer
    assert (tmp_path / "identity.key").stat().st_mode & 0o777 == 0o600


def test_the_quickstart_shows_trust_cited_answers_a_refusal_and_blocks_over_two_hosts(tmp_path: Path) -> None:
    said = run("quickstart.py", tmp_path)
    for tier, score in (("trusted", "0.700"), ("verified", "0.500"), ("unknown", "0.000")):
        assert re.search(rf"{tier}\W+{score}", said), (tier, said)
    assert re.search(r"61 watts .* \[1\]\n.*field-note\.pdf", said)
    assert re.search(r"4 euros .* \[1\]\n.*charter\.docx", said)
    assert "This is not in your documents." in said
    assert "stranger offers blocks 0 to 4: not used" in said
    assert len(re.findall(r"heron blocks 0–2 \([\d.]+ ms\) → wren blocks 2–4 \([\d.]+ ms\)", said)) == 2
    assert "Kwaainet is a library" in said
    assert "permission_denied" in said
    assert not list(tmp_path.iterdir()), "a node in memory leaves nothing behind"


def test_the_quickstart_reads_other_documents_and_reports_what_it_cannot_read(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "lease.txt").write_text("The lease of the boathouse ends on 14 March 2031. The rent is 220 euros a month.\n")
    (folder / "letter.md").write_bytes("# Brief\n\nDer Schlüssel liegt unter dem dritten Blumentopf.\n".encode("utf-16"))
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4\nthis is no pdf")
    said = run(
        "quickstart.py",
        tmp_path / "home",
        "--documents",
        str(folder),
        "--ask",
        "When does the lease of the boathouse end?",
        "Who painted the Sistine Chapel?",
    )
    assert re.search(r"14 March 2031.*\[1\]\n.*lease\.txt", said)
    assert "This is not in your documents." in said
    assert re.search(r"not read: broken\.pdf", said)
    assert "2 documents" in said


def test_an_empty_folder_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    command = [sys.executable, str(ROOT / "examples" / "python" / "quickstart.py"), "--documents", str(empty)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(empty) in done.stdout.replace("\n", "")




def test_the_view_of_the_swarm_shows_real_peers_their_paths_and_the_traffic(tmp_path: Path) -> None:
    with sync.Node.start(preset="ephemeral", name="[bold]heron", relay=True) as heron:
        # It listens nowhere itself, so that it is met at the relay; by the time it is shown the two may have gone on directly.
        relay = heron.info().addresses[0]
        with sync.Node.start(preset="ephemeral", name="wren", listen=[], trusted_relays=[relay]) as wren:
            deadline = time.monotonic() + 20
            while not (circuits := [at for at in wren.info().addresses if "/p2p-circuit" in at]):
                assert time.monotonic() < deadline
            said = run("swarm.py", tmp_path, "--once", "--peers", "2", "--wait", "60", "--bootstrap", circuits[0])
            assert re.search(rf"{wren.peer_id[-8:]}.*wren.*(through …{heron.peer_id[-8:]}|(in|out)bound).*unknown.*0\.000", said), said
            said = run("swarm.py", tmp_path, "--once", "--bootstrap", relay)
            # Markup in a name stays what it is.
            assert re.search(rf"{heron.peer_id[-8:]}.*\[bold\]heron.*tcp, outbound.*unknown.*bootstrap", said), said
            assert re.search(r"received \d+(\.\d)? k?B", said) and "direct 1" in said, said
    assert not list(tmp_path.iterdir()), "a node in memory leaves nothing behind"


def test_the_view_of_the_swarm_says_what_is_missing_and_what_is_wrong(tmp_path: Path) -> None:
    program = str(ROOT / "examples" / "python" / "swarm.py")
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError('rich')\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    without = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, timeout=60)
    assert (without.returncode, without.stderr) == (1, "this example draws with rich: pip install rich\n")
    wrong = [sys.executable, program, "--once", "--bootstrap", "nowhere"]
    done = subprocess.run(wrong, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith("invalid_argument: ") and "Traceback" not in done.stderr
