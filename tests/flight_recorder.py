#!/usr/bin/env python3
"""Records nodes of a running devnet, kills them, and lets them live again.

    tests/flight_recorder.py              records with the release build, replays in release and
                                          debug, with 1 and with 8 workers: one hash; so have
                                          simulated worlds in both builds, and the simulator opens
                                          the recordings
    tests/flight_recorder.py --planted    builds the node with a hidden clock read, and with a
                                          hash map whose order decides: each must be found out
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
NODES = 4
# Simulated worlds: a small one, and one with faults of every sort and an adversary.
WORLDS = [["first"], ["swarm", "--seed", "31"]]


def build(tree, release):
    """Builds the program of a tree in the one target folder, and gives its path."""
    command = ["cargo", "build", "--quiet", "--bin", "keel"] + ["--release"] * release
    environment = dict(os.environ, CARGO_TARGET_DIR=TARGET)
    subprocess.run(command, cwd=tree, env=environment, check=True)
    return os.path.join(TARGET, "release" if release else "debug", "keel")


def record(keel, scratch, seconds):
    """Runs a devnet, kills everything at once at a random moment, and saves what was recorded."""
    network = os.path.join(scratch, "network")
    command = [keel, "devnet", "--nodes", str(NODES), "--tps", "40", "--duration", "600s"]
    command += ["--dir", network, "--keep", "--json"]
    devnet = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(seconds)
        if devnet.poll() is not None:
            sys.exit(f"the devnet ended by itself with code {devnet.returncode}")
    finally:
        devnet.kill()
        devnet.wait()
        for name in os.listdir(network):
            wait_for_end(os.path.join(network, name, "LOCK"))
    files = []
    for name in sorted(os.listdir(network)):
        directory = os.path.join(network, name)
        if os.path.exists(os.path.join(directory, "SUPER")):
            file = os.path.join(scratch, name + ".rec")
            run(keel, "record", "save", file, "--dir", directory)
            files.append(file)
    if len(files) != NODES:
        sys.exit(f"{len(files)} of {NODES} nodes left a recording in {network}")
    return files


def wait_for_end(lock):
    """Nodes die with their devnet; waits until the one whose number a lock names has. Its files
    and sockets are open until the last of its threads is gone, whichever that is."""
    if not os.path.exists(lock):
        return
    with open(lock) as file:
        process = int("".join(filter(str.isdigit, file.read())))
    while True:
        try:
            with open(f"/proc/{process}/stat") as file:
                has_ended = file.read().rsplit(")", 1)[1].split()[0] == "Z"
            if has_ended and len(os.listdir(f"/proc/{process}/task")) == 1:
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.01)


def run(keel, *arguments):
    command = [keel, "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def same_everywhere():
    release, debug = build(ROOT, True), build(ROOT, False)
    for world in WORLDS:
        hashes = {run(keel, "sim", *world)["event_hash"] for keel in (release, debug)}
        if len(hashes) != 1:
            sys.exit(f"keel sim {' '.join(world)} differs between release and debug: {hashes}")
        print(f"keel sim {' '.join(world)}: {hashes.pop()} in release and debug")
    moment = random.uniform(14, 22)
    print(f"killing after {moment:.1f} s")
    with tempfile.TemporaryDirectory() as scratch:
        for file in record(release, scratch, moment):
            hashes = set()
            for keel, workers in [(release, 1), (release, 8), (debug, 1), (debug, 8)]:
                replayed = run(keel, "replay", file, "--workers", str(workers))
                hashes.add(replayed["state_hash"])
            if len(hashes) != 1 or replayed["marks"] == 0:
                sys.exit(f"{file}: {hashes}, {replayed}")
            run(release, "sim", "--recording", file)
            print(
                f"{os.path.basename(file)}: {replayed['last_event']} events,"
                f" {replayed['marks']} marks, {hashes.pop()}"
            )


def planted():
    """Each planted bug makes recordings that do not replay. One copy of the tree serves both, so
    that the second build is a small one."""
    folder = os.path.join(ROOT, "tests", "mutations")
    tree = os.path.join(TARGET, "planted")
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(tree)
    names = ["Cargo.toml", "Cargo.lock", "src", "bench", "contrib", "tests"]
    # Cargo reads the settings of every folder above. Flags found twice would be other flags, for
    # which every dependency would be built again.
    if os.path.commonpath([ROOT, os.path.abspath(tree)]) != ROOT:
        names.append(".cargo")
    for name in names:
        source, copy = os.path.join(ROOT, name), os.path.join(tree, name)
        (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, copy)
    for patch in ["hidden_clock.patch", "hash_order.patch"]:
        change(tree, os.path.join(folder, patch))
        keel = os.path.join(TARGET, "planted-keel")
        shutil.copy(build(tree, False), keel)
        change(tree, os.path.join(folder, patch), "--reverse")
        with tempfile.TemporaryDirectory() as scratch:
            found = [diverges(keel, file) for file in record(keel, scratch, 16)]
        if not any(found):
            sys.exit(f"{patch} was planted, and every replay agreed")
        print(f"{patch}: {sum(found)} of {len(found)} replays found it out")
    shutil.rmtree(tree)


def change(tree, patch, *how):
    """Applies a patch to a tree that is no repository of its own."""
    environment = dict(os.environ, GIT_CEILING_DIRECTORIES=os.path.dirname(tree))
    subprocess.run(["git", "apply", *how, patch], cwd=tree, env=environment, check=True)


def diverges(keel, file):
    done = subprocess.run([keel, "replay", file], capture_output=True, text=True, timeout=300)
    return done.returncode == 1 and "diverges" in done.stderr


if __name__ == "__main__":
    planted() if sys.argv[1:] == ["--planted"] else same_everywhere()
