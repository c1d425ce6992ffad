"""Hugging Face's own client, over the cache and the hub that the environment names: `judge.py REPOSITORY FILE...` has each file, from
the cache or the hub, and prints the sha256 of each and what the cache is found to hold, as JSON."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from huggingface_hub import hf_hub_download, scan_cache_dir


def main() -> None:
    repository, *files = sys.argv[1:]
    found = {file: hashlib.sha256(Path(hf_hub_download(repository, file)).read_bytes()).hexdigest() for file in files}
    cache = scan_cache_dir()
    repositories = {
        one.repo_id: {revision.commit_hash: sorted(revision.refs) for revision in one.revisions} for one in cache.repos
    }
    print(json.dumps({"files": found, "repositories": repositories, "warnings": [str(one) for one in cache.warnings]}))


if __name__ == "__main__":
    main()
